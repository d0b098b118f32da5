//! Coordinates between two bounds: x = a + (b − a) σ(y).

use super::{Outside, Transform};
use crate::{Error, Result, energy::Params, error::finite};

/// xᵢ = a + (b − a) σ(yᵢ) between bounds a and b, with σ(y) = 1/(1 + e⁻ʸ); log|det| = Σ log((b − a) σ(yᵢ) σ(−yᵢ)).
///
/// In f32 a position cannot be told from a bound other than 0 where it is closer than 6·10⁻⁸ of the bound's size.
#[derive(Debug, Clone)]
pub struct Logit {
    low: f64,
    high: f64,
}

impl Logit {
    /// For coordinates between finite `low` < `high`.
    pub fn between(low: f64, high: f64) -> Self {
        Self { low, high }
    }
}

/// σ(−|y|) and σ(|y|), both to full precision.
fn sides(y: f64) -> (f64, f64) {
    let e = (-y.abs()).exp();
    (e / (1.0 + e), 1.0 / (1.0 + e))
}

impl Transform for Logit {
    fn stem(&self) -> &'static str {
        "logit"
    }

    fn source(&self) -> &'static str {
        include_str!("../../shaders/transform/logit.wgsl")
    }

    /// The bounds, their distance and its log.
    fn params(&self) -> Vec<f32> {
        let width = self.high - self.low;
        [self.low, self.high, width, width.ln()].map(|v| v as f32).into()
    }

    fn validate(&self, _count: usize) -> Result<()> {
        let (low, high) =
            (finite("bound of the transform logit", self.low)?, finite("bound of the transform logit", self.high)?);
        if (low as f32) < high as f32 && ((high - low) as f32).is_finite() {
            return Ok(());
        }
        let value = format!("{low} to {high}");
        Err(Error::setting("bounds of the transform logit", value, "the lower one must be below the upper, in f32"))
    }

    fn position(&self, params: Params<'_>, x: &mut [f64]) -> f64 {
        let mut log_det = 0.0;
        for x in x {
            let (small, large) = sides(*x);
            log_det += params.get(3) - x.abs() + 2.0 * large.ln();
            *x = if *x < 0.0 { params.get(0) + params.get(2) * small } else { params.get(1) - params.get(2) * small };
        }
        log_det
    }

    fn grad(&self, params: Params<'_>, y: &[f64], _x: &[f64], grad: &mut [f64]) {
        for (g, &y) in grad.iter_mut().zip(y) {
            let (small, large) = sides(y);
            *g = *g * params.get(2) * small * large + y.signum() * (large - small);
        }
    }

    fn free(&self, params: Params<'_>, x: &mut [f64]) -> Result<(), Outside> {
        let (low, high) = (params.get(0), params.get(1));
        for (i, x) in x.iter_mut().enumerate() {
            if !(low < *x && *x < high) {
                return Err(Outside::new(i, format!("its position is {x}, but must be between {low} and {high}")));
            }
            *x = ((*x - low) / (high - *x)).ln();
        }
        Ok(())
    }
}
