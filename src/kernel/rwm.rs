//! Random-walk Metropolis.

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

/// Random-walk Metropolis (Metropolis et al. 1953): propose x′ = x + s z with z ~ N(0, I), accept with probability
/// min(1, exp(−(E(x′) − E(x))/T)). Evaluates no gradient.
///
/// A step size s of about 2.4/√dim in units of the target's standard deviation accepts about a quarter in high dimension
/// (Roberts, Gelman, Gilks 1997).
#[derive(Debug, Clone)]
pub struct Rwm {
    step_size: Schedule,
    scales: Scales,
    adaptive: Option<Adaptive>,
}

impl Rwm {
    /// With standard deviation `step_size` > 0 of the proposal in each coordinate.
    pub fn new(step_size: impl Into<Schedule>) -> Self {
        Self { step_size: step_size.into(), scales: Scales::default(), adaptive: None }
    }

    /// With step size and scales found by a warm-up of all chains (see [`adapt`](crate::adapt)): it runs before the first draw, or
    /// when [`Chains::warm_up`](crate::Chains::warm_up) asks for it. It aims at a mean acceptance of 0.234, which is best in high
    /// dimension (Roberts, Gelman, Gilks 1997).
    pub fn adaptive() -> Self {
        Self::adaptive_to(0.234)
    }

    /// As [`adaptive`](Self::adaptive), aiming at another mean acceptance, in (0.05, 0.999).
    pub fn adaptive_to(target_acceptance: f64) -> Self {
        let adaptive = Adaptive { target_acceptance, raises: false, order: 1.0, most_leapfrog_steps: None };
        Self { adaptive: Some(adaptive), ..Self::new(1.0).scales([1.0]) }
    }

    /// With a scale > 0 for each coordinate, best the target's standard deviations, or a single one for all: the same as a walk
    /// in coordinates divided by them.
    pub fn scales(mut self, scales: impl Into<Vec<f64>>) -> Self {
        self.scales = Scales::new(scales.into());
        self
    }
}

impl Kernel for Rwm {
    fn name(&self) -> &'static str {
        "rwm"
    }

    fn source(&self) -> &'static str {
        include_str!("../../shaders/kernel/rwm.wgsl")
    }

    fn validate(&self, target: &dyn Energy) -> Result<()> {
        self.step_size.validate("step size of rwm", positive)?;
        self.adaptive.iter().try_for_each(Adaptive::validate)?;
        self.scales.validate("rwm", target.dim())
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

    fn transition(&self, step: &Step<'_>, state: &mut State, scratch: &mut State) -> Info {
        step.draws.normals(1, &mut scratch.x);
        let scale = |i: usize| scale(step.kernel_params, i);
        for (i, (proposal, x)) in scratch.x.iter_mut().zip(&state.x).enumerate() {
            *proposal = x + f64::from(step.control.step_size) * scale(i) * *proposal;
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
