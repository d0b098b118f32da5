//! Does ergodic work on this machine? Known answers, exact laws, moments, determinism and proofs of completion on its adapter.
//!
//! `cargo run --release --example selftest -- [--broken] [--quick] [--json FILE] [--chains N] [--backend cpu|gpu]`
//!
//! With `--broken`, samplers with planted faults go through the same checks, each of which must be reported as failing. The checks
//! are those of the tests (`tests/common/`). Their seeds are fixed, so that what fails once fails again.

mod checks;
#[path = "../common/mod.rs"]
mod common;
mod faults;
#[allow(dead_code, unreachable_pub, reason = "the tests use the rest")]
#[path = "../../tests/common"]
mod tested {
    pub mod cases;
    pub mod compute;
    pub mod determinism;
    pub mod exact;
    pub mod invariance;
    pub mod law;
    pub mod leapfrog;
    pub mod planted;
    pub mod random;
    pub mod stats;
    pub mod streaming;
    pub mod twin;
    pub mod twin_energy;
}

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use anyhow::{Result, anyhow, bail};
use checks::{Check, Outcome, Subject, checks};
use clap::Parser;
use common::Options;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;

/// Does ergodic work on this machine? A table of checks with scores, and exit code 1 where one fails.
#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
    /// Check samplers with planted faults instead: exit code 1 where one of them passes
    #[arg(long)]
    broken: bool,
}

/// A line of the table.
#[derive(Serialize)]
struct Row {
    check: &'static str,
    of: String,
    passed: bool,
    #[serde(flatten)]
    outcome: Outcome,
    seconds: f64,
}

fn main() -> Result<()> {
    let CommandLine { options, broken } = CommandLine::parse();
    let backend = options.open()?;
    let subject = Subject { chains: options.chains, quick: options.quick, fault: None, backend };
    if broken { check_faults(&options, subject) } else { check_all(&options, &subject) }
}

/// Every check must pass.
fn check_all(options: &Options, subject: &Subject) -> Result<()> {
    heading();
    let rows = run(checks(subject));
    let failed = rows.iter().filter(|row| !row.passed).count();
    println!("\n{} of {} checks passed on {}", rows.len() - failed, rows.len(), subject.backend.describe());
    if subject.backend.gpu().is_none() {
        println!(
            "The random numbers, energies and transitions of WGSL were not checked: that takes a GPU, which may be a software one."
        );
    }
    let names: Vec<_> = rows.iter().map(|row| format!("{}: {}", row.check, row.of)).collect();
    let holds = rows.iter().zip(&names).map(|(row, name)| (row.passed, &**name));
    options.finish(&json!({ "adapter": subject.backend.describe(), "failed": failed, "checks": rows }), holds)
}

/// Of every fault, some check must fail.
fn check_faults(options: &Options, mut subject: Subject) -> Result<()> {
    if subject.backend.gpu().is_none() {
        bail!("the faults are planted in WGSL: --broken needs a GPU, which may be a software one");
    }
    let mut found = Vec::new();
    for fault in faults::all() {
        println!("\nPlanted: {}", fault.what);
        heading();
        subject.fault = Some(fault.clone());
        let rows = run(checks(&subject));
        found.push((fault.what, rows.iter().any(|row| !row.passed), rows));
    }
    println!();
    for (what, is_found, rows) in &found {
        let by: Vec<_> = rows.iter().filter(|row| !row.passed).map(|row| row.check).collect();
        let verdict = if *is_found { "found" } else { "MISSED" };
        println!("{verdict:>6}  {what}: failed {}", if *is_found { by.join(", ") } else { "no check".into() });
    }
    let missed = found.iter().filter(|(_, is_found, _)| !is_found).count();
    println!("\n{} of {} planted faults were found on {}", found.len() - missed, found.len(), subject.backend.describe());
    let figures: Vec<_> =
        found.iter().map(|(what, found, rows)| json!({ "fault": what, "found": found, "checks": rows })).collect();
    let holds = found.iter().map(|(what, is_found, _)| (*is_found, *what));
    options.finish(&json!({ "adapter": subject.backend.describe(), "missed": missed, "faults": figures }), holds)
}

fn heading() {
    println!("{:>6}  {:<14} {:<30} {:>11}  {:>6}  what is farthest off", "", "check", "of", "score", "s");
}

/// Runs checks one after the other and prints a line of each.
fn run(checks: Vec<Check>) -> Vec<Row> {
    let style = ProgressStyle::with_template("[{bar:32}] {pos}/{len} checks, {msg}");
    let bar = ProgressBar::new(checks.len() as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut rows = Vec::new();
    for check in checks {
        bar.set_message(format!("{}: {}", check.name, check.of));
        let begun = Instant::now();
        // The tests' own helpers panic where a device fails them: that is a line of the table, not the end of it.
        let outcome = catch_unwind(AssertUnwindSafe(check.run)).unwrap_or_else(|_| Err(anyhow!("panicked, as said above")));
        let outcome = outcome.unwrap_or_else(|error| Outcome::error(&error));
        let row =
            Row { check: check.name, of: check.of, passed: outcome.passes(), outcome, seconds: begun.elapsed().as_secs_f64() };
        let verdict = if row.passed { "pass" } else { "FAIL" };
        bar.suspend(|| {
            println!(
                "{verdict:>6}  {:<14} {:<30} {:>11}  {:>6.2}  {}",
                row.check,
                row.of,
                row.outcome.score,
                row.seconds,
                shortened(&row.outcome.says)
            );
        });
        bar.inc(1);
        rows.push(row);
    }
    bar.finish_and_clear();
    rows
}

/// The JSON has all of it.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 100;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.into(),
    }
}
