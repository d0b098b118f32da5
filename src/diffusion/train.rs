//! Training by denoising: a network learns to predict the noise in noised data.

use std::path::Path;

use rayon::prelude::*;

use super::{
    NoiseNetwork,
    batch::{Batch, Weights},
    real::Real,
};
use crate::{
    Error, Result, Schedule,
    energy::Energy,
    error::positive,
    random::{Draws, Stream, key, normal_slots, uniform},
    tensors::{Draft, Tensors},
    train::{Memory, Optimizer},
};

/// Points that one thread takes together: sums have a fixed order, so the same parameters come out twice.
const TOGETHER: usize = 128;
/// A loss that no training comes back from.
const MOST_LOSS: f64 = 1e30;
const FORMAT: &str = "ergodic noise training 1";

/// How to train. [`Default`]: batches of 512, rate 0.002, averaged over about a thousand steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// Points a step.
    pub batch: usize,
    /// Learning rate of Adam as a function of the step.
    pub rate: Schedule,
    /// d of the average of the parameters, a ← d a + (1 − d) params, in [0, 1); d is at most (1 + k)/(10 + k) at step k.
    pub average: f64,
    /// Seed of all random numbers.
    pub seed: u64,
}

impl Default for Training {
    fn default() -> Self {
        Self { batch: 512, rate: 0.002.into(), average: 0.999, seed: 1 }
    }
}

/// A network in training by the simple loss of Ho, Jain and Abbeel 2020 (equation 14), E ‖ε(x, θ) − z‖² over data x₀, a noise level σ out
/// of a list, each as likely as another, and z ~ N(0, I) with y = x₀ + σ z.
///
/// With the levels of a [`NoiseSchedule`](super::NoiseSchedule) that is the training of a diffusion; with falling levels σ₁ > … > σ_L the
/// denoising score matching of a noise-conditional score network with the weights λ(σ) = σ² (Song and Ermon 2019, equation 6), since
/// σ² ‖s + z/σ‖² = ‖ε − z‖². What follows depends on this state, the settings and the data alone, bit for bit.
#[derive(Debug, Clone)]
pub struct Trainer {
    settings: Training,
    network: NoiseNetwork,
    levels: Vec<f64>,
    params: Vec<f64>,
    /// Adam's.
    memory: Memory,
    average: Vec<f64>,
}

impl Trainer {
    /// Starts to train a network at these noise levels σ.
    ///
    /// # Errors
    /// [`Error::Setting`] where there is no level, or a level or a setting is outside of its range.
    pub fn new(network: NoiseNetwork, levels: impl Into<Vec<f64>>, settings: Training) -> Result<Self> {
        let levels = levels.into();
        if levels.is_empty() {
            return Err(Error::setting("noise levels", "an empty list", "must hold at least one"));
        }
        levels.iter().try_for_each(|&sigma| positive("noise level", sigma).map(drop))?;
        if settings.batch == 0 {
            return Err(Error::setting("batch", 0, "must be at least 1"));
        }
        settings.rate.validate("rate", positive)?;
        if !(0.0..1.0).contains(&settings.average) {
            return Err(Error::setting("average", settings.average, "must be at least 0 and below 1"));
        }
        let params: Vec<f64> = network.params().iter().map(|&p| f64::from(p)).collect();
        let memory = Memory::new(params.len());
        Ok(Self { settings, network, levels, average: params.clone(), memory, params })
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.memory.steps
    }

    /// The network with the average of its parameters.
    ///
    /// # Errors
    /// [`Error::Setting`] where training diverged.
    pub fn network(&self) -> Result<NoiseNetwork> {
        self.network.with_params(&self.average.iter().map(|&p| p as f32).collect::<Vec<_>>())
    }

    /// So many steps on data, `[dim][point]`; the mean loss over them, a coordinate.
    ///
    /// # Errors
    /// [`Error::Shape`] where the data are no multiple of the dimension; [`Error::Setting`] where the loss passed 10³⁰ (the state is then
    /// that before this call).
    pub fn train(&mut self, data: &[f32], steps: u64) -> Result<f64> {
        let dim = self.network.dim();
        if data.is_empty() || !data.len().is_multiple_of(dim) {
            return Err(Error::shape("data ([dim][point])", data.len().div_ceil(dim).max(1) * dim, data.len()));
        }
        let before = self.clone();
        let mut sum = 0.0;
        for _ in 0..steps {
            let (loss, grad) = self.loss_and_grad::<f32>(data);
            if loss.is_nan() || loss > MOST_LOSS {
                let (step, rate) = (self.steps(), self.settings.rate.at(self.steps()));
                *self = before;
                return Err(Error::setting("rate", rate, format!("training diverged in step {step}; lower it")));
            }
            sum += loss;
            self.go(&grad);
        }
        Ok(sum / steps.max(1) as f64)
    }

    /// The loss a coordinate of this step's batch, and its gradient.
    fn loss_and_grad<T: Real>(&self, data: &[f32]) -> (f64, Vec<f64>) {
        let weights = Weights::<T>::new(self.network.network(), &self.params);
        let (dim, batch) = (self.network.dim(), self.settings.batch);
        let parts: Vec<_> = (0..batch)
            .into_par_iter()
            .step_by(TOGETHER)
            .map(|first| self.part(&weights, data, first, TOGETHER.min(batch - first)))
            .collect();
        let scale = 1.0 / (batch * dim) as f64;
        let mut grad = vec![0.0; self.params.len()];
        let mut loss = 0.0;
        for (of_part, part) in parts {
            loss += scale * of_part;
            grad.iter_mut().zip(part).for_each(|(sum, g)| *sum += scale * g);
        }
        (loss, grad)
    }

    /// Σ ‖ε − z‖² over some points of this step's batch, and its gradient.
    fn part<T: Real>(&self, weights: &Weights<T>, data: &[f32], first: usize, count: usize) -> (f64, Vec<f64>) {
        let (dim, points) = (self.network.dim(), data.len() / self.network.dim());
        let key = key(self.settings.seed, Stream::Denoise, self.steps());
        let (mut inputs, mut noise) = (Vec::new(), vec![0.0; dim * count]);
        let one_of = |bits: [u32; 2], n: usize| ((uniform(bits) * n as f64) as usize).min(n - 1);
        for (i, z) in noise.chunks_exact_mut(dim).enumerate() {
            let draws = Draws::new(key, (first + i) as u32, 0);
            draws.normals(0, z);
            let sigma = self.levels[one_of(draws.bits(normal_slots(dim)), self.levels.len())];
            let point = one_of(draws.bits(normal_slots(dim) + 1), points);
            let y = z.iter().enumerate().map(|(i, z)| f64::from(data[i * points + point]) + sigma * z);
            self.network.inputs(sigma, y, &mut inputs);
        }
        let mut grad = vec![0.0; self.params.len()];
        let residual = |found: &[T]| found.iter().zip(&noise).map(|(found, &z)| *found - T::of(z)).collect::<Vec<_>>();
        let square = |r: &[T]| r.iter().map(|r| r.wide() * r.wide()).sum::<f64>();
        if !self.network.is_energy() {
            let plain = Batch::forward(weights, &inputs, &[]);
            let mut residual = residual(plain.output());
            let loss = square(&residual);
            residual.iter_mut().for_each(|r| *r += *r);
            plain.reverse(&residual, Some(&mut grad));
            return (loss, grad);
        }
        // ε = ∇ₓf. With r = ε − z held fixed the gradient of ‖r‖² is that of 2 r·∇ₓf, twice the slope of f along r.
        let width = inputs.len() / count;
        let residual = residual(&self.network.noises(weights, &inputs));
        let mut directions = vec![T::zero(); inputs.len()];
        for (row, r) in directions.chunks_exact_mut(width).zip(residual.chunks_exact(dim)) {
            row[..dim].copy_from_slice(r);
        }
        let along = Batch::forward(weights, &inputs, &directions);
        along.reverse(&[vec![T::zero(); count], vec![T::of(2.0); count]].concat(), Some(&mut grad));
        (square(&residual), grad)
    }

    /// One step of Adam, and of the average.
    fn go(&mut self, grad: &[f64]) {
        Optimizer::adam(self.settings.rate.clone()).descend(&mut self.params, grad, &mut self.memory);
        let k = self.steps() as f64;
        let keep = self.settings.average.min((1.0 + k) / (10.0 + k));
        self.average.iter_mut().zip(&self.params).for_each(|(average, p)| *average += (1.0 - keep) * (p - *average));
    }

    /// Writes parameters, their average, Adam's moments and the step: [`resume`](Self::resume) goes on bit for bit.
    ///
    /// # Errors
    /// [`Error::Write`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut draft = Draft::default();
        let Memory { first, second, steps } = &self.memory;
        let all = [("params", &self.params), ("average", &self.average), ("mean", first), ("square", second)];
        for (name, values) in all {
            draft.put(name, &[values.len()], values.as_slice());
        }
        draft.put("steps", &[1], vec![*steps]);
        draft.seal(path.as_ref(), "format", FORMAT.into())
    }

    /// This trainer, with the state of one that was saved, of the same network and settings.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be read; [`Error::Format`] where it is damaged or of another network.
    pub fn resume(mut self, path: impl AsRef<Path>) -> Result<Self> {
        let file = Tensors::open(path.as_ref())?.sealed()?;
        file.expect("format", FORMAT)?;
        let values = |name: &str| file.finite(name, &[self.params.len()]);
        let (params, average) = (values("params")?, values("average")?);
        self.memory = Memory { first: values("mean")?, second: values("square")?, steps: file.take("steps", &[1])?[0] };
        (self.params, self.average) = (params, average);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Activation;

    /// The gradient of the loss by central differences, for a score and for an energy; the residual of an energy is not held fixed here.
    #[test]
    fn gradients_are_those_of_the_loss() {
        let data: Vec<f32> = (0..40).map(|i| (0.7 * i as f32).sin()).collect();
        for activation in [Activation::Silu, Activation::Tanh, Activation::Softplus] {
            for network in [NoiseNetwork::new(2, &[5, 4], activation, 3), NoiseNetwork::energy(2, &[5, 4], activation, 3)] {
                let settings = Training { batch: 300, ..Training::default() };
                let mut trainer = Trainer::new(network.unwrap(), [0.1, 1.0, 20.0], settings).unwrap();
                let (_, grad) = trainer.loss_and_grad::<f64>(&data);
                let scale = grad.iter().fold(0.0f64, |top, g| top.max(g.abs()));
                for i in (0..grad.len()).step_by(3) {
                    let (at, h) = (trainer.params[i], 1e-5);
                    let mut loss = |value: f64| {
                        trainer.params[i] = value;
                        trainer.loss_and_grad::<f64>(&data).0
                    };
                    let difference = (loss(at + h) - loss(at - h)) / (2.0 * h);
                    trainer.params[i] = at;
                    let narrow = trainer.loss_and_grad::<f32>(&data).1[i];
                    assert!((grad[i] - narrow).abs() < 1e-4 * scale, "{activation:?} {i}: {narrow} in f32, not {}", grad[i]);
                    assert!((grad[i] - difference).abs() < 1e-6 * scale, "{activation:?} {i}: {}, not {difference}", grad[i]);
                }
            }
        }
    }
}
