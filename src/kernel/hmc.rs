//! Hamiltonian Monte Carlo.

use super::{Failure, Info, Kernel, State, Step, failure_of, is_usable, metropolis};
use crate::{Error, Result, Schedule, energy::Energy, error::positive, random::normal_slots};

/// Hamiltonian Monte Carlo (Duane et al. 1987; Neal 2011): a momentum from N(0, M), leapfrog steps under
/// H = E(x)/T + pᵀM⁻¹p/2, accepted with probability min(1, exp(H − H′)). As many gradients a transition as leapfrog steps.
#[derive(Debug, Clone)]
pub struct Hmc {
    step_size: Schedule,
    substeps: (u32, u32),
    inverse_mass: Option<Vec<f64>>,
}

impl Hmc {
    /// With step size > 0 and a fixed number of leapfrog steps > 0.
    pub fn new(step_size: impl Into<Schedule>, leapfrog_steps: u32) -> Self {
        Self { step_size: step_size.into(), substeps: (leapfrog_steps, leapfrog_steps), inverse_mass: None }
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
        u32::from(self.inverse_mass.is_some())
    }

    fn params(&self, dim: usize) -> Vec<f32> {
        let inverse_mass = self.inverse_mass.as_deref().unwrap_or_default();
        let one_for_all = if inverse_mass.len() == 1 { dim } else { 1 };
        inverse_mass.repeat(one_for_all).iter().map(|m| m.sqrt() as f32).collect()
    }

    fn spread(&self, _dim: usize) -> Option<Vec<usize>> {
        Some(self.inverse_mass.iter().map(|_| 0).collect())
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
