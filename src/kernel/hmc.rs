//! Hamiltonian Monte Carlo.

use std::sync::Arc;

use super::{Failure, Info, Kernel, State, Step, failure_of, is_usable, metropolis};
use crate::{
    Error, Result, Schedule,
    adapt::{Adaptive, Settings},
    energy::Energy,
    error::positive,
    random::normal_slots,
};

/// Leapfrog steps that adaptation allows.
const MOST_LEAPFROG_STEPS: u32 = 1024;

/// Hamiltonian Monte Carlo (Duane et al. 1987; Neal 2011): a momentum from N(0, M), leapfrog steps under
/// H = E(x)/T + pᵀM⁻¹p/2, accepted with probability min(1, exp(H − H′)). As many gradients a transition as leapfrog steps.
#[derive(Debug, Clone)]
pub struct Hmc {
    step_size: Schedule,
    substeps: (u32, u32),
    inverse_mass: Option<Vec<f64>>,
    adaptive: Option<Adaptive>,
    centre: Vec<f64>,
}

impl Hmc {
    /// With step size > 0 and a fixed number of leapfrog steps > 0.
    pub fn new(step_size: impl Into<Schedule>, leapfrog_steps: u32) -> Self {
        let substeps = (leapfrog_steps, leapfrog_steps);
        Self { step_size: step_size.into(), substeps, inverse_mass: None, adaptive: None, centre: Vec::new() }
    }

    /// With step size, trajectory length and masses found by a warm-up of all chains (see [`adapt`](crate::adapt)): it runs before
    /// the first draw, or when [`Chains::warm_up`](crate::Chains::warm_up) asks for it.
    ///
    /// It aims at a mean acceptance of 0.8: a harmonic mean of about 0.65, which is best for long trajectories (Beskos et al. 2013).
    /// Where more than one in a thousand transitions fail at the end of the warm-up, and fewer do with smaller steps, it takes those, and
    /// the report says what acceptance it ended with.
    pub fn adaptive() -> Self {
        Self::adapting(0.8, true)
    }

    /// As [`adaptive`](Self::adaptive), aiming at another mean acceptance, in (0.05, 0.999), and at no other: a higher one for smaller
    /// steps.
    pub fn adaptive_to(target_acceptance: f64) -> Self {
        Self::adapting(target_acceptance, false)
    }

    fn adapting(target_acceptance: f64, raises: bool) -> Self {
        let adaptive = Adaptive { target_acceptance, raises, order: 2.0, most_leapfrog_steps: Some(MOST_LEAPFROG_STEPS) };
        // The range stands for any: what is compiled must be able to draw the number of leapfrog steps anew at each transition.
        Self { adaptive: Some(adaptive), ..Self::new(1.0, 2).jitter(1) }
    }

    /// With a number of leapfrog steps drawn anew at each transition, uniformly from `least` to that given to `new`; the same
    /// for all chains. Jitter breaks the resonances of a fixed trajectory length (Neal 2011, 3.2).
    pub fn jitter(mut self, least: u32) -> Self {
        self.substeps.0 = least;
        self
    }

    /// With a diagonal mass matrix, given by its inverse, best the target's variances: one number > 0 a coordinate, or a
    /// single one for all.
    pub fn inverse_mass(mut self, inverse_mass: impl Into<Vec<f64>>) -> Self {
        self.inverse_mass = Some(inverse_mass.into());
        self
    }
}

impl Kernel for Hmc {
    fn name(&self) -> &'static str {
        "hmc"
    }

    fn source(&self) -> &'static str {
        include_str!("../../shaders/kernel/hmc.wgsl")
    }

    fn validate(&self, target: &dyn Energy) -> Result<()> {
        self.step_size.validate("step size of hmc", positive)?;
        let (least, most) = self.substeps;
        if least == 0 || least > most || most > 65_535 {
            let why = "the number of leapfrog steps must lie in 1..=65535, and its least must not be above its greatest";
            return Err(Error::setting("leapfrog steps of hmc", format!("{least} to {most}"), why));
        }
        if let Some(adaptive) = &self.adaptive {
            adaptive.validate()?;
            if self.inverse_mass.is_some() {
                return Err(Error::setting("inverse mass of hmc", "given", "is found by the warm-up; use Hmc::new to give it"));
            }
        }
        if let Some(inverse_mass) = &self.inverse_mass {
            if inverse_mass.len() != 1 && inverse_mass.len() != target.dim() {
                return Err(Error::shape("inverse masses of hmc", target.dim(), inverse_mass.len()));
            }
            inverse_mass.iter().try_for_each(|&m| positive("inverse mass of hmc", m).map(drop))?;
        }
        Ok(())
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

    fn has_hamiltonian(&self) -> bool {
        true
    }

    fn substeps(&self) -> (u32, u32) {
        self.substeps
    }

    fn variant(&self) -> u32 {
        if self.adaptive.is_some() { 2 } else { u32::from(self.inverse_mass.is_some()) }
    }

    fn params(&self, dim: usize) -> Vec<f32> {
        let inverse_mass = self.inverse_mass.as_deref().unwrap_or_default();
        let one_for_all = if inverse_mass.len() == 1 { dim } else { 1 };
        let mut params: Vec<_> = inverse_mass.repeat(one_for_all).iter().map(|m| m.sqrt() as f32).collect();
        if self.adaptive.is_some() {
            params.resize(dim, 1.0);
            params.extend(self.centre.iter().map(|&c| c as f32));
            params.resize(2 * dim, 0.0);
        }
        params
    }

    fn adaptive(&self) -> Option<Adaptive> {
        self.adaptive
    }

    fn with_settings(&self, settings: &Settings) -> Option<Arc<dyn Kernel>> {
        let Settings { step_size, leapfrog_steps, inverse_mass, centre } = settings.clone();
        let found = Self {
            step_size: step_size.into(),
            substeps: leapfrog_steps,
            inverse_mass: Some(inverse_mass),
            centre,
            ..self.clone()
        };
        Some(Arc::new(found))
    }

    fn spread(&self, dim: usize) -> Option<Vec<usize>> {
        let vectors = self.params(dim).len() / dim;
        Some((0..vectors).map(|vector| vector * dim).collect())
    }

    fn transition(&self, step: &Step<'_>, state: &mut State, scratch: &mut State) -> Info {
        scratch.x.copy_from_slice(&state.x);
        scratch.grad.copy_from_slice(&state.grad);
        step.draws.normals(1, &mut scratch.momentum);
        let kinetic = |state: &State| 0.5 * state.momentum.iter().map(|v| v * v).sum::<f64>();
        let before = kinetic(scratch);
        let temperature = f64::from(step.control.temperature);
        state.hamiltonian = state.energy / temperature + before;
        leapfrog(step, scratch);
        state.growth = growth(step, scratch);
        if !is_usable(scratch.energy) {
            return Info::rejected(failure_of(scratch.energy).or(Some(Failure::Diverged)));
        }
        let log_ratio = (state.energy - scratch.energy) / temperature + before - kinetic(scratch);
        if log_ratio < -1000.0 {
            return Info::rejected(Some(Failure::Diverged));
        }
        let info = metropolis(step, 0, log_ratio);
        if info.accepted {
            state.x.copy_from_slice(&scratch.x);
            state.grad.copy_from_slice(&scratch.grad);
            state.energy = scratch.energy;
            state.hamiltonian -= log_ratio;
        }
        info
    }
}

/// The leapfrog steps of one transition, in place, under H = E(x)/T + |v|²/2 with v = M^(−1/2) p as the momentum of `state`,
/// whose gradient must be that at its position: half a kick, then drifts and whole kicks by turns, half of the last taken back.
pub fn leapfrog(step: &Step<'_>, state: &mut State) {
    let step_size = f64::from(step.control.step_size);
    let kick = step_size / f64::from(step.control.temperature);
    let scale = |i: usize| step.kernel_params.get(i).map_or(1.0, |&s| f64::from(s));
    let State { x, energy, grad, momentum: v, .. } = state;
    for i in 0..x.len() {
        v[i] -= 0.5 * kick * scale(i) * grad[i];
    }
    for _ in 0..step.control.substeps as u32 {
        for i in 0..x.len() {
            x[i] += step_size * scale(i) * v[i];
        }
        *energy = step.target.energy_and_grad(step.params, x, grad);
        for i in 0..x.len() {
            v[i] -= kick * scale(i) * grad[i];
        }
    }
    for i in 0..x.len() {
        v[i] += 0.5 * kick * scale(i) * grad[i];
    }
}

/// y·v with y = M^(1/2)(x − centre), half of what |y|² grows by a unit of time; zero where there is no centre.
fn growth(step: &Step<'_>, state: &State) -> f64 {
    let dim = state.x.len();
    let Some(centre) = step.kernel_params.get(dim..2 * dim) else { return 0.0 };
    let of = |i: usize| (state.x[i] - f64::from(centre[i])) / f64::from(step.kernel_params[i]) * state.momentum[i];
    (0..dim).map(of).sum()
}
