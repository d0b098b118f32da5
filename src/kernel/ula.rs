//! The unadjusted Langevin algorithm.

use super::{Failure, Info, Kernel, State, Step, is_usable};
use crate::{Error, Result, Schedule, energy::Energy, error::positive};

/// The unadjusted Langevin algorithm: x′ = x − h ∇E(x) + √(2hT) z with step size h. One gradient a transition; its law is
/// biased by O(h). A chain whose next state would not be finite stops at its last finite one.
#[derive(Debug, Clone)]
pub struct Ula {
    step_size: Schedule,
    temperature: Option<Schedule>,
}

impl Ula {
    /// With step size h > 0.
    pub fn new(step_size: impl Into<Schedule>) -> Self {
        Self { step_size: step_size.into(), temperature: None }
    }

    /// With noise of standard deviation `noise` > 0 a step, whatever the step size h: samples at the effective temperature
    /// noise²/(2h), which the report states.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the step size is not constant.
    pub fn noise(self, noise: f64) -> Result<Self> {
        let Schedule::Constant(step_size) = self.step_size else {
            return Err(Error::Unsupported(
                "Ula::noise needs a constant step size; give a schedule of temperatures to Ula::temperature instead".into(),
            ));
        };
        Ok(self.temperature(positive("noise of ula", noise)?.powi(2) / (2.0 * step_size)))
    }

    /// At a temperature that changes with the step (annealing by temperature).
    pub fn temperature(self, temperature: impl Into<Schedule>) -> Self {
        Self { temperature: Some(temperature.into()), ..self }
    }
}

impl Kernel for Ula {
    of_langevin!();

    fn name(&self) -> &'static str {
        "ula"
    }

    fn validate(&self, _target: &dyn Energy) -> Result<()> {
        self.temperature.iter().try_for_each(|t| t.validate("temperature of ula", positive))?;
        self.step_size.validate("step size of ula", positive)
    }

    fn temperature(&self) -> Option<&Schedule> {
        self.temperature.as_ref()
    }

    fn langevin(&self) -> Option<[f64; 2]> {
        match (&self.step_size, &self.temperature) {
            (&Schedule::Constant(step_size), None) => Some([step_size, 1.0]),
            (&Schedule::Constant(step_size), &Some(Schedule::Constant(temperature))) => Some([step_size, temperature]),
            _ => None,
        }
    }
}

/// The transition of every unadjusted Langevin kernel.
pub(crate) fn langevin(step: &Step<'_>, state: &mut State, scratch: &mut State) -> Info {
    let step_size = f64::from(step.control.step_size);
    let noise = (2.0 * step_size * f64::from(step.control.temperature)).sqrt();
    step.draws.normals(0, &mut scratch.x);
    for (i, proposal) in scratch.x.iter_mut().enumerate() {
        *proposal = state.x[i] - step_size * state.grad[i] + noise * *proposal;
    }
    scratch.energy = step.target.energy_and_grad(step.params, &scratch.x, &mut scratch.grad);
    if !is_usable(scratch.energy) || !scratch.grad.iter().all(|g| g.is_finite()) {
        return Info::rejected(Some(Failure::Escaped));
    }
    std::mem::swap(&mut state.x, &mut scratch.x);
    std::mem::swap(&mut state.grad, &mut scratch.grad);
    state.energy = scratch.energy;
    Info { acceptance: 1.0, accepted: true, failure: None }
}
