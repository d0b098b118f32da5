//! Two moons facing each other: the two-dimensional density of the normalizing-flow literature.

use super::{Call, Energy, Params};
use crate::{Result, error::positive, program::Composer};

/// E(x) = (|x| − r)²/(2 s²) − log(exp(−(x₀ − r)²/(2 w²)) + exp(−(x₀ + r)²/(2 w²))): two crescents, on the left and right of a ring.
///
/// Potential 1 of Rezende and Mohamed (2015) for r = 2, s = 0.4, w = 0.6, which it is unless said; many libraries take s = 0.2 and
/// w = 0.3. Both means are 0. At the origin, where E has a cusp, the ring's gradient is taken as zero. In f32 |x|² is
/// finite for |x| up to 10¹⁸.
#[derive(Debug, Clone)]
pub struct TwoMoons {
    radius: f32,
    ring_precision: f32,
    side_precision: f32,
}

impl TwoMoons {
    /// With r = 2, s = 0.4 and w = 0.6.
    pub fn new() -> Self {
        Self { radius: 2.0, ring_precision: 6.25, side_precision: (1.0 / 0.36) as f32 }
    }

    /// With radius r > 0, width of the ring s > 0 and width of each crescent along x₀ w > 0.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where a number is out of range.
    pub fn shape(radius: f64, ring: f64, side: f64) -> Result<Self> {
        let precision = |name: &str, width: f64| positive(name, positive(name, width)?.powi(-2)).map(|p| p as f32);
        Ok(Self {
            radius: positive("radius of the two moons", radius)? as f32,
            ring_precision: precision("ring width of the two moons", ring)?,
            side_precision: precision("side width of the two moons", side)?,
        })
    }
}

impl Energy for TwoMoons {
    fn name(&self) -> String {
        "two_moons".into()
    }

    fn dim(&self) -> usize {
        2
    }

    fn params(&self) -> Vec<f32> {
        vec![self.radius, self.ring_precision, self.side_precision]
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        program.add("two_moons", include_str!("../../shaders/energy/two_moons.wgsl"))?;
        Ok(Call::new("two_moons", &[]))
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        let r = params.get(0);
        let (around, m) = (x[0].hypot(x[1]) - r, x[0].abs());
        let overlap = (-2.0 * r * params.get(2) * m).exp();
        0.5 * (params.get(1) * around * around + params.get(2) * (m - r).powi(2)) - overlap.ln_1p()
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let (r, norm) = (params.get(0), x[0].hypot(x[1]));
        let slope = if norm > 0.0 { params.get(1) * (norm - r) / norm } else { 0.0 };
        // The mean of the two centres under their shares.
        let centre = r * (r * params.get(2) * x[0]).tanh();
        grad[0] = slope * x[0] + params.get(2) * (x[0] - centre);
        grad[1] = slope * x[1];
        self.energy(params, x)
    }

    fn check_gradient(&self) -> bool {
        false
    }
}

impl Default for TwoMoons {
    fn default() -> Self {
        Self::new()
    }
}
