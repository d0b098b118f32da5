//! What the examples of training share: losses by name, a mixture to begin with, a run within a budget, and its judgement.

#![allow(dead_code, unreachable_pub, reason = "each example uses a part")]

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use anyhow::Result;
use clap::ValueEnum;
use ergodic::{
    Backend, Schedule, Start,
    energy::{Energy, Mixture, SoftmaxMixture},
    kernel::Mala,
    train::{
        Contrastive, Data, Grid, Loss, Noise, Optimizer, Toy, Trainable, Trainer, Training, energy_distance, sliced_wasserstein,
    },
};
use serde::Serialize;

/// Components of the mixture that learns.
const COMPONENTS: usize = 24;
/// Points of the data and of the model that two-sample distances compare.
const COMPARED: usize = 1_000;
/// Half a side of the box on which models are judged and shown.
pub const HALF: f64 = 4.2;

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

    /// The law that the data are drawn from, where it is a formula of this crate.
    pub fn truth(self) -> Result<Option<Arc<dyn Energy>>> {
        match self {
            Self::EightGaussians => Ok(Some(Arc::new(Mixture::ring(8, 2.0, 0.2)?))),
            _ => Ok(None),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Contrastive divergence, ten steps of MALA from the data
    Cd,
    /// Persistent contrastive divergence
    Pcd,
    /// Implicit score matching
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

    pub fn loss(self) -> Result<Loss> {
        let cd = || Contrastive::new(Mala::new(0.08), 10);
        Ok(match self {
            Self::Cd => Loss::Contrastive(cd()),
            // Steps as small as the finest of the data: chains that are always refused stand still, and nothing holds the model to them.
            Self::Pcd => Loss::Contrastive(Contrastive::new(Mala::new(0.01), 20).persistent(512, Start::normal([0.0], 1.5))),
            Self::Ism => Loss::ImplicitScoreMatching,
            Self::Dsm => Loss::denoising(0.1),
            Self::Ssm => Loss::sliced(),
            // Where there is neither noise nor data the model is free: so noise in all of the box.
            Self::Nce => Loss::NoiseContrastive { noise: Noise::uniform([-HALF; 2], [HALF; 2])?, ratio: 4 },
        })
    }
}

/// A mixture whose components stand at data points.
pub fn mixture(data: &Data) -> Result<Arc<dyn Trainable>> {
    let n = data.count();
    let mean = |j: usize| (0..data.dim()).map(|i| f64::from(data.points()[i * n + j])).collect::<Vec<_>>();
    let means: Vec<_> = (0..COMPONENTS.min(n)).map(mean).collect();
    Ok(Arc::new(SoftmaxMixture::of(&Mixture::new(&vec![1.0; means.len()], &means, &vec![0.5; means.len()])?)?))
}

/// What a run gives.
#[derive(Serialize)]
pub struct Outcome {
    pub loss: By,
    pub steps: u64,
    pub seconds: f64,
    pub steps_per_second: f64,
    pub rollbacks: u32,
    /// Mean over held-out points, by quadrature on the box that is shown.
    pub held_out_log_likelihood: f64,
    /// KL(data ‖ model) and Fisher divergence by quadrature, where the law of the data is known.
    pub kl: Option<f64>,
    pub fisher: Option<f64>,
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

#[allow(clippy::too_many_arguments, reason = "one call, all of it plain data")]
/// Trains for so many updates or seconds, whichever end first, samples the model and judges it.
pub fn learn(
    backend: &Backend,
    named: Named,
    by: By,
    train: &Data,
    held_out: &Data,
    updates: u64,
    seconds: f64,
    seed: u64,
) -> Result<Outcome> {
    let optimizer = Optimizer::adam(Schedule::cosine(0.02, 5e-4, updates)).clip(10.0);
    let training = Training::new(by.loss()?, optimizer).batch(512).average(0.99).seed(seed);
    let mut trainer = Trainer::new(backend, mixture(train)?, training)?;
    let mut curve = Vec::new();
    let last = trainer.run_with(train.points(), updates, |now| {
        curve.push([now.updates as f64, now.loss]);
        if now.elapsed < Duration::from_secs_f64(seconds) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let model = trainer.averaged()?;
    let energy: Arc<dyn Energy> = model.clone();
    let grid = Grid::new([-HALF, -HALF], [HALF], 300)?;
    // Chains start at data, and go on long enough to leave where the model has no mass.
    let mut chains = backend
        .chains_of(energy.clone(), Arc::new(Mala::new(0.06)))
        .count(COMPARED)
        .seed(seed)
        .start(Start::array(train.split(COMPARED)?.0.points()))
        .build()?;
    chains.advance(1_000)?;
    let samples = chains.positions()?;
    let compared = held_out.split(COMPARED)?.0;
    let truth = named.truth()?;
    let of_truth = |f: &dyn Fn(&dyn Energy) -> ergodic::Result<f64>| truth.as_deref().map(f).transpose();
    let elapsed = last.elapsed.as_secs_f64();
    Ok(Outcome {
        loss: by,
        steps: trainer.updates(),
        seconds: elapsed,
        steps_per_second: trainer.updates() as f64 / elapsed,
        rollbacks: trainer.rollbacks(),
        held_out_log_likelihood: grid.log_likelihood(&energy, held_out.points())?,
        kl: of_truth(&|truth| grid.kl(truth, &*energy))?,
        fisher: of_truth(&|truth| grid.fisher(truth, &*energy))?,
        energy_distance: energy_distance(&samples, compared.points(), 2)?,
        sliced_wasserstein: sliced_wasserstein(&samples, compared.points(), 2, 100, seed)?,
        model,
        samples,
        curve,
    })
}
