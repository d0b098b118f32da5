//! Metropolis–Hastings with a random walk that drifts.

use super::{Info, Kernel, State, Step, failure_of, is_usable, metropolis};
use crate::{Result, Schedule, energy::Energy, error::positive, random::normal_slots, start::spread};

/// Metropolis–Hastings (Hastings 1970) with a random walk that drifts: propose x′ = x + d + s z with z ~ N(0, I), accept with
/// probability min(1, exp(−(E(x′) − E(x))/T) q(x|x′)/q(x′|x)). Evaluates no gradient.
///
/// The simplest asymmetric proposal: without the ratio of its densities in the acceptance, the chains would run off along the
/// drift d. With it their law is exact, whatever the drift.
#[derive(Debug, Clone)]
pub struct Drift {
    step_size: Schedule,
    drift: Vec<f64>,
}

impl Drift {
    /// With standard deviation `step_size` s > 0 of the proposal in each coordinate and its drift d a step: one number a
    /// coordinate, or a single one for all.
    pub fn new(step_size: impl Into<Schedule>, drift: impl Into<Vec<f64>>) -> Self {
        Self { step_size: step_size.into(), drift: drift.into() }
    }
}

impl Kernel for Drift {
    fn name(&self) -> &'static str {
        "drift"
    }

    fn source(&self) -> &'static str {
        include_str!("../../shaders/kernel/drift.wgsl")
    }

    fn validate(&self, target: &dyn Energy) -> Result<()> {
        self.step_size.validate("step size of drift", positive)?;
        spread("drift of the proposal", &self.drift, target.dim()).map(drop)
    }

    fn slots(&self, dim: usize) -> u32 {
        1 + normal_slots(dim)
    }

    fn step_size(&self) -> &Schedule {
        &self.step_size
    }

    fn uses_grad(&self) -> bool {
        false
    }

    /// The drift.
    fn params(&self, dim: usize) -> Vec<f32> {
        let drift = spread("drift of the proposal", &self.drift, dim).unwrap_or_default();
        drift.iter().map(|&d| d as f32).collect()
    }

    fn spread(&self, _dim: usize) -> Option<Vec<usize>> {
        Some(vec![0])
    }

    fn transition(&self, step: &Step<'_>, state: &mut State, scratch: &mut State) -> Info {
        let step_size = f64::from(step.control.step_size);
        step.draws.normals(1, &mut scratch.x);
        // log q(x'|x) = -|z|^2 / 2; the way back needs z' = (x - x' - d) / s = -(z + 2 d / s).
        let (mut forward, mut backward) = (0.0, 0.0);
        for (i, proposal) in scratch.x.iter_mut().enumerate() {
            let drift = f64::from(step.kernel_params[i]);
            let z = *proposal;
            let z_back = z + 2.0 * drift / step_size;
            forward += z * z;
            backward += z_back * z_back;
            *proposal = state.x[i] + drift + step_size * z;
        }
        scratch.energy = step.target.energy(step.params, &scratch.x);
        if !is_usable(scratch.energy) {
            return Info::rejected(failure_of(scratch.energy));
        }
        let log_ratio = (state.energy - scratch.energy) / f64::from(step.control.temperature) + 0.5 * (forward - backward);
        let info = metropolis(step, 0, log_ratio);
        if info.accepted {
            state.x.copy_from_slice(&scratch.x);
            state.energy = scratch.energy;
        }
        info
    }
}
