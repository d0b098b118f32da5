//! A fully connected network in f64: 2-jets forwards, and their reverse. The truth that the shaders are tested against.

use std::ops::Range;

use super::Activation;
use crate::{
    Error, Result,
    error::countable,
    random::{Draws, Stream, key},
};

/// A fully connected network: z₁ = W₁x + b₁, zₗ = Wₗ a(zₗ₋₁) + bₗ, and the last z is the output.
///
/// Parameters: of each layer the weights, `[output][input]`, then the biases, as PyTorch keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    sizes: Vec<usize>,
    activation: Activation,
}

/// The value and the first two derivatives along a line, of every unit of a layer.
pub(crate) type Jet = [Vec<f64>; 3];

/// What the reverse pass needs: of each layer, the jet of its input and of its output before the activation.
#[derive(Debug)]
pub(crate) struct Tape {
    inputs: Vec<Jet>,
    outputs: Vec<Jet>,
}

impl Tape {
    /// The jet of the network's output.
    pub(crate) fn output(&self) -> &Jet {
        &self.outputs[self.outputs.len() - 1]
    }
}

/// Σ weight(k) h[k], in four sums that do not wait for each other.
fn dot(weight: impl Fn(usize) -> f64, h: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    for (four, h) in h.chunks(4).enumerate() {
        sums.iter_mut().zip(h).enumerate().for_each(|(i, (sum, h))| *sum += weight(4 * four + i) * h);
    }
    sums.iter().sum()
}

impl Network {
    /// Layers of these sizes, from the input to the output: at least an input, a hidden layer and an output.
    ///
    /// # Errors
    /// [`Error::Setting`] where there are fewer than three sizes, or one is zero; [`Error::Limit`] of more than 2²⁴ parameters.
    pub fn new(sizes: impl Into<Vec<usize>>, activation: Activation) -> Result<Self> {
        let sizes = sizes.into();
        if sizes.len() < 3 || sizes.contains(&0) {
            let why = "must be an input, at least one hidden layer and an output, each of at least one unit";
            return Err(Error::setting("sizes of the network", format!("{sizes:?}"), why));
        }
        let params = sizes.windows(2).map(|pair| pair[0].saturating_add(1).saturating_mul(pair[1]));
        countable("parameters of the network", params.fold(0, usize::saturating_add))?;
        Ok(Self { sizes, activation })
    }

    /// Units of each layer, from the input to the output.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// What stands between the layers.
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// Number of layers of weights.
    pub fn layers(&self) -> usize {
        self.sizes.len() - 1
    }

    /// Inputs and outputs of a layer.
    pub(crate) fn shape(&self, layer: usize) -> (usize, usize) {
        (self.sizes[layer], self.sizes[layer + 1])
    }

    /// Number of parameters.
    pub fn params_len(&self) -> usize {
        self.layer_range(self.layers() - 1).end
    }

    /// The parameters of a layer: weights, then biases.
    pub(crate) fn layer_range(&self, layer: usize) -> Range<usize> {
        let len = |layer| (self.sizes[layer] + 1) * self.sizes[layer + 1];
        let start = (0..layer).map(len).sum();
        start..start + len(layer)
    }

    /// Initial parameters as PyTorch's `nn.Linear` has them: all uniform in ±1/√inputs. Layer l draws from chain l.
    pub fn init(&self, seed: u64) -> Vec<f32> {
        let key = key(seed, Stream::Network, 0);
        let mut params = Vec::with_capacity(self.params_len());
        for layer in 0..self.layers() {
            let draws = Draws::new(key, layer as u32, 0);
            let bound = (self.sizes[layer] as f64).sqrt().recip();
            let uniform = |slot| (bound * (2.0 * draws.uniform(slot as u32) - 1.0)) as f32;
            params.extend(self.layer_range(layer).enumerate().map(|(slot, _)| uniform(slot)));
        }
        params
    }

    /// The jet of the output at x + t v, from that of the input: (x, v, 0) or any other. `param(i)` gives the parameters.
    pub(crate) fn forward(&self, param: &impl Fn(usize) -> f64, input: Jet) -> Tape {
        let mut tape = Tape { inputs: vec![input], outputs: Vec::new() };
        for layer in 0..self.layers() {
            let (inputs, outputs) = self.shape(layer);
            let at = self.layer_range(layer).start;
            let h = &tape.inputs[layer];
            let z: Jet = std::array::from_fn(|part| {
                let bias = |o: usize| if part == 0 { param(at + inputs * outputs + o) } else { 0.0 };
                let sum = |o: usize| dot(|k| param(at + o * inputs + k), &h[part]);
                // Derivatives that are not asked for are empty.
                if h[part].is_empty() { Vec::new() } else { (0..outputs).map(|o| sum(o) + bias(o)).collect() }
            });
            if layer + 1 < self.layers() {
                tape.inputs.push(self.activate(&z));
            }
            tape.outputs.push(z);
        }
        tape
    }

    /// a(z), and its derivatives along the line: a′z′ and a″z′² + a′z″.
    fn activate(&self, z: &Jet) -> Jet {
        let mut h = z.clone();
        for (i, &value) in z[0].iter().enumerate() {
            let [a, a1, a2, _] = self.activation.derivatives(value);
            h[0][i] = a;
            if let Some(slope) = z[1].get(i) {
                h[1][i] = a1 * slope;
                if let Some(curvature) = z[2].get(i) {
                    h[2][i] = a2 * slope * slope + a1 * curvature;
                }
            }
        }
        h
    }

    /// Given the adjoint of the output's jet, adds those of the parameters to `grads` and returns that of the input's jet.
    pub(crate) fn reverse(
        &self,
        param: &impl Fn(usize) -> f64,
        tape: &Tape,
        mut adjoint: Jet,
        grads: Option<&mut [f64]>,
    ) -> Jet {
        let mut none = Vec::new();
        let (grads, wanted) = match grads {
            Some(grads) => (grads, true),
            None => (none.as_mut_slice(), false),
        };
        for layer in (0..self.layers()).rev() {
            let (inputs, outputs) = self.shape(layer);
            let at = self.layer_range(layer).start;
            let h = &tape.inputs[layer];
            if layer + 1 < self.layers() {
                self.reverse_activate(&tape.outputs[layer], &mut adjoint);
            }
            if wanted {
                for o in 0..outputs {
                    for part in 0..3 {
                        let Some(&d) = adjoint[part].get(o) else { continue };
                        let row = &mut grads[at + o * inputs..][..inputs];
                        row.iter_mut().zip(&h[part]).for_each(|(grad, h)| *grad += d * h);
                        if part == 0 {
                            grads[at + inputs * outputs + o] += d;
                        }
                    }
                }
            }
            adjoint = std::array::from_fn(|part| {
                let mut below = vec![0.0; h[part].len()];
                for (o, &d) in adjoint[part].iter().enumerate() {
                    below.iter_mut().enumerate().for_each(|(k, b)| *b += param(at + o * inputs + k) * d);
                }
                below
            });
        }
        adjoint
    }

    /// From the adjoint of a(z)'s jet that of z's: the transpose of the derivative of [`activate`](Self::activate).
    fn reverse_activate(&self, z: &Jet, adjoint: &mut Jet) {
        for (i, &value) in z[0].iter().enumerate() {
            let [_, a1, a2, a3] = self.activation.derivatives(value);
            let get = |of: &Jet, part: usize| of[part].get(i).copied().unwrap_or(0.0);
            let (slope, curvature) = (get(z, 1), get(z, 2));
            let (d0, d1, d2) = (get(adjoint, 0), get(adjoint, 1), get(adjoint, 2));
            adjoint[0][i] = a1 * d0 + a2 * slope * d1 + (a3 * slope * slope + a2 * curvature) * d2;
            if let Some(out) = adjoint[1].get_mut(i) {
                *out = a1 * d1 + 2.0 * a2 * slope * d2;
            }
            if let Some(out) = adjoint[2].get_mut(i) {
                *out = a1 * d2;
            }
        }
    }
}
