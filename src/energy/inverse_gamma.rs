//! Inverse gamma densities.

use super::{Params, family::family};
use crate::{Result, error::positive};

/// E(x) = Σᵢ (a + 1) log xᵢ + b/xᵢ for xᵢ > 0: independent coordinates, each one over a gamma of shape a and rate b, of mean b/(a − 1)
/// for a > 1. Outside of the support E = +∞.
///
/// ```
/// # use ergodic::energy::{InverseGamma, Energy};
/// assert_eq!(InverseGamma::new(1, 3.0, 2.0)?.params(), [4.0, 2.0]);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct InverseGamma {
    dim: usize,
    /// a + 1, b.
    params: [f32; 2],
}

impl InverseGamma {
    /// Of `dim` coordinates, of `shape` a > 0 and `scale` b > 0.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where shape or scale is not above zero.
    pub fn new(dim: usize, shape: f64, scale: f64) -> Result<Self> {
        let shape = positive("shape of the inverse gamma", shape)?;
        Ok(Self { dim, params: [(shape + 1.0) as f32, positive("scale of the inverse gamma", scale)? as f32] })
    }

    /// e and its slope.
    fn term(params: Params<'_>, x: f64) -> (f64, f64) {
        if x <= 0.0 {
            return (f64::INFINITY, 0.0);
        }
        let (power, scale) = (params.get(0), params.get(1));
        (power * x.ln() + scale / x, (power - scale / x) / x)
    }
}

family!(InverseGamma, "inverse_gamma");
