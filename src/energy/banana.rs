//! A Gaussian bent along a parabola, in two dimensions.

use super::{Call, Energy, Params};
use crate::{
    Result,
    error::{finite, positive},
    program::Composer,
};

/// E(x) = (x₀/s)²/2 + (x₁ − c (x₀² − s²))²/2: x₀ ~ N(0, s²) and x₁ ~ N(c (x₀² − s²), 1) given x₀ (Haario, Saksman and
/// Tamminen 1999, in the form of the inference gym). s = 10 and c = 0.03 unless said.
///
/// Both means are 0; the standard deviations are s and √(1 + 2 c² s⁴), 10 and 4.3589 as it stands. In f32 the energy is finite
/// for |x₀| up to 10⁹.
#[derive(Debug, Clone)]
pub struct Banana {
    scale: f32,
    curvature: f32,
}

impl Banana {
    /// With s = 10 and c = 0.03.
    pub fn new() -> Self {
        Self { scale: 10.0, curvature: 0.03 }
    }

    /// With standard deviation s > 0 of x₀ and curvature c.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where a number is out of range.
    pub fn shape(scale: f64, curvature: f64) -> Result<Self> {
        let scale = positive("standard deviation of the banana", scale)? as f32;
        Ok(Self { scale, curvature: finite("curvature of the banana", curvature)? as f32 })
    }
}

impl Energy for Banana {
    fn name(&self) -> String {
        "banana".into()
    }

    fn dim(&self) -> usize {
        2
    }

    fn params(&self) -> Vec<f32> {
        vec![self.scale, self.curvature]
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        program.add("banana", include_str!("../../shaders/energy/banana.wgsl"))?;
        Ok(Call::new("banana", &[]))
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        let (s, c) = (params.get(0), params.get(1));
        0.5 * ((x[0] / s).powi(2) + (x[1] - c * (x[0] * x[0] - s * s)).powi(2))
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let (s, c) = (params.get(0), params.get(1));
        let r = x[1] - c * (x[0] * x[0] - s * s);
        grad[0] = x[0] / (s * s) - 2.0 * c * x[0] * r;
        grad[1] = r;
        self.energy(params, x)
    }

    fn check_gradient(&self) -> bool {
        false
    }
}

impl Default for Banana {
    fn default() -> Self {
        Self::new()
    }
}
