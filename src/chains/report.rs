//! What a run did, as text and as JSON.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Coordinate, Ended, FailedAt, Quantity, Setup, Standing,
    moments::{Exchanges, Moments},
    tally::Ledger,
};
use crate::{adapt::Adaptation, kernel::Failure};

/// Failures of one kind, by the chains whose first failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRow {
    /// The kind of the chains' first failure.
    pub kind: Failure,
    /// Chains.
    pub chains: u64,
    /// Failed transitions of these chains.
    pub count: u64,
    /// The earliest step, from 0.
    pub first_step: u64,
    /// The chain that failed there.
    pub first_chain: u64,
}

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

/// What a run did. Serialises to JSON; displays as text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// "gpu" or "cpu".
    pub backend: &'static str,
    /// The adapter with its backend and driver, or the CPU reference with its threads.
    pub adapter: String,
    /// Name of the energy.
    pub energy: String,
    /// Number of coordinates.
    pub dim: usize,
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Number of chains.
    pub chains: usize,
    /// Seed.
    pub seed: u64,
    /// Steps of every chain.
    pub steps: u64,
    /// Seconds by the clock.
    pub wall_seconds: f64,
    /// Seconds on the device, where it has timestamps.
    pub device_seconds: Option<f64>,
    /// Submissions to the device.
    pub slices: u64,
    /// Submissions that the driver cut short and that were run again.
    pub slices_redone: u64,
    /// Transitions of all chains a second.
    pub transitions_per_second: f64,
    /// Gradient evaluations of all chains a second.
    pub gradients_per_second: f64,
    /// Mean acceptance probability; None for kernels that accept always.
    pub mean_acceptance: Option<f64>,
    /// T of exp(−E/T) at the last step.
    pub temperature: f64,
    /// Groups of chains that started at one point each, which nested R-hat compares.
    pub superchains: usize,
    /// Draws of every chain behind the moments; 0 where none were collected.
    pub draws: u64,
    /// Why the collection ended.
    pub ended: Option<Ended>,
    /// Where there was a goal: the coordinate that is farthest from it, or was the last to meet it.
    pub standing: Option<Standing>,
    /// Moments of the coordinates; empty where none were collected.
    pub coordinates: Vec<Coordinate>,
    /// Moments of the energy.
    pub energy_moments: Option<Coordinate>,
    /// Mean squared distance of successive draws.
    pub squared_jump: Option<f64>,
    /// The energy's Bayesian fraction of missing information (Betancourt 2016), of kernels with a Hamiltonian: below 0.3, momenta are
    /// drawn anew too seldom, or too small, to move through the energies of the target.
    pub e_bfmi: Option<f64>,
    /// Swaps and round trips of parallel tempering, whose moments are those of the chains at the target's temperature.
    pub tempering: Option<TemperingReport>,
    /// What the reader of the moments should know: what is undefined, and why.
    pub notes: Vec<String>,
    /// What a warm-up found, where the kernel adapts.
    pub adaptation: Option<Adaptation>,
    /// Failures since the start, or since the warm-up; empty if there were none.
    pub failures: Vec<FailureRow>,
    /// Where the first chains that failed stood then.
    pub failed_at: Vec<FailedAt>,
}

/// What was run, in how long.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Clock {
    pub(crate) steps: u64,
    pub(crate) wall: Duration,
    pub(crate) device: Option<Duration>,
    pub(crate) slices: u64,
    pub(crate) redone: u64,
    /// Sum of acceptance probabilities.
    pub(crate) acceptance: f64,
    /// Gradient evaluations of one chain.
    pub(crate) gradients: u64,
}

impl Clock {
    /// What was run between two readings.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            steps: self.steps - before.steps,
            wall: self.wall - before.wall,
            device: self.device.map(|d| d - before.device.unwrap_or_default()),
            slices: self.slices - before.slices,
            redone: self.redone - before.redone,
            acceptance: self.acceptance - before.acceptance,
            gradients: self.gradients - before.gradients,
        }
    }
}

impl Report {
    pub(crate) fn new(
        setup: &Setup,
        backend: &'static str,
        adapter: String,
        clock: &Clock,
        ledger: &Ledger,
        last_step: u64,
    ) -> Self {
        let transitions = clock.steps as f64 * setup.chains as f64;
        let per_second = |n: f64| if clock.wall.is_zero() { 0.0 } else { n / clock.wall.as_secs_f64() };
        Self {
            backend,
            adapter,
            energy: setup.target.name(),
            dim: setup.target.dim(),
            kernel: setup.kernel.name(),
            chains: setup.chains,
            seed: setup.seed,
            steps: clock.steps,
            wall_seconds: clock.wall.as_secs_f64(),
            device_seconds: clock.device.map(|d| d.as_secs_f64()),
            slices: clock.slices,
            slices_redone: clock.redone,
            transitions_per_second: per_second(transitions),
            gradients_per_second: per_second(clock.gradients as f64 * setup.chains as f64),
            mean_acceptance: (!setup.kernel.is_unadjusted() && clock.steps > 0).then(|| clock.acceptance / transitions),
            temperature: setup.temperature.at(last_step),
            superchains: setup.superchain_count(),
            draws: 0,
            ended: None,
            standing: None,
            coordinates: Vec::new(),
            energy_moments: None,
            squared_jump: None,
            e_bfmi: None,
            tempering: tempering(setup, ledger, last_step + 1),
            notes: Vec::new(),
            adaptation: None,
            failures: failures(ledger, u64::from(setup.first_chain)),
            failed_at: ledger.failed_at.clone(),
        }
    }

    /// With the moments that were collected.
    pub(crate) fn with_moments(mut self, moments: &Moments, starts_at_one_point: bool) -> Self {
        let row = |row| Coordinate::new(moments, row, self.superchains);
        self.draws = moments.draws;
        self.coordinates = (0..self.dim).map(row).collect();
        self.energy_moments = Some(row(self.dim));
        self.squared_jump = Some(moments.squared_jump());
        self.e_bfmi = moments.e_bfmi(self.dim + 1);
        if let Some(tempering) = &mut self.tempering {
            tempering.count(moments);
        }
        self.notes = notes(&self, moments.chains(), starts_at_one_point);
        self
    }

    /// With the reason why the collection ended.
    pub(crate) fn ended(self, ended: Ended, standing: Option<Standing>) -> Self {
        Self { ended: Some(ended), standing, ..self }
    }

    /// Failed transitions since the start, of all chains and kinds.
    pub fn failed_transitions(&self) -> u64 {
        self.failures.iter().map(|row| row.count).sum()
    }

    /// The report as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// The ladder and what its rungs accepted; the swaps are yet to be counted.
fn tempering(setup: &Setup, ledger: &Ledger, steps: u64) -> Option<TemperingReport> {
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
    fn count(&mut self, moments: &Moments) {
        let Exchanges { swaps, round_trips } = &moments.exchanges;
        for (rung, [proposed, made]) in self.rungs.iter_mut().zip(swaps) {
            rung.swaps = (*proposed > 0.0).then(|| made / proposed);
        }
        self.round_trips = *round_trips as u64;
        self.round_trips_in_1000_steps = 1e3 * round_trips / (moments.chains() as f64 * moments.draws as f64);
    }

    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

/// The failures in a ledger by kind.
pub(super) fn failures(ledger: &Ledger, first_chain: u64) -> Vec<FailureRow> {
    let mut rows: BTreeMap<u8, FailureRow> = BTreeMap::new();
    for (&chain, failed) in &ledger.failed {
        let chain = chain as u64 + first_chain;
        let row = rows.entry(failed.kind as u8).or_insert(FailureRow {
            kind: failed.kind,
            chains: 0,
            count: 0,
            first_step: failed.step,
            first_chain: chain,
        });
        row.chains += 1;
        row.count += failed.count;
        if failed.step < row.first_step {
            (row.first_step, row.first_chain) = (failed.step, chain);
        }
    }
    rows.into_values().collect()
}

/// What is undefined, or blind, and why.
fn notes(report: &Report, chains: usize, starts_at_one_point: bool) -> Vec<String> {
    let mut notes = Vec::new();
    let still: Vec<_> = (0..report.dim).filter(|&i| report.coordinates[i].sd == 0.0).map(|i| format!("x[{i}]")).collect();
    if chains < 2 {
        notes.push("mcse, ess and rhat are undefined: there is one chain, and they compare chains".into());
    } else if !still.is_empty() {
        let shown = still[..still.len().min(4)].join(", ");
        let more = if still.len() > 4 { format!(" and {} more", still.len() - 4) } else { String::new() };
        notes.push(format!("mcse, ess and rhat of {shown}{more} are undefined: every draw of every chain is the same number"));
    }
    if chains > 1 && report.superchains < 2 {
        notes.push("rhat is undefined: there is one superchain, and it compares superchains".into());
    }
    if chains > 1 && starts_at_one_point {
        notes.push("all chains started at one point: rhat cannot see a part of the target that none of them reached".into());
    }
    notes
}

/// Rows of coordinates shown as text; JSON has them all.
const SHOWN: usize = 16;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ladder = self.tempering.as_ref().map(|t| format!(" at {} temperatures", t.rungs.len())).unwrap_or_default();
        writeln!(f, "{}{ladder} on {} in {} dimensions", self.kernel, self.energy, self.dim)?;
        writeln!(f, "  {}", self.adapter)?;
        let device = self.device_seconds.map(|s| format!(", {s:.3} s on the device")).unwrap_or_default();
        writeln!(f, "  {} chains x {} steps in {:.3} s{device}", self.chains, self.steps, self.wall_seconds)?;
        let redone = if self.slices_redone > 0 {
            format!(" ({} cut short by the driver and run again)", self.slices_redone)
        } else {
            String::new()
        };
        writeln!(
            f,
            "  {:.3e} transitions/s, {:.3e} gradients/s, {} slices{redone}",
            self.transitions_per_second, self.gradients_per_second, self.slices
        )?;
        match self.mean_acceptance {
            Some(acceptance) => write!(f, "  mean acceptance {acceptance:.4}")?,
            None => write!(f, "  unadjusted: accepts always, biased by the step size")?,
        }
        if self.temperature != 1.0 {
            write!(f, ", temperature {:.6}", self.temperature)?;
        }
        writeln!(f)?;
        if let Some(adaptation) = &self.adaptation {
            writeln!(f, "{adaptation}")?;
        }
        if self.coordinates.is_empty() {
            return self.fmt_failures(f);
        }
        write!(f, "  {} draws a chain", self.draws)?;
        match (self.ended, &self.standing) {
            (Some(Ended::Goal), Some(last)) => write!(f, ": the goal is met, last by {last}")?,
            (Some(ended), Some(last)) => {
                let limit = if ended == Ended::Time { "time" } else { "the number of draws" };
                write!(f, ": ended by {limit}, the goal is not met by {last}")?;
            }
            (Some(Ended::Time), None) => write!(f, ": ended by time")?,
            _ => {}
        }
        writeln!(
            f,
            "\n  {:>8} {:>14} {:>14} {:>12} {:>12} {:>12} {:>9}",
            "", "mean", "sd", "mcse(mean)", "mcse(sd)", "ess", "rhat"
        )?;
        let mut row = |name: String, c: &Coordinate| {
            let error = |error: Option<f64>| error.map_or("undefined".into(), |e| format!("{e:.3e}"));
            let rhat = c.rhat.map_or("undefined".into(), |r| format!("{r:.4}"));
            let (mcse, mcse_sd, ess) = (error(c.mcse), error(c.mcse_sd), error(c.ess));
            writeln!(f, "  {name:>8} {:>14.6} {:>14.6} {mcse:>12} {mcse_sd:>12} {ess:>12} {rhat:>9}", c.mean, c.sd)
        };
        for (i, c) in self.coordinates.iter().take(SHOWN).enumerate() {
            row(format!("x[{i}]"), c)?;
        }
        if let Some(c) = &self.energy_moments {
            row("energy".into(), c)?;
        }
        if self.coordinates.len() > SHOWN {
            writeln!(f, "  ({} more coordinates in the JSON)", self.coordinates.len() - SHOWN)?;
        }
        if let Some(jump) = self.squared_jump {
            write!(f, "  mean squared jump {jump:.4e}")?;
        }
        if let Some(e_bfmi) = self.e_bfmi {
            write!(f, ", E-BFMI {e_bfmi:.3}")?;
        }
        writeln!(f)?;
        if let Some(tempering) = &self.tempering {
            tempering.fmt(f)?;
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        self.fmt_failures(f)
    }
}

impl Report {
    fn fmt_failures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.failures.is_empty() {
            return write!(f, "  no failures");
        }
        write!(f, "  failures (by the kind of a chain's first one):")?;
        for row in &self.failures {
            let FailureRow { kind, chains, count, first_step, first_chain } = row;
            write!(
                f,
                "\n    {kind:?}: {count} transitions of {chains} chains, first at step {first_step} of chain {first_chain}"
            )?;
        }
        for FailedAt { chain, step, kind, position } in &self.failed_at {
            let shown: Vec<_> = position.iter().take(4).map(|x| format!("{x:.6}")).collect();
            let more = if position.len() > 4 { ", ..." } else { "" };
            write!(f, "\n    chain {chain} stood at [{}{more}] when it failed at step {step} ({kind:?})", shown.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.map_or("undefined".into(), |value| format!("{value:.4}"));
        let name = match self.quantity {
            Quantity::Mcse => "mcse/sd",
            Quantity::Rhat => "rhat",
        };
        write!(f, "x[{}] with {name} {value}", self.coordinate)
    }
}
