//! CPU reference against GPU: `cargo bench --bench throughput -- [--quick] [--only TEXT] [--json FILE]`.
//!
//! Each case (case.rs) is run on the GPU and on the CPU reference in turn, at least five times, each run at least 0.2 s after a
//! warm-up; so are the numbers of chains of one energy and kernel in two dimensions, whose costs are compared. A row gives the median
//! with its spread, and the share of what the device itself was measured to do (peak.rs), with the operations of a transition counted
//! from the formulas (cost.rs).

#![allow(missing_docs, reason = "a program")]

mod case;
mod cost;
mod measure;
mod peak;
mod row;
mod serve;
mod table;

use std::{io::Write as _, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use ergodic::{Error, Gpu};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::{
    case::{Case, cases},
    measure::{Place, Runner, first_sample_afresh},
    peak::Peak,
    row::Row,
};

/// Measures transitions a second of the CPU reference and of the GPU.
#[derive(Debug, Parser)]
struct Arguments {
    /// The main cases only: some four minutes on two slow cores, where all cases take more than ten.
    #[arg(long)]
    quick: bool,
    /// Writes the rows, and the rates of the devices themselves, to a file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only cases with this in their name, as "128-D, Mala".
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Answers requests for single rows on standard input (benches/peers uses this).
    #[arg(long)]
    serve: bool,
    /// Prints the seconds to the first sample of one case.
    #[arg(long, value_name = "CASE", hide = true)]
    first_sample: Option<String>,
    /// Given by cargo bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Timed runs of a row, at the least.
const RUNS: usize = 5;
/// Of rows that are compared with each other: single runs vary by more than such rows may differ.
const COMPARED_RUNS: usize = 15;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(case) = arguments.first_sample {
        let case: Case = serde_json::from_str(&case)?;
        writeln!(std::io::stdout(), "{}", Runner::new(&case, &Place::Gpu(Box::new(Gpu::open()?)))?.first_sample)?;
        return Ok(());
    }
    if arguments.serve {
        return serve::serve();
    }
    if !arguments.bench {
        // `cargo test --all-targets` runs benchmarks too.
        println!("Nothing measured: run it as cargo bench --bench throughput");
        return Ok(());
    }
    let mut places = places()?;
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}")?);
    bar.set_message("the devices themselves");
    for (place, peak) in &mut places {
        *peak = match place {
            Place::Gpu(gpu) => peak::of_gpu(gpu)?,
            Place::Cpu(pool) => pool.install(peak::of_cpu)?,
        };
        println!("{}", table::peak(place, peak));
    }
    let is_wanted = |case: &Case| arguments.only.as_ref().is_none_or(|text| case.to_string().contains(text));
    let cases: Vec<_> = cases(arguments.quick).into_iter().filter(is_wanted).collect();
    ensure!(!cases.is_empty(), "no case has {:?} in its name", arguments.only);
    bar.set_length(cases.len() as u64);
    let mut rows = Vec::new();
    for group in groups(&cases) {
        bar.set_message(group[0].to_string());
        let measured = measure(&group, &places).with_context(|| group[0].to_string())?;
        for (case, measured) in group.iter().zip(&measured) {
            bar.suspend(|| println!("{case}: {}", table::brief(measured)));
        }
        rows.extend(measured.into_iter().flatten());
        // After every case, so that a run that is broken off leaves what it has measured.
        if let Some(path) = &arguments.json {
            let peaks: Vec<_> =
                places.iter().map(|(place, peak)| json!({ "adapter": place.describe(), "peak": peak })).collect();
            let text = serde_json::to_string_pretty(&json!({ "quick": arguments.quick, "devices": peaks, "rows": rows }))?;
            std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        bar.inc(group.len() as u64);
    }
    bar.finish_and_clear();
    // As the cases stand, since a table has the kernels side by side.
    rows.sort_by_key(|row| cases.iter().position(|case| row.is_of(case)));
    println!("{}", table::rows(&rows));
    Ok(())
}

/// The GPU if there is one, the CPU on all threads, and on one; their rates are not yet measured.
fn places() -> Result<Vec<(Place, Peak)>> {
    let unknown = Peak { operations_per_second: 0.0, bytes_per_second: 0.0 };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut places = Vec::new();
    match Gpu::open() {
        Ok(gpu) => places.push((Place::Gpu(Box::new(gpu)), unknown)),
        Err(e @ Error::NoAdapter { .. }) => println!("Only the CPU reference: {e}"),
        Err(e) => return Err(e.into()),
    }
    places.push((Place::cpu(threads)?, unknown));
    if threads > 1 {
        places.push((Place::cpu(1)?, unknown));
    }
    Ok(places)
}

/// The cases that are measured in turn: in two dimensions those that differ in the number of chains alone, else each by itself.
fn groups(cases: &[Case]) -> Vec<Vec<Case>> {
    let mut groups: Vec<Vec<Case>> = Vec::new();
    for &case in cases {
        let belongs = |group: &&mut Vec<Case>| case.dim == 2 && Case { chains: case.chains, ..group[0] } == case;
        match groups.iter_mut().find(belongs) {
            Some(group) => group.push(case),
            None => groups.push(vec![case]),
        }
    }
    groups
}

/// Runs cases everywhere, in turn, so that whatever else the machine does disturbs all of them alike. The rows of each.
fn measure(cases: &[Case], places: &[(Place, Peak)]) -> Result<Vec<Vec<Row>>> {
    let mut runners = Vec::new();
    for case in cases {
        for (place, peak) in places {
            if place.threads().is_none() || case.on_cpu() {
                let mut runner = Runner::new(case, place)?;
                runner.warm_up()?;
                runners.push((case, runner, peak));
            }
        }
    }
    let is_compared = |runner: &Runner| cases.len() > 1 && runner.place().threads().is_none();
    let is_done = |runner: &Runner| runner.is_done(if is_compared(runner) { COMPARED_RUNS } else { RUNS });
    while !runners.iter().all(|(_, runner, _)| is_done(runner)) {
        // Those that are compared take part in every round, also where one of them began anew.
        for (_, runner, _) in runners.iter_mut().filter(|(_, runner, _)| is_compared(runner) || !is_done(runner)) {
            runner.run()?;
        }
    }
    let row = |(case, runner, peak): &(&Case, Runner, &Peak)| {
        let first_sample = match runner.place() {
            Place::Gpu(_) => first_sample_afresh(case)?,
            Place::Cpu(_) => runner.first_sample,
        };
        Ok(Row::new(case, runner, peak, first_sample))
    };
    let of = |case: &Case| runners.iter().filter(|(of, ..)| *of == case).map(row).collect();
    cases.iter().map(of).collect()
}
