//! What a run did, as text and as JSON.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use super::{Setup, moments::Moments, tally::Ledger};
use crate::kernel::Failure;

/// Moments of one coordinate (or of the energy) over all chains and collected draws.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Coordinate {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub sd: f64,
    /// Monte Carlo standard error of the mean, from the spread of the chains' means; None with fewer than two chains.
    pub mcse: Option<f64>,
}

/// Failures of one kind, by the chains whose first failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
    /// Moments of the coordinates; empty where none were collected.
    pub coordinates: Vec<Coordinate>,
    /// Moments of the energy.
    pub energy_moments: Option<Coordinate>,
    /// Failures since the start; empty if there were none.
    pub failures: Vec<FailureRow>,
}

/// What was run, in how long.
#[derive(Debug, Clone, Copy, Default)]
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
        moments: Option<&Moments>,
        last_step: u64,
    ) -> Self {
        let transitions = clock.steps as f64 * setup.chains as f64;
        let per_second = |n: f64| if clock.wall.is_zero() { 0.0 } else { n / clock.wall.as_secs_f64() };
        let coordinate = |row| {
            moments.map(|m| {
                let pooled = m.pooled(row);
                Coordinate { mean: pooled.mean, sd: pooled.sd, mcse: pooled.mcse }
            })
        };
        let dim = setup.target.dim();
        Self {
            backend,
            adapter,
            energy: setup.target.name(),
            dim,
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
            coordinates: (0..dim).filter_map(coordinate).collect(),
            energy_moments: coordinate(dim),
            failures: failures(ledger, u64::from(setup.first_chain)),
        }
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

fn failures(ledger: &Ledger, first_chain: u64) -> Vec<FailureRow> {
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

/// Rows of coordinates shown as text; JSON has them all.
const SHOWN: usize = 16;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} on {} in {} dimensions", self.kernel, self.energy, self.dim)?;
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
        if !self.coordinates.is_empty() {
            writeln!(f, "  {:>8} {:>14} {:>14} {:>12}", "", "mean", "sd", "mcse(mean)")?;
        }
        let mut row = |name: String, c: &Coordinate| {
            let mcse = c.mcse.map_or("undefined (one chain)".into(), |m| format!("{m:.3e}"));
            writeln!(f, "  {name:>8} {:>14.6} {:>14.6} {mcse:>12}", c.mean, c.sd)
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
        Ok(())
    }
}
