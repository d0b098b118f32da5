//! A shell around the origin: E(x) = (|x| − r)²/(2 s²), in any dimension.

use super::{Call, Energy, Params};
use crate::{
    Result,
    error::{at_least_two, positive},
    program::Composer,
};

/// E(x) = (|x| − r)²/(2 s²): a ring in the plane, a shell in higher dimension ≥ 2.
///
/// The mean is 0; |x| has the density ∝ |x|^(dim − 1) exp(−E), so for s ≪ r E|x|² ≈ r² + (2 dim − 1) s². At the origin, where
/// E has a cusp, the gradient is taken as zero. In f32 |x|² is finite for |x| up to 10¹⁸.
///
/// ```
/// # use ergodic::energy::{Energy, Ring};
/// assert_eq!(Ring::new(2, 3.0, 0.5)?.params(), [3.0, 4.0]);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Ring {
    dim: usize,
    radius: f32,
    precision: f32,
}

impl Ring {
    /// Of `dim` ≥ 2 coordinates, with radius r > 0 and width s > 0.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where a number is out of range.
    pub fn new(dim: usize, radius: f64, width: f64) -> Result<Self> {
        let dim = at_least_two("dimension of the ring", dim)?;
        let radius = positive("radius of the ring", radius)? as f32;
        let width = positive("width of the ring", width)?;
        Ok(Self { dim, radius, precision: positive("1 / width² of the ring", width.powi(-2))? as f32 })
    }
}

impl Energy for Ring {
    fn name(&self) -> String {
        "ring".into()
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn params(&self) -> Vec<f32> {
        vec![self.radius, self.precision]
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        program.add("ring", include_str!("../../shaders/energy/ring.wgsl"))?;
        Ok(Call::new("ring", &[]))
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        0.5 * params.get(1) * (norm(x) - params.get(0)).powi(2)
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let norm = norm(x);
        let slope = if norm > 0.0 { params.get(1) * (norm - params.get(0)) / norm } else { 0.0 };
        for (g, x) in grad.iter_mut().zip(x) {
            *g = slope * x;
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

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}
