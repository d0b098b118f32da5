//! Diagnostics of stored draws: published values, chains whose answer is known, coverage, and faults that these must find.

#[path = "../common/mod.rs"]
mod common;
mod estimator;
mod known;
mod law;
mod plain;
mod published;
mod summary;
mod undefined;

use common::Suite;

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for tests in [known::tests, published::tests, law::tests, undefined::tests, summary::tests] {
        suite = tests(suite);
    }
    suite.run()
}
