//! Training by denoising: a network learns to predict the noise in noised data.

use std::{ops::Range, path::Path};

use super::{
    NoiseNetwork,
    denoise::{Denoiser, Noised},
};
use crate::{
    Backend, Error, Result, Schedule,
    energy::Energy,
    error::{points, positive, room},
    random::{Draws, Stream, key, normal_slots, uniform},
    settings::{Settings, settings},
    tensors::{Draft, Tensors},
    train::{Memory, Optimizer},
};

/// A loss that no training comes back from.
const MOST_LOSS: f64 = 1e30;
const FORMAT: &str = "ergodic noise training 3";

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
/// σ² ‖s + z/σ‖² = ‖ε − z‖². On a GPU the passes over the layers run there, and random numbers and Adam on the host. What follows depends
/// on this state, the settings and the data alone, bit for bit on one device.
#[derive(Debug)]
pub struct Trainer {
    settings: Training,
    network: NoiseNetwork,
    levels: Vec<f64>,
    denoiser: Denoiser,
    state: State,
}

/// What a step changes.
#[derive(Debug, Clone)]
struct State {
    params: Vec<f64>,
    /// Adam's.
    memory: Memory,
    average: Vec<f64>,
}

impl Trainer {
    /// Starts to train a network at these noise levels σ. Of software Vulkan and the CPU's threads ([`Backend::cpu`]), the threads are faster.
    ///
    /// # Errors
    /// [`Error::Setting`] where there is no level, or a level or a setting is outside of its range; [`Error::Limit`] for batches
    /// beyond 2³² − 1; errors of the device.
    pub fn new(backend: &Backend, network: NoiseNetwork, levels: impl Into<Vec<f64>>, settings: Training) -> Result<Self> {
        let levels = levels.into();
        if levels.is_empty() {
            return Err(Error::setting("noise levels", "an empty list", "must hold at least one"));
        }
        levels.iter().try_for_each(|&sigma| positive("noise level", sigma).map(drop))?;
        if settings.batch == 0 {
            return Err(Error::setting("batch", 0, "must be at least 1"));
        }
        let units = network.network().sizes()[0] + network.dim();
        room("batch", settings.batch, units.saturating_mul(size_of::<f64>() + size_of::<f32>()))?;
        settings.rate.validate("rate", positive)?;
        if !(0.0..1.0).contains(&settings.average) {
            return Err(Error::setting("average", settings.average, "must be at least 0 and below 1"));
        }
        let params: Vec<f64> = network.params().iter().map(|&p| f64::from(p)).collect();
        let state = State { memory: Memory::new(params.len()), average: params.clone(), params };
        Ok(Self { denoiser: Denoiser::new(backend, &network)?, settings, network, levels, state })
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.state.memory.steps
    }

    /// The network with the average of its parameters.
    ///
    /// # Errors
    /// [`Error::Setting`] where training diverged.
    pub fn network(&self) -> Result<NoiseNetwork> {
        self.network.with_params(&self.state.average.iter().map(|&p| p as f32).collect::<Vec<_>>())
    }

    /// So many steps on data, `[dim][point]`; the mean loss over them, a coordinate.
    ///
    /// # Errors
    /// [`Error::Shape`] where the data are no multiple of the dimension; [`Error::Setting`] where a number is not finite, with
    /// its row (the point) and column (the coordinate), from 1, or where the loss passed 10³⁰; errors of the device. The state is then that
    /// before this call.
    pub fn train(&mut self, data: &[f32], steps: u64) -> Result<f64> {
        points("data", self.network.dim(), data)?;
        let before = self.state.clone();
        let mean = self.go_on(data, steps);
        if mean.is_err() {
            self.state = before;
        }
        mean
    }

    fn go_on(&mut self, data: &[f32], steps: u64) -> Result<f64> {
        let mut sum = 0.0;
        for _ in 0..steps {
            let (loss, grad) = self.loss_and_grad(data)?;
            if loss.is_nan() || loss > MOST_LOSS {
                let (step, rate) = (self.steps(), self.settings.rate.at(self.steps()));
                return Err(Error::setting("rate", rate, format!("training diverged in step {step}; lower it")));
            }
            sum += loss;
            self.descend(&grad);
        }
        Ok(sum / steps.max(1) as f64)
    }

    /// The loss a coordinate of this step's batch, and its gradient.
    fn loss_and_grad(&mut self, data: &[f32]) -> Result<(f64, Vec<f64>)> {
        let Self { settings, network, levels, denoiser, state } = self;
        let noised = |range| noised(settings, levels, state.memory.steps, network, data, range);
        let (loss, mut grad) = denoiser.loss_and_grad(network, &state.params, settings.batch, noised)?;
        let scale = 1.0 / (settings.batch * network.dim()) as f64;
        grad.iter_mut().for_each(|g| *g *= scale);
        Ok((scale * loss, grad))
    }

    /// One step of Adam, and of the average.
    fn descend(&mut self, grad: &[f64]) {
        let State { params, memory, average } = &mut self.state;
        Optimizer::adam(self.settings.rate.clone()).descend(params, grad, memory);
        let k = memory.steps as f64;
        let keep = self.settings.average.min((1.0 + k) / (10.0 + k));
        average.iter_mut().zip(&*params).for_each(|(average, p)| *average += (1.0 - keep) * (p - *average));
    }

    /// Writes parameters, their average, Adam's moments and the step: [`resume`](Self::resume) goes on bit for bit.
    ///
    /// # Errors
    /// [`Error::Write`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut draft = Draft::default();
        let State { params, memory: Memory { first, second, steps }, average } = &self.state;
        let all = [("params", params), ("average", average), ("mean", first), ("square", second)];
        for (name, values) in all {
            draft.put(name, &[values.len()], values.as_slice());
        }
        draft.put("steps", &[1], vec![*steps]);
        draft.put_settings(&self.definition())?;
        draft.seal(path.as_ref(), "format", FORMAT.into())
    }

    /// What defines the run.
    fn definition(&self) -> Settings {
        let Training { batch, rate, average, seed } = &self.settings;
        let (network, levels) = (self.network.name(), &self.levels);
        settings([
            ("network", &network),
            ("noise levels", levels),
            ("batch", batch),
            ("rate", rate),
            ("average", average),
            ("seed", seed),
        ])
    }

    /// This trainer, with the state of one that was saved, of the same network and settings.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be read; [`Error::Format`] where it is damaged or of another network, or was saved with other
    /// settings, which it names.
    pub fn resume(mut self, path: impl AsRef<Path>) -> Result<Self> {
        let file = Tensors::open(path.as_ref())?.sealed()?;
        file.expect("format", FORMAT)?;
        file.expect_settings(&self.definition())?;
        let values = |name: &str| file.finite(name, &[self.state.params.len()]);
        let memory = Memory { first: values("mean")?, second: values("square")?, steps: file.take("steps", &[1])?[0] };
        self.state = State { params: values("params")?, memory, average: values("average")? };
        Ok(self)
    }
}

/// Points of a step's batch, each of the data with noise of one of the levels.
fn noised(settings: &Training, levels: &[f64], step: u64, network: &NoiseNetwork, data: &[f32], range: Range<usize>) -> Noised {
    let (dim, points) = (network.dim(), data.len() / network.dim());
    let key = key(settings.seed, Stream::Denoise, step);
    let mut noised = Noised { inputs: Vec::new(), noise: vec![0.0; dim * range.len()] };
    let one_of = |bits: [u32; 2], n: usize| ((uniform(bits) * n as f64) as usize).min(n - 1);
    for (i, z) in range.zip(noised.noise.chunks_exact_mut(dim)) {
        let draws = Draws::new(key, i as u32, 0);
        draws.normals(0, z);
        let sigma = levels[one_of(draws.bits(normal_slots(dim)), levels.len())];
        let point = one_of(draws.bits(normal_slots(dim) + 1), points);
        let y = z.iter().enumerate().map(|(i, z)| f64::from(data[i * points + point]) + sigma * z);
        network.inputs(sigma, y, &mut noised.inputs);
    }
    noised
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{diffusion::denoise::on_threads, net::Activation};

    /// The gradient of the loss by central differences, for a score and for an energy; the residual of an energy is not held fixed here.
    /// The same in f32, on the CPU and on a GPU if there is one.
    #[test]
    fn gradients_are_those_of_the_loss() {
        let data: Vec<f32> = (0..40).map(|i| (0.7 * i as f32).sin()).collect();
        let backends = [Backend::cpu(), Backend::best().unwrap()];
        for activation in [Activation::Silu, Activation::Tanh, Activation::Softplus] {
            for network in [NoiseNetwork::new(2, &[5, 4], activation, 3), NoiseNetwork::energy(2, &[5, 4], activation, 3)] {
                let (network, levels) = (network.unwrap(), [0.1, 1.0, 20.0]);
                let settings = Training { batch: 300, ..Training::default() };
                let params: Vec<f64> = network.params().iter().map(|&p| f64::from(p)).collect();
                let scale = 1.0 / (settings.batch * network.dim()) as f64;
                let wide = |params: &[f64]| {
                    let noised = |range| noised(&settings, &levels, 0, &network, &data, range);
                    let (loss, grad) = on_threads::<f64>(&network, params, settings.batch, noised);
                    (scale * loss, grad.iter().map(|g| scale * g).collect::<Vec<_>>())
                };
                let (loss, grad) = wide(&params);
                let largest = grad.iter().fold(0.0f64, |top, g| top.max(g.abs()));
                for backend in &backends {
                    let mut trainer = Trainer::new(backend, network.clone(), levels, settings.clone()).unwrap();
                    let (found, narrow) = trainer.loss_and_grad(&data).unwrap();
                    assert!((found / loss - 1.0).abs() < 1e-5, "{activation:?}: {found} in f32, not {loss}");
                    for (i, (narrow, grad)) in narrow.iter().zip(&grad).enumerate() {
                        assert!((grad - narrow).abs() < 1e-4 * largest, "{activation:?} {i}: {narrow} in f32, not {grad}");
                    }
                }
                for i in (0..grad.len()).step_by(3) {
                    let h = 1e-5;
                    let at = |by: f64| {
                        let mut params = params.clone();
                        params[i] += by;
                        wide(&params).0
                    };
                    let difference = (at(h) - at(-h)) / (2.0 * h);
                    assert!((grad[i] - difference).abs() < 1e-6 * largest, "{activation:?} {i}: {}, not {difference}", grad[i]);
                }
            }
        }
    }
}
