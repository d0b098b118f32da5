//! Unadjusted Langevin chains of a network, all layers at once: the negative samples of contrastive divergence.

mod gpu;
mod threads;

use self::{gpu::OnGpu, threads::OnThreads};
use super::Mlp;
use crate::{
    Error, Gpu, Result,
    energy::Energy,
    error::positive,
    train::{Order, check_params, check_points},
};

/// Unadjusted Langevin chains of a [`Mlp`]: x′ = x − h ∇E(x) + √(2hT) z.
///
/// The same steps from the same random numbers as the kernel [`Ula`](crate::kernel::Ula) takes, within the rounding of f32, but every
/// weight is loaded once for many chains instead of once a chain.
#[derive(Debug)]
pub struct Langevin {
    runner: Runner,
    dim: usize,
    params_len: usize,
}

/// Where chains run.
#[derive(Debug)]
enum Runner {
    Gpu(Box<OnGpu>),
    Threads(OnThreads),
}

/// Which random numbers a run of chains draws, and how far it goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Walk {
    /// The step size h.
    pub step_size: f64,
    /// The temperature T.
    pub temperature: f64,
    /// Number of steps.
    pub steps: u64,
    /// The seed, as of [`Setup::seed`](crate::chains::Setup::seed).
    pub seed: u64,
    /// Steps that these chains have taken before.
    pub first_step: u64,
    /// Global id of the first chain.
    pub first_chain: u32,
}

/// Where chains stand after a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Walked {
    /// `[dim][chain]`.
    pub positions: Vec<f32>,
    /// Chains whose energy or gradient was not usable at some step; they stand where they last were.
    pub stopped: usize,
}

impl Langevin {
    /// Chains of a network on a GPU.
    pub fn new(gpu: &Gpu, mlp: &Mlp) -> Self {
        Self::of(Runner::Gpu(Box::new(OnGpu::new(gpu, mlp))), mlp)
    }

    /// Chains of a network on the CPU's threads.
    pub fn on_threads(mlp: &Mlp) -> Self {
        Self::of(Runner::Threads(OnThreads::new(mlp)), mlp)
    }

    fn of(runner: Runner, mlp: &Mlp) -> Self {
        Self { runner, dim: mlp.dim(), params_len: mlp.network().params_len() }
    }

    /// Replaces the parameters.
    ///
    /// # Errors
    /// [`Error::Shape`] where their number is wrong; errors of the device.
    pub fn set_params(&mut self, params: &[f32]) -> Result<()> {
        check_params("network", self.params_len, params)?;
        match &mut self.runner {
            Runner::Gpu(chains) => chains.set_params(params),
            Runner::Threads(chains) => {
                chains.set_params(params);
                Ok(())
            }
        }
    }

    /// Runs chains from positions x, `[dim][chain]`. The last positions have not been evaluated.
    ///
    /// # Errors
    /// [`Error::Shape`] where x is no multiple of the dimension; [`Error::Setting`] where a
    /// number of `walk` is out of range; [`Error::CutShort`] and other errors of the device.
    pub fn run(&mut self, x: &[f32], walk: Walk) -> Result<Walked> {
        let chains = check_points(self.dim, x, &[], Order::Value)?;
        positive("step size of the Langevin chains", walk.step_size)?;
        positive("temperature of the Langevin chains", walk.temperature)?;
        if walk.first_step.checked_add(walk.steps).is_none() {
            return Err(Error::setting(
                "steps of the Langevin chains",
                walk.steps,
                format!("are too many after {}", walk.first_step),
            ));
        }
        if walk.steps == 0 {
            return Ok(Walked { positions: x.to_vec(), stopped: 0 });
        }
        match &mut self.runner {
            Runner::Gpu(runner) => runner.run(x, chains, walk),
            Runner::Threads(runner) => Ok(runner.run(x, chains, walk)),
        }
    }
}
