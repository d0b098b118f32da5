//! Random-walk Metropolis.

use super::{Info, Kernel, State, Step, failure_of, is_usable, metropolis};
use crate::{Result, Schedule, energy::Energy, error::positive, random::normal_slots};

/// Random-walk Metropolis (Metropolis et al. 1953): propose x′ = x + s z with z ~ N(0, I), accept with probability
/// min(1, exp(−(E(x′) − E(x))/T)). Evaluates no gradient.
///
/// A step size s of about 2.4/√dim in units of the target's standard deviation accepts about a quarter in high dimension
/// (Roberts, Gelman, Gilks 1997).
#[derive(Debug, Clone)]
pub struct Rwm {
    step_size: Schedule,
}

impl Rwm {
    /// With standard deviation `step_size` > 0 of the proposal in each coordinate.
    pub fn new(step_size: impl Into<Schedule>) -> Self {
        Self { step_size: step_size.into() }
    }
}

impl Kernel for Rwm {
    fn name(&self) -> &'static str {
        "rwm"
    }

    fn source(&self) -> &'static str {
        include_str!("../../shaders/kernel/rwm.wgsl")
    }

    fn validate(&self, _target: &dyn Energy) -> Result<()> {
        self.step_size.validate("step size of rwm", positive)
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

    fn spread(&self, _dim: usize) -> Option<Vec<usize>> {
        Some(Vec::new())
    }

    fn transition(&self, step: &Step<'_>, state: &mut State, scratch: &mut State) -> Info {
        step.draws.normals(1, &mut scratch.x);
        for (proposal, x) in scratch.x.iter_mut().zip(&state.x) {
            *proposal = x + f64::from(step.control.step_size) * *proposal;
        }
        scratch.energy = step.target.energy(step.params, &scratch.x);
        if !is_usable(scratch.energy) {
            return Info::rejected(failure_of(scratch.energy));
        }
        let log_ratio = (state.energy - scratch.energy) / f64::from(step.control.temperature);
        let info = metropolis(step, 0, log_ratio);
        if info.accepted {
            state.x.copy_from_slice(&scratch.x);
            state.energy = scratch.energy;
        }
        info
    }
}
