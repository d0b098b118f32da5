//! What does an energy learn from points in the plane, by which loss?
//!
//! `cargo run --release --example train -- [--data moons | --file FILE] [--loss pcd] [--energy mlp] [--save FILE]
//! [--resume FILE] [--quick] [--json FILE]`

mod common;
#[path = "common/learn.rs"]
mod learn;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use common::{Density, Options, Picture, number_of_chains, panel::Axis, thousands, writable};
use ergodic::energy::Params;
use learn::{BATCH, By, Figures, HALF, Model, Named, Task, box_of, from_file, learn};
use serde::Serialize;

/// What does an energy learn from points in the plane?
#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
    /// The data
    #[arg(long, value_enum, default_value_t = Named::Moons)]
    data: Named,
    /// Points from a file in place of these: .npy of shape (points, 2 or more), or CSV; they are standardised, and a sixth is held out
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    file: Option<PathBuf>,
    /// What is minimised
    #[arg(long, value_enum, default_value_t = By::Pcd)]
    loss: By,
    /// What learns
    #[arg(long, value_enum, default_value_t = Model::Mixture)]
    energy: Model,
    /// Write parameters and the optimiser's state to this file (safetensors), from which `--resume` goes on; Ctrl-C ends training early
    #[arg(long, value_name = "FILE", value_parser = writable)]
    save: Option<PathBuf>,
    /// Go on from a file of `--save` to the updates of a whole run: the rest of the command line as it was
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
}

/// Of points from a file: what was done to them before anything was learned.
#[derive(Serialize)]
struct Standardised {
    mean: Vec<f64>,
    sd: Vec<f64>,
}

#[derive(Serialize)]
struct All {
    #[serde(flatten)]
    figures: Figures,
    standard: Option<Standardised>,
}

fn main() -> Result<()> {
    let CommandLine { options, data, file, loss, energy, save, resume } = CommandLine::parse();
    options.fixed_chains("every loss gets the chains that suit it")?;
    let backend = options.open()?;
    let (all, standard, name) = match &file {
        Some(path) => {
            let (data, standard) = from_file(path, options.seed)?;
            (data, Some(standard), path.display().to_string())
        }
        None => (data.toy().draw(12_000, options.seed)?, None, data.name()),
    };
    let (train, held_out) = all.split(all.count() - all.count() / 6)?;
    let (updates, seconds) = if options.quick { (400, 8.0) } else { (loss.updates(energy), 300.0) };
    let task = Task {
        toy: file.is_none().then(|| data.toy()),
        model: energy,
        loss,
        updates,
        seconds,
        seed: options.seed,
        betas: if options.quick { 40 } else { 500 },
        save,
        resume,
    };
    let outcome = learn(&backend, &task, &train, &held_out)?;
    println!(
        "{} updates in {:.1} s, {:.0} a second; {}, in samples of {} energy distance {:.4}, sliced Wasserstein {:.4}",
        outcome.steps,
        outcome.seconds,
        outcome.steps_per_second,
        outcome.likelihood.says(),
        thousands(outcome.samples.len() / train.dim()),
        outcome.energy_distance,
        outcome.sliced_wasserstein
    );
    if let Some(why) = &outcome.likelihood.why {
        println!("of the log-likelihood: {why}");
    }
    if let Some(kl) = outcome.kl {
        let fisher = outcome.fisher.map_or_else(String::new, |fisher| format!(", Fisher divergence {fisher:.4}"));
        println!("KL(data || model) {kl:.4} nats{fisher}");
    }

    // Beyond the plane: the first two coordinates, and of the density where the others are at their means.
    let [low, high] = if file.is_some() { box_of(&[&train, &held_out]) } else { [vec![-HALF; 2], vec![HALF; 2]] };
    let params = outcome.model.params();
    let energy_at = |x: f64, y: f64| {
        let at: Vec<_> = [x, y].into_iter().chain(std::iter::repeat_n(0.0, train.dim() - 2)).collect();
        outcome.model.energy(Params::new(&params), &at)
    };
    let density = Density::of_formula(energy_at, [low[0], high[0]], [low[1], high[1]]);
    let plane = |points: &[f32]| points[..points.len() / train.dim() * 2].to_vec();
    let title = format!("{name} learned by {}", loss.name());
    let says = format!(
        "{} updates of {} points; {}",
        thousands(outcome.steps as usize),
        BATCH.min(train.count()),
        outcome.model.name()
    );
    let mut picture = Picture::grid(&title, &says, 2, 2, [560, 560], false)?;
    picture
        .panel(0, 0, density.x, density.y)
        .samples(&plane(train.points()), &density)
        .axes("data", &format!("{} points", thousands(train.count())));
    let shade = |x: f64, y: f64| (0.5 * (density.least_energy - energy_at(x, y))).exp();
    let learned = if train.dim() > 2 { "learned density, cut" } else { "learned density" };
    picture.panel(1, 0, density.x, density.y).field(shade).axes(learned, &outcome.likelihood.says());
    let walked = number_of_chains(outcome.samples.len() / train.dim());
    let distance = format!("{walked}, energy distance {:.4}", outcome.energy_distance);
    picture.panel(0, 1, density.x, density.y).samples(&plane(&outcome.samples), &density).axes("samples", &distance);
    let finite: Vec<_> = outcome.curve.iter().copied().filter(|point| point[1].is_finite()).collect();
    let (low, high) = finite.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), p| (l.min(p[1]), h.max(p[1])));
    let axes = ([0.0, outcome.steps as f64], [low, high.max(low + 1e-9)]);
    let mut panel = picture.panel(1, 1, Axis::from(axes.0), Axis::from(axes.1));
    panel.line(&finite, 2.0, common::canvas::COLOURS[0], 0.9).axes("loss", "a batch, by update");
    picture.save("train")?;

    let finite = outcome.likelihood.is_finite();
    // Of data of one's own nobody knows how long they take to learn.
    let near = file.is_some() || outcome.energy_distance < 0.1;
    let standard = standard.map(|standard| Standardised { mean: standard.mean, sd: standard.sd });
    let figures = All { figures: Figures { data: name, energy, outcome }, standard };
    options.finish(&figures, [(finite, "the model has a density"), (near, "samples are near the data")])
}
