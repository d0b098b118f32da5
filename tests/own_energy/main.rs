//! A user's own energy from WGSL text: messages in the user's own lines, hostile text refused, faults of the formula counted.

#[path = "../common/mod.rs"]
mod common;
mod device;
mod faults;
mod fuzz;
mod messages;
mod refusals;

use common::Suite;
use ergodic::{Error, Result, energy::WgslEnergy};

/// A right energy in two dimensions, with one parameter.
const VALLEY: &str = include_str!("valley.wgsl");

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for tests in [messages::tests, refusals::tests, fuzz::tests, device::tests, faults::tests] {
        suite = tests(suite);
    }
    suite.run()
}

fn valley(text: impl Into<String>) -> Result<WgslEnergy> {
    WgslEnergy::from_text("valley", 2, [10.0], text)
}

/// The valley with the first `old` replaced by `new`.
fn edited(old: &str, new: &str) -> String {
    assert!(VALLEY.contains(old), "no `{old}` in the valley");
    VALLEY.replacen(old, new, 1)
}

/// The valley with `item` before its first function.
fn with_item(item: &str) -> String {
    edited("fn valley_energy(", &format!("{item}\nfn valley_energy("))
}

/// The valley with a statement at the beginning of its energy.
fn with_statement(statement: &str) -> String {
    edited("let p = (*x)[0];", &format!("let p = (*x)[0]; {statement}"))
}

/// A refusal with its place.
struct Refusal {
    part: String,
    line: u32,
    column: u32,
    message: String,
    rendered: String,
}

fn refusal(text: impl Into<String>) -> Refusal {
    refusal_of(valley(text))
}

fn refusal_of(found: Result<WgslEnergy>) -> Refusal {
    match found {
        Err(Error::Shader { part, line, column, message, rendered }) => Refusal { part, line, column, message, rendered },
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("was accepted"),
    }
}
