//! Energies and gradients at given positions.

use std::{sync::Arc, time::Duration};

use rayon::prelude::*;

use crate::{
    Backend, Error, Gpu, Result, Schedule,
    chains::{
        chunk::{Chunk, largest_bytes_a_chain},
        rows::Rows,
    },
    energy::{Energy, Params},
    kernel::{Control, Info, Kernel, State, Step},
    pipelines::Pipelines,
    program::check_dim,
};

/// Energies and gradients at some positions.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// E(x), one a position.
    pub energies: Vec<f64>,
    /// ∇E(x), `[dim][position]`.
    pub grads: Vec<f64>,
}

/// How long the device may take for one batch of positions.
const TIMEOUT: Duration = Duration::from_secs(60);

/// E and ∇E at `positions` (where the energy is constrained, free coordinates), `[dim][position]`: in f32 on a GPU, in f64 on the CPU reference.
///
/// At a `noise_level` σ > 0 they are those of the density convolved with N(0, σ²I); at 0 of the energy itself. Values that are not
/// finite are returned as they are.
///
/// ```
/// # use ergodic::{Backend, energy::DoubleWell, evaluate};
/// let at = evaluate(&Backend::cpu(), DoubleWell::new(2, 1.0)?, &[0.0, 1.0, 2.0, 1.0, 1.0, 1.0], 0.0)?;
/// assert_eq!(at.energies, [1.0, 0.0, 9.0]);
/// assert_eq!(at.grads, [0.0, 0.0, 24.0, 0.0, 0.0, 0.0]);
/// # Ok::<(), ergodic::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] where the positions are no multiple of the dimension; [`Error::Setting`] where the noise level is negative or
/// not finite; [`Error::Unsupported`] where the energy lacks noise levels, or an f64 twin on the CPU; WGSL that is wrong; errors of
/// the device.
pub fn evaluate(backend: &Backend, target: impl Energy + 'static, positions: &[f32], noise_level: f64) -> Result<Evaluation> {
    let dim = target.dim();
    check_dim(dim)?;
    if positions.is_empty() || !positions.len().is_multiple_of(dim) {
        return Err(Error::shape("positions ([dim][position])", positions.len().div_ceil(dim).max(1) * dim, positions.len()));
    }
    let noise_variance = (noise_level * noise_level) as f32;
    if !(noise_level >= 0.0 && noise_variance.is_finite()) {
        return Err(Error::setting("noise level", noise_level, "must be 0 or above, and finite"));
    }
    if noise_level > 0.0 && !target.has_noise_levels() {
        return Err(Error::Unsupported(format!("{} has no noise levels; evaluate it at noise level 0", target.name())));
    }
    match backend.gpu() {
        Some(gpu) => on_gpu(gpu, Arc::new(target), positions, noise_variance, true, TIMEOUT),
        None if target.has_twin() => Ok(on_cpu(&target, positions, noise_variance)),
        None => Err(Error::Unsupported(format!(
            "{} is given as WGSL text alone and has no f64 twin; evaluate it on a GPU",
            target.name()
        ))),
    }
}

fn on_cpu(target: &dyn Energy, positions: &[f32], noise_variance: f32) -> Evaluation {
    let dim = target.dim();
    let count = positions.len() / dim;
    let params = target.params();
    let params = Params::new(&params).at_noise(f64::from(noise_variance));
    let at = |p: usize| {
        let x: Vec<_> = (0..dim).map(|i| f64::from(positions[i * count + p])).collect();
        let mut grad = vec![0.0; dim];
        (target.energy_and_grad(params, &x, &mut grad), grad)
    };
    let (energies, points): (Vec<_>, Vec<_>) = (0..count).into_par_iter().map(at).unzip();
    let grads = (0..dim).flat_map(|i| points.iter().map(move |grad| grad[i])).collect();
    Evaluation { energies, grads }
}

/// The energies at `positions`, `[dim][position]`, as the function of the energy alone gives them.
pub(crate) fn energies_alone(
    gpu: &Gpu,
    target: Arc<dyn Energy>,
    positions: &[f32],
    level: f32,
    timeout: Duration,
) -> Result<Vec<f64>> {
    Ok(on_gpu(gpu, target, positions, level, false, timeout)?.energies)
}

/// In batches that fit a storage binding; gradients where they are asked for.
fn on_gpu(
    gpu: &Gpu,
    target: Arc<dyn Energy>,
    positions: &[f32],
    noise_variance: f32,
    uses_grad: bool,
    timeout: Duration,
) -> Result<Evaluation> {
    let dim = target.dim();
    let count = positions.len() / dim;
    let kernel = AtRest { uses_grad, step_size: Schedule::Constant(1.0), noise: (noise_variance > 0.0).then_some(1.0.into()) };
    let most = gpu.device().limits().max_storage_buffer_binding_size / largest_bytes_a_chain(&Rows::new(dim, &kernel));
    let pipelines = Pipelines::new(gpu, target, Arc::new(kernel), false)?;
    let control = Control { step_size: 1.0, temperature: 1.0, level: noise_variance, substeps: 1.0 };
    let mut energies = Vec::with_capacity(count);
    let mut grads = vec![0.0; if uses_grad { positions.len() } else { 0 }];
    for first in (0..count).step_by(most as usize) {
        let batch = (count - first).min(most as usize);
        let rows: Vec<_> = positions.chunks(count).flat_map(|row| &row[first..first + batch]).copied().collect();
        let mut chunk = Chunk::new(gpu, &pipelines, 0, 2, &rows, &[]);
        let starting = chunk.start(gpu, &pipelines, control, 0);
        let (batch_energies, batch_grads) = chunk.evaluated(gpu, &pipelines, starting, timeout)?;
        energies.extend(batch_energies.iter().map(|&e| f64::from(e)));
        for (row, batch_row) in grads.chunks_mut(count).zip(batch_grads.chunks(batch)) {
            row[first..first + batch].iter_mut().zip(batch_row).for_each(|(g, &b)| *g = f64::from(b));
        }
    }
    Ok(Evaluation { energies, grads })
}

/// A kernel that never moves: the energy, and its gradient where it is used, are evaluated at the start, which is all that is wanted here.
#[derive(Debug)]
struct AtRest {
    uses_grad: bool,
    step_size: Schedule,
    noise: Option<Schedule>,
}

impl Kernel for AtRest {
    fn name(&self) -> &'static str {
        "at_rest"
    }

    fn source(&self) -> &'static str {
        "fn transition(chain: u32, step: u32, control: Control, x: ptr<function, Point>, grad: ptr<function, Point>, \
         momentum: ptr<function, Point>, e: ptr<function, f32>) -> Info {\n    return Info(0.0, false, NO_FAILURE);\n}\n"
    }

    fn validate(&self, _target: &dyn Energy) -> Result<()> {
        Ok(())
    }

    fn slots(&self, _dim: usize) -> u32 {
        1
    }

    fn step_size(&self) -> &Schedule {
        &self.step_size
    }

    fn uses_grad(&self) -> bool {
        self.uses_grad
    }

    fn noise_level(&self) -> Option<&Schedule> {
        self.noise.as_ref()
    }

    fn spread(&self, _dim: usize) -> Option<Vec<usize>> {
        Some(Vec::new())
    }

    fn transition(&self, _step: &Step<'_>, _state: &mut State, _scratch: &mut State) -> Info {
        Info { acceptance: 0.0, accepted: false, failure: None }
    }
}
