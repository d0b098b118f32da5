//! Exponential densities.

use super::{Params, family::family};
use crate::{Result, error::positive};

/// E(x) = Σᵢ β xᵢ for xᵢ ≥ 0: independent coordinates of rate β, of mean 1/β. Outside of the support E = +∞.
///
/// ```
/// # use ergodic::energy::{Exponential, Energy};
/// assert_eq!(Exponential::new(2, 1.5)?.params(), [1.5]);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Exponential {
    dim: usize,
    /// β.
    params: [f32; 1],
}

impl Exponential {
    /// Of `dim` coordinates, of `rate` β > 0.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where the rate is not above zero.
    pub fn new(dim: usize, rate: f64) -> Result<Self> {
        Ok(Self { dim, params: [positive("rate of the exponential", rate)? as f32] })
    }

    /// e and its slope.
    fn term(params: Params<'_>, x: f64) -> (f64, f64) {
        if x < 0.0 {
            return (f64::INFINITY, 0.0);
        }
        (params.get(0) * x, params.get(0))
    }
}

family!(Exponential, "exponential");
