//! Boltzmann machines: formulas against enumeration, Gibbs chains against their exact law, ln Z, training, files.

#[path = "../common/mod.rs"]
mod common;
mod formulas;
mod gaussian;
mod gibbs;
mod ln_z;
mod tempered;
mod train;
mod twin;

use common::Suite;
use ergodic::{
    random::{Stream, key, normal_pair, threefry},
    rbm::Rbm,
};

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for add in [formulas::add, gaussian::add, gibbs::add, ln_z::add, tempered::add, train::add, twin::add] {
        suite = add(suite);
    }
    suite.run()
}

/// A machine with normal weights and biases of the given spread.
fn machine(visible: usize, hidden: usize, spread: f64, seed: u64) -> Rbm {
    let key = key(seed, Stream::Start, 1);
    let normal = |row: u32, i: usize| (spread * normal_pair(threefry(key, [row, i as u32]))[0]) as f32;
    let values = |row: u32, n: usize| (0..n).map(|i| normal(row, i)).collect::<Vec<_>>();
    Rbm::new(values(0, visible * hidden), values(1, visible), values(2, hidden)).unwrap()
}

/// The units of a state by its number.
fn units(state: usize, units: usize) -> Vec<f64> {
    (0..units).map(|unit| (state >> unit & 1) as f64).collect()
}
