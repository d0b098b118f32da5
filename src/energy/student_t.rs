//! Student's t densities.

use super::{Params, family::family};
use crate::{
    Result,
    error::{finite, positive},
};

/// E(x) = (ν + 1)/2 Σᵢ log(1 + ((xᵢ − m)/s)²/ν): independent coordinates of Student's t with ν degrees of freedom, location m and scale s.
/// The variance is s² ν/(ν − 2) for ν > 2.
///
/// ```
/// # use ergodic::energy::{StudentT, Energy};
/// assert_eq!(StudentT::new(2, 5.0, 0.0, 1.0)?.params(), [5.0, 0.0, 1.0]);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct StudentT {
    dim: usize,
    /// ν, m, s.
    params: [f32; 3],
}

impl StudentT {
    /// Of `dim` coordinates, of ν = `freedom` > 0 at `location` m, of `scale` s > 0.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where degrees of freedom or scale are not above zero, or the location is not finite.
    pub fn new(dim: usize, freedom: f64, location: f64, scale: f64) -> Result<Self> {
        let freedom = positive("degrees of freedom of Student's t", freedom)?;
        let location = finite("location of Student's t", location)?;
        Ok(Self { dim, params: [freedom, location, positive("scale of Student's t", scale)?].map(|v| v as f32) })
    }

    /// e and its slope.
    fn term(params: Params<'_>, x: f64) -> (f64, f64) {
        let (freedom, scale) = (params.get(0), params.get(2));
        let u = (x - params.get(1)) / scale;
        let power = 0.5 * (freedom + 1.0);
        (power * (u * u / freedom).ln_1p(), 2.0 * power * u / (scale * (freedom + u * u)))
    }
}

family!(StudentT, "student_t");
