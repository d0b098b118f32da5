//! A flow as an energy: E(x) = −log q(x), whose Z is 1.

use super::Flow;
use crate::{
    Result,
    energy::{Call, Energy, Params},
    program::{Composer, lanes},
};

/// The shape of the flow as the shader has it (shaders/flow/energy.wgsl): places, in pairs, and where the parameters stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    layers: usize,
    hidden: usize,
    places: usize,
}

impl Places {
    fn pairs(self) -> usize {
        self.places / 2
    }

    fn unit(self) -> usize {
        self.pairs() + 1 + self.places
    }

    fn layer(self) -> usize {
        self.hidden * self.unit() + (self.pairs() + 1) * self.places
    }

    /// What hidden unit at `own` is given.
    fn field(self, params: Params<'_>, own: usize, x: &[f64]) -> f64 {
        params.get(own + self.pairs()) + (0..self.pairs()).map(|i| params.get(own + i) * x[2 * i]).sum::<f64>()
    }

    /// The perceptron of the layer at `at`: log-scale before its bound and shift of each pair.
    fn answer(self, params: Params<'_>, at: usize, x: &[f64]) -> Vec<f64> {
        let skip = at + self.hidden * self.unit();
        let constant = skip + self.pairs() * self.places;
        let linear = |k: usize| (0..self.pairs()).map(|i| x[2 * i] * params.get(skip + i * self.places + k)).sum::<f64>();
        let mut answer: Vec<_> = (0..self.places).map(|k| params.get(constant + k) + linear(k)).collect();
        for own in (0..self.hidden).map(|j| at + j * self.unit()) {
            let t = self.field(params, own, x);
            let h = t / (1.0 + t * t).sqrt();
            answer.iter_mut().enumerate().for_each(|(k, sum)| *sum += h * params.get(own + self.pairs() + 1 + k));
        }
        answer
    }

    /// x = f(z), in place; the log-determinant.
    pub(super) fn forward(self, params: Params<'_>, x: &mut [f64]) -> f64 {
        let mut log_det = 0.0;
        for layer in 0..self.layers {
            let answer = self.answer(params, layer * self.layer(), x);
            log_det += shift(x, &answer);
            swap(x);
        }
        if self.layers % 2 == 1 {
            swap(x);
        }
        log_det
    }

    /// z = f⁻¹(x), in place; minus the log-determinant.
    pub(super) fn inverse(self, params: Params<'_>, x: &mut [f64]) -> f64 {
        let mut sum = 0.0;
        if self.layers % 2 == 1 {
            swap(x);
        }
        for layer in (0..self.layers).rev() {
            swap(x);
            let answer = self.answer(params, layer * self.layer(), x);
            for (x, answer) in x.chunks_exact_mut(2).zip(answer.chunks_exact(2)) {
                let s = answer[0] * bound(answer[0]);
                x[1] = (x[1] - answer[1]) * (-s).exp();
                sum += s;
            }
        }
        sum
    }

    /// x with its padding.
    pub(super) fn padded(self, x: &[f64]) -> Vec<f64> {
        let mut padded = x.to_vec();
        padded.resize(self.places, 0.0);
        padded
    }
}

/// 1/√(1 + (t/2)²): the bounded log-scale is t times this.
fn bound(t: f64) -> f64 {
    1.0 / (1.0 + 0.25 * t * t).sqrt()
}

fn swap(x: &mut [f64]) {
    x.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
}

/// Moves the odd places as the perceptron says; the sum of the log-scales.
fn shift(x: &mut [f64], answer: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (x, answer) in x.chunks_exact_mut(2).zip(answer.chunks_exact(2)) {
        let s = answer[0] * bound(answer[0]);
        x[1] = x[1] * s.exp() + answer[1];
        sum += s;
    }
    sum
}

/// −log N(z; 0, I) of z with its padding.
pub(super) fn base(dim: usize, z: &[f64]) -> f64 {
    0.5 * (z.iter().map(|z| z * z).sum::<f64>() + dim as f64 * std::f64::consts::TAU.ln())
}

impl Flow {
    pub(super) fn places(&self) -> Places {
        let (lanes, blocks) = lanes(self.dim);
        Places { layers: self.layers.len(), hidden: self.hidden, places: lanes * blocks }
    }

    /// The parameters as the shader reads them.
    pub(super) fn device_params(&self) -> Vec<f32> {
        let places = self.places();
        let mut values = vec![0.0; self.layers.len() * places.layer()];
        for (layer, own) in self.layers.iter().zip(values.chunks_exact_mut(places.layer())) {
            let [weights, biases, out_weights, skips, _] = layer.sizes();
            let mut rest = self.params[layer.at..].iter().copied();
            let mut take = |n: usize| -> Vec<f32> { rest.by_ref().take(n).collect() };
            let (weight, bias, out_weight, skip) = (take(weights), take(biases), take(out_weights), take(skips));
            let (kept, moved) = (layer.kept.len(), layer.moved.len());
            let out_bias = take(2 * moved);
            let (units, skip_at) = (places.unit(), self.hidden * places.unit());
            for j in 0..self.hidden {
                let unit = &mut own[j * units..(j + 1) * units];
                layer.kept.iter().enumerate().for_each(|(i, &x)| unit[x / 2] = weight[j * kept + i]);
                unit[places.pairs()] = bias[j];
            }
            for k in 0..2 * moved {
                let place = layer.moved[k % moved] / 2 * 2 + k / moved;
                (0..self.hidden).for_each(|j| own[j * units + places.pairs() + 1 + place] = out_weight[k * self.hidden + j]);
                for (i, &x) in layer.kept.iter().enumerate() {
                    own[skip_at + x / 2 * places.places + place] = skip[k * kept + i];
                }
                own[skip_at + places.pairs() * places.places + place] = out_bias[k];
            }
        }
        values
    }
}

impl Energy for Flow {
    fn name(&self) -> String {
        "flow".into()
    }

    fn dim(&self) -> usize {
        self.dim
    }

    /// Not in the order of [`Flow::params`], but in that of the shader.
    fn params(&self) -> Vec<f32> {
        self.device_params()
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        program.add("flow", include_str!("../../shaders/flow/energy.wgsl"))?;
        Ok(Call::new("flow", &[self.layers.len(), self.hidden]))
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        let places = self.places();
        let mut z = places.padded(x);
        let log_scales = places.inverse(params, &mut z);
        base(self.dim, &z) + log_scales
    }

    /// The gradient goes from the base back to x, and makes the points between the layers anew on its way.
    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let places = self.places();
        let mut z = places.padded(x);
        let log_scales = places.inverse(params, &mut z);
        let energy = base(self.dim, &z) + log_scales;
        let mut g = z.clone();
        for at in (0..places.layers).map(|layer| layer * places.layer()) {
            let answer = places.answer(params, at, &z);
            // The derivative of E by the answer.
            let mut back = vec![0.0; places.places];
            for i in (0..places.places).step_by(2) {
                let r = bound(answer[i]);
                back[i] = (1.0 - g[i + 1] * z[i + 1]) * r.powi(3);
                g[i + 1] *= (-answer[i] * r).exp();
                back[i + 1] = -g[i + 1];
            }
            let dot = |from: usize| back.iter().enumerate().map(|(k, v)| v * params.get(from + k)).sum::<f64>();
            let skip = at + places.hidden * places.unit();
            (0..places.pairs()).for_each(|i| g[2 * i] += dot(skip + i * places.places));
            for own in (0..places.hidden).map(|j| at + j * places.unit()) {
                let t = places.field(params, own, &z);
                let pull = dot(own + places.pairs() + 1) / (1.0 + t * t).powf(1.5);
                (0..places.pairs()).for_each(|i| g[2 * i] += pull * params.get(own + i));
            }
            shift(&mut z, &answer);
            swap(&mut z);
            swap(&mut g);
        }
        if places.layers % 2 == 1 {
            swap(&mut g);
        }
        grad.copy_from_slice(&g[..self.dim]);
        energy
    }

    fn check_gradient(&self) -> bool {
        false
    }
}
