//! The Metropolis-adjusted Langevin algorithm.

use std::sync::Arc;

use super::{
    Info, Kernel, State, Step, failure_of, is_usable, metropolis,
    scales::{Scales, scale},
};
use crate::{
    Result, Schedule,
    adapt::{Adaptive, Settings},
    energy::Energy,
    error::positive,
    random::normal_slots,
};

/// The Metropolis-adjusted Langevin algorithm (Roberts and Tweedie 1996): propose x′ = x − h ∇E(x)/T + √(2h) z with step
/// size h, accept with the Metropolis–Hastings ratio. One gradient a transition.
#[derive(Debug, Clone)]
pub struct Mala {
    step_size: Schedule,
    scales: Scales,
    adaptive: Option<Adaptive>,
}

impl Mala {
    /// With step size h > 0.
    pub fn new(step_size: impl Into<Schedule>) -> Self {
        Self { step_size: step_size.into(), scales: Scales::default(), adaptive: None }
    }

    /// With step size and scales found by a warm-up of all chains (see [`adapt`](crate::adapt)): it runs before the first draw, or
    /// when [`Chains::warm_up`](crate::Chains::warm_up) asks for it. It aims at a mean acceptance of 0.574, which is best in high
    /// dimension (Roberts and Rosenthal 1998).
    pub fn adaptive() -> Self {
        Self::adaptive_to(0.574)
    }

    /// As [`adaptive`](Self::adaptive), aiming at another mean acceptance, in (0.05, 0.999).
    pub fn adaptive_to(target_acceptance: f64) -> Self {
        let adaptive = Adaptive { target_acceptance, raises: false, order: 1.5, most_leapfrog_steps: None };
        Self { adaptive: Some(adaptive), ..Self::new(1.0).scales([1.0]) }
    }

    /// With a scale > 0 for each coordinate, best the target's standard deviations, or a single one for all: the same as Langevin
    /// in coordinates divided by them.
    pub fn scales(mut self, scales: impl Into<Vec<f64>>) -> Self {
        self.scales = Scales::new(scales.into());
        self
    }
}

impl Kernel for Mala {
    fn name(&self) -> &'static str {
        "mala"
    }

    fn source(&self) -> &'static str {
        include_str!("../../shaders/kernel/mala.wgsl")
    }

    fn validate(&self, target: &dyn Energy) -> Result<()> {
        self.step_size.validate("step size of mala", positive)?;
        self.adaptive.iter().try_for_each(Adaptive::validate)?;
        self.scales.validate("mala", target.dim())
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
        Some(self.scales.vectors())
    }

    fn variant(&self) -> u32 {
        self.scales.variant()
    }

    fn params(&self, dim: usize) -> Vec<f32> {
        self.scales.params(dim)
    }

    fn adaptive(&self) -> Option<Adaptive> {
        self.adaptive
    }

    fn with_settings(&self, settings: &Settings) -> Option<Arc<dyn Kernel>> {
        let scales = Scales::found(settings);
        Some(Arc::new(Self { step_size: settings.step_size.into(), scales, adaptive: self.adaptive }))
    }

    /// The step of a diffusion is a squared length.
    fn step_scale(&self, temperature: f64) -> f64 {
        temperature
    }

    fn transition(&self, step: &Step<'_>, state: &mut State, scratch: &mut State) -> Info {
        let temperature = f64::from(step.control.temperature);
        let drift = f64::from(step.control.step_size) / temperature;
        let noise = (2.0 * f64::from(step.control.step_size)).sqrt();
        step.draws.normals(1, &mut scratch.x);
        let scale = |i: usize| scale(step.kernel_params, i);
        let mut forward = 0.0;
        for (i, proposal) in scratch.x.iter_mut().enumerate() {
            let z = *proposal;
            forward += z * z;
            *proposal = state.x[i] - drift * scale(i).powi(2) * state.grad[i] + noise * scale(i) * z;
        }
        scratch.energy = step.target.energy_and_grad(step.params, &scratch.x, &mut scratch.grad);
        if !is_usable(scratch.energy) {
            return Info::rejected(failure_of(scratch.energy));
        }
        let mut backward = 0.0;
        for (i, proposal) in scratch.x.iter().enumerate() {
            let z = ((state.x[i] - proposal) / scale(i) + drift * scale(i) * scratch.grad[i]) / noise;
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
