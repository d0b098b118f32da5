//! What the examples of training share: losses by name, a mixture to begin with, a run within a budget, and its judgement.

#![allow(dead_code, unreachable_pub, reason = "each example uses a part")]

mod judgement;

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use ergodic::{
    Backend, Schedule, Start,
    energy::{Energy, Mixture, SoftmaxMixture},
    kernel::{Independence, Mala, Ula},
    net::{Activation, Mlp},
    train::{
        Contrastive, Data, Grid, Loss, Noise, Optimizer, Standard, Toy, Trainable, Trainer, Training, energy_distance,
        sliced_wasserstein, walk,
    },
};
use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};
use serde::Serialize;

pub use judgement::{HALF, Likelihood, box_of};
use judgement::{grid_over, grid_that_holds, likelihood, ln_z};

/// Components of the mixture that learns.
const COMPONENTS: usize = 24;
/// Points of a batch.
pub const BATCH: usize = 512;
/// Persistent chains.
const CHAINS: usize = 512;
/// Points of the data and of the model that two-sample distances compare, where there are so many.
const COMPARED: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Named {
    Moons,
    Rings,
    EightGaussians,
    Pinwheel,
    Checkerboard,
    SwissRoll,
    Spirals,
}

impl Named {
    /// As it is written.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().into())
    }

    pub fn toy(self) -> Toy {
        match self {
            Self::Moons => Toy::Moons,
            Self::Rings => Toy::Rings,
            Self::EightGaussians => Toy::EightGaussians,
            Self::Pinwheel => Toy::Pinwheel,
            Self::Checkerboard => Toy::Checkerboard,
            Self::SwissRoll => Toy::SwissRoll,
            Self::Spirals => Toy::Spirals,
        }
    }
}

/// Points from a file, `.npy` or CSV, with mean 0 and standard deviation 1, in random order; and what they had.
pub fn from_file(path: &Path, seed: u64) -> Result<(Data, Standard)> {
    let is_npy = path.extension().is_some_and(|extension| extension == "npy");
    let data = if is_npy { Data::from_npy(path)? } else { Data::from_csv(path)? };
    let file = path.display();
    ensure!(data.dim() >= 2, "{file} holds points of one coordinate: this example shows the plane, so it wants 2 or more");
    ensure!(data.count() >= 100, "{file} holds {} points: this example wants at least 100", data.count());
    let (data, standard) = data.standardized()?;
    let mut order: Vec<_> = (0..data.count()).collect();
    order.shuffle(&mut SmallRng::seed_from_u64(seed));
    let rows = data.points().chunks(data.count());
    let points: Vec<_> = rows.flat_map(|row| order.iter().map(|&point| row[point])).collect();
    Ok((Data::new(data.dim(), points)?, standard))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Contrastive divergence, ten steps of MALA from the data
    Cd,
    /// Persistent contrastive divergence
    Pcd,
    /// Implicit score matching; blind to the weights of modes that lie apart, as all score matching is
    Ism,
    /// Denoising score matching
    Dsm,
    /// Sliced score matching
    Ssm,
    /// Noise-contrastive estimation
    Nce,
}

impl By {
    pub const ALL: [Self; 6] = [Self::Cd, Self::Pcd, Self::Ism, Self::Dsm, Self::Ssm, Self::Nce];

    pub fn name(self) -> &'static str {
        match self {
            Self::Cd => "cd",
            Self::Pcd => "pcd",
            Self::Ism => "ism",
            Self::Dsm => "dsm",
            Self::Ssm => "ssm",
            Self::Nce => "nce",
        }
    }

    /// Updates of a whole run: those of a network's persistent chains are short.
    pub fn updates(self, model: Model) -> u64 {
        if (self, model) == (Self::Pcd, Model::Mlp) { 8_000 } else { 4_000 }
    }

    pub fn loss(self, model: Model, data: &Data) -> Result<Loss> {
        // Of networks all layers take Langevin steps at once; those are not adjusted, so they must be small.
        let steps = |mala: f64, steps| match model {
            Model::Mixture => Contrastive::new(Mala::new(mala), steps),
            Model::Mlp => Contrastive::new(Ula::new(0.002), 20),
        };
        Ok(match self {
            Self::Cd => Loss::Contrastive(steps(0.08, 10)),
            // In the plane proposals from everywhere take chains from mode to mode. Were they to stay in theirs, each with its share of the
            // chains, nothing would hold the model to the shares of the data.
            Self::Pcd if model == Model::Mixture && data.dim() == 2 => {
                let anywhere = Independence::new([0.0], [0.4 * HALF]);
                Loss::Contrastive(Contrastive::new(anywhere, 20).persistent(CHAINS, Start::normal([0.0], 1.5)))
            }
            // Steps as small as the finest of the data: chains that are always refused stand still.
            Self::Pcd if model == Model::Mixture => {
                Loss::Contrastive(steps(0.01, 20).persistent(CHAINS, Start::normal([0.0], 1.5)))
            }
            // A network learns from many updates rather than from long ones.
            Self::Pcd => {
                let chains = CHAINS.min(data.count());
                Loss::Contrastive(Contrastive::new(Ula::new(0.002), 5).persistent(chains, at_data(data, chains)))
            }
            Self::Ism => Loss::ImplicitScoreMatching,
            // The model learned is that of the points with this noise, which should be small beside their own.
            Self::Dsm => Loss::denoising(0.05),
            Self::Ssm => Loss::sliced(),
            Self::Nce => Loss::NoiseContrastive { noise: noise(data)?, ratio: 4 },
        })
    }
}

/// What learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// A mixture of Gaussians
    Mixture,
    /// A multilayer perceptron of two layers of 128, with SiLU
    Mlp,
}

impl Model {
    fn begin(self, data: &Data, seed: u64) -> Result<Arc<dyn Trainable>> {
        match self {
            Self::Mixture => mixture(data),
            Self::Mlp => Ok(Arc::new(Mlp::new(data.dim(), &[128, 128], Activation::Silu, seed)?.confined(0.5)?)),
        }
    }

    fn optimizer(self, updates: u64) -> Optimizer {
        let rate = match self {
            Self::Mixture => Schedule::cosine(0.05, 5e-4, updates),
            Self::Mlp => Schedule::cosine(2e-3, 5e-5, updates),
        };
        Optimizer::adam(rate).clip(10.0)
    }
}

/// Noise close to the data, from which a model is harder to tell than from noise everywhere, and a third of it wide: where there is
/// neither noise nor data a model is free.
fn noise(data: &Data) -> Result<Noise> {
    let mut means = at_points(data, COMPONENTS);
    let mut weights = vec![2.0 / means.len() as f64; means.len()];
    let mut sds = vec![0.3; means.len()];
    means.push(vec![0.0; data.dim()]);
    weights.push(1.0);
    sds.push(0.4 * HALF);
    Ok(Noise::mixture(&weights, &means, &sds)?)
}

/// The first points of the data, each by itself.
fn at_points(data: &Data, most: usize) -> Vec<Vec<f64>> {
    let n = data.count();
    (0..most.min(n)).map(|j| (0..data.dim()).map(|i| f64::from(data.points()[i * n + j])).collect()).collect()
}

/// The first points of the data, a chain each.
fn at_data(data: &Data, chains: usize) -> Start {
    Start::array(data.points().chunks(data.count()).flat_map(|row| &row[..chains]).copied().collect::<Vec<_>>())
}

/// A mixture whose components stand at data points.
fn mixture(data: &Data) -> Result<Arc<dyn Trainable>> {
    let means = at_points(data, COMPONENTS);
    Ok(Arc::new(SoftmaxMixture::of(&Mixture::new(&vec![1.0; means.len()], &means, &vec![0.5; means.len()])?)?))
}

/// What is learned, how, and for how long.
#[derive(Debug, Clone)]
pub struct Task {
    /// The law of the data, where they are a toy.
    pub toy: Option<Toy>,
    pub model: Model,
    pub loss: By,
    /// Whichever end first; a run that is resumed ends with as many updates as one in one go.
    pub updates: u64,
    pub seconds: f64,
    pub seed: u64,
    /// Betas of annealed importance sampling, where quadrature does not do.
    pub betas: usize,
    pub save: Option<PathBuf>,
    pub resume: Option<PathBuf>,
}

/// What a run gives.
#[derive(Serialize)]
pub struct Outcome {
    pub loss: By,
    pub steps: u64,
    pub seconds: f64,
    pub steps_per_second: f64,
    pub rollbacks: u32,
    #[serde(flatten)]
    pub likelihood: Likelihood,
    /// KL(data ‖ model) by quadrature, where the law of the data is known and quadrature does.
    pub kl: Option<f64>,
    /// Fisher divergence, where that law also has a gradient.
    pub fisher: Option<f64>,
    /// Between 1,000 samples, where there are so many, and as many held-out points, without bias.
    pub energy_distance: f64,
    pub sliced_wasserstein: f64,
    #[serde(skip)]
    pub model: Arc<dyn Trainable>,
    #[serde(skip)]
    pub samples: Vec<f32>,
    /// (update, loss).
    #[serde(skip)]
    pub curve: Vec<[f64; 2]>,
}

/// Figures, and what they are of.
#[derive(Serialize)]
pub struct Figures {
    /// A name, or a file.
    pub data: String,
    pub energy: Model,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Trains for so many updates or seconds, samples the model and judges it; also by the law of the data, where it is known.
pub fn learn(backend: &Backend, task: &Task, train: &Data, held_out: &Data) -> Result<Outcome> {
    let Task { model: kind, loss: by, updates, seed, .. } = *task;
    let training =
        Training::new(by.loss(kind, train)?, kind.optimizer(updates)).batch(BATCH.min(train.count())).average(0.99).seed(seed);
    let start = kind.begin(train, seed)?;
    let mut trainer = match &task.resume {
        Some(path) => Trainer::resume(backend, start, training, path)?,
        None => Trainer::new(backend, start, training)?,
    };
    let before = trainer.updates();
    ensure!(before < updates, "this run has done its {updates} updates: there are none to go on with");
    // Ctrl-C ends training, not the program: what was learned is saved and judged.
    let interrupted = Arc::new(AtomicBool::new(false));
    if task.save.is_some() {
        let at = interrupted.clone();
        ctrlc::set_handler(move || at.store(true, Ordering::Relaxed))?;
    }
    let mut curve = Vec::new();
    let last = trainer.run_with(train.points(), updates - before, |now| {
        curve.push([now.updates as f64, now.loss]);
        let goes_on = now.elapsed < Duration::from_secs_f64(task.seconds) && !interrupted.load(Ordering::Relaxed);
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    if let Some(path) = &task.save {
        trainer.save(path)?;
        println!("saved: {}, parameters and optimiser after {} updates", path.display(), trainer.updates());
    }
    let model = trainer.averaged()?;
    let energy: Arc<dyn Energy> = model.clone();
    // Chains start at data, and go on long enough to leave where the model has no mass.
    let start = train.split(COMPARED.min(train.count() - 1))?.0;
    let samples = match kind {
        Model::Mixture => walk(backend, &model, Mala::new(0.06), 1_000, seed, start.points())?,
        Model::Mlp => walk(backend, &model, Ula::new(0.002), 1_000, seed, start.points())?,
    };
    let compared = held_out.split(COMPARED.min(held_out.count() - 1))?.0;
    let bounds = box_of(&[train, held_out]);
    let exact = ln_z(kind, train.dim());
    let grid = if exact.is_some() { grid_over(&*energy, &bounds)? } else { grid_that_holds(&*energy, bounds)? };
    let likelihood = likelihood(backend, task, &energy, exact, &grid, &samples, held_out)?;
    let law = task.toy.and_then(Toy::law);
    let grid = grid.ok();
    // Quadrature takes the model's mass in the box for all of it.
    let kl = |(grid, of_box): &(Grid, f64), toy| {
        let outside = exact.map_or(0.0, |all| all - of_box);
        grid.kl_of_toy(toy, &*energy).map(|kl| kl + outside)
    };
    let elapsed = last.elapsed.as_secs_f64();
    let done = trainer.updates() - before;
    Ok(Outcome {
        loss: by,
        steps: trainer.updates(),
        seconds: elapsed,
        steps_per_second: done as f64 / elapsed,
        rollbacks: trainer.rollbacks(),
        likelihood,
        kl: grid.as_ref().zip(task.toy).map(|(grid, toy)| kl(grid, toy)).transpose()?,
        fisher: grid.as_ref().zip(law).map(|((grid, _), law)| grid.fisher(&law, &*energy)).transpose()?,
        energy_distance: energy_distance(&samples, compared.points(), train.dim())?,
        sliced_wasserstein: sliced_wasserstein(&samples, compared.points(), train.dim(), 100, seed)?,
        model,
        samples,
        curve,
    })
}
