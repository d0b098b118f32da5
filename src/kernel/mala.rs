//! The Metropolis-adjusted Langevin algorithm.

use super::{Info, Kernel, State, Step, failure_of, is_usable, metropolis};
use crate::{Result, Schedule, energy::Energy, error::positive, random::normal_slots};

/// The Metropolis-adjusted Langevin algorithm (Roberts and Tweedie 1996): propose x′ = x − h ∇E(x)/T + √(2h) z with step
/// size h, accept with the Metropolis–Hastings ratio. One gradient a transition.
#[derive(Debug, Clone)]
pub struct Mala {
    step_size: Schedule,
}

impl Mala {
    /// With step size h > 0.
    pub fn new(step_size: impl Into<Schedule>) -> Self {
        Self { step_size: step_size.into() }
    }
}

impl Kernel for Mala {
    fn name(&self) -> &'static str {
        "mala"
    }

    fn source(&self) -> &'static str {
        include_str!("../../shaders/kernel/mala.wgsl")
    }

    fn validate(&self, _target: &dyn Energy) -> Result<()> {
        self.step_size.validate("step size of mala", positive)
    }

    fn slots(&self, dim: usize) -> u32 {
        1 + normal_slots(dim)
    }

    fn step_size(&self) -> &Schedule {
        &self.step_size
    }

    fn uses_grad(&self) -> bool {
        true
    }

    fn spread(&self, _dim: usize) -> Option<Vec<usize>> {
        Some(Vec::new())
    }

    fn transition(&self, step: &Step<'_>, state: &mut State, scratch: &mut State) -> Info {
        let temperature = f64::from(step.control.temperature);
        let drift = f64::from(step.control.step_size) / temperature;
        let noise = (2.0 * f64::from(step.control.step_size)).sqrt();
        step.draws.normals(1, &mut scratch.x);
        let mut forward = 0.0;
        for (i, proposal) in scratch.x.iter_mut().enumerate() {
            let z = *proposal;
            forward += z * z;
            *proposal = state.x[i] - drift * state.grad[i] + noise * z;
        }
        scratch.energy = step.target.energy_and_grad(step.params, &scratch.x, &mut scratch.grad);
        if !is_usable(scratch.energy) {
            return Info::rejected(failure_of(scratch.energy));
        }
        let mut backward = 0.0;
        for (i, proposal) in scratch.x.iter().enumerate() {
            let z = (state.x[i] - proposal + drift * scratch.grad[i]) / noise;
            backward += z * z;
        }
        let log_ratio = (state.energy - scratch.energy) / temperature + 0.5 * (forward - backward);
        let info = metropolis(step, 0, log_ratio);
        if info.accepted {
            state.x.copy_from_slice(&scratch.x);
            state.grad.copy_from_slice(&scratch.grad);
            state.energy = scratch.energy;
        }
        info
    }
}
