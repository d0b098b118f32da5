//! The loss of a batch and its gradient: on the CPU's threads, or in passes over the layers on a GPU.

use std::ops::Range;

use rayon::prelude::*;

use super::{NoiseNetwork, sampler::transposed};
use crate::{
    Backend, Result,
    energy::Energy,
    net::{Layers, Mlp, OutputPasses, Real, Weights},
    train::{Adjoints, Order, Passes},
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
    /// A GPU, for a network whose outputs are v.
    Score(Box<OutputPasses>),
    /// A GPU, for one whose gradient is v: that of an energy whose coordinates are all inputs.
    Energy(Box<dyn Passes>),
}

impl Denoiser {
    pub(super) fn new(backend: &Backend, network: &NoiseNetwork) -> Result<Self> {
        let of = network.network();
        match backend.gpu() {
            None => Ok(Self::Cpu),
            Some(gpu) if !network.is_energy() => Ok(Self::Score(Box::new(OutputPasses::new(gpu, of, &network.params())))),
            Some(gpu) => {
                let sizes = of.sizes();
                let energy = Mlp::new(sizes[0], &sizes[1..of.layers()], of.activation(), 0)?;
                Ok(Self::Energy(energy.passes_on_gpu(gpu)))
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
        let narrow: Vec<f32> = params.iter().map(|&p| p as f32).collect();
        match self {
            Self::Cpu => Ok(on_threads::<f32>(network, params, points, noised)),
            Self::Score(passes) => {
                passes.set_params(&narrow)?;
                let whole = Whole::new(network, points, noised);
                let (mut loss, mut grad) = (0.0, vec![0.0; params.len()]);
                let adjoint = |first: usize, v: &mut [f32]| {
                    loss += whole.residual(first, v);
                    let own = v.len() / whole.dim;
                    let kept = || &whole.kept()[first..];
                    v.chunks_exact_mut(own).for_each(|row| row.iter_mut().zip(kept()).for_each(|(r, c)| *r *= 2.0 * c));
                };
                passes.add_param_grad(&whole.inputs, adjoint, &mut grad)?;
                Ok((loss, grad))
            }
            Self::Energy(passes) => {
                passes.set_params(&narrow)?;
                let whole = Whole::new(network, points, noised);
                let (_, mut along) = passes.energy_and_grad(&whole.inputs)?;
                along.truncate(whole.noise.len());
                let loss = whole.residual(0, &mut along);
                // Along r, which has no part in the embedding.
                along.resize(whole.inputs.len(), 0.0);
                passes.jets(&whole.inputs, &along, Order::Slope)?;
                let slopes = whole.kept().iter().map(|&c| 2.0 * f64::from(c)).collect();
                Ok((loss, passes.param_grad(&Adjoints { slopes, ..Adjoints::default() })?))
            }
        }
    }
}

/// All points of a batch as a GPU takes them, `[unit][point]` and `[dim][point]`.
struct Whole {
    dim: usize,
    points: usize,
    inputs: Vec<f32>,
    noise: Vec<f32>,
}

impl Whole {
    fn new(network: &NoiseNetwork, points: usize, noised: impl Fn(Range<usize>) -> Noised + Sync + Send) -> Self {
        let parts: Vec<_> = ranges(points).map(noised).collect();
        let whole = |width: usize, of: fn(&Noised) -> &[f64]| {
            let row = |i: usize| parts.iter().flat_map(move |part| of(part).iter().skip(i).step_by(width).map(|&v| v as f32));
            (0..width).flat_map(row).collect()
        };
        let (units, dim) = (network.network().sizes()[0], network.dim());
        Self { dim, points, inputs: whole(units, |part| &part.inputs), noise: whole(dim, |part| &part.noise) }
    }

    /// cos θ of the points.
    fn kept(&self) -> &[f32] {
        &self.inputs[self.dim * self.points..][..self.points]
    }

    /// From v of some points from `first` on, `[dim][point]`, in its place ε − z, and the sum of its squares.
    fn residual(&self, first: usize, v: &mut [f32]) -> f64 {
        let (own, kept) = (v.len() / self.dim, self.kept());
        let sines = &self.inputs[(self.dim + 1) * self.points..];
        let mut sum = 0.0;
        for (i, row) in v.chunks_exact_mut(own).enumerate() {
            let (x, z) = (&self.inputs[i * self.points..], &self.noise[i * self.points..]);
            for (at, v) in (first..).zip(row) {
                *v = sines[at] * x[at] + kept[at] * *v - z[at];
                sum += f64::from(*v).powi(2);
            }
        }
        sum
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
    let weights = Weights::<T>::new(network.network(), params.iter().map(|&p| T::of(p)));
    let parts: Vec<_> = ranges(points).map(|range| part(network, &weights, &noised(range))).collect();
    let (mut loss, mut grad) = (0.0, vec![0.0; params.len()]);
    for (of_part, part) in parts {
        loss += of_part;
        grad.iter_mut().zip(part).for_each(|(sum, g)| *sum += g.wide());
    }
    (loss, grad)
}

/// Σ ‖ε − z‖² over some points, and its gradient.
fn part<T: Real>(network: &NoiseNetwork, weights: &Weights<T>, noised: &Noised) -> (f64, Vec<T>) {
    let (dim, width) = (network.dim(), network.network().sizes()[0]);
    let inputs: Vec<T> = noised.inputs.iter().map(|&x| T::of(x)).collect();
    let points = inputs.len() / width;
    let mut layers = Layers::default();
    let mut residual = network.noises_of(&inputs, network.predictions(weights, &mut layers, &inputs));
    residual.iter_mut().zip(&noised.noise).for_each(|(r, &z)| *r -= T::of(z));
    let loss = residual.iter().map(|r| r.wide() * r.wide()).sum::<f64>();
    let kept = || inputs.chunks_exact(width).map(|seen| T::of(2.0) * seen[dim]);
    if !network.is_energy() {
        residual.chunks_exact_mut(dim).zip(kept()).for_each(|(row, c)| row.iter_mut().for_each(|r| *r *= c));
        return (loss, layers.param_grad(weights, &transposed(&residual, dim)).to_vec());
    }
    // v = ∇ₓu. With r = ε − z held fixed the gradient of ‖r‖² is that of 2 r·cos θ ∇ₓu, 2 cos θ times the slope of u along r, which has no
    // part in the embedding.
    let (seen, along) = (transposed(&inputs, width), transposed(&residual, dim));
    let rows = layers.input(weights, 2, points).chunks_exact_mut(2 * points);
    for (i, row) in rows.enumerate() {
        let (value, slope) = row.split_at_mut(points);
        value.copy_from_slice(&seen[i * points..][..points]);
        if i < dim {
            slope.copy_from_slice(&along[i * points..][..points]);
        }
    }
    layers.forward(weights);
    let adjoints: Vec<_> = std::iter::repeat_n(T::zero(), points).chain(kept()).collect();
    (loss, layers.param_grad(weights, &adjoints).to_vec())
}
