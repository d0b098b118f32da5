//! Chains of a noise network over all layers at once: each weight is loaded once for many points.

use std::sync::Arc;

use nalgebra::DMatrixView;
use rayon::prelude::*;

use super::NoiseNetwork;
use crate::{
    Error, Result, Schedule, Start,
    energy::Energy,
    error::room,
    kernel::{Annealed, Control, Kernel, Reverse},
    net::{Layers, Real, Weights},
    random::{Draws, Epochs, Stream, key},
};

/// Points that one thread takes together.
const TOGETHER: usize = 256;

/// Many points on their way from noise to data under a [`NoiseNetwork`]: what [`Chains`](crate::Chains) of it under [`Reverse`] or
/// [`Annealed`] do, with the same random numbers, several times faster on a CPU, since here a layer is one matrix product for many points, in
/// f32. It has no reports and no checkpoints, counts no failures, and has no twin of
/// [`ProbabilityFlow`](crate::kernel::ProbabilityFlow); those are for chains.
#[derive(Debug)]
pub struct Sampler {
    network: NoiseNetwork,
    weights: Weights<f32>,
    kernel: Arc<dyn Kernel>,
    /// Steps that the kernel takes.
    last: u64,
    seed: u64,
    steps: u64,
    /// `[point][dim]`.
    positions: Vec<f64>,
}

impl Sampler {
    /// So many points, from the law that the kernel starts from.
    ///
    /// # Errors
    /// [`Error::Setting`] where there are no points, or more than memory holds; [`Error::Limit`] beyond 2³² − 1.
    pub fn new(network: NoiseNetwork, kernel: Reverse, points: usize, seed: u64) -> Result<Self> {
        let (start, last) = (kernel.start(), kernel.steps());
        Self::of(network, Arc::new(kernel), last, &start, points, seed)
    }

    /// So many points from a start, under annealed Langevin dynamics.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Setting`] where the noise levels do not decrease, or a step size is out of its range; as
    /// [`Setup::build`](crate::chains::Setup::build) where the start is wrong.
    pub fn annealed(network: NoiseNetwork, kernel: Annealed, start: &Start, points: usize, seed: u64) -> Result<Self> {
        kernel.validate(&network)?;
        let last = kernel.steps();
        Self::of(network, Arc::new(kernel), last, start, points, seed)
    }

    fn of(network: NoiseNetwork, kernel: Arc<dyn Kernel>, last: u64, start: &Start, points: usize, seed: u64) -> Result<Self> {
        if points == 0 {
            return Err(Error::setting("points of the sampler", 0, "must be at least 1"));
        }
        let dim = network.dim();
        room("points of the sampler", points, dim.saturating_mul(size_of::<f32>() + size_of::<f64>()))?;
        let start = start.positions(dim, 0, points, 1, seed)?;
        let positions = (0..start.len()).map(|k| f64::from(start[k % dim * points + k / dim])).collect();
        let weights = Weights::new(network.network(), network.params());
        Ok(Self { network, weights, kernel, last, seed, steps: 0, positions })
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The positions y, `[dim][point]`.
    pub fn positions(&self) -> Vec<f32> {
        let dim = self.network.dim();
        let points = self.positions.len() / dim;
        (0..self.positions.len()).map(|k| self.positions[k % points * dim + k / points] as f32).collect()
    }

    /// Takes so many steps. Those after the kernel's last one change nothing.
    pub fn advance(&mut self, steps: u64) {
        let dim = self.network.dim();
        let slots = self.kernel.slots(dim);
        let epochs = Epochs::new(slots);
        let end = self.steps.saturating_add(steps);
        let (kernel, one) = (&*self.kernel, Schedule::Constant(1.0));
        let temperature = kernel.temperature().unwrap_or(&one);
        let controls: Vec<_> = (self.steps..end.min(self.last)).map(|k| (k, Control::at(kernel, temperature, 1, k))).collect();
        let (network, weights, seed) = (&self.network, &self.weights, self.seed);
        self.positions.par_chunks_mut(TOGETHER * dim).enumerate().for_each(|(block, positions)| {
            let (mut z, mut inputs, mut layers) = (vec![0.0; dim], Vec::new(), Layers::default());
            for &(k, control) in &controls {
                let sigma = f64::from(control.level).sqrt();
                inputs.clear();
                positions.chunks_exact(dim).for_each(|y| network.inputs(sigma, y.iter().copied(), &mut inputs));
                let predicted = network.predictions(weights, &mut layers, &inputs);
                // ∇E_σ(y) = ᾱ y + √ᾱ v/σ, of which only v is f32.
                let kept = 1.0 / (1.0 + sigma * sigma);
                let (a, temperature) = (f64::from(control.step_size), f64::from(control.temperature));
                let noise = (2.0 * a * temperature).sqrt();
                let key = key(seed, Stream::Transition, epochs.epoch(k));
                for (i, (y, v)) in positions.chunks_exact_mut(dim).zip(predicted.chunks_exact(dim)).enumerate() {
                    let chain = (block * TOGETHER + i) as u32;
                    Draws::new(key, chain, epochs.step_in_epoch(k) * slots).normals(0, &mut z);
                    for ((y, v), z) in y.iter_mut().zip(v).zip(&z) {
                        *y += noise * z - a * (kept * *y + kept.sqrt() / sigma * f64::from(*v));
                    }
                }
            }
        });
        self.steps = end;
    }
}

impl NoiseNetwork {
    /// v of inputs `[point][unit]`, `[point][dim]`.
    pub(super) fn predictions<T: Real>(&self, weights: &Weights<T>, layers: &mut Layers<T>, inputs: &[T]) -> Vec<T> {
        let (width, dim) = (self.network().sizes()[0], self.dim());
        let points = inputs.len() / width;
        layers.input(weights, 1, points).copy_from_slice(&transposed(inputs, width));
        let output = layers.forward(weights);
        if !self.is_energy() {
            return transposed(output, points);
        }
        transposed(&layers.input_grad(weights, &vec![T::one(); points])[..dim * points], points)
    }
}

/// Rows of so many numbers as columns.
pub(super) fn transposed<T: Real>(rows: &[T], of: usize) -> Vec<T> {
    DMatrixView::from_slice(rows, of, rows.len() / of).transpose().data.into()
}
