//! The scale of each coordinate, of kernels whose step is the same in all others.

use crate::{Result, adapt::Settings, error::positive, start::spread};

/// A scale > 0 for each coordinate, a single one for all, or none, which is one: then the shader's `VARIANT` is 0 and it reads no
/// parameters; else `VARIANT` is 1, and the scales stand from `KERNEL_AT` on.
#[derive(Debug, Clone, Default)]
pub(super) struct Scales(Option<Vec<f64>>);

impl Scales {
    pub(super) fn new(scales: Vec<f64>) -> Self {
        Self(Some(scales))
    }

    /// Those that a warm-up found: standard deviations.
    pub(super) fn found(settings: &Settings) -> Self {
        Self::new(settings.inverse_mass.iter().map(|m| m.sqrt()).collect())
    }

    pub(super) fn validate(&self, kernel: &str, dim: usize) -> Result<()> {
        let scales = spread(&format!("scales of {kernel}"), self.0.as_deref().unwrap_or(&[1.0]), dim)?;
        scales.iter().try_for_each(|&scale| positive(&format!("scale of {kernel}"), scale).map(drop))
    }

    pub(super) fn variant(&self) -> u32 {
        u32::from(self.0.is_some())
    }

    /// Offsets of the vectors among the parameters.
    pub(super) fn vectors(&self) -> Vec<usize> {
        self.0.iter().map(|_| 0).collect()
    }

    pub(super) fn params(&self, dim: usize) -> Vec<f32> {
        let scales = self.0.as_deref().unwrap_or_default();
        let one_for_all = if scales.len() == 1 { dim } else { 1 };
        scales.repeat(one_for_all).iter().map(|&s| s as f32).collect()
    }
}

/// Scale i of those that the shader reads, too.
pub(super) fn scale(params: &[f32], i: usize) -> f64 {
    params.get(i).map_or(1.0, |&s| f64::from(s))
}
