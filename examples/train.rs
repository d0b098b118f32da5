//! What does an energy learn from points in the plane, by which loss?
//!
//! `cargo run --release --example train -- [--data moons | --file FILE] [--loss pcd] [--energy mlp] [--quick] [--json FILE]`

mod common;
#[path = "common/learn.rs"]
mod learn;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use common::{Density, Options, Picture, number_of_chains, panel::Axis, thousands};
use learn::{BATCH, By, HALF, Model, Named, Outcome, from_file, learn};
use serde::Serialize;

/// What does an energy learn from points in the plane?
#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
    /// The data
    #[arg(long, value_enum, default_value_t = Named::Moons)]
    data: Named,
    /// Points in the plane from a file in place of these: .npy of shape (points, 2), or CSV; they are standardised, and a sixth is held out
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    file: Option<PathBuf>,
    /// What is minimised
    #[arg(long, value_enum, default_value_t = By::Pcd)]
    loss: By,
    /// What learns
    #[arg(long, value_enum, default_value_t = Model::Mixture)]
    energy: Model,
}

#[derive(Serialize)]
struct Figures {
    /// A name, or a file.
    data: String,
    energy: Model,
    #[serde(flatten)]
    outcome: Outcome,
}

fn main() -> Result<()> {
    let CommandLine { options, data, file, loss, energy } = CommandLine::parse();
    options.fixed_chains("every loss gets the chains that suit it")?;
    let backend = options.open()?;
    let (all, law, name) = match &file {
        Some(path) => (from_file(path, options.seed)?, None, path.display().to_string()),
        None => (data.toy().draw(12_000, options.seed)?, data.toy().law(), data.name()),
    };
    let (train, held_out) = all.split(all.count() - all.count() / 6)?;
    let (updates, seconds) = if options.quick { (400, 8.0) } else { (loss.updates(energy), 300.0) };
    let outcome = learn(&backend, law, energy, loss, &train, &held_out, updates, seconds, options.seed)?;
    println!(
        "{} updates in {:.1} s, {:.0} a second; held-out log-likelihood {:.3} nats, in samples of {} energy distance {:.4}, sliced Wasserstein {:.4}",
        outcome.steps,
        outcome.seconds,
        outcome.steps_per_second,
        outcome.held_out_log_likelihood,
        thousands(outcome.samples.len() / 2),
        outcome.energy_distance,
        outcome.sliced_wasserstein
    );
    if let (Some(kl), Some(fisher)) = (outcome.kl, outcome.fisher) {
        println!("KL(data || model) {kl:.4} nats, Fisher divergence {fisher:.4}");
    }

    let density = Density::of(&*outcome.model, [-HALF, HALF], [-HALF, HALF]);
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
        .samples(train.points(), &density)
        .axes("data", &format!("{} points", thousands(train.count())));
    let held_out = format!("held-out log-likelihood {:.2} nats", outcome.held_out_log_likelihood);
    picture.panel(1, 0, density.x, density.y).density(&*outcome.model, &density).axes("learned density", &held_out);
    let distance = format!("{}, energy distance {:.4}", number_of_chains(outcome.samples.len() / 2), outcome.energy_distance);
    picture.panel(0, 1, density.x, density.y).samples(&outcome.samples, &density).axes("samples", &distance);
    let finite: Vec<_> = outcome.curve.iter().copied().filter(|point| point[1].is_finite()).collect();
    let (low, high) = finite.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), p| (l.min(p[1]), h.max(p[1])));
    let axes = ([0.0, outcome.steps as f64], [low, high.max(low + 1e-9)]);
    let mut panel = picture.panel(1, 1, Axis::from(axes.0), Axis::from(axes.1));
    panel.line(&finite, 2.0, common::canvas::COLOURS[0], 0.9).axes("loss", "a batch, by update");
    picture.save("train")?;

    let finite = outcome.held_out_log_likelihood.is_finite();
    // Of data of one's own nobody knows how long they take to learn.
    let near = file.is_some() || outcome.energy_distance < 0.1;
    let figures = Figures { data: name, energy, outcome };
    options.finish(&figures, [(finite, "the model has a density"), (near, "samples are near the data")])
}
