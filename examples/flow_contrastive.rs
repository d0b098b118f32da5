//! Does it pay to let the noise of noise-contrastive estimation learn? A network learns the pinwheel as the correction of a fixed
//! Gaussian, and as that of a flow, in the same time; both are judged by quadrature.
//!
//! Most of what the second model knows it has from the flow. An update of the network costs two of the flow, so that a fixed Gaussian, for
//! which the whole time is the network's, comes as near to the data or nearer.
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
    train::{Data, Grid, Optimizer, Toy},
};
use serde::Serialize;

const BATCH: usize = 256;
/// Updates that the speed of updates is taken from.
const TRIAL: u64 = 40;
/// Share of points told rightly from which on it is the flow's turn.
const TOLD: f64 = 0.52;
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
    /// KL(data || model) and KL(data || noise) in nats, by quadrature.
    kl: f64,
    kl_of_noise: f64,
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
        let flow = Flow::new(2, 20, 16, self.seed)?;
        let mut trainer = Likelihood::new(flow, Training { batch: BATCH, optimizer, seed: self.seed })?;
        trainer.advance(self.data.points(), updates)?;
        Ok((trainer.flow().clone(), begun.elapsed().as_secs_f64()))
    }

    /// A trainer of the network as the correction of a noise.
    fn trainer(&self, noise: Flow, (goal, alternate): Role, updates: u64) -> Result<Contrastive> {
        let settings = Contrast {
            training: Training {
                batch: BATCH,
                optimizer: Optimizer::adam(Schedule::cosine(0.001, 1e-5, updates)).clip(1.0),
                seed: self.seed,
            },
            energy_optimizer: Optimizer::adam(Schedule::cosine(0.04, 4e-4, updates)),
            flow_goal: goal,
            cover: None,
            correction: true,
            alternate,
        };
        Ok(Contrastive::new(&Backend::cpu(), Arc::new(self.network.clone()), 0.0, noise, settings)?)
    }

    /// Trains the network, against a noise that took `before` seconds.
    fn run(&self, name: &'static str, noise: Flow, role: Role, updates: u64, before: f64) -> Result<Run> {
        let mut trainer = self.trainer(noise, role, updates)?;
        let (mut seconds, mut values, mut divergences) = (before, Vec::new(), Vec::new());
        let mut seen = Contest { value: f64::NAN, accuracy: f64::NAN };
        for moment in 1..=self.moments {
            let begun = Instant::now();
            seen = trainer.advance(self.data.points(), moment * updates / self.moments - trainer.updates())?;
            seconds += begun.elapsed().as_secs_f64();
            values.push([seconds, seen.value]);
            divergences.push([seconds, self.kl(&*trainer.model()?, CELLS)?]);
        }
        let model = trainer.model()?;
        let run = Run {
            noise: name,
            flow_updates: 0,
            updates,
            seconds,
            kl: self.kl(&*model, 3 * CELLS)?,
            kl_of_noise: self.kl(trainer.flow(), 3 * CELLS)?,
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
            "{name:>14}: {updates} updates in {seconds:.1} s; KL(data || model) {:.4}, KL(data || noise) {:.4}; ln Z learned {:.4}, by quadrature {:.4}; {:.1} % told",
            run.kl,
            run.kl_of_noise,
            run.log_normalizer,
            run.ln_z,
            100.0 * run.accuracy
        );
        Ok(run)
    }
}

/// N(m, diag s²) with the data's mean and standard deviations.
fn gaussian(data: &Data) -> Result<Flow> {
    let (_, standard) = data.standardized()?;
    Ok(Flow::normal(standard.mean, standard.sd)?)
}

fn main() -> Result<()> {
    let CommandLine { options, flow: then } = CommandLine::parse();
    let backend = options.open()?;
    let (points, flow_updates, updates) = if options.quick { (50_000, 1_500, 100) } else { (200_000, 10_000, 240) };
    let data = Toy::Pinwheel.draw(points, options.seed)?;
    let task = Task {
        data,
        network: Mlp::new(2, &[64, 64], Activation::Silu, options.seed)?,
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
    let (flow, before) = task.flow(flow_updates)?;
    let learned = Run { flow_updates, ..task.run("flow", flow, role, updates, before)? };
    // As many updates as fill the same time.
    let begun = Instant::now();
    task.trainer(gaussian(&task.data)?, fixed, TRIAL)?.advance(task.data.points(), TRIAL)?;
    let more = (learned.seconds / begun.elapsed().as_secs_f64() * TRIAL as f64) as u64;
    let fixed = task.run("fixed Gaussian", gaussian(&task.data)?, fixed, more, 0.0)?;

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
        let (title, says) = (format!("noise: {}", run.noise), format!("KL(data || noise) {:.3}", run.kl_of_noise));
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
    // Which model is closer is told, not checked: it turns on what an update of the energy costs. Where it is cheap, as on threads, a fixed
    // Gaussian gets so many in the same time that it comes closer.
    let checks = [
        (learned.kl < learned.kl_of_noise + 0.01, "the network does not take the flow away from the data"),
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
    panel.axes("value of the contest", "by seconds; the end is −1.386");
}
