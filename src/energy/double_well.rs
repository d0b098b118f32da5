//! E(x) = h Σᵢ (xᵢ² − 1)²: two wells a coordinate, at ±1, with a barrier of height h between them.

use super::{Call, Energy, Params};
use crate::{Result, error::positive, program::Composer};

/// E(x) = h Σᵢ (xᵢ² − 1)², of any dimension.
///
/// ```
/// # use ergodic::energy::{DoubleWell, Energy};
/// let target = DoubleWell::new(2, 2.0)?;
/// assert_eq!(target.params(), [2.0]);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DoubleWell {
    dim: usize,
    height: f32,
}

impl DoubleWell {
    /// Of `dim` coordinates, with a barrier of `height` > 0 between the two wells of each.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where the height is not above zero.
    pub fn new(dim: usize, height: f64) -> Result<Self> {
        Ok(Self { dim, height: positive("height of the double well", height)? as f32 })
    }
}

impl Energy for DoubleWell {
    fn name(&self) -> String {
        "double_well".into()
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn params(&self) -> Vec<f32> {
        vec![self.height]
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        program.add("double_well", include_str!("../../shaders/energy/double_well.wgsl"))?;
        Ok(Call::new("double_well", &[]))
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        params.get(0) * x.iter().map(|x| (x * x - 1.0).powi(2)).sum::<f64>()
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        for (g, x) in grad.iter_mut().zip(x) {
            *g = 4.0 * params.get(0) * (x * x - 1.0) * x;
        }
        self.energy(params, x)
    }

    fn spread(&self) -> Option<Vec<usize>> {
        Some(Vec::new())
    }

    fn check_gradient(&self) -> bool {
        false
    }
}
