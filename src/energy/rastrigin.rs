//! Rastrigin's function: a bowl full of dents, in any dimension.

use std::f64::consts::{PI, TAU};

use super::{Call, Energy, Params};
use crate::{Result, error::positive, program::Composer};

/// E(x) = Σᵢ xᵢ² + a (1 − cos 2πxᵢ) (Rastrigin 1974), of any dimension; a = 10 unless said. A minimum near every point of
/// the integer grid, the deepest, 0, at the origin.
///
/// The coordinates are independent with mean 0. In f32 the waves are lost for |x| above 10⁶, where numbers are a sixteenth apart.
///
/// ```
/// # use ergodic::energy::{Energy, Rastrigin};
/// assert_eq!(Rastrigin::new(3).amplitude(2.0)?.params(), [2.0]);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Rastrigin {
    dim: usize,
    amplitude: f32,
}

impl Rastrigin {
    /// Of `dim` coordinates, with a = 10.
    pub fn new(dim: usize) -> Self {
        Self { dim, amplitude: 10.0 }
    }

    /// With amplitude a > 0 of the waves.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where a is not above zero.
    pub fn amplitude(self, amplitude: f64) -> Result<Self> {
        Ok(Self { amplitude: positive("amplitude of the Rastrigin energy", amplitude)? as f32, ..self })
    }
}

impl Energy for Rastrigin {
    fn name(&self) -> String {
        "rastrigin".into()
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn params(&self) -> Vec<f32> {
        vec![self.amplitude]
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        program.add("rastrigin", include_str!("../../shaders/energy/rastrigin.wgsl"))?;
        Ok(Call::new("rastrigin", &[]))
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        x.iter().map(|x| x * x + 2.0 * params.get(0) * (PI * (x - x.round())).sin().powi(2)).sum()
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        for (g, x) in grad.iter_mut().zip(x) {
            *g = 2.0 * x + TAU * params.get(0) * (TAU * (x - x.round())).sin();
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
