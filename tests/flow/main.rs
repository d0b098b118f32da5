//! Normalising flows: passes against a plain form and differences, the law of their draws, training.

#[path = "../common/mod.rs"]
mod common;
mod contrastive;
mod data;
mod device;
mod em;
mod likelihood;
mod passes;
mod pinwheel;
mod reference;
mod variational;

use common::Suite;
use ergodic::{
    flow::Flow,
    random::{Stream, key, normal_pair, threefry},
};

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for add in [passes::add, device::add, likelihood::add, variational::add, contrastive::add, pinwheel::add] {
        suite = add(suite);
    }
    suite.run()
}

/// A flow whose parameters are all normal with this spread.
fn flow(dim: usize, layers: usize, hidden: usize, spread: f64, seed: u64) -> Flow {
    let key = key(seed, Stream::Start, 5);
    let count = Flow::new(dim, layers, hidden, 0).unwrap().params().len();
    let params = (0..count as u32).map(|i| (spread * normal_pair(threefry(key, [1, i]))[0]) as f32);
    Flow::from_params(dim, layers, hidden, params.collect::<Vec<_>>()).unwrap()
}

/// Normals of a spread, `[dim][point]`.
fn normals(dim: usize, count: usize, spread: f64, seed: u64) -> Vec<f64> {
    let key = key(seed, Stream::Start, 6);
    (0..(dim * count) as u32).map(|i| spread * normal_pair(threefry(key, [2, i]))[0]).collect()
}
