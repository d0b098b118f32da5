//! Does it pay to let the noise of noise-contrastive estimation learn? A network learns the pinwheel against a fixed Gaussian of the
//! data's mean and standard deviations, and against a flow that was trained by likelihood first, in the same time; both are judged by
//! quadrature.
//!
//! An update learns from a pair of a point of data and one of noise by about ⟨q/(p + q)⟩ over data, 0.24 of the Gaussian and at most ½ of
//! noise that is as the data are. So the flow gains at most a factor of two in updates, less what its draws and densities cost. A share of
//! the Gaussian is kept as a cover: between the arms nothing else would hold the energy.
//!
//! `cargo run --release --example flow_contrastive -- [--flow still|likely|adverse|turns] [--quick] [--json FILE]`

#[path = "../common/mod.rs"]
mod common;
mod contest;

use std::sync::Arc;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use common::{
    Density, Options, Picture,
    canvas::COLOURS,
    panel::{Axis, Panel},
    progress, thousands,
};
use contest::{Against, BATCH, HALF, Run, Task};
use ergodic::{
    Start,
    energy::{Energy, Params},
    flow::{Flow, FlowGoal, Proposal},
    net::{Activation, Mlp},
    train::{Noise, Toy},
};
use serde::Serialize;

/// The share of the Gaussian in the noise beside the flow.
const COVER: f64 = 0.5;
/// Share of points told rightly from which on it is the flow's turn; of the cover's points most are, whatever the flow.
const TOLD: f64 = 0.7;

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
    println!("KL against the flow / against the fixed Gaussian: {kl_ratio:.3}; of the flow itself {:.4}", learned.kl_of_flow);
    let off = (learned.log_normalizer - learned.ln_z).abs();
    // Which model is closer is told, not checked: between seeds it turns now and then.
    let checks = [
        (learned.kl < learned.kl_of_flow, "the network is closer to the data than the flow is"),
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
