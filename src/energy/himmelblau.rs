//! Himmelblau's function, with four equal minima in two dimensions.

use super::{Call, Energy, Params};
use crate::{Result, program::Composer};

/// E(x) = (x₀² + x₁ − 11)² + (x₀ + x₁² − 7)² (Himmelblau 1972): four minima of value 0, one at (3, 2). No parameters.
///
/// Its wells are narrow and its barriers about 100 high; sample it at a temperature (`.at_temperature(50.0)`) to see all four. In
/// f32 the energy is finite for |x| up to 10⁹.
#[derive(Debug, Clone, Default)]
pub struct Himmelblau;

impl Himmelblau {
    /// The one there is.
    pub fn new() -> Self {
        Self
    }
}

impl Energy for Himmelblau {
    fn name(&self) -> String {
        "himmelblau".into()
    }

    fn dim(&self) -> usize {
        2
    }

    fn params(&self) -> Vec<f32> {
        Vec::new()
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        program.add("himmelblau", include_str!("../../shaders/energy/himmelblau.wgsl"))?;
        Ok(Call::new("himmelblau", &[]))
    }

    fn energy(&self, _params: Params<'_>, x: &[f64]) -> f64 {
        (x[0] * x[0] + x[1] - 11.0).powi(2) + (x[0] + x[1] * x[1] - 7.0).powi(2)
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let (a, b) = (x[0] * x[0] + x[1] - 11.0, x[0] + x[1] * x[1] - 7.0);
        grad[0] = 4.0 * a * x[0] + 2.0 * b;
        grad[1] = 2.0 * a + 4.0 * b * x[1];
        self.energy(params, x)
    }

    fn check_gradient(&self) -> bool {
        false
    }
}
