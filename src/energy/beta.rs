//! Beta densities.

use super::{Params, family::family};
use crate::{Result, error::positive};

/// E(x) = −Σᵢ (a − 1) log xᵢ + (b − 1) log(1 − xᵢ) for 0 < xᵢ < 1: independent coordinates of mean a/(a + b). Outside of the support
/// E = +∞.
///
/// Where b < 1 the density has a pole at 1, of which f32 resolves no more than 6·10⁻⁸: the mass beyond is missing, for b = 1/2 some
/// 10⁻⁴ of the whole.
///
/// ```
/// # use ergodic::energy::{Beta, Energy};
/// assert_eq!(Beta::new(2, 2.0, 3.0)?.params(), [1.0, 2.0]);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Beta {
    dim: usize,
    /// a − 1, b − 1.
    params: [f32; 2],
}

impl Beta {
    /// Of `dim` coordinates, with shapes a > 0 and b > 0.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where a shape is not above zero.
    pub fn new(dim: usize, a: f64, b: f64) -> Result<Self> {
        let shape = |value| Ok::<_, crate::Error>((positive("shape of the beta", value)? - 1.0) as f32);
        Ok(Self { dim, params: [shape(a)?, shape(b)?] })
    }

    /// e and its slope.
    fn term(params: Params<'_>, x: f64) -> (f64, f64) {
        if !(0.0 < x && x < 1.0) {
            return (if x.is_nan() { x } else { f64::INFINITY }, 0.0);
        }
        let (a, b) = (params.get(0), params.get(1));
        (-a * x.ln() - b * (-x).ln_1p(), b / (1.0 - x) - a / x)
    }
}

family!(Beta, "beta");
