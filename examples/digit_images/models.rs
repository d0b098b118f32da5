//! The two models: a network that is an energy at every noise level, and one that predicts noise.

#![allow(unreachable_pub, reason = "a part of an example")]

use std::time::Instant;

use anyhow::Result;
use ergodic::{
    Backend, Schedule, Start,
    diffusion::{NoiseNetwork, NoiseSchedule, Sampler, Trainer, Training},
    energy::Energy,
    kernel::{Annealed, Reverse},
    net::Activation,
};
use serde::Serialize;

use crate::images::PIXELS;

/// Noise levels of the energy: the first drowns every image, at the last a sample shows little noise.
pub const LEVELS: usize = 12;
pub const FIRST: f64 = 4.0;
pub const LAST: f64 = 0.1;
/// α of the steps at each level, in units of its σ².
const STEP: f64 = 0.2;

/// What was learned, and how fast.
#[derive(Serialize)]
pub struct Learned {
    network: String,
    pub steps: u64,
    batch: usize,
    /// Of the last tenth of the steps, a pixel.
    pub loss: f64,
    pub steps_per_second: f64,
    pub seconds: f64,
}

/// Annealed Langevin dynamics through the levels, with so many steps at each.
pub fn annealed(each: u64) -> Annealed {
    Annealed::geometric(FIRST, LAST, LEVELS as u64, each, STEP * LAST * LAST)
}

/// The positions from which it starts.
pub fn noise() -> Start {
    Start::normal([0.0], FIRST)
}

/// An energy at every level, by denoising score matching. `backend` is where it is trained.
pub fn energy(backend: &Backend, data: &[f32], steps: u64, seed: u64) -> Result<(NoiseNetwork, Learned)> {
    let levels = Schedule::geometric(FIRST, LAST, LEVELS as u64);
    let levels: Vec<_> = (0..LEVELS as u64).map(|i| levels.at(i)).collect();
    let network = NoiseNetwork::energy(PIXELS, &[128, 128], Activation::Silu, seed)?;
    learn(backend, "energy", network, levels, data, steps, 0.003, seed)
}

/// A network that predicts the noise of a diffusion, learned in a short time or a long one.
pub fn diffusion(
    backend: &Backend,
    schedule: &NoiseSchedule,
    data: &[f32],
    steps: u64,
    quick: bool,
    seed: u64,
) -> Result<(NoiseNetwork, Learned)> {
    // In a short time a small network gets further, and by large steps.
    let (units, rate) = if quick { (128, 0.01) } else { (256, 0.003) };
    let network = NoiseNetwork::new(PIXELS, &[units, units], Activation::Silu, seed)?;
    learn(backend, "diffusion", network, schedule.noise_levels(), data, steps, rate, seed)
}

#[allow(clippy::too_many_arguments, reason = "called twice, all of it plain data")]
fn learn(
    backend: &Backend,
    what: &str,
    network: NoiseNetwork,
    levels: Vec<f64>,
    data: &[f32],
    steps: u64,
    rate: f64,
    seed: u64,
) -> Result<(NoiseNetwork, Learned)> {
    let settings = Training { batch: 256, rate: Schedule::cosine(rate, 1e-5, steps), average: 0.99, seed };
    let batch = settings.batch;
    let mut trainer = Trainer::new(backend, network, levels, settings)?;
    let begun = Instant::now();
    let mut loss = 0.0;
    for tenth in 1..=10 {
        loss = trainer.train(data, steps / 10)?;
        if tenth % 2 == 0 {
            println!("{what}: {} steps, loss {loss:.4} a pixel", tenth * steps / 10);
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let network = trainer.network()?;
    let learned = Learned { network: network.name(), steps, batch, loss, steps_per_second: steps as f64 / seconds, seconds };
    Ok((network, learned))
}

/// Samples of the energy at the last level, and where the chains stood at the end of each level. On the CPU all layers of a network take
/// a step of many chains at once.
pub fn sample(
    backend: &Backend,
    energy: &NoiseNetwork,
    chains: usize,
    each: u64,
    seed: u64,
) -> Result<(Vec<f32>, Vec<Vec<f32>>)> {
    let mut frames = Vec::new();
    if backend.gpu().is_none() {
        let mut sampler = Sampler::annealed(energy.clone(), annealed(each), &noise(), chains, seed)?;
        for _ in 0..LEVELS {
            sampler.advance(each);
            frames.push(sampler.positions());
        }
        return Ok((sampler.positions(), frames));
    }
    let mut chains = backend.chains(energy.clone(), annealed(each)).count(chains).start(noise()).seed(seed).build()?;
    for _ in 0..LEVELS {
        chains.advance(each)?;
        frames.push(chains.positions()?);
    }
    println!("{}", chains.report());
    Ok((chains.positions()?, frames))
}

/// Samples of the diffusion, by some of its steps without noise (DDIM).
pub fn denoise(network: &NoiseNetwork, schedule: &NoiseSchedule, count: usize, steps: usize, seed: u64) -> Result<Vec<f32>> {
    let kernel = Reverse::ddim(schedule, steps, 0.0)?;
    let steps = kernel.steps();
    let mut sampler = Sampler::new(network.clone(), kernel, count, seed)?;
    sampler.advance(steps);
    Ok(sampler.positions())
}
