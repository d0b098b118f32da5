//! The passes of training over an [`Mlp`] on the CPU's threads.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    Mlp,
    layers::{Layers, Weights},
    points::{PARTS, Points, jets},
};
use crate::{
    Result,
    energy::Energy,
    train::{Adjoints, Jets, Order, Passes, Traces, check_params, nothing_to_reverse},
};

/// Points that one thread takes together: sums have a fixed order, whatever the number of threads.
pub(super) const TOGETHER: usize = 128;
/// Points whose layers are in memory at once.
const MOST_POINTS: usize = 64 * TOGETHER;
/// Parameters whose sums one thread takes together.
const SUMS: usize = 2048;

/// Batched passes in f32, the batch being cut where its layers would take much memory.
#[derive(Debug)]
pub(super) struct ThreadPasses {
    network: Threaded,
    confinement: f64,
    /// The points of the last jets, in the parameters that they were taken with.
    last: Option<Points>,
    /// Whether the layers of those points are all there.
    held: bool,
}

/// A network, and the layers of each chunk of points.
#[derive(Debug)]
struct Threaded {
    weights: Weights<f32>,
    layers: Vec<Layers<f32>>,
}

/// The points that are in memory at once.
fn batches(points: &Points) -> impl Iterator<Item = Range<usize>> + use<> {
    let count = points.count;
    (0..count).step_by(MOST_POINTS).map(move |first| first..count.min(first + MOST_POINTS))
}

/// Takes some of the points through the layers: the rows of the parts of the network's jets.
fn forward<'a>(points: &Points, weights: &Weights<f32>, layers: &'a mut Layers<f32>, own: &Range<usize>) -> &'a [f32] {
    let input = layers.input(weights, points.parts, own.len());
    for (i, unit) in input.chunks_exact_mut(points.parts * own.len()).enumerate() {
        let parts = unit.chunks_exact_mut(own.len()).zip(points.input());
        for (part, all) in parts.filter(|(_, all)| !all.is_empty()) {
            part.copy_from_slice(&all[i * points.count..][own.clone()]);
        }
    }
    layers.forward(weights)
}

impl Threaded {
    /// Does the same with each chunk of a batch and its layers.
    fn each<R: Send>(
        &mut self,
        batch: Range<usize>,
        work: impl Fn(&Weights<f32>, &mut Layers<f32>, Range<usize>) -> R + Sync + Send,
    ) -> Vec<R> {
        let chunks = batch.len().div_ceil(TOGETHER);
        self.layers.resize_with(chunks.max(self.layers.len()), Layers::default);
        let (weights, layers) = (&self.weights, &mut self.layers[..chunks]);
        let own = |chunk: usize| {
            let first = batch.start + chunk * TOGETHER;
            first..batch.end.min(first + TOGETHER)
        };
        layers.par_iter_mut().enumerate().map(|(chunk, layers)| work(weights, layers, own(chunk))).collect()
    }
}

impl ThreadPasses {
    pub(super) fn new(mlp: &Mlp) -> Self {
        let network = Threaded { weights: Weights::new(mlp.network(), mlp.params()), layers: Vec::new() };
        Self { network, confinement: mlp.confinement(), last: None, held: false }
    }

    fn network(&self) -> &super::Network {
        self.network.weights.network()
    }

    /// The points of the last jets.
    fn last(&self) -> Result<&Points> {
        self.last.as_ref().ok_or_else(nothing_to_reverse)
    }

    /// The parts of the jets of all points, which are the last from now on.
    fn forward(&mut self, points: Points) -> Vec<Vec<f64>> {
        let c = self.confinement;
        let mut parts = vec![Vec::with_capacity(points.count); points.parts];
        for batch in batches(&points) {
            let found = self.network.each(batch, |weights, layers, own| {
                let mut found: Vec<_> = forward(&points, weights, layers, &own).iter().map(|&f| f64::from(f)).collect();
                for (i, point) in own.clone().enumerate() {
                    let jet = found.iter_mut().skip(i).step_by(own.len());
                    jet.zip(points.half_square(point)).for_each(|(jet, square)| *jet += c * square);
                }
                found
            });
            for found in found {
                let of_chunk = found.chunks_exact(found.len() / points.parts);
                parts.iter_mut().zip(of_chunk).for_each(|(all, part)| all.extend(part));
            }
        }
        self.held = points.count <= MOST_POINTS;
        self.last = Some(points);
        parts
    }

    /// The gradient in the parameters from the adjoints of a point's parts; zero where there are no last points.
    fn reverse(&mut self, adjoints: impl Fn(usize) -> [f64; PARTS] + Sync) -> Vec<f64> {
        let mut grad = vec![0.0; self.network().params_len()];
        let Some(points) = &self.last else { return grad };
        for batch in batches(points) {
            let found = self.network.each(batch, |weights, layers, own| {
                if !self.held {
                    forward(points, weights, layers, &own);
                }
                let mut given = vec![0.0; points.parts * own.len()];
                for (i, point) in own.clone().enumerate() {
                    let parts = given.iter_mut().skip(i).step_by(own.len());
                    parts.zip(adjoints(point)).for_each(|(part, adjoint)| *part = adjoint as f32);
                }
                layers.param_grad(weights, &given).to_vec()
            });
            // In the order of the points, whoever takes which parameters.
            grad.par_chunks_mut(SUMS).enumerate().for_each(|(part, grad)| {
                for of_chunk in &found {
                    grad.iter_mut().zip(&of_chunk[SUMS * part..]).for_each(|(sum, g)| *sum += f64::from(*g));
                }
            });
        }
        grad
    }
}

impl Passes for ThreadPasses {
    fn dim(&self) -> usize {
        self.network().sizes()[0]
    }

    fn set_params(&mut self, params: &[f32]) -> Result<()> {
        check_params("network", self.network().params_len(), params)?;
        self.network.weights.set(params);
        (self.last, self.held) = (None, false);
        Ok(())
    }

    fn energy_and_grad(&mut self, x: &[f32]) -> Result<(Vec<f64>, Vec<f32>)> {
        let (c, points) = (self.confinement, Points::new(self.dim(), x, &[], Order::Value)?);
        self.held = false;
        let mut energies = Vec::with_capacity(points.count);
        let mut grads: Vec<_> = x.iter().map(|x| c as f32 * x).collect();
        for batch in batches(&points) {
            let found = self.network.each(batch, |weights, layers, own| {
                let values = forward(&points, weights, layers, &own).iter().zip(own.clone());
                let energies: Vec<_> = values.map(|(&f, point)| f64::from(f) + c * points.half_square(point)[0]).collect();
                let slopes = layers.input_grad(weights, &vec![1.0; own.len()]).to_vec();
                (own, energies, slopes)
            });
            for (own, of_chunk, slopes) in found {
                energies.extend(of_chunk);
                for (row, slopes) in grads.chunks_exact_mut(points.count).zip(slopes.chunks_exact(own.len())) {
                    row[own.clone()].iter_mut().zip(slopes).for_each(|(grad, slope)| *grad += slope);
                }
            }
        }
        Ok((energies, grads))
    }

    fn jets(&mut self, x: &[f32], v: &[f32], order: Order) -> Result<Jets> {
        Ok(jets(self.forward(Points::new(self.dim(), x, v, order)?)))
    }

    fn param_grad(&mut self, adjoints: &Adjoints) -> Result<Vec<f64>> {
        let adjoints = self.last()?.of_jets(adjoints)?;
        Ok(self.reverse(adjoints))
    }

    fn traces(&mut self, x: &[f32], v: &[f32]) -> Result<Traces> {
        let parts = self.forward(Points::in_directions(self.dim(), x, v)?);
        Ok(self.last()?.traces(&parts))
    }

    fn traces_param_grad(&mut self, adjoints: &Traces) -> Result<Vec<f64>> {
        let adjoints = self.last()?.of_traces(adjoints)?;
        Ok(self.reverse(adjoints))
    }
}
