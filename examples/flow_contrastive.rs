//! Does it pay to let the noise of noise-contrastive estimation learn? A network learns the pinwheel against a fixed Gaussian of the
//! data's mean and standard deviations, and against a flow that was trained by likelihood first, in the same time; both are judged by
//! quadrature.
//!
//! An update learns from a pair of a point of data and one of noise by about ⟨q/(p + q)⟩ over data, 0.24 of the Gaussian and at most ½ of
//! noise that is as the data are. So the flow gains at most a factor of two in updates, less what its draws and densities cost. A share of
//! the Gaussian is kept as a cover: between the arms nothing else would hold the energy.
//!
//! `cargo run --release --example flow_contrastive -- [--flow still|likely|adverse|turns] [--quick] [--json FILE]`

mod common;

use std::{sync::Arc, time::Instant};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use common::{
    Density, Options, Picture,
    canvas::COLOURS,
    panel::{Axis, Panel},
    progress, thousands,
};
use ergodic::{
    Backend, Schedule, Start,
    energy::{Energy, Params},
    flow::{Contest, Contrast, Contrastive, Flow, FlowGoal, Likelihood, Proposal, Training},
    net::{Activation, Mlp},
    train::{Data, Grid, Noise, Optimizer, Toy},
};
use serde::Serialize;

const BATCH: usize = 128;
/// Rounds of so many updates, in turns, that the speeds of both kinds of updates are taken from.
const ROUNDS: usize = 7;
const TRIAL: u64 = 50;
/// The share of the Gaussian in the noise beside the flow.
const COVER: f64 = 0.5;
/// Points that the noise is judged by.
const JUDGES: usize = 20_000;
/// Share of points told rightly from which on it is the flow's turn; of the cover's points most are, whatever the flow.
const TOLD: f64 = 0.7;
/// Half the side of the panels, and of the box of quadrature.
const HALF: f64 = 5.0;
/// Cells a side of the grids of quadrature for curves; for figures three times as many.
const CELLS: usize = 80;

/// What the flow does once it was trained by likelihood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Then {
    /// Stays as it is
    Still,
    /// Goes on to learn by likelihood
    Likely,
    /// Makes the contest hard
    Adverse,
    /// The same in turn with the network, by the share of points told rightly
    Turns,
}

/// Does it pay to let the noise of noise-contrastive estimation learn?
#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
    /// What the flow does once it was trained by likelihood
    #[arg(long, value_enum, default_value_t = Then::Still)]
    flow: Then,
}

/// A run.
#[derive(Serialize)]
struct Run {
    noise: &'static str,
    /// Of the flow by likelihood, before the contest.
    flow_updates: u64,
    /// Of the energy.
    updates: u64,
    seconds: f64,
    /// KL(data || model) in nats, by quadrature.
    kl: f64,
    /// KL(data || noise), and the mean of q/(p + q), over fresh data.
    kl_of_noise: f64,
    pull_of_noise: f64,
    /// c, and ln Z by quadrature.
    log_normalizer: f64,
    ln_z: f64,
    /// V and the share of points told rightly, over the last part of the run.
    value: f64,
    accuracy: f64,
    #[serde(skip)]
    model: Arc<dyn Energy>,
    #[serde(skip)]
    flow: Flow,
    /// (seconds, V) and (seconds, KL).
    #[serde(skip)]
    values: Vec<[f64; 2]>,
    #[serde(skip)]
    divergences: Vec<[f64; 2]>,
}

#[derive(Serialize)]
struct Figures {
    data: &'static str,
    points: usize,
    batch: usize,
    energy: String,
    runs: [Run; 2],
    kl_ratio: f64,
    /// Of Metropolis–Hastings on the model with proposals of the flow.
    acceptance: Option<f64>,
}

/// What a flow learns, and from which accuracy on, where it takes turns with the network.
type Role = (FlowGoal, Option<f64>);

/// What all runs share.
struct Task {
    data: Data,
    network: Mlp,
    seed: u64,
    /// Times at which a run is judged.
    moments: u64,
}

/// Noise to learn against, and its cover.
struct Against {
    name: &'static str,
    flow: Flow,
    cover: Option<(f64, Noise)>,
    role: Role,
    flow_updates: u64,
    /// Seconds that it took to come by it.
    seconds: f64,
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
    fn ln_density(x: &[f64]) -> f64 {
        Toy::Pinwheel.ln_density([x[0], x[1]]).unwrap_or(f64::NEG_INFINITY)
    }

    fn kl(&self, model: &dyn Energy, cells: usize) -> Result<f64> {
        Ok(Grid::new([-HALF; 2], [HALF; 2], cells)?.kl_of(Self::ln_density, model)?)
    }

    /// A flow by likelihood, and the seconds that it took.
    fn flow(&self, updates: u64) -> Result<(Flow, f64)> {
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
    fn paces(&self, all: &[Against; 2]) -> Result<[f64; 2]> {
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
    fn run(&self, all: [Against; 2], updates: [u64; 2]) -> Result<[Run; 2]> {
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

fn main() -> Result<()> {
    let CommandLine { options, flow: then } = CommandLine::parse();
    let backend = options.open()?;
    let (points, flow_updates, updates) = if options.quick { (2_000_000, 2_000, 10_000) } else { (4_000_000, 3_000, 30_000) };
    let data = Toy::Pinwheel.draw(points, options.seed)?;
    let (_, standard) = data.standardized()?;
    let (mean, sd) = (standard.mean, standard.sd);
    // Far from the data the energy is that of a Gaussian as wide as they are, give or take what a network adds.
    let confinement = sd.len() as f64 / sd.iter().map(|s| s * s).sum::<f64>();
    let task = Task {
        data,
        network: Mlp::new(2, &[64; 3], Activation::Silu, options.seed)?.confined(confinement)?,
        seed: options.seed,
        moments: if options.quick { 5 } else { 15 },
    };

    let fixed = (FlowGoal::Fixed, None);
    let role = match then {
        Then::Still => fixed,
        Then::Likely => (FlowGoal::Likelihood, None),
        Then::Adverse => (FlowGoal::Contest, None),
        Then::Turns => (FlowGoal::Contest, Some(TOLD)),
    };
    let (flow, seconds) = task.flow(flow_updates)?;
    let gaussian = Flow::normal(mean.clone(), sd.clone())?;
    let both = [
        Against { name: "fixed Gaussian", flow: gaussian, cover: None, role: fixed, flow_updates: 0, seconds: 0.0 },
        Against { name: "flow", flow, cover: Some((COVER, Noise::normal(mean, sd)?)), role, flow_updates, seconds },
    ];
    // As many updates against the Gaussian as fill the same time.
    let [of_fixed, of_flow] = task.paces(&both)?;
    let more = ((seconds + updates as f64 * of_flow) / of_fixed) as u64;
    let [fixed, learned] = task.run(both, [more, updates])?;

    // Draws of the model, by proposals of the flow.
    let draws = if options.quick { 2_048 } else { 16_384 };
    let count = options.count(&backend, draws, draws);
    let start = learned.flow.sample(count, options.seed, u64::MAX / 2)?.positions;
    let start: Vec<f32> = start.into_iter().map(|x| x as f32).collect();
    let mut chains = backend
        .chains_of(learned.model.clone(), Arc::new(Proposal::new(learned.flow.clone())?))
        .count(count)
        .seed(options.seed)
        .start(Start::array(start))
        .on_progress(progress("proposals"))
        .build()?;
    chains.advance(20)?;
    let acceptance = chains.report().mean_acceptance;

    let says = format!(
        "{}, {:.0} s each; KL(data || model) {:.4} nats against a fixed Gaussian, {:.4} against a flow",
        task.network.name(),
        learned.seconds,
        fixed.kl,
        learned.kl
    );
    let mut picture = Picture::grid(
        "Noise-contrastive estimation of a pinwheel",
        &says,
        4,
        2,
        if options.quick { [320; 2] } else { [460; 2] },
        false,
    )?;
    let range = [-HALF + 0.8, HALF - 0.8];
    let truth = Density::of_formula(|x, y| -Task::ln_density(&[x, y]), range, range);
    picture
        .panel(0, 0, range, range)
        .samples(task.data.points(), &truth)
        .axes("data", &format!("{} points", thousands(points)));
    for (row, run) in [&fixed, &learned].into_iter().enumerate() {
        let whole = if run.flow_updates > 0 { " with cover" } else { "" };
        let (title, says) = (format!("noise: {}", run.noise), format!("KL(data || noise) {:.3}{whole}", run.kl_of_noise));
        shown(&mut picture.panel(1, row, range, range), &run.flow, 0.0, &truth).axes(&title, &says);
        let says = format!("KL {:.3}; ln Z off by {:.3}", run.kl, run.log_normalizer - run.ln_z);
        shown(&mut picture.panel(2, row, range, range), &*run.model, run.ln_z, &truth).axes("the model", &says);
    }
    let says = acceptance.map_or(String::new(), |a| format!("the flow's proposals, {:.0} % accepted", 100.0 * a));
    picture.panel(0, 1, range, range).samples(&chains.positions()?, &truth).axes("draws of the second model", &says);
    curves(&mut picture, [&fixed, &learned]);
    picture.save("flow_contrastive")?;

    let kl_ratio = learned.kl / fixed.kl;
    println!("KL against the flow / against the fixed Gaussian: {kl_ratio:.3}");
    let off = (learned.log_normalizer - learned.ln_z).abs();
    // Which model is closer is told, not checked: between seeds it turns now and then.
    let checks = [
        (learned.kl < learned.kl_of_noise, "the network is closer to the data than the noise is"),
        (off < if options.quick { 0.1 } else { 0.05 }, "the learned ln Z is that of quadrature"),
    ];
    let energy = task.network.name();
    let figures = Figures { data: "pinwheel", points, batch: BATCH, energy, runs: [fixed, learned], kl_ratio, acceptance };
    options.finish(&figures, checks)
}

/// A density in units of the data's peak, as the data are shown.
fn shown<'a, 'b>(panel: &'b mut Panel<'a>, energy: &dyn Energy, ln_z: f64, truth: &Density) -> &'b mut Panel<'a> {
    let values = energy.params();
    panel.field(|x, y| ((-energy.energy(Params::new(&values), &[x, y]) - ln_z).exp() / truth.peak).sqrt())
}

/// V and KL by seconds.
fn curves(picture: &mut Picture, runs: [&Run; 2]) {
    let most = runs.iter().fold(0.0, |most: f64, run| most.max(run.seconds));
    let all = || runs.iter().flat_map(|run| &run.divergences).map(|point| point[1]);
    let (least, greatest) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    let mut panel = picture.panel(3, 0, [0.0, most], Axis::log(0.8 * least, 1.2 * greatest));
    for (run, colour) in runs.into_iter().zip(COLOURS) {
        panel.line(&run.divergences, 3.0, colour, 0.95);
    }
    panel.axes("KL(data || model)", "by seconds; blue: fixed");
    let all = || runs.iter().flat_map(|run| &run.values).map(|point| point[1]);
    let (least, greatest) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let mut panel = picture.panel(3, 1, [0.0, most], [least - 0.05, greatest + 0.05]);
    for (run, colour) in runs.into_iter().zip(COLOURS) {
        panel.line(&run.values, 3.0, colour, 0.95);
    }
    panel.axes("value of the contest", "by seconds; −1.386 at the least");
}
