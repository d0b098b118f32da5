//! Where chains run.

use std::sync::Arc;

use crate::{Gpu, Result, chains::Setup, energy::Energy, kernel::Kernel};

/// A GPU, or the CPU reference.
#[derive(Debug, Clone)]
pub struct Backend {
    gpu: Option<Gpu>,
    note: String,
}

impl Backend {
    /// A GPU if there is one (a software one counts), else the CPU reference. [`describe`](Self::describe) says which, and why.
    ///
    /// # Errors
    /// [`Error::NoDevice`](crate::Error::NoDevice) where an adapter exists but gives no device.
    pub fn best() -> Result<Self> {
        match Gpu::open() {
            Ok(gpu) => Ok(Self::gpu_of(gpu)),
            Err(e @ crate::Error::NoAdapter { .. }) => {
                log::warn!("{e}; using the CPU reference");
                Ok(Self { gpu: None, note: format!("CPU reference (f64), since {e}") })
            }
            Err(e) => Err(e),
        }
    }

    /// The CPU reference: f64, slower, and the truth that the tests compare with.
    pub fn cpu() -> Self {
        Self { gpu: None, note: "CPU reference (f64)".into() }
    }

    /// A GPU that is open already.
    pub fn gpu_of(gpu: Gpu) -> Self {
        Self { note: gpu.describe(), gpu: Some(gpu) }
    }

    /// The GPU, if this is one.
    pub fn gpu(&self) -> Option<&Gpu> {
        self.gpu.as_ref()
    }

    /// One line that says where chains run.
    pub fn describe(&self) -> &str {
        &self.note
    }

    /// Chains of a target under a kernel, to be given a count, a seed and a start, and built.
    pub fn chains(&self, target: impl Energy + 'static, kernel: impl Kernel + 'static) -> Setup {
        self.chains_of(Arc::new(target), Arc::new(kernel))
    }

    /// As [`chains`](Self::chains), for an energy and a kernel that are shared.
    pub fn chains_of(&self, target: Arc<dyn Energy>, kernel: Arc<dyn Kernel>) -> Setup {
        Setup::new(self.clone(), target, kernel)
    }
}
