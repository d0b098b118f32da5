//! Coordinates above or below a bound: x = a ± eʸ.

use std::cmp::Ordering;

use super::{Outside, Transform};
use crate::{Result, energy::Params, error::finite};

/// xᵢ = a + exp(yᵢ) above a bound a, or xᵢ = b − exp(yᵢ) below b; log|det| = Σ yᵢ.
///
/// In f32 a position cannot be told from a bound other than 0 where it is closer than 6·10⁻⁸ of the bound's size.
#[derive(Debug, Clone)]
pub struct Log {
    bound: f64,
    sign: f32,
}

impl Log {
    /// For coordinates above a finite `bound`.
    pub fn above(bound: f64) -> Self {
        Self { bound, sign: 1.0 }
    }

    /// For coordinates below a finite `bound`.
    pub fn below(bound: f64) -> Self {
        Self { bound, sign: -1.0 }
    }
}

impl Transform for Log {
    fn stem(&self) -> &'static str {
        "log"
    }

    fn source(&self) -> &'static str {
        include_str!("../../shaders/transform/log.wgsl")
    }

    fn params(&self) -> Vec<f32> {
        vec![self.bound as f32, self.sign]
    }

    fn validate(&self, _count: usize) -> Result<()> {
        finite("bound of the transform log", self.bound).map(drop)
    }

    fn position(&self, params: Params<'_>, x: &mut [f64]) -> f64 {
        let log_det = x.iter().sum();
        x.iter_mut().for_each(|x| *x = params.get(0) + params.get(1) * x.exp());
        log_det
    }

    fn grad(&self, params: Params<'_>, y: &[f64], _x: &[f64], grad: &mut [f64]) {
        grad.iter_mut().zip(y).for_each(|(g, y)| *g = *g * params.get(1) * y.exp() - 1.0);
    }

    fn free(&self, params: Params<'_>, x: &mut [f64]) -> Result<(), Outside> {
        for (i, x) in x.iter_mut().enumerate() {
            let distance = params.get(1) * (*x - params.get(0));
            if distance.partial_cmp(&0.0) != Some(Ordering::Greater) {
                let side = if self.sign > 0.0 { "above" } else { "below" };
                return Err(Outside::new(i, format!("its position is {x}, but must be {side} {}", params.get(0))));
            }
            *x = distance.ln();
        }
        Ok(())
    }
}
