//! The loss of a batch and its gradient: on the CPU's threads, or in passes over the layers on a GPU.

use std::{ops::Range, sync::Arc};

use rayon::prelude::*;

use super::{
    NoiseNetwork,
    batch::{Batch, Weights},
    real::Real,
};
use crate::{
    Backend, Result,
    energy::Energy,
    net::{Mlp, OutputPasses},
    train::{Adjoints, Order, Passes, Trainable, passes},
};

/// Points that one thread takes together: sums have a fixed order, so the same parameters come out twice.
const TOGETHER: usize = 128;

/// Data with noise: what the network sees of points, `[point][unit]`, and the noise z, `[point][dim]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Noised {
    pub(super) inputs: Vec<f64>,
    pub(super) noise: Vec<f64>,
}

/// Where Σ ‖ε − z‖² and its gradient are computed.
#[derive(Debug)]
pub(super) enum Denoiser {
    Cpu,
    /// A GPU, for a network whose outputs are ε.
    Score(Box<OutputPasses>),
    /// A GPU, for one whose gradient is ε: that of an energy whose coordinates are all inputs.
    Energy(Box<dyn Passes>),
}

impl Denoiser {
    pub(super) fn new(backend: &Backend, network: &NoiseNetwork) -> Result<Self> {
        let of = network.network();
        match backend.gpu() {
            None => Ok(Self::Cpu),
            Some(gpu) if !network.is_energy() => Ok(Self::Score(Box::new(OutputPasses::new(gpu, of, &network.params())))),
            Some(_) => {
                let sizes = of.sizes();
                let energy: Arc<dyn Trainable> = Arc::new(Mlp::new(sizes[0], &sizes[1..of.layers()], of.activation(), 0)?);
                Ok(Self::Energy(passes(&energy, backend)?))
            }
        }
    }

    /// The loss at parameters, summed over so many points and their coordinates, and its gradient. `noised` draws a range of the points.
    pub(super) fn loss_and_grad(
        &mut self,
        network: &NoiseNetwork,
        params: &[f64],
        points: usize,
        noised: impl Fn(Range<usize>) -> Noised + Sync + Send,
    ) -> Result<(f64, Vec<f64>)> {
        if matches!(self, Self::Cpu) {
            return Ok(on_threads::<f32>(network, params, points, noised));
        }
        let parts: Vec<_> = ranges(points).map(&noised).collect();
        let (units, dim) = (network.network().sizes()[0], network.dim());
        let whole = |width: usize, of: fn(&Noised) -> &[f64]| {
            let row = |i: usize| parts.iter().flat_map(move |part| of(part).iter().skip(i).step_by(width).map(|&v| v as f32));
            (0..width).flat_map(row).collect::<Vec<f32>>()
        };
        let (inputs, noise) = (whole(units, |part| &part.inputs), whole(dim, |part| &part.noise));
        let params: Vec<f32> = params.iter().map(|&p| p as f32).collect();
        let mut loss = 0.0;
        // cos θ of the points.
        let kept = &inputs[dim * points..(dim + 1) * points];
        let sines = &inputs[(dim + 1) * points..];
        // v of some points from `first` on becomes ε − z.
        let mut residual = |first: usize, v: &mut [f32]| {
            let own = v.len() / dim;
            for (i, row) in v.chunks_exact_mut(own).enumerate() {
                for (at, v) in (first..).zip(row) {
                    *v = sines[at] * inputs[i * points + at] + kept[at] * *v - noise[i * points + at];
                    loss += f64::from(*v).powi(2);
                }
            }
        };
        let grad = match self {
            Self::Cpu => Vec::new(),
            Self::Score(passes) => {
                passes.set_params(&params)?;
                let mut grad = vec![0.0; params.len()];
                let adjoint = |first: usize, v: &mut [f32]| {
                    residual(first, v);
                    let own = v.len() / dim;
                    v.chunks_exact_mut(own).for_each(|row| row.iter_mut().zip(&kept[first..]).for_each(|(r, c)| *r *= 2.0 * c));
                };
                passes.add_param_grad(&inputs, adjoint, &mut grad)?;
                grad
            }
            Self::Energy(passes) => {
                passes.set_params(&params)?;
                let (_, mut along) = passes.energy_and_grad(&inputs)?;
                along.truncate(dim * points);
                residual(0, &mut along);
                // Along r, which has no part in the embedding.
                along.resize(units * points, 0.0);
                passes.jets(&inputs, &along, Order::Slope)?;
                let slopes = kept.iter().map(|&c| 2.0 * f64::from(c)).collect();
                passes.param_grad(&Adjoints { slopes, ..Adjoints::default() })?
            }
        };
        Ok((loss, grad))
    }
}

/// The points that belong together, of so many.
fn ranges(points: usize) -> impl IndexedParallelIterator<Item = Range<usize>> {
    (0..points).into_par_iter().step_by(TOGETHER).map(move |first| first..points.min(first + TOGETHER))
}

/// On the CPU's threads, in f32 or f64.
pub(super) fn on_threads<T: Real>(
    network: &NoiseNetwork,
    params: &[f64],
    points: usize,
    noised: impl Fn(Range<usize>) -> Noised + Sync + Send,
) -> (f64, Vec<f64>) {
    let weights = Weights::<T>::new(network.network(), params);
    let parts: Vec<_> = ranges(points).map(|range| part(network, &weights, &noised(range))).collect();
    let (mut loss, mut grad) = (0.0, vec![0.0; params.len()]);
    for (of_part, part) in parts {
        loss += of_part;
        grad.iter_mut().zip(part).for_each(|(sum, g)| *sum += g);
    }
    (loss, grad)
}

/// Σ ‖ε − z‖² over some points, and its gradient.
fn part<T: Real>(network: &NoiseNetwork, weights: &Weights<T>, noised: &Noised) -> (f64, Vec<f64>) {
    let (dim, width) = (network.dim(), network.network().sizes()[0]);
    let inputs: Vec<T> = noised.inputs.iter().map(|&x| T::of(x)).collect();
    let points = inputs.len() / width;
    let mut grad = vec![0.0; network.network().params_len()];
    let kept = || inputs.chunks_exact(width).map(|seen| T::of(2.0) * seen[dim]);
    let square = |r: &[T]| r.iter().map(|r| r.wide() * r.wide()).sum::<f64>();
    if !network.is_energy() {
        let plain = Batch::forward(weights, &inputs, &[]);
        let mut residual = network.noises_of(&inputs, plain.output().to_vec());
        residual.iter_mut().zip(&noised.noise).for_each(|(r, &z)| *r -= T::of(z));
        let loss = square(&residual);
        residual.chunks_exact_mut(dim).zip(kept()).for_each(|(row, c)| row.iter_mut().for_each(|r| *r *= c));
        plain.reverse(&residual, Some(&mut grad));
        return (loss, grad);
    }
    // v = ∇ₓu. With r = ε − z held fixed the gradient of ‖r‖² is that of 2 r·cos θ ∇ₓu, 2 cos θ times the slope of u along r.
    let mut residual = network.noises_of(&inputs, network.predictions(weights, &inputs));
    residual.iter_mut().zip(&noised.noise).for_each(|(r, &z)| *r -= T::of(z));
    let mut directions = vec![T::zero(); inputs.len()];
    for (row, r) in directions.chunks_exact_mut(width).zip(residual.chunks_exact(dim)) {
        row[..dim].copy_from_slice(r);
    }
    let along = Batch::forward(weights, &inputs, &directions);
    along.reverse(&vec![T::zero(); points].into_iter().chain(kept()).collect::<Vec<_>>(), Some(&mut grad));
    (square(&residual), grad)
}
