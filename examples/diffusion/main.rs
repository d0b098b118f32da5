//! How does noise become data? The forward and the reverse process of a diffusion, with a learned score or the exact one of its data.

#[path = "../common/mod.rs"]
mod common;
mod data;
mod distance;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use common::{Density, Options, Picture, progress, thousands};
use data::{Data, draws};
use distance::{energy_distance, sliced_wasserstein};
use ergodic::{
    Backend, Chains, Schedule,
    diffusion::{NoiseNetwork, NoiseSchedule, Sampler, Trainer, Training, log_likelihood},
    energy::{Energy, Mixture, Params},
    kernel::{Kernel, ProbabilityFlow, Reverse, Variance},
    net::Activation,
};
use serde::Serialize;

/// T.
const STEPS: usize = 1000;
/// Distances are means over so many pairs of parts: that of one pair varies by its own size.
const PARTS: usize = 8;
/// Points of a part, at least, with --quick at most, and at most. The more, the closer are two halves of the data, and the harder the
/// comparison.
const COMPARED: [usize; 3] = [1_024, 4_096, 8_192];
const FRAMES: usize = 6;
/// Half the side of the panels.
const HALF: f64 = 3.2;

/// The way back from the noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Back {
    /// All 1,000 steps.
    Ancestral,
    /// 100 steps without noise.
    Ddim,
    /// 50 steps of Heun's method on the probability flow.
    Flow,
}

/// How does noise become data? The forward and the reverse process of a diffusion, with a learned score or the exact one of its data.
#[derive(Debug, Parser)]
struct Own {
    #[command(flatten)]
    options: Options,
    /// The data
    #[arg(long, value_enum, default_value_t = Data::Moons)]
    data: Data,
    /// Learn nothing: take the exact score of the data
    #[arg(long)]
    exact: bool,
    /// Learn an energy instead of a score
    #[arg(long, conflicts_with = "exact")]
    energy: bool,
    /// The way back [default: ancestral; of a learned score with --quick: ddim]
    #[arg(long, value_enum)]
    sampler: Option<Back>,
}

/// What was learned, and how fast.
#[derive(Serialize)]
struct Learned {
    network: String,
    steps: u64,
    batch: usize,
    /// Of the last tenth of the steps, a coordinate.
    loss: f64,
    steps_per_second: f64,
    seconds: f64,
}

#[derive(Serialize)]
struct Figures {
    data: &'static str,
    score: &'static str,
    learned: Option<Learned>,
    sampler: String,
    samples: usize,
    steps: u64,
    /// Points of each of the samples that distances are taken between, and the pairs of them.
    compared: usize,
    pairs: usize,
    /// Between samples and fresh data.
    energy_distance: f64,
    sliced_wasserstein: f64,
    /// The same between two halves of the data, of the same size.
    energy_distance_of_data: f64,
    sliced_wasserstein_of_data: f64,
    /// Mean log-likelihood of data under the probability flow, in nats, and under the exact density.
    log_likelihood: f64,
    exact_log_likelihood: f64,
    /// Steps of all chains a second.
    steps_per_second: f64,
    seconds: f64,
    failed_transitions: u64,
}

/// What runs: chains, or the layers of a network at once.
enum Run {
    Chains(Box<dyn Chains>),
    Layers(Box<Sampler>),
}

impl Run {
    fn advance_to(&mut self, step: u64) -> Result<()> {
        match self {
            Self::Chains(chains) => chains.advance(step - chains.steps())?,
            Self::Layers(sampler) => sampler.advance(step - sampler.steps()),
        }
        Ok(())
    }

    fn positions(&self) -> Result<Vec<f32>> {
        Ok(match self {
            Self::Chains(chains) => chains.positions()?,
            Self::Layers(sampler) => sampler.positions(),
        })
    }
}

/// A kernel with what it starts from, its steps, and the scale from its coordinates to those of the data.
struct Way {
    kernel: Arc<dyn Kernel>,
    /// The kernel, where the layers of a network can run it at once.
    reverse: Option<Reverse>,
    start: ergodic::Start,
    steps: u64,
    scale: Box<dyn Fn(u64) -> f64>,
}

fn way(sampler: Back, schedule: &NoiseSchedule) -> Result<Way> {
    let reverse = |kernel: Reverse| Way {
        start: kernel.start(),
        steps: kernel.steps(),
        kernel: Arc::new(kernel.clone()),
        reverse: Some(kernel.clone()),
        scale: Box::new(move |step| kernel.scale(step)),
    };
    Ok(match sampler {
        Back::Ancestral => reverse(Reverse::ancestral(schedule, Variance::Posterior)),
        Back::Ddim => reverse(Reverse::ddim(schedule, 100, 0.0)?),
        Back::Flow => {
            let kernel = ProbabilityFlow::new(schedule, 50)?;
            Way {
                start: kernel.start(),
                steps: kernel.steps(),
                kernel: Arc::new(kernel.clone()),
                reverse: None,
                scale: Box::new(move |step| kernel.scale(step)),
            }
        }
    })
}

/// A network of two layers of 128, trained on fresh draws of the data.
fn learn(own: &Own, backend: &Backend, law: &Mixture, schedule: &NoiseSchedule) -> Result<(NoiseNetwork, Learned)> {
    let (seed, silu) = (own.options.seed, Activation::Silu);
    let network = match own.energy {
        true => NoiseNetwork::energy(2, &[128, 128], silu, seed)?,
        false => NoiseNetwork::new(2, &[128, 128], silu, seed)?,
    };
    // In a short time many small steps get further than few good ones.
    let (batch, steps, rate) = if own.options.quick { (256, 16_000, 0.006) } else { (512, 30_000, 0.004) };
    let settings = Training { batch, rate: Schedule::cosine(rate, 1e-5, steps), average: 0.999, seed };
    let backend = own.options.for_training(backend);
    println!("training on: {}", backend.describe());
    let mut trainer = Trainer::new(&backend, network, schedule.noise_levels(), settings)?;
    let data = draws(law, 200_000, seed, 3);
    let begun = Instant::now();
    let mut loss = 0.0;
    for tenth in 1..=10 {
        loss = trainer.train(&data, steps / 10)?;
        println!("training: {} steps, loss {loss:.4} a coordinate", thousands((tenth * steps / 10) as usize));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let network = trainer.network()?;
    let name = network.name();
    Ok((network, Learned { network: name, steps, batch, loss, steps_per_second: steps as f64 / seconds, seconds }))
}

/// The density of x = scale · y, y at the noise level where that is √ᾱ.
fn density(law: &Mixture, scale: f64) -> Density {
    let values = law.params();
    let params = Params::new(&values).at_noise(scale.powi(-2) - 1.0);
    Density::of_formula(|x, y| law.energy(params, &[x / scale, y / scale]), [-5.0, 5.0], [-5.0, 5.0])
}

/// Every point's coordinates times a factor.
fn scaled(x: &[f32], by: f64) -> Vec<f32> {
    x.iter().map(|&x| (f64::from(x) * by) as f32).collect()
}

/// A part of so many points of a sample, `[dim][point]`.
fn part(x: &[f32], points: usize, part: usize) -> Vec<f32> {
    x.chunks(x.len() / 2).flat_map(|row| row[part * points..][..points].to_vec()).collect()
}

/// The mean over the parts of two samples, of so many points each.
fn of_parts(a: &[f32], b: &[f32], points: usize, distance: impl Fn(&[f32], &[f32]) -> f64) -> f64 {
    (0..PARTS).map(|i| distance(&part(a, points, i), &part(b, points, i))).sum::<f64>() / PARTS as f64
}

fn main() -> Result<()> {
    let own = Own::parse();
    let (options, data) = (&own.options, own.data);
    options.at_least(PARTS * COMPARED[0], "as many samples as are compared with the data")?;
    let backend = options.open()?;
    let begun = Instant::now();
    let schedule = NoiseSchedule::linear(STEPS, 1e-4, 0.02)?;
    let law = data.law()?;
    let (target, network, learned): (Arc<dyn Energy>, _, _) = match own.exact {
        true => (Arc::new(law.clone()), None, None),
        false => {
            let (network, learned) = learn(&own, &backend, &law, &schedule)?;
            (Arc::new(network.clone()), Some(network), Some(learned))
        }
    };
    let score = if own.exact { "exact" } else { "learned" };
    let few = options.quick && !own.exact;
    let sampler = own.sampler.unwrap_or(if few { Back::Ddim } else { Back::Ancestral });
    let Way { kernel, reverse, start, steps, scale } = way(sampler, &schedule)?;
    let most = match (own.exact, options.quick) {
        (false, true) => 32_768,
        (true, true) => 16_384,
        (_, false) => 65_536,
    };
    // In f64 a chain at a time, as the exact score is on a CPU, fewer.
    let on_cpu = if own.exact { PARTS * COMPARED[0] } else { most };
    let chains = options.count(&backend, most, on_cpu);
    let compared = (chains / PARTS).min(COMPARED[if options.quick { 1 } else { 2 }]);
    let title = format!("Diffusion: from the {} to noise, and from noise to the {0}", data.name());
    let name = format!("{sampler:?}").to_lowercase();
    let says = format!("{score} score; {name}, {} steps; {} samples", thousands(steps as usize), thousands(chains));
    let mut picture = Picture::grid(&title, &says, FRAMES, 3, [330, 330], false)?;
    let box_ = [-HALF, HALF];
    // Most happens where there is little noise.
    let at = |frame: usize| (frame as f64 / (FRAMES - 1) as f64).powi(2);

    let fresh = draws(&law, chains, options.seed, 0);
    for frame in 0..FRAMES {
        let t = (STEPS as f64 * at(frame)) as usize;
        let noised = schedule.noised(&fresh, 2, t, options.seed)?;
        let density = density(&law, schedule.alpha_bar(t).sqrt());
        let mut panel = picture.panel(frame, 0, box_, box_);
        panel.samples(&noised, &density).axes(&format!("forward, t = {}", thousands(t)), "");
    }

    let mut run = match (network, reverse) {
        (Some(network), Some(kernel)) => Run::Layers(Box::new(Sampler::new(network, kernel, chains, options.seed)?)),
        _ => {
            let setup = backend.chains_of(target.clone(), kernel).count(chains).seed(options.seed).start(start);
            Run::Chains(setup.on_progress(progress(&name)).build()?)
        }
    };
    let mut sampling = Duration::ZERO;
    for frame in 0..FRAMES {
        let step = steps - (steps as f64 * at(FRAMES - 1 - frame)) as u64;
        let begun = Instant::now();
        run.advance_to(step)?;
        sampling += begun.elapsed();
        let density = density(&law, scale(step));
        let mut panel = picture.panel(frame, 1, box_, box_);
        panel.samples(&scaled(&run.positions()?, scale(step)), &density);
        panel.axes(&format!("reverse, step {}", thousands(step as usize)), "");
    }
    let samples = run.positions()?;
    let failed_transitions = match &run {
        Run::Chains(chains) => {
            println!("{}", chains.report());
            chains.report().failed_transitions()
        }
        Run::Layers(_) => 0,
    };
    let steps_per_second = (chains as u64 * steps) as f64 / sampling.as_secs_f64();
    println!("{} samples in {:.2} s, {steps_per_second:.3e} steps a second", thousands(chains), sampling.as_secs_f64());

    let [half, other] = [1, 2].map(|set| draws(&law, PARTS * compared, options.seed, set));
    let sliced = |a: &[f32], b: &[f32]| sliced_wasserstein(a, b, options.seed);
    let exact = density(&law, 1.0);
    for (column, (points, title)) in [(&fresh, "data"), (&samples, "samples")].into_iter().enumerate() {
        let mut panel = picture.panel(2 + column, 2, box_, box_);
        panel.samples(points, &exact).contours_of(&law, &exact, &[0.5, 2.0], [1.0; 3], 0.35).axes(title, "");
    }
    picture.save("diffusion")?;

    let points = if own.exact { COMPARED[0] } else { 64 };
    let some: Vec<f32> = part(&other, compared, 0).chunks(compared).flat_map(|row| row[..points].to_vec()).collect();
    let flow = log_likelihood(&*target, &schedule, if own.exact { 100 } else { 50 }, &some)?;
    let values = law.params();
    let ln_z = -(exact.least_energy + exact.peak.ln());
    let truth = |i: usize| -law.energy(Params::new(&values), &[f64::from(some[i]), f64::from(some[points + i])]) - ln_z;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let figures = Figures {
        data: data.name(),
        score,
        learned,
        sampler: name,
        samples: chains,
        steps,
        compared,
        pairs: PARTS,
        energy_distance: of_parts(&samples, &half, compared, energy_distance),
        sliced_wasserstein: of_parts(&samples, &half, compared, sliced),
        energy_distance_of_data: of_parts(&half, &other, compared, energy_distance),
        sliced_wasserstein_of_data: of_parts(&half, &other, compared, sliced),
        log_likelihood: mean(&flow),
        exact_log_likelihood: mean(&(0..points).map(truth).collect::<Vec<_>>()),
        steps_per_second,
        seconds: begun.elapsed().as_secs_f64(),
        failed_transitions,
    };
    println!(
        "samples of {}: energy distance {:.5} (two halves of the data: {:.5}), sliced Wasserstein {:.4} ({:.4})\n\
         log-likelihood by the flow {:.3} nats, exact {:.3}",
        thousands(compared),
        figures.energy_distance,
        figures.energy_distance_of_data,
        figures.sliced_wasserstein,
        figures.sliced_wasserstein_of_data,
        figures.log_likelihood,
        figures.exact_log_likelihood
    );
    options.finish(
        &figures,
        [
            (figures.failed_transitions == 0, "no transition fails"),
            (
                figures.energy_distance < 3.0 * figures.energy_distance_of_data,
                "samples are as close to data as three times what two halves of the data are",
            ),
            (
                !own.exact || (figures.log_likelihood - figures.exact_log_likelihood).abs() < 0.01,
                "log-likelihoods of the exact score are within 0.01 nats",
            ),
        ],
    )
}
