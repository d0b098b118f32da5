//! Poisson laws.

use statrs::function::gamma::ln_gamma;

use super::{Params, family::family};
use crate::{Result, error::positive};

/// E(x) = −Σᵢ log(λˣ e^−λ / x!) for xᵢ = 0, 1, 2, …: independent counts of mean λ. Elsewhere E = +∞, and the gradient is not finite: it runs
/// under [`Lattice`](crate::kernel::Lattice).
///
/// The shader takes log x! from Stirling's series and the deviance of x from λ (Loader 2000), which lose nothing to rounding where λ is
/// large.
///
/// ```
/// # use ergodic::energy::{Energy, Poisson};
/// assert_eq!(Poisson::new(2, 3.5)?.params(), [3.5]);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Poisson {
    dim: usize,
    /// λ.
    params: [f32; 1],
}

impl Poisson {
    /// Of `dim` coordinates, of `mean` λ > 0.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where the mean is not above zero.
    pub fn new(dim: usize, mean: f64) -> Result<Self> {
        Ok(Self { dim, params: [positive("mean of the Poisson", mean)? as f32] })
    }

    /// e, and no slope.
    fn term(params: Params<'_>, x: f64) -> (f64, f64) {
        let mean = params.get(0);
        let e = if x < 0.0 || x.fract() != 0.0 { f64::INFINITY } else { mean - x * mean.ln() + ln_gamma(x + 1.0) };
        (e, f64::INFINITY)
    }
}

family!(Poisson, "poisson");
