//! The probability flow of a diffusion, by Heun's method.

use super::{
    Failure, Info, Kernel, State, Step, is_usable,
    reverse::{noise_levels, scale, start, times},
};
use crate::{Result, Schedule, Start, diffusion::NoiseSchedule, energy::Energy};

/// The probability flow of a diffusion (Song et al. 2021), dy/dσ = σ ∇E_σ(y) in the coordinates y = x/√ᾱ: the deterministic flow that
/// carries N(0, I/ᾱ_T) into the data with the same marginals as the diffusion's, by Heun's method in σ
/// (Karras et al. 2022, Algorithm 1, without churn):
///
/// y₁ = y − a ∇E_σ(y), y′ = y − ½ a (∇E_σ(y) + (σ′/σ) ∇E_σ′(y₁)), a = σ (σ − σ′).
///
/// Two gradients a step; of second order in the steps. The first half alone, Euler's method, is
/// [`Reverse::ddim`](super::Reverse::ddim) with η = 0. After the last step chains stay where they are.
#[derive(Debug, Clone)]
pub struct ProbabilityFlow {
    step_size: Schedule,
    noise_level: Schedule,
    start: f64,
}

impl ProbabilityFlow {
    /// In `steps` of the schedule's steps, as evenly spread as whole numbers allow.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where `steps` is 0 or above T.
    pub fn new(schedule: &NoiseSchedule, steps: usize) -> Result<Self> {
        let noise_level = noise_levels(schedule, &times(schedule, steps)?);
        let step = |k: u64| noise_level.at(k) * (noise_level.at(k) - noise_level.at(k + 1));
        // What follows the last step changes nothing.
        let step_size = Schedule::list((0..=steps as u64).map(step).collect::<Vec<_>>());
        Ok(Self { step_size, noise_level, start: start(schedule) })
    }

    /// Steps from the noise to the data.
    pub fn steps(&self) -> u64 {
        self.step_size.settles().unwrap_or(0)
    }

    /// The law that the chains start from: y_T ~ N(0, I/ᾱ_T).
    pub fn start(&self) -> Start {
        Start::normal([0.0], self.start)
    }

    /// √ᾱ after so many steps: x = √ᾱ y.
    pub fn scale(&self, step: u64) -> f64 {
        scale(&self.noise_level, step)
    }
}

impl Kernel for ProbabilityFlow {
    fn name(&self) -> &'static str {
        "probability_flow"
    }

    fn source(&self) -> &'static str {
        include_str!("../../shaders/kernel/probability_flow.wgsl")
    }

    /// A noise schedule has been checked.
    fn validate(&self, _target: &dyn Energy) -> Result<()> {
        Ok(())
    }

    fn slots(&self, _dim: usize) -> u32 {
        0
    }

    fn step_size(&self) -> &Schedule {
        &self.step_size
    }

    fn uses_grad(&self) -> bool {
        true
    }

    fn is_unadjusted(&self) -> bool {
        true
    }

    fn noise_level(&self) -> Option<&Schedule> {
        Some(&self.noise_level)
    }

    /// Gradients a step.
    fn substeps(&self) -> (u32, u32) {
        (2, 2)
    }

    fn spread(&self, _dim: usize) -> Option<Vec<usize>> {
        Some(Vec::new())
    }

    fn transition(&self, step: &Step<'_>, state: &mut State, scratch: &mut State) -> Info {
        let a = f64::from(step.control.step_size);
        // Both evaluations are at the next step's level.
        let ratio = match f64::from(step.control.level) {
            0.0 => 0.0,
            level => (step.params.noise_variance() / level).sqrt(),
        };
        for (i, y) in scratch.x.iter_mut().enumerate() {
            *y = state.x[i] - a * state.grad[i];
        }
        step.target.energy_and_grad(step.params, &scratch.x, &mut scratch.grad);
        for (i, y) in scratch.x.iter_mut().enumerate() {
            *y = state.x[i] - 0.5 * a * (state.grad[i] + ratio * scratch.grad[i]);
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn bad_settings_are_refused() {
        let schedule = NoiseSchedule::cosine(100).unwrap();
        for refused in [ProbabilityFlow::new(&schedule, 0), ProbabilityFlow::new(&schedule, 101)] {
            assert!(matches!(refused, Err(Error::Setting { .. })), "{refused:?}");
        }
        let flow = ProbabilityFlow::new(&schedule, 10).unwrap();
        assert_eq!((flow.steps(), flow.step_size.at(10), flow.scale(10)), (10, 0.0, 1.0));
    }
}
