//! Half-Cauchy densities.

use super::{Params, family::family};
use crate::{Result, error::positive};

/// E(x) = Σᵢ log(1 + (xᵢ/s)²) for xᵢ ≥ 0: independent coordinates, each the size of a Cauchy of scale s; the median is s, and there is
/// no mean. Outside of the support E = +∞.
///
/// Its tail is too long for chains in x; those in log x ([`Log`](crate::transform::Log)) have exponential tails.
///
/// ```
/// # use ergodic::energy::{HalfCauchy, Energy};
/// assert_eq!(HalfCauchy::new(1, 2.0)?.params(), [2.0]);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct HalfCauchy {
    dim: usize,
    /// s.
    params: [f32; 1],
}

impl HalfCauchy {
    /// Of `dim` coordinates, of `scale` s > 0.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where the scale is not above zero.
    pub fn new(dim: usize, scale: f64) -> Result<Self> {
        Ok(Self { dim, params: [positive("scale of the half-Cauchy", scale)? as f32] })
    }

    /// e and its slope.
    fn term(params: Params<'_>, x: f64) -> (f64, f64) {
        if x < 0.0 {
            return (f64::INFINITY, 0.0);
        }
        let u = x / params.get(0);
        ((u * u).ln_1p(), 2.0 * u / (params.get(0) * (1.0 + u * u)))
    }
}

family!(HalfCauchy, "half_cauchy");
