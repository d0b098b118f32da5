//! Batched passes over a network in f64 on the CPU: all points of a batch in one matrix product a layer.

use nalgebra::{DMatrix, DMatrixView};

use crate::net::Network;

/// Layers of a batch: values, and, where there are directions, slopes along them, in the columns after.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    network: &'a Network,
    params: &'a [f64],
    points: usize,
    /// Of each layer, its input and its output before the activation, `[column][unit]`.
    inputs: Vec<DMatrix<f64>>,
    outputs: Vec<DMatrix<f64>>,
}

impl<'a> Batch<'a> {
    /// The layers of inputs `[point][unit]`, and of directions of the same shape or none.
    pub(super) fn forward(network: &'a Network, params: &'a [f64], inputs: &[f64], directions: &[f64]) -> Self {
        let width = network.sizes()[0];
        let points = inputs.len() / width;
        let columns = (inputs.len() + directions.len()) / width;
        let mut batch = Self { network, params, points, inputs: Vec::new(), outputs: Vec::new() };
        let mut h = DMatrix::from_iterator(width, columns, inputs.iter().chain(directions).copied());
        for layer in 0..network.layers() {
            let (weights, biases) = batch.layer(layer);
            let mut z = weights.transpose() * &h;
            for mut column in z.columns_mut(0, points).column_iter_mut() {
                column.iter_mut().zip(biases).for_each(|(z, bias)| *z += bias);
            }
            batch.inputs.push(h);
            h = if layer + 1 < network.layers() { batch.activate(&z) } else { DMatrix::zeros(0, 0) };
            batch.outputs.push(z);
        }
        batch
    }

    /// Weights by columns, `[output][input]`, and biases.
    fn layer(&self, layer: usize) -> (DMatrixView<'a, f64>, &'a [f64]) {
        let (inputs, outputs) = self.network.shape(layer);
        let (weights, biases) = self.params[self.network.layer_range(layer)].split_at(inputs * outputs);
        (DMatrixView::from_slice(weights, inputs, outputs), biases)
    }

    fn activate(&self, z: &DMatrix<f64>) -> DMatrix<f64> {
        let mut h = z.clone();
        let values = z.nrows() * self.points;
        let (values, slopes) = h.as_mut_slice().split_at_mut(values);
        for (i, value) in values.iter_mut().enumerate() {
            let [a, a1, ..] = self.network.activation().derivatives(*value);
            *value = a;
            if let Some(slope) = slopes.get_mut(i) {
                *slope *= a1;
            }
        }
        h
    }

    /// The outputs, `[column][unit]`: of points, then of directions.
    pub(super) fn output(&self) -> &[f64] {
        self.outputs.last().map_or(&[], |output| output.as_slice())
    }

    /// From the adjoints of the outputs, `[column][unit]`, those of the inputs; adds those of the parameters to `grads`, where it is one.
    pub(super) fn reverse(&self, adjoints: &[f64], mut grads: Option<&mut [f64]>) -> Vec<f64> {
        let outputs = self.network.sizes()[self.network.layers()];
        let mut adjoint = DMatrix::from_column_slice(outputs, adjoints.len() / outputs, adjoints);
        for layer in (0..self.network.layers()).rev() {
            if layer + 1 < self.network.layers() {
                self.reverse_activate(&self.outputs[layer], &mut adjoint);
            }
            if let Some(grads) = &mut grads {
                let own = &mut grads[self.network.layer_range(layer)];
                // By columns [output][input]: the inputs times the adjoints of the outputs.
                let of_weights = &self.inputs[layer] * adjoint.transpose();
                let (weights, biases) = own.split_at_mut(of_weights.len());
                weights.iter_mut().zip(of_weights.as_slice()).for_each(|(sum, g)| *sum += g);
                for column in adjoint.columns(0, self.points).column_iter() {
                    biases.iter_mut().zip(column.iter()).for_each(|(sum, g)| *sum += g);
                }
            }
            adjoint = self.layer(layer).0 * adjoint;
        }
        adjoint.as_slice().to_vec()
    }

    /// From the adjoint of a(z) and its slope that of z and its slope.
    fn reverse_activate(&self, z: &DMatrix<f64>, adjoint: &mut DMatrix<f64>) {
        let values = z.nrows() * self.points;
        let (z, slopes) = z.as_slice().split_at(values);
        let (of_values, of_slopes) = adjoint.as_mut_slice().split_at_mut(values);
        for (i, &z) in z.iter().enumerate() {
            let [_, a1, a2, _] = self.network.activation().derivatives(z);
            of_values[i] *= a1;
            if let Some(of_slope) = of_slopes.get_mut(i) {
                of_values[i] += a2 * slopes[i] * *of_slope;
                *of_slope *= a1;
            }
        }
    }
}
