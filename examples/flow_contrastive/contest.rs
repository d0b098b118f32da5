//! The contest: a network against two noises, in turns, each run judged by quadrature.

use std::{sync::Arc, time::Instant};

use anyhow::Result;
use ergodic::{
    Backend, Schedule,
    energy::Energy,
    flow::{Contest, Contrast, Contrastive, Flow, FlowGoal, Likelihood, Training},
    net::Mlp,
    train::{Data, Grid, Noise, Optimizer, Toy},
};
use serde::Serialize;

pub(crate) const BATCH: usize = 128;
/// Rounds of so many updates, in turns, that the speeds of both kinds of updates are taken from.
const ROUNDS: usize = 7;
const TRIAL: u64 = 50;
/// Points that the noise is judged by.
const JUDGES: usize = 20_000;
/// Half the side of the panels, and of the box of quadrature.
pub(crate) const HALF: f64 = 5.0;
/// Cells a side of the grids of quadrature for curves; for figures three times as many.
const CELLS: usize = 80;

/// A run.
#[derive(Serialize)]
pub(crate) struct Run {
    pub(crate) noise: &'static str,
    /// Of the flow by likelihood, before the contest.
    pub(crate) flow_updates: u64,
    /// Of the energy.
    pub(crate) updates: u64,
    pub(crate) seconds: f64,
    /// KL(data || model) in nats, by quadrature.
    pub(crate) kl: f64,
    /// The same of the flow alone, without its cover.
    pub(crate) kl_of_flow: f64,
    /// KL(data || noise), and the mean of q/(p + q), over fresh data.
    pub(crate) kl_of_noise: f64,
    pub(crate) pull_of_noise: f64,
    /// c, and ln Z by quadrature.
    pub(crate) log_normalizer: f64,
    pub(crate) ln_z: f64,
    /// V and the share of points told rightly, over the last part of the run.
    pub(crate) value: f64,
    pub(crate) accuracy: f64,
    #[serde(skip)]
    pub(crate) model: Arc<dyn Energy>,
    #[serde(skip)]
    pub(crate) flow: Flow,
    /// (seconds, V) and (seconds, KL).
    #[serde(skip)]
    pub(crate) values: Vec<[f64; 2]>,
    #[serde(skip)]
    pub(crate) divergences: Vec<[f64; 2]>,
}

/// What a flow learns, and from which accuracy on, where it takes turns with the network.
pub(crate) type Role = (FlowGoal, Option<f64>);

/// What all runs share.
pub(crate) struct Task {
    pub(crate) data: Data,
    pub(crate) network: Mlp,
    pub(crate) seed: u64,
    /// Times at which a run is judged.
    pub(crate) moments: u64,
}

/// Noise to learn against, and its cover.
pub(crate) struct Against {
    pub(crate) name: &'static str,
    pub(crate) flow: Flow,
    pub(crate) cover: Option<(f64, Noise)>,
    pub(crate) role: Role,
    pub(crate) flow_updates: u64,
    /// Seconds that it took to come by it.
    pub(crate) seconds: f64,
}

/// A run on its way.
struct Course {
    trainer: Contrastive,
    updates: u64,
    seconds: f64,
    seen: Contest,
    values: Vec<[f64; 2]>,
    divergences: Vec<[f64; 2]>,
}

impl Against {
    fn ln_density(&self, flow: &Flow, x: &[f64]) -> Result<Vec<f64>> {
        let mut of_flow = flow.log_density(x)?;
        if let Some((share, cover)) = &self.cover {
            let count = of_flow.len();
            for (p, f) in of_flow.iter_mut().enumerate() {
                let g = cover.ln_density(&[x[p], x[count + p]])?;
                *f = ((1.0 - share) * f.exp() + share * g.exp()).ln();
            }
        }
        Ok(of_flow)
    }
}

impl Task {
    pub(crate) fn ln_density(x: &[f64]) -> f64 {
        Toy::Pinwheel.ln_density([x[0], x[1]]).unwrap_or(f64::NEG_INFINITY)
    }

    fn kl(&self, model: &dyn Energy, cells: usize) -> Result<f64> {
        Ok(Grid::new([-HALF; 2], [HALF; 2], cells)?.kl_of(Self::ln_density, model)?)
    }

    /// A flow by likelihood, and the seconds that it took.
    pub(crate) fn flow(&self, updates: u64) -> Result<(Flow, f64)> {
        let begun = Instant::now();
        // A deep flow throws far now and then: long gradients are cut.
        let optimizer = Optimizer::adam(Schedule::cosine(0.01, 1e-4, updates)).clip(1.0);
        let flow = Flow::new(2, 8, 16, self.seed)?;
        let mut trainer = Likelihood::new(flow, Training { batch: BATCH, optimizer, seed: self.seed })?;
        trainer.advance(self.data.points(), updates)?;
        Ok((trainer.flow().clone(), begun.elapsed().as_secs_f64()))
    }

    /// A trainer of the network against a noise.
    fn trainer(&self, against: &Against, updates: u64) -> Result<Contrastive> {
        let (goal, alternate) = against.role;
        let settings = Contrast {
            training: Training {
                batch: BATCH,
                optimizer: Optimizer::adam(Schedule::cosine(0.001, 1e-5, updates)).clip(1.0),
                seed: self.seed,
            },
            energy_optimizer: Optimizer::adam(Schedule::cosine(0.015, 1.5e-4, updates)),
            flow_goal: goal,
            cover: against.cover.clone(),
            correction: false,
            alternate,
        };
        Ok(Contrastive::new(&Backend::cpu(), Arc::new(self.network.clone()), 0.0, against.flow.clone(), settings)?)
    }

    /// Seconds an update against each: medians of rounds that take turns, so that what else the machine does befalls both.
    pub(crate) fn paces(&self, all: &[Against; 2]) -> Result<[f64; 2]> {
        let mut rounds = [const { Vec::new() }; 2];
        for _ in 0..ROUNDS {
            for (against, rounds) in all.iter().zip(&mut rounds) {
                let mut trainer = self.trainer(against, TRIAL)?;
                let begun = Instant::now();
                trainer.advance(self.data.points(), TRIAL)?;
                rounds.push(begun.elapsed().as_secs_f64() / TRIAL as f64);
            }
        }
        Ok(rounds.map(|mut rounds| {
            rounds.sort_by(f64::total_cmp);
            rounds[ROUNDS / 2]
        }))
    }

    /// Trains the network against both noises for so many updates each, a part of one run after a part of the other.
    pub(crate) fn run(&self, all: [Against; 2], updates: [u64; 2]) -> Result<[Run; 2]> {
        let begin = |(against, updates): (&Against, u64)| {
            let (trainer, seen) = (self.trainer(against, updates)?, Contest { value: f64::NAN, accuracy: f64::NAN });
            Ok(Course { trainer, updates, seconds: against.seconds, seen, values: Vec::new(), divergences: Vec::new() })
        };
        let mut courses = all.iter().zip(updates).map(begin).collect::<Result<Vec<_>>>()?;
        for moment in 1..=self.moments {
            for Course { trainer, updates, seconds, seen, values, divergences } in &mut courses {
                let begun = Instant::now();
                *seen = trainer.advance(self.data.points(), moment * *updates / self.moments - trainer.updates())?;
                *seconds += begun.elapsed().as_secs_f64();
                values.push([*seconds, seen.value]);
                divergences.push([*seconds, self.kl(&*trainer.model()?, CELLS)?]);
            }
        }
        let runs: Vec<Run> =
            all.iter().zip(courses).map(|(against, course)| self.judged(against, course)).collect::<Result<_>>()?;
        runs.try_into().map_err(|_| anyhow::anyhow!("two noises make two runs"))
    }

    fn judged(&self, against: &Against, course: Course) -> Result<Run> {
        let Course { trainer, updates, seconds, seen, values, divergences } = course;
        let fresh = Toy::Pinwheel.draw(JUDGES, !self.seed)?;
        let fresh: Vec<f64> = fresh.points().iter().map(|&x| x.into()).collect();
        let log_ratios: Vec<_> = (against.ln_density(trainer.flow(), &fresh)?.into_iter().enumerate())
            .map(|(p, log_q)| Self::ln_density(&[fresh[p], fresh[JUDGES + p]]) - log_q)
            .collect();
        let mean = |of: fn(f64) -> f64| log_ratios.iter().map(|&u| of(u)).sum::<f64>() / JUDGES as f64;
        let model = trainer.model()?;
        let run = Run {
            noise: against.name,
            flow_updates: against.flow_updates,
            updates,
            seconds,
            kl: self.kl(&*model, 3 * CELLS)?,
            kl_of_flow: self.kl(trainer.flow(), 3 * CELLS)?,
            kl_of_noise: mean(|u| u),
            pull_of_noise: mean(|u| 1.0 / (1.0 + u.exp())),
            log_normalizer: trainer.log_normalizer(),
            ln_z: Grid::new([-HALF; 2], [HALF; 2], 3 * CELLS)?.ln_z(&*model)?,
            value: seen.value,
            accuracy: seen.accuracy,
            model,
            flow: trainer.flow().clone(),
            values,
            divergences,
        };
        println!(
            "{:>14}: {updates} updates in {seconds:.1} s; KL(data || model) {:.4}, KL(data || noise) {:.3}, mean q/(p + q) {:.2}; ln Z learned {:.4}, by quadrature {:.4}; {:.1} % told",
            run.noise,
            run.kl,
            run.kl_of_noise,
            run.pull_of_noise,
            run.log_normalizer,
            run.ln_z,
            100.0 * run.accuracy
        );
        Ok(run)
    }
}
