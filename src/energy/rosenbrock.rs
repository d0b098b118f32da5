//! Rosenbrock's curved valley, E(x) = Σᵢ b (xᵢ₊₁ − xᵢ²)² + (a − xᵢ)², in any dimension.

use super::{Call, Energy, Params};
use crate::{
    Result,
    error::{at_least_two, finite, positive},
    program::Composer,
};

/// E(x) = Σᵢ b (xᵢ₊₁ − xᵢ²)² + (a − xᵢ)² over i < dim − 1: the chained form of Rosenbrock's function (1960), of any dimension ≥ 2.
///
/// a = 1 and b = 100 unless said; the minimum 0 is at x = (1, …, 1) for a = 1. In two dimensions x₀ ~ N(a, ½) and
/// x₁ ~ N(x₀², 1/(2b)) given x₀, so the means are a and a² + ½. Goodman and Weare (2010) sample a twentieth of it
/// (`.scaled(0.05)`). In f32 the energy is finite for |x| up to 10⁹, exact to about 10⁻⁷ of its largest term.
///
/// ```
/// # use ergodic::energy::{Energy, Rosenbrock};
/// let target = Rosenbrock::new(2)?.shape(1.0, 10.0)?;
/// assert_eq!(target.params(), [1.0, 10.0]);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Rosenbrock {
    dim: usize,
    a: f32,
    b: f32,
}

impl Rosenbrock {
    /// Of `dim` ≥ 2 coordinates, with a = 1 and b = 100.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where there are fewer than two coordinates.
    pub fn new(dim: usize) -> Result<Self> {
        Ok(Self { dim: at_least_two("dimension of the Rosenbrock energy", dim)?, a: 1.0, b: 100.0 })
    }

    /// With the valley's floor at a and walls of steepness b > 0.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where a number is out of range.
    pub fn shape(self, a: f64, b: f64) -> Result<Self> {
        let (a, b) = (finite("a of the Rosenbrock energy", a)?, positive("b of the Rosenbrock energy", b)?);
        Ok(Self { a: a as f32, b: b as f32, ..self })
    }
}

impl Energy for Rosenbrock {
    fn name(&self) -> String {
        "rosenbrock".into()
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn params(&self) -> Vec<f32> {
        vec![self.a, self.b]
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        program.add("rosenbrock", include_str!("../../shaders/energy/rosenbrock.wgsl"))?;
        Ok(Call::new("rosenbrock", &[]))
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        let (a, b) = (params.get(0), params.get(1));
        x.windows(2).map(|pair| b * (pair[1] - pair[0] * pair[0]).powi(2) + (a - pair[0]).powi(2)).sum()
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let (a, b) = (params.get(0), params.get(1));
        grad.fill(0.0);
        for (i, pair) in x.windows(2).enumerate() {
            let r = pair[1] - pair[0] * pair[0];
            grad[i] -= 4.0 * b * pair[0] * r + 2.0 * (a - pair[0]);
            grad[i + 1] += 2.0 * b * r;
        }
        self.energy(params, x)
    }

    fn check_gradient(&self) -> bool {
        false
    }
}
