//! Gamma densities.

use super::{Params, family::family};
use crate::{Result, error::positive};

/// E(x) = Σᵢ β xᵢ − (k − 1) log xᵢ for xᵢ > 0: independent coordinates of shape k and rate β, of mean k/β and variance k/β².
/// Outside of the support E = +∞.
///
/// ```
/// # use ergodic::energy::{Gamma, Energy};
/// assert_eq!(Gamma::new(3, 2.5, 2.0)?.params(), [1.5, 2.0]);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Gamma {
    dim: usize,
    /// k − 1, β.
    params: [f32; 2],
}

impl Gamma {
    /// Of `dim` coordinates, of `shape` k > 0 and `rate` β > 0.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where shape or rate is not above zero.
    pub fn new(dim: usize, shape: f64, rate: f64) -> Result<Self> {
        let (shape, rate) = (positive("shape of the gamma", shape)?, positive("rate of the gamma", rate)?);
        Ok(Self { dim, params: [(shape - 1.0) as f32, rate as f32] })
    }

    /// e and its slope.
    fn term(params: Params<'_>, x: f64) -> (f64, f64) {
        if x <= 0.0 {
            return (f64::INFINITY, 0.0);
        }
        let (power, rate) = (params.get(0), params.get(1));
        (rate * x - power * x.ln(), rate - power / x)
    }
}

family!(Gamma, "gamma");
