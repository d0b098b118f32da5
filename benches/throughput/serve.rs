//! Rows on request, for `benches/peers`: a line of JSON in, a line of JSON out, one timed run each, so that programs can take
//! turns on a noisy machine.

use std::io::{BufRead as _, Write as _};

use anyhow::Result;
use ergodic::Gpu;
use serde_json::json;

use crate::{
    case::Case,
    measure::{Place, Runner},
};

/// Answers requests until the end of the input. The first request of a case builds and warms up, later ones reuse it.
pub(crate) fn serve() -> Result<()> {
    let place = Place::Gpu(Box::new(Gpu::open()?));
    let mut current: Option<(Case, Runner)> = None;
    let mut output = std::io::stdout();
    writeln!(output, "{}", json!({ "adapter": place.describe() }))?;
    output.flush()?;
    for line in std::io::stdin().lock().lines() {
        let case: Case = serde_json::from_str(&line?)?;
        if current.as_ref().is_none_or(|(built, _)| *built != case) {
            // Not both at once in memory.
            drop(current.take());
            let mut runner = Runner::new(&case, &place)?;
            runner.warm_up()?;
            current = Some((case, runner));
        }
        let Some((_, runner)) = &mut current else { unreachable!("built above") };
        let accepted = |runner: &Runner| {
            let report = runner.chains().report();
            report.mean_acceptance.unwrap_or(1.0) * report.steps as f64
        };
        let (before, steps_before) = (accepted(runner), runner.chains().steps());
        let (steps, seconds) = runner.run()?;
        let acceptance = (accepted(runner) - before) / (runner.chains().steps() - steps_before) as f64;
        let positions = runner.chains().positions()?;
        let mean_square = positions.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / positions.len() as f64;
        let failed: u64 = runner.chains().report().failures.iter().map(|row| row.chains).sum();
        let reply = json!({
            "steps": steps,
            "seconds": seconds,
            "transitions_per_second": steps as f64 * case.chains as f64 / seconds,
            "acceptance": acceptance,
            "mean_square": mean_square,
            "failed_chains": failed,
        });
        writeln!(output, "{reply}")?;
        output.flush()?;
    }
    Ok(())
}
