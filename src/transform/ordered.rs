//! Coordinates in rising order.

use std::cmp::Ordering;

use super::{Outside, Transform};
use crate::{Error, Result, energy::Params};

/// x₀ = y₀ and xᵢ = xᵢ₋₁ + exp(yᵢ): x₀ < x₁ < …; log|det| = Σ yᵢ over i ≥ 1. Means of mixtures and cut points, say.
///
/// In f32 neighbours cannot be told from each other where they are closer than 6·10⁻⁸ of their size.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ordered;

impl Transform for Ordered {
    fn stem(&self) -> &'static str {
        "ordered"
    }

    fn source(&self) -> &'static str {
        include_str!("../../shaders/transform/ordered.wgsl")
    }

    fn params(&self) -> Vec<f32> {
        Vec::new()
    }

    fn validate(&self, count: usize) -> Result<()> {
        if count >= 2 {
            return Ok(());
        }
        Err(Error::setting("coordinates of the transform ordered", count, "must be at least 2"))
    }

    fn position(&self, _params: Params<'_>, x: &mut [f64]) -> f64 {
        let log_det = x[1..].iter().sum();
        for i in 1..x.len() {
            x[i] = x[i - 1] + x[i].exp();
        }
        log_det
    }

    fn grad(&self, _params: Params<'_>, y: &[f64], _x: &[f64], grad: &mut [f64]) {
        // Each coordinate moves all that follow it.
        let mut after = 0.0;
        for (i, (g, y)) in grad.iter_mut().zip(y).enumerate().rev() {
            after += *g;
            *g = if i == 0 { after } else { after * y.exp() - 1.0 };
        }
    }

    fn free(&self, _params: Params<'_>, x: &mut [f64]) -> Result<(), Outside> {
        for i in (1..x.len()).rev() {
            let step = x[i] - x[i - 1];
            if step.partial_cmp(&0.0) != Some(Ordering::Greater) {
                return Err(Outside::new(
                    i,
                    format!("its position is {}, but must be above the coordinate before, {}", x[i], x[i - 1]),
                ));
            }
            x[i] = step.ln();
        }
        Ok(())
    }
}
