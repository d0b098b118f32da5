//! Coordinates moved and scaled: x = m + s y.

use super::{Outside, Transform};
use crate::{Error, Result, energy::Params, error::finite};

/// xᵢ = m + s yᵢ with s ≠ 0; log|det| = n log|s|. It constrains nothing: kernels see coordinates of another origin and scale.
#[derive(Debug, Clone)]
pub struct Affine {
    shift: f64,
    scale: f64,
}

impl Affine {
    /// With a finite shift m and scale s ≠ 0.
    pub fn new(shift: f64, scale: f64) -> Self {
        Self { shift, scale }
    }
}

impl Transform for Affine {
    fn stem(&self) -> &'static str {
        "affine"
    }

    fn source(&self) -> &'static str {
        include_str!("../../shaders/transform/affine.wgsl")
    }

    /// m, s, log|s|.
    fn params(&self) -> Vec<f32> {
        [self.shift, self.scale, self.scale.abs().ln()].map(|v| v as f32).into()
    }

    fn validate(&self, _count: usize) -> Result<()> {
        finite("shift of the transform affine", self.shift)?;
        let scale = finite("scale of the transform affine", self.scale)?;
        if (scale as f32).is_normal() && (scale.recip() as f32).is_normal() {
            return Ok(());
        }
        Err(Error::setting(
            "scale of the transform affine",
            scale,
            "must not be 0, and neither too small nor too large for f32",
        ))
    }

    fn position(&self, params: Params<'_>, x: &mut [f64]) -> f64 {
        x.iter_mut().for_each(|x| *x = params.get(0) + params.get(1) * *x);
        x.len() as f64 * params.get(2)
    }

    fn grad(&self, params: Params<'_>, _y: &[f64], _x: &[f64], grad: &mut [f64]) {
        grad.iter_mut().for_each(|g| *g *= params.get(1));
    }

    fn free(&self, params: Params<'_>, x: &mut [f64]) -> Result<(), Outside> {
        x.iter_mut().for_each(|x| *x = (*x - params.get(0)) / params.get(1));
        Ok(())
    }
}
