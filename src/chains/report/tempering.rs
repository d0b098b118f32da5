//! What a report says of tempering.

use std::fmt;

use serde::Serialize;

use crate::chains::{Setup, moments::Exchanges, summary::Summary, tally::Ledger};

/// What happened on the ladders of parallel tempering while moments were collected.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TemperingReport {
    /// The temperatures of the ladder, from the target's own up.
    pub rungs: Vec<RungRow>,
    /// Steps between two rounds of swaps.
    pub steps_a_swap: u32,
    /// States that went from the coldest rung to the hottest and back, on all ladders together.
    pub round_trips: u64,
    /// Round trips of a ladder in a thousand steps.
    pub round_trips_in_1000_steps: f64,
}

/// One temperature of the ladders.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RungRow {
    /// Temperature, in units of the target's.
    pub temperature: f64,
    /// Part of the transitions that were accepted since the start.
    pub acceptance: f64,
    /// Part of the swaps with the next rung that were made; None for the last one, and where none was tried.
    pub swaps: Option<f64>,
}

/// The ladder and what its rungs accepted; the swaps are yet to be counted.
pub(super) fn tempering(setup: &Setup, ledger: &Ledger, steps: u64) -> Option<TemperingReport> {
    let ladder = setup.kernel.ladder()?;
    let rung = |(rung, &temperature): (usize, &f64)| {
        let accepted = ledger.accepted.iter().skip(rung).step_by(ladder.rungs());
        let transitions = steps as f64 * accepted.len() as f64;
        let acceptance = accepted.sum::<u64>() as f64 / transitions.max(1.0);
        RungRow { temperature, acceptance, swaps: None }
    };
    let rungs = ladder.temperatures().iter().enumerate().map(rung).collect();
    let steps_a_swap = ladder.steps_a_swap();
    Some(TemperingReport { rungs, steps_a_swap, round_trips: 0, round_trips_in_1000_steps: 0.0 })
}

impl TemperingReport {
    pub(super) fn count(&mut self, summary: &Summary) {
        let Exchanges { swaps, round_trips } = &summary.exchanges;
        for (rung, [proposed, made]) in self.rungs.iter_mut().zip(swaps) {
            rung.swaps = (*proposed > 0.0).then(|| made / proposed);
        }
        self.round_trips = *round_trips as u64;
        self.round_trips_in_1000_steps = 1e3 * round_trips / (summary.chains as f64 * summary.draws as f64);
    }

    pub(super) fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rungs, round_trips, round_trips_in_1000_steps, .. } = self;
        writeln!(f, "  {:>11} {:>12} {:>16}", "temperature", "acceptance", "swaps with next")?;
        for RungRow { temperature, acceptance, swaps } in rungs {
            let swaps = swaps.map_or("-".into(), |swaps| format!("{swaps:.3}"));
            writeln!(f, "  {temperature:>11.3} {acceptance:>12.4} {swaps:>16}")?;
        }
        writeln!(
            f,
            "  {round_trips} round trips, {round_trips_in_1000_steps:.3} of a ladder in 1,000 steps; moments are of temperature 1"
        )
    }
}
