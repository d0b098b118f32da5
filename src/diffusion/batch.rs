//! Batched passes over a network on the CPU: all points of a batch in one matrix product a layer.

use nalgebra::{DMatrix, DMatrixView};

use super::real::{Real, activate, reverse_activate};
use crate::net::Network;

/// The weights of a network as the products take them.
#[derive(Debug, Clone)]
pub(super) struct Weights<T> {
    network: Network,
    /// Of each layer: by columns [output][input] and [input][output], and the biases.
    layers: Vec<(DMatrix<T>, DMatrix<T>, Vec<T>)>,
}

impl<T: Real> Weights<T> {
    pub(super) fn new(network: &Network, params: &[f64]) -> Self {
        let layer = |layer: usize| {
            let (inputs, outputs) = network.shape(layer);
            let (weights, biases) = params[network.layer_range(layer)].split_at(inputs * outputs);
            let transposed = DMatrix::from_iterator(inputs, outputs, weights.iter().map(|&w| T::of(w)));
            (transposed.clone(), transposed.transpose(), biases.iter().map(|&b| T::of(b)).collect())
        };
        Self { network: network.clone(), layers: (0..network.layers()).map(layer).collect() }
    }
}

/// Layers of a batch: values, and, where there are directions, slopes along them, in the columns after.
#[derive(Debug)]
pub(super) struct Batch<'a, T> {
    weights: &'a Weights<T>,
    points: usize,
    /// Of each layer, its input and its output before the activation, `[column][unit]`.
    inputs: Vec<DMatrix<T>>,
    outputs: Vec<DMatrix<T>>,
}

impl<'a, T: Real> Batch<'a, T> {
    /// The layers of inputs `[point][unit]`, and of directions of the same shape or none.
    pub(super) fn forward(weights: &'a Weights<T>, inputs: &[T], directions: &[T]) -> Self {
        let network = &weights.network;
        let width = network.sizes()[0];
        let points = inputs.len() / width;
        let columns = (inputs.len() + directions.len()) / width;
        let mut batch = Self { weights, points, inputs: Vec::new(), outputs: Vec::new() };
        let mut h = DMatrix::from_iterator(width, columns, inputs.iter().chain(directions).copied());
        for (layer, (_, weights, biases)) in weights.layers.iter().enumerate() {
            let mut z = weights * &h;
            for column in z.as_mut_slice().chunks_exact_mut(biases.len()).take(points) {
                column.iter_mut().zip(biases).for_each(|(z, &bias)| *z += bias);
            }
            batch.inputs.push(h);
            h = DMatrix::zeros(0, 0);
            if layer + 1 < network.layers() {
                h = z.clone();
                let (values, slopes) = h.as_mut_slice().split_at_mut(biases.len() * points);
                activate(network.activation(), values, slopes);
            }
            batch.outputs.push(z);
        }
        batch
    }

    /// The outputs, `[column][unit]`: of points, then of directions.
    pub(super) fn output(&self) -> &[T] {
        self.outputs.last().map_or(&[], |output| output.as_slice())
    }

    /// From the adjoints of the outputs, `[column][unit]`, those of the inputs; adds those of the parameters to `grads`, where it is one.
    pub(super) fn reverse(&self, adjoints: &[T], mut grads: Option<&mut [f64]>) -> Vec<T> {
        let network = &self.weights.network;
        let outputs = network.sizes()[network.layers()];
        let mut adjoint = DMatrixView::from_slice(adjoints, outputs, adjoints.len() / outputs).into_owned();
        for layer in (0..network.layers()).rev() {
            if layer + 1 < network.layers() {
                let values = adjoint.nrows() * self.points;
                let (z, slopes) = self.outputs[layer].as_slice().split_at(values);
                let (of_values, of_slopes) = adjoint.as_mut_slice().split_at_mut(values);
                reverse_activate(network.activation(), z, slopes, of_values, of_slopes);
            }
            if let Some(grads) = &mut grads {
                let own = &mut grads[network.layer_range(layer)];
                // By columns [output][input]: the inputs times the adjoints of the outputs.
                let of_weights = &self.inputs[layer] * adjoint.transpose();
                let (weights, biases) = own.split_at_mut(of_weights.len());
                weights.iter_mut().zip(of_weights.as_slice()).for_each(|(sum, g)| *sum += g.wide());
                for column in adjoint.columns(0, self.points).column_iter() {
                    biases.iter_mut().zip(column.iter()).for_each(|(sum, g)| *sum += g.wide());
                }
            }
            adjoint = &self.weights.layers[layer].0 * adjoint;
        }
        adjoint.as_slice().to_vec()
    }
}
