//! Underdamped Langevin dynamics by the BAOAB splitting.

use super::{Failure, Info, Kernel, State, Step, is_usable};
use crate::{Result, Schedule, energy::Energy, error::positive, random::normal_slots, start::spread};

/// Underdamped (kinetic) Langevin dynamics, dx = M⁻¹p dt, dp = −∇E dt − γp dt + √(2γTM) dW, by the BAOAB splitting
/// (Leimkuhler and Matthews 2013): half a kick, half a drift, friction and noise, half a drift, half a kick. One gradient a
/// transition; unadjusted: its law is biased by O(h²), and exact in x for a Gaussian. A chain whose next state would not be
/// finite stops at its last finite one.
///
/// The chains carry v = M^(−1/2) p, which starts from its own law N(0, T).
#[derive(Debug, Clone)]
pub struct Underdamped {
    step_size: Schedule,
    friction: f64,
    inverse_mass: Option<Vec<f64>>,
}

impl Underdamped {
    /// With step size h > 0 and friction γ > 0 in units of 1/time.
    pub fn new(step_size: impl Into<Schedule>, friction: f64) -> Self {
        Self { step_size: step_size.into(), friction, inverse_mass: None }
    }

    /// With a diagonal mass matrix, given by its inverse, best the target's variances: one number > 0 a coordinate, or a
    /// single one for all.
    pub fn inverse_mass(mut self, inverse_mass: impl Into<Vec<f64>>) -> Self {
        self.inverse_mass = Some(inverse_mass.into());
        self
    }
}

impl Kernel for Underdamped {
    fn name(&self) -> &'static str {
        "underdamped"
    }

    fn source(&self) -> &'static str {
        include_str!("../../shaders/kernel/underdamped.wgsl")
    }

    fn validate(&self, target: &dyn Energy) -> Result<()> {
        self.step_size.validate("step size of underdamped", positive)?;
        positive("friction of underdamped", self.friction)?;
        if let Some(inverse_mass) = &self.inverse_mass {
            let inverse_mass = spread("inverse mass of underdamped", inverse_mass, target.dim())?;
            inverse_mass.iter().try_for_each(|&m| positive("inverse mass of underdamped", m).map(drop))?;
        }
        Ok(())
    }

    fn slots(&self, dim: usize) -> u32 {
        normal_slots(dim)
    }

    fn step_size(&self) -> &Schedule {
        &self.step_size
    }

    fn uses_grad(&self) -> bool {
        true
    }

    fn carries_momentum(&self) -> bool {
        true
    }

    fn is_unadjusted(&self) -> bool {
        true
    }

    fn variant(&self) -> u32 {
        u32::from(self.inverse_mass.is_some())
    }

    /// The friction, and the square roots of the inverse masses.
    fn params(&self, dim: usize) -> Vec<f32> {
        let inverse_mass = self.inverse_mass.as_deref().unwrap_or_default();
        let scales = spread("inverse mass", inverse_mass, dim).unwrap_or_default();
        std::iter::once(self.friction).chain(scales.iter().map(|m| m.sqrt())).map(|v| v as f32).collect()
    }

    fn spread(&self, _dim: usize) -> Option<Vec<usize>> {
        Some(self.inverse_mass.iter().map(|_| 1).collect())
    }

    fn transition(&self, step: &Step<'_>, state: &mut State, scratch: &mut State) -> Info {
        let step_size = f64::from(step.control.step_size);
        let scale = |i: usize| step.kernel_params.get(1 + i).map_or(1.0, |&s| f64::from(s));
        // v loses the part 1 - exp(-friction h) of itself and gains the noise that keeps its variance at T.
        let loss = -(-f64::from(step.kernel_params[0]) * step_size).exp_m1();
        let noise = (f64::from(step.control.temperature) * loss * (2.0 - loss)).sqrt();
        let State { x, energy, grad, momentum, .. } = scratch;
        step.draws.normals(0, momentum);
        for (i, v) in momentum.iter_mut().enumerate() {
            let kicked = state.momentum[i] - 0.5 * step_size * scale(i) * state.grad[i];
            *v = kicked - loss * kicked + noise * *v;
            x[i] = state.x[i] + 0.5 * step_size * scale(i) * (kicked + *v);
        }
        *energy = step.target.energy_and_grad(step.params, x, grad);
        if !is_usable(*energy) || !grad.iter().all(|g| g.is_finite()) {
            return Info::rejected(Some(Failure::Escaped));
        }
        for (i, v) in momentum.iter_mut().enumerate() {
            *v -= 0.5 * step_size * scale(i) * grad[i];
        }
        std::mem::swap(state, scratch);
        Info { acceptance: 1.0, accepted: true, failure: None }
    }
}
