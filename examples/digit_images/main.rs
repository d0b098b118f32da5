//! What do an energy and a diffusion learn from 1,500 handwritten digits? Samples, outliers, and lower halves given upper ones.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/images.rs"]
mod images;
mod inpaint;
mod models;
mod pixels;

use std::time::Instant;

use anyhow::Result;
use common::{
    Options, Picture,
    canvas::{Align, COLOURS},
};
use ergodic::{
    diffusion::NoiseSchedule,
    evaluate,
    train::{Normality, energy_distance},
};
use images::{PIXELS, ROW, SIDE, TRAIN, pixel, shuffled};
use inpaint::{Errors, errors, inpaint};
use models::{LAST, Learned};
use pixels::{dequantised, first, noised, outliers, shown};
use serde::Serialize;

/// The noise level whose energy scores outliers.
const SCORED: f64 = 0.25;
/// Of each image to learn from so many copies, each with noise of its own.
const COPIES: usize = 8;

/// Steps of the diffusion, all of which it takes on its way back: with fewer, its samples are further from the digits.
const STEPS: usize = 250;

#[derive(Serialize)]
struct Figures {
    energy: Model,
    diffusion: Model,
    /// Mean energies at the level that scores outliers.
    energies: Energies,
    /// The probability that an outlier has a higher energy than a held-out digit.
    roc_area: Vec<(&'static str, f64)>,
    inpainting: Errors,
    seconds: f64,
}

#[derive(Serialize)]
struct Model {
    #[serde(flatten)]
    learned: Learned,
    samples: usize,
    sampling_seconds: f64,
    /// Squared energy distance to held-out images, without bias: of samples, of images that were learned from, of pixels of 64 images.
    energy_distance: f64,
    energy_distance_of_data: f64,
    energy_distance_of_strangers: f64,
}

#[derive(Serialize)]
struct Energies {
    learned_from: f64,
    held_out: f64,
}

fn main() -> Result<()> {
    let options = Options::read("What do an energy and a diffusion learn from 1,500 handwritten digits?");
    options.fixed_chains("as many samples are drawn as the pictures show")?;
    let backend = options.open()?;
    let (begun, seed) = (Instant::now(), options.seed);
    // Steps of training of the energy and of the diffusion, Langevin steps at each level, samples. Of fewer samples the energy distance
    // varies more than it is: of 1,024 images of the data by a fifth of that of pixels of 64 images.
    let (steps, diffused, each, drawn) = if options.quick { (2_500, 2_500, 20, 2_048) } else { (24_000, 20_000, 30, 4_096) };
    let (all, _) = shuffled();
    let (train, held_out) = all.split_at(TRAIN * PIXELS);
    let (train, held_out) = (dequantised(train, COPIES, seed), dequantised(held_out, 1, seed + 1));
    let n = held_out.len() / PIXELS;
    let learned_from = first(&train, TRAIN);
    let judged = |learned, x: &[f32], seconds, sigma| -> Result<Model> {
        let held_out = noised(&held_out, sigma, seed + 2);
        let distance = |x: &[f32]| energy_distance(x, &held_out, PIXELS);
        let strangers = &outliers(&held_out)[0].1;
        Ok(Model {
            learned,
            samples: x.len() / PIXELS,
            sampling_seconds: seconds,
            energy_distance: distance(x)?,
            energy_distance_of_data: distance(&noised(&learned_from, sigma, seed + 3))?,
            energy_distance_of_strangers: distance(strangers)?,
        })
    };
    let say = |name: &str, model: &Model| {
        println!(
            "{name}: {} steps in {:.1} s, {} samples in {:.1} s; energy distance to {n} held-out images {:.4}, of {TRAIN} learned from {:.4}, of pixels of 64 images {:.4}",
            model.learned.steps,
            model.learned.seconds,
            model.samples,
            model.sampling_seconds,
            model.energy_distance,
            model.energy_distance_of_data,
            model.energy_distance_of_strangers
        );
    };

    let trained_on = options.for_training(&backend);
    let (network, learned) = models::energy(&trained_on, &train, steps, seed)?;
    let sampling = Instant::now();
    let (samples, frames) = models::sample(&trained_on, &network, drawn, each, seed)?;
    let energy = judged(learned, &samples, sampling.elapsed().as_secs_f64(), LAST)?;
    say("energy", &energy);

    let scores = |x: &[f32]| -> Result<Vec<f64>> {
        Ok(evaluate(&backend, network.clone(), &noised(x, SCORED, seed + 4), SCORED)?.energies)
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let mut scored = vec![("held-out digits", scores(&held_out)?)];
    for (name, x) in outliers(&held_out) {
        scored.push((name, scores(&x)?));
    }
    let normality = Normality::new(scored[0].1.clone())?;
    let roc_area: Vec<_> = scored[1..].iter().map(|(name, x)| Ok((*name, normality.roc_area(x)?))).collect::<Result<_>>()?;
    roc_area.iter().for_each(|(name, area)| println!("ROC area {area:.4}: {name}"));
    let energies = Energies { learned_from: mean(&scores(&learned_from)?), held_out: mean(&scored[0].1) };
    println!("mean energy {:.3} of images learned from, {:.3} of held-out ones", energies.learned_from, energies.held_out);

    let (conditioned, chains) = if options.quick { (ROW, 8) } else { (2 * ROW, 32) };
    let sampling = Instant::now();
    let inpainted = inpaint(&network, &held_out, conditioned, chains, each, seed)?;
    let inpainting = errors(&held_out, &inpainted, &train);
    println!("{} lower halves in {:.1} s: {inpainting:?}", conditioned * chains, sampling.elapsed().as_secs_f64());

    let schedule = NoiseSchedule::linear(STEPS, 2e-3, 0.04)?;
    // The reverse process starts from noise of mean zero: so around the mean image.
    let centre = pixels::mean(&train);
    let (network, learned) =
        models::diffusion(&trained_on, &schedule, &pixels::plus(&train, -1.0, &centre), diffused, options.quick, seed)?;
    let sampling = Instant::now();
    let diffused = pixels::plus(&models::denoise(&network, &schedule, drawn, STEPS, seed)?, 1.0, &centre);
    let diffusion = judged(learned, &diffused, sampling.elapsed().as_secs_f64(), 0.0)?;
    say("diffusion", &diffusion);

    let title = "Handwritten digits by an energy and by a diffusion";
    let mut picture = Picture::grid(title, "8 × 8 pixels, 1,500 images to learn from", 3, 2, [560, 560], false)?;
    // A row an image: what is held out, and what seven chains make of its upper half.
    let rows = (0..ROW).flat_map(|i| [shown(&held_out, ROW).swap_remove(i)].into_iter().chain(shown(&inpainted[i], ROW - 1)));
    // A column a chain, from level to level.
    let levels: Vec<_> =
        (0..ROW).map(|row| shown(&frames[frames.len() - 1 - (ROW - 1 - row) * (frames.len() - 1) / (ROW - 1)], ROW)).collect();
    for (i, (images, name, says)) in [
        (shown(&held_out, ROW * ROW), "held-out digits", "".to_string()),
        (shown(&samples, ROW * ROW), "samples of the energy", format!("at the noise level {LAST}")),
        (shown(&diffused, ROW * ROW), "samples of the diffusion", format!("{STEPS} steps of DDIM")),
        (rows.collect(), "lower halves, given the upper", "held-out digit, then seven chains".into()),
        (levels.concat(), "annealed Langevin dynamics", "eight chains, from noise down".into()),
    ]
    .into_iter()
    .enumerate()
    {
        let size = ((SIDE + 1) * ROW) as f64;
        let mut panel = picture.panel(i % 3, i / 3, [0.0, size], [0.0, size]);
        panel.field(|x, y| pixel(&images, x, size - y, SIDE)).frame(name, &says);
    }
    let all = || scored.iter().flat_map(|(_, scores)| scores).copied();
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    // The names stand where no curve comes.
    let end = low + (high - low) / 0.6;
    let mut panel = picture.panel(2, 1, [low, end], [0.0, 1.0]);
    for (i, ((name, scores), colour)) in scored.iter().zip(COLOURS).enumerate() {
        let mut sorted = scores.clone();
        sorted.sort_by(f64::total_cmp);
        let share = |(i, &e): (usize, &f64)| [e, (i as f64 + 0.5) / sorted.len() as f64];
        panel.line(&sorted.iter().enumerate().map(share).collect::<Vec<_>>(), 3.0, colour, 1.0);
        panel.note(name, [low + 0.98 * (end - low), 0.93 - 0.07 * i as f64], Align::Right, colour);
    }
    panel.axes("energies", &format!("share below, at the noise level {SCORED}"));
    picture.save("digit_images")?;

    // A short training leaves noise in the background, which distances see before they see shapes.
    let closer = |model: &Model| {
        let most = if options.quick { 0.8 } else { 0.5 };
        model.energy_distance < most * model.energy_distance_of_strangers
    };
    let checks = [
        (closer(&energy), "samples of the energy are close to digits beside pixels of 64 images"),
        (closer(&diffusion), "samples of the diffusion are close to digits beside pixels of 64 images"),
        (roc_area.iter().all(|(_, area)| *area > 0.7), "images that are no digits have higher energies"),
        (inpainting.chains < inpainting.mean_image, "the upper half says something of the lower"),
    ];
    let figures = Figures { energy, diffusion, energies, roc_area, inpainting, seconds: begun.elapsed().as_secs_f64() };
    options.finish(&figures, checks)
}
