//! Networks: the f64 twin against differences, the passes on a GPU against the twin, the samplers of networks.

#[path = "../common/mod.rs"]
mod common;
mod formulas;
mod langevin;
mod passes;

use common::Suite;
use ergodic::net::{Activation, Mlp};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for add in [formulas::add, langevin::add, passes::add] {
        suite = add(suite);
    }
    suite.run()
}

/// A confined network with initial parameters.
fn mlp(dim: usize, hidden: &[usize], activation: Activation, seed: u64) -> Mlp {
    Mlp::new(dim, hidden, activation, seed).unwrap().confined(0.3).unwrap()
}

/// Numbers in (-2, 2).
fn numbers(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = SmallRng::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(-2.0..2.0)).collect()
}
