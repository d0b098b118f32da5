//! Neal's funnel: a coordinate that sets the scale of all others, in any dimension.

use super::{Call, Energy, Params};
use crate::{
    Result,
    error::{at_least_two, positive},
    program::Composer,
};

/// E(x) = (v/s)²/2 + (dim − 1) v/2 + e⁻ᵛ Σᵢ xᵢ²/2 with v = x₀ and i ≥ 1: v ~ N(0, s²) and xᵢ ~ N(0, eᵛ) given v, so of standard
/// deviation exp(v/2) (Neal 2003). s = 3 unless said.
///
/// All means are 0; sd(v) = s and E xᵢ² = exp(s²/2), 90.017 for s = 3. That average is dominated by rare draws: judge a sampler by
/// v and xᵢ exp(−v/2) (standard normal) instead. In f32 e⁻ᵛ is infinite below v = −88.7, where a standard deviation is below
/// 10⁻¹⁹: there the energy is +∞ (outside of the support) unless all xᵢ are zero.
///
/// ```
/// # use ergodic::energy::{Energy, Funnel};
/// assert_eq!(Funnel::new(10)?.params(), [3.0]);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Funnel {
    dim: usize,
    scale: f32,
}

impl Funnel {
    /// Of `dim` ≥ 2 coordinates, with s = 3.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where there are fewer than two coordinates.
    pub fn new(dim: usize) -> Result<Self> {
        Ok(Self { dim: at_least_two("dimension of the funnel", dim)?, scale: 3.0 })
    }

    /// With standard deviation s > 0 of v.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where s is not above zero.
    pub fn scale(self, scale: f64) -> Result<Self> {
        Ok(Self { scale: positive("standard deviation of the funnel", scale)? as f32, ..self })
    }
}

impl Energy for Funnel {
    fn name(&self) -> String {
        "funnel".into()
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn params(&self) -> Vec<f32> {
        vec![self.scale]
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        program.add("funnel", include_str!("../../shaders/energy/funnel.wgsl"))?;
        Ok(Call::new("funnel", &[]))
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        let (v, s) = (x[0], params.get(0));
        0.5 * ((v / s).powi(2) + (self.dim - 1) as f64 * v + spread(v, &x[1..]))
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let (v, s) = (x[0], params.get(0));
        for (g, &x) in grad.iter_mut().zip(x) {
            *g = if x == 0.0 { 0.0 } else { (-v).exp() * x };
        }
        grad[0] = v / (s * s) + 0.5 * ((self.dim - 1) as f64 - spread(v, &x[1..]));
        self.energy(params, x)
    }

    fn spread(&self) -> Option<Vec<usize>> {
        Some(Vec::new())
    }

    fn check_gradient(&self) -> bool {
        false
    }
}

/// e⁻ᵛ Σᵢ xᵢ²; zero where the sum is, also where e⁻ᵛ is more than a number holds.
fn spread(v: f64, rest: &[f64]) -> f64 {
    let squares: f64 = rest.iter().map(|x| x * x).sum();
    if squares == 0.0 { 0.0 } else { (-v).exp() * squares }
}
