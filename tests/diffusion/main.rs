//! Diffusion: the forward process, every way back with exact scores against the exact law of its discretised process, likelihoods.

#[path = "../common/mod.rs"]
mod common;
mod formula;
mod forward;
mod gaussian;
mod likelihood;
mod mixture;
mod network;

use common::Suite;

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for add in [forward::add, gaussian::add, mixture::add, likelihood::add, network::add] {
        suite = add(suite);
    }
    suite.run()
}
