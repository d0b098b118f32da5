//! What a run did, as text and as JSON.

mod tempering;
mod text;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use self::tempering::tempering;
pub use self::tempering::{RungRow, TemperingReport};
use super::{Coordinate, Ended, FailedAt, Setup, Standing, collect::FEWEST_CHAINS, summary::Summary, tally::Ledger};
use crate::{
    adapt::{Adaptation, FAILING},
    kernel::Failure,
};

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
    /// What the reader of the moments should know: what is undefined, and why; what cannot be trusted, and what to do.
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

    /// Of a collection whose time was up before its first draw.
    fn without_draws(mut self, is_warming_up: bool) -> Self {
        let (place, next) = if is_warming_up {
            ("in the warm-up", "the next call goes on with it")
        } else {
            ("before the first", "allow more")
        };
        self.notes = vec![format!("no draws were collected: time was up {place}; {next}")];
        self
    }

    /// With the moments that were collected, so many steps after the failures began to be counted; or why there are none.
    pub(crate) fn with_moments(
        mut self,
        summary: &Summary,
        starts_at_one_point: bool,
        counted_steps: u64,
        is_warming_up: bool,
    ) -> Self {
        if summary.draws == 0 {
            return self.without_draws(is_warming_up);
        }
        self.draws = summary.draws;
        self.coordinates.clone_from(&summary.coordinates);
        self.energy_moments = Some(summary.energy);
        self.squared_jump = Some(summary.squared_jump);
        self.e_bfmi = summary.e_bfmi;
        if let Some(tempering) = &mut self.tempering {
            tempering.count(summary);
        }
        self.notes = notes(&self, summary.chains, starts_at_one_point);
        self.notes.extend(unmixed(&self));
        self.notes.extend(slow_energies(&self));
        self.notes.extend(failing(&self, counted_steps));
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

/// R-hat from which on chains have not mixed (Gelman and Rubin 1992). Of chains that start independently it is about √(1 + 1/n) after n
/// effective draws a chain: five of them.
const UNMIXED: f64 = 1.1;

/// Chains that have not mixed.
fn unmixed(report: &Report) -> Option<String> {
    let coordinates = report.coordinates.iter().enumerate().map(|(i, c)| (format!("x[{i}]"), c.rhat));
    let all = coordinates.chain(report.energy_moments.iter().map(|c| ("the energy".into(), c.rhat)));
    let defined = all.filter_map(|(name, rhat)| Some((name, rhat?)));
    let (name, rhat) = defined.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, rhat)| *rhat > UNMIXED)?;
    Some(format!(
        "rhat of {name} is {rhat:.2}, above {UNMIXED}: the chains have not mixed, so means may be biased beyond their mcse. Take more \
         draws; where that does not help, another step size or kernel (Hmc::adaptive), or a start closer to the target"
    ))
}

/// E-BFMI below which momenta drawn anew change the energy too little (Betancourt 2016).
const SLOW_ENERGIES: f64 = 0.3;

/// Momenta that are too small for the energies of the target.
fn slow_energies(report: &Report) -> Option<String> {
    let e_bfmi = report.e_bfmi.filter(|&e_bfmi| e_bfmi < SLOW_ENERGIES)?;
    Some(format!(
        "E-BFMI is {e_bfmi:.3}, below {SLOW_ENERGIES}: momenta drawn anew hardly change the energy, so chains may be slow to come to heavy \
         tails and narrow necks, and means biased beyond their mcse; where the target can be written in other coordinates \
         (reparametrised, non-centred), do that"
    ))
}

/// Transitions of a Metropolis kernel that fail again and again.
fn failing(report: &Report, counted_steps: u64) -> Option<String> {
    report.mean_acceptance?;
    let part = report.failed_transitions() as f64 / (report.chains as f64 * counted_steps as f64);
    let smaller = match &report.adaptation {
        Some(found) => format!("aim at a higher acceptance than {} (adaptive_to)", found.target_acceptance),
        None => "take a smaller step size".into(),
    };
    (part > FAILING).then(|| {
        format!(
            "{:.2} % of the transitions failed: chains hardly come to, or leave, the places where that happens, and the draws may lack \
             them; {smaller}, or, where the support has bounds, constrain the energy (Compose::constrain)",
            100.0 * part
        )
    })
}

/// What is undefined, or blind, and why.
fn notes(report: &Report, chains: usize, starts_at_one_point: bool) -> Vec<String> {
    let mut notes = Vec::new();
    let undefined = |why: &str, which: &dyn Fn(&Coordinate) -> bool| {
        let names: Vec<_> = (0..report.dim).filter(|&i| which(&report.coordinates[i])).map(|i| format!("x[{i}]")).collect();
        let shown = names[..names.len().min(4)].join(", ");
        let more = if names.len() > 4 { format!(" and {} more", names.len() - 4) } else { String::new() };
        (!names.is_empty()).then(|| format!("mcse, ess and rhat of {shown}{more} are undefined: {why}"))
    };
    if chains < 2 {
        notes.push("mcse, ess and rhat are undefined: there is one chain, and they compare chains".into());
    } else {
        let rough = (chains < FEWEST_CHAINS && report.coordinates.iter().any(|c| c.mcse.is_some())).then(|| {
            let part = 100.0 / (2.0 * (chains as f64 - 1.0)).sqrt();
            format!(
                "mcse and ess are rough: they are estimated from the spread of {chains} chains, which tells an error to some \
                 {part:.0} %; take {FEWEST_CHAINS} or more"
            )
        });
        notes.extend(undefined("every draw of every chain is the same number", &|c| c.sd == 0.0));
        notes.extend(undefined("no chain moved along them, each draw of a chain is the same number", &|c| {
            c.sd > 0.0 && c.mcse.is_none()
        }));
        notes.extend(rough);
    }
    if chains > 1 && report.superchains < 2 {
        notes.push("rhat is undefined: there is one superchain, and it compares superchains".into());
    }
    if report.draws == 1 && report.superchains == chains && chains > 1 {
        notes.push("rhat is undefined: there is one draw a chain, and it compares their spread with that of the chains".into());
    }
    if chains > 1 && starts_at_one_point {
        notes.push("all chains started at one point: rhat cannot see a part of the target that none of them reached".into());
    }
    notes
}
