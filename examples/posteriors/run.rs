//! One posterior, sampled with what the sampler finds out by itself until the moments of its parameters are precise enough.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ergodic::{Backend, Start, Warmup, kernel::Hmc};

use super::{
    moments::{Estimate, Moments},
    posterior::{Posterior, Truth},
};

/// The same for every posterior.
#[derive(Debug, Clone)]
pub struct Settings {
    pub chains: usize,
    pub seed: u64,
    /// Where the chains start, in unconstrained coordinates.
    pub start: Start,
    /// Monte Carlo standard error of each mean over its standard deviation.
    pub goal: f64,
    /// After so long it ends all the same.
    pub limit: Duration,
}

/// R-hat to be reached as well.
const RHAT: f64 = 1.01;
/// Chains that start at one point; see `Setup::superchains`.
const SUPERCHAIN: usize = 16;
/// Draws at the first look.
const FIRST_LOOK: usize = 8;

pub struct Outcome {
    pub estimates: Vec<Estimate>,
    pub draws: usize,
    pub chains: usize,
    /// From the building of the chains to the last draw, compilation included.
    pub seconds: f64,
    /// The index of the parameter that met the goal last, or that did not.
    pub last: usize,
    pub is_met: bool,
    pub failed_transitions: u64,
    /// What the warm-up found, as text.
    pub adaptation: String,
}

/// Runs it.
pub fn run(backend: &Backend, posterior: &Posterior, settings: &Settings) -> Result<Outcome> {
    let begun = Instant::now();
    let count = settings.chains;
    ensure!(
        count.is_multiple_of(SUPERCHAIN) && count >= 2 * SUPERCHAIN,
        "--chains {count}: take a multiple of {SUPERCHAIN}, at least {}: {SUPERCHAIN} chains start at one point, and R-hat compares such groups",
        2 * SUPERCHAIN
    );
    let setup = backend.chains(posterior.energy.clone(), Hmc::adaptive());
    let setup = setup.count(count).superchains(count / SUPERCHAIN).seed(settings.seed).start(settings.start.clone());
    let mut chains = setup.build()?;
    chains.warm_up(Warmup::default())?;
    let mut moments = Moments::new(posterior.parameters.len(), count, count / SUPERCHAIN);
    let mut look = FIRST_LOOK;
    loop {
        // Two draws are the fewest that tell anything.
        while moments.draws() < look && (moments.draws() < 2 || begun.elapsed() <= settings.limit) {
            // Where many draws are needed they are not independent, and need not all be taken.
            chains.advance(1 + moments.draws() as u64 / 32)?;
            moments.add(&chains.positions()?, &posterior.constrain);
        }
        let estimates = moments.estimates();
        let (last, distance) = farthest(&estimates, settings.goal);
        let is_met = distance <= 1.0;
        if is_met || begun.elapsed() > settings.limit {
            let (draws, seconds) = (moments.draws(), begun.elapsed().as_secs_f64());
            let report = chains.report();
            let failed_transitions = report.failed_transitions();
            let adaptation = report.adaptation.map(|found| found.to_string()).unwrap_or_default();
            return Ok(Outcome { estimates, draws, chains: count, seconds, last, is_met, failed_transitions, adaptation });
        }
        look += (look / 4).max(2);
    }
}

/// The parameter that is farthest from the goal, and the part of the goal that it uses up.
fn farthest(estimates: &[Estimate], goal: f64) -> (usize, f64) {
    let distance = |e: &Estimate| (e.mcse_mean / e.sd / goal).max((e.rhat - 1.0) / (RHAT - 1.0));
    let all = estimates.iter().map(distance).enumerate();
    // What is undefined (nothing moved) is infinitely far.
    all.map(|(i, d)| (i, if d.is_nan() { f64::INFINITY } else { d })).fold((0, 0.0), |a, b| if b.1 > a.1 { b } else { a })
}

/// How many combined errors a mean and a standard deviation are off a truth.
pub fn scores(found: &Estimate, truth: &Truth, parameter: usize) -> (f64, f64) {
    // A draw of the reference tells as much as an effective one of ours.
    let part = truth.draws.map_or(0.0, |draws| found.ess / draws);
    let score = |miss: f64, mcse: f64| miss / (mcse * (1.0 + part).sqrt());
    (score(found.mean - truth.mean[parameter], found.mcse_mean), score(found.sd - truth.sd[parameter], found.mcse_sd))
}
