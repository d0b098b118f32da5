//! What does a restricted Boltzmann machine learn from 1,500 handwritten digits, and what from two of them, one on the other?

mod common;
#[path = "common/images.rs"]
mod images;

use std::time::Instant;

use anyhow::Result;
use common::{Options, Picture};
use ergodic::{
    Backend, Schedule,
    rbm::{Ais, Dbn, Gibbs, LnZ, Monitor, Negative, Rbm, States, Trainer, Training},
};
use images::{PIXELS, ROW, TRAIN, pixel, shuffled};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use smartcore::{
    linalg::basic::matrix::DenseMatrix,
    neighbors::knn_classifier::{KNNClassifier, KNNClassifierParameters},
};

const HIDDEN: usize = 128;

#[derive(Serialize)]
struct Figures {
    /// In nats an image, over 297 images: [lower, upper] by annealed importance sampling.
    heldout_log_likelihood: [f64; 2],
    train_log_likelihood: [f64; 2],
    ln_z: f64,
    ln_z_error: f64,
    ln_z_reverse: Option<f64>,
    epochs: u64,
    /// Of training alone.
    seconds: f64,
    updates_per_second: f64,
    monitors: Vec<(u64, Monitor)>,
    anomalies: Anomalies,
    accuracy: Accuracy,
}

/// How often a held-out digit has a higher ratio of likelihoods, machine to base rates, than an image that is none.
#[derive(Serialize)]
struct Anomalies {
    /// Pixels drawn by the base rates.
    base_rates: f64,
    /// Held-out digits upside down.
    upside_down: f64,
}

/// Of the nearest neighbours among the training images, on the held-out ones: by pixels, and by features of the machine and the network.
#[derive(Serialize)]
struct Accuracy {
    pixels: f64,
    machine: f64,
    network: f64,
}

fn main() -> Result<()> {
    let options = Options::read("What does a Boltzmann machine learn from 1,500 handwritten digits?");
    options.fixed_chains("as many samples are drawn as the pictures show")?;
    let backend = options.open()?;
    let Digits { train, held_out, labels } = digits()?;
    let means = train.means();
    let epochs = if options.quick { 100 } else { 400 };
    let settings = Training {
        negative: Negative::Persistent { sweeps: 2, chains: 100 },
        rate: Schedule::linear(0.2, 0.002, epochs),
        momentum: 0.5,
        weight_decay: 1e-3,
        seed: options.seed,
        ..Training::default()
    };

    let mut trainer = Trainer::new(Rbm::for_data(&means, HIDDEN, 0.01, options.seed)?, settings.clone())?;
    let mut monitors = Vec::new();
    let (mut seconds, mut updates) = (0.0, 0);
    let bar = progress_bar("machine", epochs);
    println!("{:>6} {:>16} {:>14} {:>17}", "epoch", "free-energy gap", "reconstruction", "pseudo-likelihood");
    for epoch in 1..=epochs {
        let done = trainer.epoch(&train)?;
        (seconds, updates) = (seconds + done.time.as_secs_f64(), updates + done.updates);
        bar.set_position(epoch);
        if epoch % (epochs / 5) == 0 {
            let now = trainer.rbm().monitor(&train, &held_out);
            let Monitor { free_energy_gap, reconstruction_error, pseudo_likelihood, .. } = now;
            let pseudo_likelihood = pseudo_likelihood.unwrap_or(f64::NAN);
            bar.suspend(|| {
                println!("{epoch:>6} {free_energy_gap:>16.3} {reconstruction_error:>14.4} {pseudo_likelihood:>17.3}")
            });
            monitors.push((epoch, now));
        }
    }
    bar.finish_and_clear();
    let rbm = trainer.rbm().clone();
    let rate = updates as f64 / seconds;
    println!("{epochs} epochs of PCD-2 in {seconds:.1} s, {rate:.0} updates a second");

    let begun = Instant::now();
    let annealing = if options.quick { Ais::new(1_000, 100).reverse(200) } else { Ais::new(10_000, 100).reverse(2_000) };
    let ln_z = annealing.base_rates(&means).run(&rbm, options.seed)?;
    let reverse = ln_z.reverse.map(|r| r.value);
    println!(
        "ln Z = {:.3} ± {:.3}, backwards {:.3}, in {:.1} s",
        ln_z.forward.value,
        ln_z.forward.error,
        reverse.unwrap_or(f64::NAN),
        begun.elapsed().as_secs_f64()
    );
    let heldout_log_likelihood = bracket(&rbm, &ln_z, &held_out);
    let [low, high] = heldout_log_likelihood;
    println!("held-out log-likelihood in [{low:.3}, {high:.3}] nats an image");

    let sweeps = if options.quick { 300 } else { 5_000 };
    let mut chains = Gibbs::new(&backend, &rbm, ROW * ROW, options.seed)?;
    chains.advance(sweeps)?;
    let samples = visible_means(&rbm, &chains.hidden()?);
    let inpainted = inpaint(&backend, &rbm, &held_out, options.seed)?;

    let hidden = rbm.draw_hidden(&train, options.seed, 9)?;
    let mut second = Trainer::new(Rbm::for_data(&hidden.means(), HIDDEN / 2, 0.01, options.seed + 1)?, settings)?;
    let bar = progress_bar("network", epochs);
    for _ in 0..epochs {
        second.epoch(&hidden)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let network = Dbn::new([rbm.clone(), second.rbm().clone()])?;
    let deep = network.sample(&backend, ROW * ROW, sweeps, options.seed)?;

    let base = Rbm::for_data(&means, HIDDEN, 0.0, options.seed)?;
    let anomalies = anomalies(&backend, &rbm, &base, &held_out, options.seed)?;
    let Anomalies { base_rates, upside_down } = anomalies;
    println!(
        "ratio of likelihoods to base rates, area under the curve: noise {base_rates:.4}, digits upside down {upside_down:.4}"
    );
    let score = |features: &dyn Fn(&[f64]) -> Vec<f64>| accuracy(&train, &held_out, &labels, features);
    let accuracy = Accuracy {
        pixels: score(&|v| v.to_vec())?,
        machine: score(&|v| rbm.hidden_means(v))?,
        network: score(&|v| [rbm.hidden_means(v), network.features(v)].concat())?,
    };
    let Accuracy { pixels, machine, network: both } = accuracy;
    println!(
        "five nearest neighbours: {:.1} % right on pixels, {:.1} % on hidden means, {:.1} % with the second layer's",
        100.0 * pixels,
        100.0 * machine,
        100.0 * both
    );

    let title = "Handwritten digits by a restricted Boltzmann machine and by a deep belief network";
    let says = format!(
        "8 × 8 pixels, {HIDDEN} hidden units, {epochs} epochs of PCD-2; held-out log-likelihood between {low:.2} and {high:.2} nats"
    );
    let mut picture = Picture::grid(title, &says, 3, 2, [560, 560], false)?;
    let rows = |states: &States| -> Vec<_> { (0..ROW * ROW).map(|image| states.row(image)).collect() };
    let strongest = rbm.weights().iter().fold(0f32, |most, w| most.max(w.abs()));
    let filter = |j: usize| (0..PIXELS).map(|i| f64::from(0.5 + 0.5 * rbm.weights()[i * HIDDEN + j] / strongest)).collect();
    let filters: Vec<Vec<f64>> = (0..ROW * ROW).map(filter).collect();
    for (i, (images, name, says)) in [
        (rows(&held_out), "held-out digits", "pixels of at least 8 set to one".to_string()),
        (filters, "filters", "weights of 64 hidden units".into()),
        (samples, "samples of the machine", format!("means of the pixels after {sweeps} sweeps from noise")),
        (rows(&held_out), "upper halves given", "held-out digits".into()),
        (inpainted, "lower halves inpainted", "mean of 32 chains, each clamped above".into()),
        (rows(&deep), "samples of the network", format!("{PIXELS}–{HIDDEN}–{}: {sweeps} sweeps on top, then down", HIDDEN / 2)),
    ]
    .into_iter()
    .enumerate()
    {
        let size = 9.0 * ROW as f64;
        let mut panel = picture.panel(i % 3, i / 3, [0.0, size], [0.0, size]);
        // Of those that are inpainted only what is given.
        let shown = if i == 3 { 4 } else { 8 };
        panel.field(|x, y| pixel(&images, x, size - y, shown)).frame(name, &says);
    }
    picture.save("digits")?;

    let figures = Figures {
        heldout_log_likelihood,
        train_log_likelihood: bracket(&rbm, &ln_z, &train),
        ln_z: ln_z.forward.value,
        ln_z_error: ln_z.forward.error,
        ln_z_reverse: reverse,
        epochs,
        seconds,
        updates_per_second: rate,
        monitors,
        anomalies,
        accuracy,
    };
    let goal = if options.quick { -20.0 } else { -17.9 };
    options.finish(
        &figures,
        [
            (low > goal, "the held-out log-likelihood is that of a trained machine"),
            (high - low < 2.0, "the bracket is narrow"),
            (base_rates > 0.99 && upside_down > 0.75, "images that are no digits are less likely"),
            (machine > 0.9, "hidden means are features"),
        ],
    )
}

struct Digits {
    train: States,
    held_out: States,
    /// Which digits they are, the training ones first.
    labels: Vec<i32>,
}

/// The digits that smartcore ships, black and white.
fn digits() -> Result<Digits> {
    let (images, labels) = shuffled();
    let all = States::from_rows(&images, PIXELS, 8.0)?;
    let select = |range: std::ops::Range<usize>| all.select(&range.collect::<Vec<_>>());
    Ok(Digits { train: select(0..TRAIN), held_out: select(TRAIN..all.chains()), labels })
}

/// A progress bar of epochs on standard error; nothing where that is not a terminal.
fn progress_bar(what: &'static str, epochs: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>10} [{bar:32}] {pos}/{len} epochs, {eta} left");
    ProgressBar::new(epochs).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_prefix(what)
}

/// ln p(v) under the machine less that under the base rates is, but for a constant, a difference of free energies; images that are no
/// digits have a low one.
fn anomalies(backend: &Backend, rbm: &Rbm, base: &Rbm, held_out: &States, seed: u64) -> Result<Anomalies> {
    let ratios = |images: &States| -> Vec<f64> {
        let rows = (0..images.chains()).map(|image| images.row(image));
        rows.map(|v| base.free_energy(&v) - rbm.free_energy(&v)).collect()
    };
    let normal = ratios(held_out);
    let area = |other: Vec<f64>| {
        let above: usize = normal.iter().map(|a| other.iter().filter(|b| a > b).count()).sum();
        above as f64 / (normal.len() * other.len()) as f64
    };
    let mut noise = Gibbs::new(backend, base, held_out.chains(), seed)?;
    noise.advance(1)?;
    let mut turned = States::zeros(PIXELS, held_out.chains())?;
    for image in 0..held_out.chains() {
        (0..PIXELS).for_each(|unit| turned.set(8 * (7 - unit / 8) + unit % 8, image, held_out.get(unit, image)));
    }
    Ok(Anomalies { base_rates: area(ratios(&noise.visible()?)), upside_down: area(ratios(&turned)) })
}

/// Accuracy on held-out digits of their five nearest neighbours among the training digits, by features.
fn accuracy(train: &States, held_out: &States, labels: &[i32], features: &dyn Fn(&[f64]) -> Vec<f64>) -> Result<f64> {
    let matrix = |images: &States| {
        let rows: Vec<_> = (0..images.chains()).map(|image| features(&images.row(image))).collect();
        DenseMatrix::from_2d_vec(&rows)
    };
    let (of_train, of_held_out) = labels.split_at(train.chains());
    let settings = KNNClassifierParameters::default().with_k(5);
    let classifier = KNNClassifier::fit(&matrix(train)?, &of_train.to_vec(), settings)?;
    let found: Vec<i32> = classifier.predict(&matrix(held_out)?)?;
    Ok(found.iter().zip(of_held_out).filter(|(a, b)| a == b).count() as f64 / of_held_out.len() as f64)
}

/// The mean log-likelihood of images, between ln Z at its highest and at its lowest.
fn bracket(rbm: &Rbm, ln_z: &LnZ, images: &States) -> [f64; 2] {
    let [low, high] = ln_z.bracket();
    let mean = rbm.mean_negative_free_energy(images);
    [mean - high, mean - low]
}

fn visible_means(rbm: &Rbm, hidden: &States) -> Vec<Vec<f64>> {
    (0..hidden.chains()).map(|chain| rbm.visible_means(&hidden.row(chain))).collect()
}

/// The lower halves of held-out images, drawn with the upper ones clamped: the mean over 32 chains an image.
fn inpaint(backend: &Backend, rbm: &Rbm, held_out: &States, seed: u64) -> Result<Vec<Vec<f64>>> {
    let start: Vec<_> = (0..ROW * ROW).flat_map(|image| [image; 32]).collect();
    let mut start = held_out.select(&start);
    for unit in PIXELS / 2..PIXELS {
        (0..start.chains()).for_each(|chain| start.set(unit, chain, false));
    }
    let mut chains = Gibbs::start(backend, rbm, &start, seed)?;
    chains.clamp(&(0..PIXELS).map(|unit| unit < PIXELS / 2).collect::<Vec<_>>())?;
    chains.advance(200)?;
    let visible = chains.visible()?;
    let mean = |image: usize, unit: usize| (0..32).filter(|c| visible.get(unit, 32 * image + c)).count() as f64 / 32.0;
    Ok((0..ROW * ROW).map(|image| (0..PIXELS).map(|unit| mean(image, unit)).collect()).collect())
}
