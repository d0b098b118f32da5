//! Passes over the layers of a network on a thread of the CPU: of all points together, a layer is one matrix product.

use nalgebra::{DMatrixView, DMatrixViewMut, Dyn, MatrixView};

use super::{
    Network,
    real::{Real, activate, reverse_activate},
};

/// Of as many points and more, each is taken through the layers alike, however many the others: nalgebra takes small matrices, of a side
/// of five or less, through loops of its own, which round otherwise.
pub(crate) const LEAST_POINTS: usize = 8;

/// Sums over points of layers that are as narrow are dot products. (Also, those loops of nalgebra 0.35 write past the end where the left
/// matrix is a transposed view: axcpy_uninit takes the length of its slice for that of the column. So no such view may be small.)
const NARROW: usize = 16;

/// A network with its parameters.
#[derive(Debug, Clone)]
pub(crate) struct Weights<T> {
    network: Network,
    params: Vec<T>,
}

impl<T: Real> Weights<T> {
    pub(crate) fn new(network: &Network, params: impl IntoIterator<Item = T>) -> Self {
        Self { network: network.clone(), params: params.into_iter().collect() }
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Replaces the parameters by as many others.
    pub(crate) fn set(&mut self, params: &[T]) {
        self.params.copy_from_slice(params);
    }

    /// The weights of a layer, `[output][input]`, and its biases.
    fn layer(&self, layer: usize) -> (&[T], &[T]) {
        let (inputs, outputs) = self.network.shape(layer);
        self.params[self.network.layer_range(layer)].split_at(inputs * outputs)
    }
}

/// The layers of some points: jets of one part (values), two (slopes), three (curvatures) or four (a second direction's slopes), all
/// `[unit][part][point]`. Memory is kept from one use to the next.
#[derive(Debug, Default)]
pub(crate) struct Layers<T> {
    parts: usize,
    points: usize,
    /// The input of each layer, and the network's output.
    values: Vec<Vec<T>>,
    /// By each layer's output before the activation, the derivatives that the reverse takes: [`activate`].
    slopes: Vec<Vec<T>>,
    /// By the input of each layer before the activation that made it, and by the network's output, the adjoints.
    adjoints: Vec<Vec<T>>,
    grad: Vec<T>,
}

impl<T: Real> Layers<T> {
    /// The place for the input's jets, of zeros.
    pub(crate) fn input(&mut self, weights: &Weights<T>, parts: usize, points: usize) -> &mut [T] {
        let sizes = weights.network.sizes();
        (self.parts, self.points) = (parts, points);
        for all in [&mut self.values, &mut self.slopes, &mut self.adjoints] {
            all.resize_with(sizes.len(), Vec::new);
            all.iter_mut().zip(sizes).for_each(|(layer, size)| layer.resize(size * parts * points, T::zero()));
        }
        self.values[0].fill(T::zero());
        &mut self.values[0]
    }

    /// From the input's jets those of the output.
    pub(crate) fn forward(&mut self, weights: &Weights<T>) -> &[T] {
        let (parts, points) = (self.parts, self.points);
        let layers = weights.network.layers();
        for layer in 0..layers {
            let (inputs, outputs) = weights.network.shape(layer);
            let (matrix, biases) = weights.layer(layer);
            let (below, above) = self.values.split_at_mut(layer + 1);
            let h = DMatrixView::from_slice(&below[layer], parts * points, inputs);
            let is_last = layer + 1 == layers;
            let (of, activated) =
                if is_last { (&mut above[0], None) } else { (&mut self.slopes[layer + 1], Some(&mut above[0])) };
            let mut z = DMatrixViewMut::from_slice(of, parts * points, outputs);
            z.gemm(T::one(), &h, &DMatrixView::from_slice(matrix, inputs, outputs), T::zero());
            for (unit, &bias) in of.chunks_exact_mut(parts * points).zip(biases) {
                unit[..points].iter_mut().for_each(|z| *z += bias);
            }
            if let Some(h) = activated {
                activate(weights.network.activation(), parts, points, of, h);
            }
        }
        &self.values[layers]
    }

    /// From the adjoints of the output's jets those of the input's.
    pub(crate) fn input_grad(&mut self, weights: &Weights<T>, adjoints: &[T]) -> &[T] {
        let layers = weights.network.layers();
        self.adjoints[layers].copy_from_slice(adjoints);
        (0..layers).rev().for_each(|layer| self.reverse(weights, layer));
        &self.adjoints[0]
    }

    /// From the adjoints of the output's jets those of the parameters, summed over the points.
    pub(crate) fn param_grad(&mut self, weights: &Weights<T>, adjoints: &[T]) -> &[T] {
        let layers = weights.network.layers();
        self.adjoints[layers].copy_from_slice(adjoints);
        self.grad.resize(weights.params.len(), T::zero());
        for layer in (0..layers).rev() {
            self.sum_up(weights, layer);
            if layer > 0 {
                self.reverse(weights, layer);
            }
        }
        &self.grad
    }

    /// The adjoints of a layer's input, before the activation that made it, from those of its output.
    fn reverse(&mut self, weights: &Weights<T>, layer: usize) {
        let (inputs, outputs) = weights.network.shape(layer);
        let (below, above) = self.adjoints.split_at_mut(layer + 1);
        let above = DMatrixView::from_slice(&above[0], self.parts * self.points, outputs);
        let mut product = DMatrixViewMut::from_slice(&mut below[layer], self.parts * self.points, inputs);
        product.gemm(T::one(), &above, &transposed(weights.layer(layer).0, outputs, inputs), T::zero());
        if layer > 0 {
            reverse_activate(self.parts, self.points, &self.slopes[layer], &mut below[layer]);
        }
    }

    /// The gradient in a layer's parameters, from the adjoints of its output.
    fn sum_up(&mut self, weights: &Weights<T>, layer: usize) {
        let (inputs, outputs) = weights.network.shape(layer);
        let rows = self.parts * self.points;
        let (of_weights, of_biases) = self.grad[weights.network.layer_range(layer)].split_at_mut(inputs * outputs);
        let mut sums = DMatrixViewMut::from_slice(of_weights, inputs, outputs);
        let (h, adjoints) = (&self.values[layer], &self.adjoints[layer + 1]);
        let of_outputs = DMatrixView::from_slice(adjoints, rows, outputs);
        if inputs.min(outputs).min(rows) > NARROW {
            sums.gemm(T::one(), &transposed(h, inputs, rows), &of_outputs, T::zero());
        } else {
            DMatrixView::from_slice(h, rows, inputs).tr_mul_to(&of_outputs, &mut sums);
        }
        for (bias, unit) in of_biases.iter_mut().zip(adjoints.chunks_exact(rows)) {
            *bias = sum(&unit[..self.points]);
        }
    }
}

/// The transpose of a matrix that stands by columns, of so many rows and columns.
fn transposed<T: Real>(matrix: &[T], rows: usize, columns: usize) -> MatrixView<'_, T, Dyn, Dyn, Dyn, Dyn> {
    MatrixView::<T, Dyn, Dyn, Dyn, Dyn>::from_slice_with_strides(matrix, rows, columns, columns, 1)
}

/// In eight sums that do not wait for each other.
fn sum<T: Real>(values: &[T]) -> T {
    let mut sums = [T::zero(); 8];
    for eight in values.chunks(8) {
        sums.iter_mut().zip(eight).for_each(|(sum, value)| *sum += *value);
    }
    sums.into_iter().fold(T::zero(), |all, sum| all + sum)
}
