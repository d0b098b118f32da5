//! Training: jets and their reverse, losses, optimisers, data, files, and what is learned.

mod chains;
#[path = "../common/mod.rs"]
mod common;
mod jets;

use common::Suite;

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for add in [chains::add, jets::add] {
        suite = add(suite);
    }
    suite.run()
}
