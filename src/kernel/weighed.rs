//! Any Metropolis kernel on a bridge between two energies, weighed as the bridge moves on: annealed importance sampling.

use std::sync::Arc;

use super::{Info, Kernel, State, Step};
use crate::{Error, Result, Schedule, energy::Energy};

/// The WGSL text of the stage.
pub(crate) const STAGE: &str = include_str!("../../shaders/stage/weigh.wgsl");

/// The inner kernel's transition at step k leaves exp(−E_β) with β = βₖ invariant; before it, the state is weighed by
/// exp(−(βₖ − βₖ₋₁)(E₁ − E₀)), with β₋₁ = 0.
#[derive(Debug, Clone)]
pub(crate) struct Weighed {
    inner: Arc<dyn Kernel>,
    bridge: Schedule,
    stage: &'static str,
}

impl Weighed {
    pub(crate) fn new(inner: Arc<dyn Kernel>, bridge: Schedule, stage: &'static str) -> Self {
        Self { inner, bridge, stage }
    }
}

impl Kernel for Weighed {
    of_inner!();

    fn validate(&self, target: &dyn Energy) -> Result<()> {
        self.inner.validate(target)?;
        if self.inner.adaptive().is_some() {
            let why = format!("{} cannot find its settings within another kernel; give them", self.inner.name());
            return Err(Error::Unsupported(why));
        }
        if self.inner.is_unadjusted() || self.inner.ladder().is_some() || self.inner.bridge().is_some() {
            return Err(Error::Unsupported(format!(
                "annealed importance sampling needs transitions of exact law, and that of {} is not; use a Metropolis kernel such as \
                 Hmc, Mala or Rwm",
                self.inner.name()
            )));
        }
        Ok(())
    }

    fn slots(&self, dim: usize) -> u32 {
        self.inner.slots(dim)
    }

    fn params(&self, dim: usize) -> Vec<f32> {
        self.inner.params(dim)
    }

    fn bridge(&self) -> Option<&Schedule> {
        Some(&self.bridge)
    }

    fn stage(&self) -> &'static str {
        self.stage
    }
}
