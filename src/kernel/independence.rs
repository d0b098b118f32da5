//! Metropolis–Hastings with an independence proposal.

use super::{Info, Kernel, State, Step, failure_of, is_usable, metropolis};
use crate::{Result, Schedule, energy::Energy, error::positive, random::normal_slots, start::spread};

/// Metropolis–Hastings (Hastings 1970) with an independence proposal: propose x′ ~ N(m, diag s²) wherever the chain stands,
/// accept with probability min(1, exp(−(E(x′) − E(x))/T) q(x)/q(x′)). Evaluates no gradient.
///
/// Good where the proposal is close to the target and has heavier tails; where its tails are lighter, chains that reach the
/// tails stay there for very long (Tierney 1994).
#[derive(Debug, Clone)]
pub struct Independence {
    mean: Vec<f64>,
    sd: Vec<f64>,
}

impl Independence {
    /// With means m and standard deviations s > 0 of the proposal: one number a coordinate, or a single one for all.
    pub fn new(mean: impl Into<Vec<f64>>, sd: impl Into<Vec<f64>>) -> Self {
        Self { mean: mean.into(), sd: sd.into() }
    }
}

impl Kernel for Independence {
    fn name(&self) -> &'static str {
        "independence"
    }

    fn source(&self) -> &'static str {
        include_str!("../../shaders/kernel/independence.wgsl")
    }

    fn validate(&self, target: &dyn Energy) -> Result<()> {
        spread("mean of the independence proposal", &self.mean, target.dim())?;
        let sd = spread("standard deviation of the independence proposal", &self.sd, target.dim())?;
        sd.iter().try_for_each(|&sd| positive("standard deviation of the independence proposal", sd).map(drop))
    }

    fn slots(&self, dim: usize) -> u32 {
        1 + normal_slots(dim)
    }

    fn step_size(&self) -> &Schedule {
        // The proposal does not depend on where the chain stands.
        &Schedule::Constant(1.0)
    }

    fn uses_grad(&self) -> bool {
        false
    }

    /// The means, the standard deviations, and their inverses.
    fn params(&self, dim: usize) -> Vec<f32> {
        let all = |values: &[f64]| spread("independence proposal", values, dim).unwrap_or_default();
        let (mean, sd) = (all(&self.mean), all(&self.sd));
        let inverse_sd = sd.iter().map(|sd| sd.recip());
        mean.iter().copied().chain(sd.iter().copied()).chain(inverse_sd).map(|v| v as f32).collect()
    }

    fn spread(&self, dim: usize) -> Option<Vec<usize>> {
        Some(vec![0, dim, 2 * dim])
    }

    fn transition(&self, step: &Step<'_>, state: &mut State, scratch: &mut State) -> Info {
        let dim = state.x.len();
        let param = |row: usize, i: usize| f64::from(step.kernel_params[row * dim + i]);
        step.draws.normals(1, &mut scratch.x);
        // log q(x') = -|z'|^2 / 2 and log q(x) = -|z|^2 / 2, up to the same constant.
        let (mut proposed, mut current) = (0.0, 0.0);
        for (i, proposal) in scratch.x.iter_mut().enumerate() {
            let z = (state.x[i] - param(0, i)) * param(2, i);
            current += z * z;
            proposed += *proposal * *proposal;
            *proposal = param(0, i) + param(1, i) * *proposal;
        }
        scratch.energy = step.target.energy(step.params, &scratch.x);
        if !is_usable(scratch.energy) {
            return Info::rejected(failure_of(scratch.energy));
        }
        let log_ratio = (state.energy - scratch.energy) / f64::from(step.control.temperature) + 0.5 * (proposed - current);
        let info = metropolis(step, 0, log_ratio);
        if info.accepted {
            state.x.copy_from_slice(&scratch.x);
            state.energy = scratch.energy;
        }
        info
    }
}
