//! Training: jets and their reverse, losses, optimisers, data, files, and what is learned.

mod chains;
#[path = "../common/mod.rs"]
mod common;
mod data;
mod device;
mod jets;
mod judge;
mod learned;
mod losses;
mod mixture;
mod moons;
mod optimum;
mod runaway;

use common::Suite;

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for add in [
        chains::add,
        data::add,
        device::add,
        judge::add,
        jets::add,
        losses::add,
        learned::add,
        mixture::add,
        moons::add,
        optimum::add,
        runaway::add,
    ] {
        suite = add(suite);
    }
    suite.run()
}
