//! Metropolis on the integers.

use super::{Info, Kernel, State, Step, failure_of, is_usable, metropolis};
use crate::{Error, Result, Schedule, energy::Energy};

/// Metropolis et al. (1953) for energies of whole numbers: one coordinate, chosen at random, moves by −k, …, −1, 1, …, k, all of them alike,
/// and the move is accepted with probability min(1, exp(−(E(x′) − E(x))/T)). Evaluates no gradient.
///
/// Chains must start at whole numbers of the support: an energy of +∞ between them ([`Bernoulli`](crate::energy::Bernoulli),
/// [`Poisson`](crate::energy::Poisson)) refuses others. Positions are f32, which are whole numbers exactly up to 2²⁴.
#[derive(Debug, Clone)]
pub struct Lattice {
    reach: u32,
}

/// The largest reach: of the numbers that f32 tells apart.
const MOST: u32 = 1 << 20;

impl Lattice {
    /// With moves of up to `reach` k ≥ 1, at most 2²⁰; best about the target's standard deviation.
    pub fn new(reach: u32) -> Self {
        Self { reach }
    }
}

impl Kernel for Lattice {
    fn name(&self) -> &'static str {
        "lattice"
    }

    fn source(&self) -> &'static str {
        include_str!("../../shaders/kernel/lattice.wgsl")
    }

    fn validate(&self, _target: &dyn Energy) -> Result<()> {
        match self.reach {
            1..=MOST => Ok(()),
            reach => Err(Error::setting("reach of lattice", reach, format!("must be 1 to {MOST}"))),
        }
    }

    fn slots(&self, _dim: usize) -> u32 {
        2
    }

    fn step_size(&self) -> &Schedule {
        // The moves have a length of their own.
        &Schedule::Constant(1.0)
    }

    fn uses_grad(&self) -> bool {
        false
    }

    fn params(&self, _dim: usize) -> Vec<f32> {
        vec![self.reach as f32]
    }

    fn spread(&self, _dim: usize) -> Option<Vec<usize>> {
        Some(Vec::new())
    }

    fn transition(&self, step: &Step<'_>, state: &mut State, scratch: &mut State) -> Info {
        let bits = step.draws.bits(1);
        // Whatever the chances of the coordinates and of the lengths, there and back have the same.
        let chosen = bits[0] as usize % state.x.len();
        let length = f64::from(1 + (bits[1] >> 1) % step.kernel_params[0] as u32);
        scratch.x.copy_from_slice(&state.x);
        scratch.x[chosen] += if bits[1] & 1 == 0 { length } else { -length };
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
