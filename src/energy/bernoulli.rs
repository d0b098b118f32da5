//! Bernoulli laws.

use super::{Params, family::family};
use crate::{Error, Result};

/// E(x) = −Σᵢ xᵢ log p + (1 − xᵢ) log(1 − p) for xᵢ = 0 or 1: independent coordinates, each 1 with probability p. Elsewhere E = +∞, and the
/// gradient is not finite: it runs under [`Lattice`](crate::kernel::Lattice).
///
/// ```
/// # use ergodic::energy::{Bernoulli, Energy};
/// assert_eq!(Bernoulli::new(2, 0.5)?.params(), [0.5f32.ln().abs(); 2]);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Bernoulli {
    dim: usize,
    /// −log p, −log(1 − p).
    params: [f32; 2],
}

impl Bernoulli {
    /// Of `dim` coordinates, with `probability` 0 < p < 1.
    ///
    /// # Errors
    /// [`Error::Setting`] where the probability is not between 0 and 1.
    pub fn new(dim: usize, probability: f64) -> Result<Self> {
        let params = [-probability.ln() as f32, -(-probability).ln_1p() as f32];
        if params.iter().all(|&e| e > 0.0 && e.is_finite()) {
            return Ok(Self { dim, params });
        }
        Err(Error::setting("probability of the Bernoulli", probability, "must be between 0 and 1, in f32"))
    }

    /// e, and no slope.
    fn term(params: Params<'_>, x: f64) -> (f64, f64) {
        let e = match x {
            1.0 => params.get(0),
            0.0 => params.get(1),
            _ => f64::INFINITY,
        };
        (e, f64::INFINITY)
    }
}

family!(Bernoulli, "bernoulli");
