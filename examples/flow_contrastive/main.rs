//! Does it pay to let the noise of noise-contrastive estimation learn? An energy of the pinwheel against a fixed Gaussian, and against
//! a flow, on one budget; both judged by quadrature.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../tests/flow/data.rs"]
#[allow(dead_code, reason = "the tests' data sets, with the exact density of the pinwheel")]
mod data;
mod energy;

use std::{sync::Arc, time::Instant};

use anyhow::Result;
use common::{Density, Options, Picture, thousands};
use data::{cells, divergence, energies, ln_z, pinwheel, pinwheel_log_density};
use energy::Bumps;
use ergodic::{
    Backend, Schedule, Start,
    energy::Energy,
    flow::{Contest, Contrast, Contrastive, Flow, FlowGoal, Likelihood, Training},
    kernel::Mala,
    train::Trainable,
};
use serde::Serialize;

const POINTS: usize = 20_000;
const BATCH: usize = 512;
const BUMPS: usize = 25;
const HALF: f64 = 5.0;

#[derive(Serialize)]
struct Row {
    noise: &'static str,
    updates: u64,
    batch: usize,
    /// KL(data ‖ energy), by quadrature.
    kl: f64,
    /// KL(data ‖ noise), by quadrature, at the end.
    kl_of_noise: f64,
    learned_ln_z: f64,
    ln_z: f64,
    /// V, and the share of points that are told rightly, over the last hundred updates.
    value: f64,
    accuracy: f64,
    seconds: f64,
    updates_per_second: f64,
}

#[derive(Serialize)]
struct Figures {
    rows: Vec<Row>,
    kl_ratio: f64,
}

/// N(m, diag s²) as a flow: log-scales and shifts are biases.
fn gaussian(mean: [f64; 2], sd: [f64; 2]) -> Result<Flow> {
    let mut params = Flow::new(2, 2, 1, 0)?.params().to_vec();
    // A layer has W₁, b₁, W₂ (2), A (2) and b₂ (2); the first moves coordinate 1.
    for (bias, i) in [(6, 1), (14, 0)] {
        let u = sd[i].ln() / 2.0;
        (params[bias], params[bias + 1]) = ((2.0 * u / (1.0 - u * u).sqrt()) as f32, mean[i] as f32);
    }
    Ok(Flow::from_params(2, 2, 1, params)?)
}

/// Trains an energy against a noise, and judges both.
fn train(data: &[f32], log_p: &[f64], noise: Flow, goal: FlowGoal, updates: u64, seed: u64) -> Result<(Contrastive, Row)> {
    let var = |name: &str, default: f64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let begun = Instant::now();
    // A part of the flow's budget goes to a start near the data, as in the source.
    let mut noise = noise;
    let mut contests = updates;
    if goal != FlowGoal::Fixed {
        let first = (updates as f64 * var("PRE", 0.25)) as u64;
        let training = Training { batch: BATCH, rate: Schedule::cosine(0.01, var("FR", 0.001), first), seed };
        let mut likely = Likelihood::new(noise, training)?;
        likely.advance(data, first)?;
        (noise, contests) = (likely.flow().clone(), updates - first);
    }
    let places: Vec<_> = (0..BUMPS).map(|j| [data[j], data[POINTS + j]]).collect();
    let bumps = Arc::new(Bumps::new(&places, 0.5));
    let settings = Contrast {
        training: Training { batch: BATCH, rate: Schedule::cosine(var("FR", 0.001), 1e-5, contests), seed },
        energy_rate: Schedule::cosine(var("ER", 0.02), 1e-5, contests),
        flow_goal: goal,
    };
    let start = ln_z(&energies(&*bumps));
    let mut trainer = Contrastive::new(&Backend::cpu(), bumps, start, noise, settings)?;
    trainer.advance(data, contests - 100)?;
    let Contest { value, accuracy } = trainer.advance(data, 100)?;
    let seconds = begun.elapsed().as_secs_f64();
    let learned = energies(&*trainer.energy()?);
    let row = Row {
        noise: if goal != FlowGoal::Fixed { "flow" } else { "fixed Gaussian" },
        updates,
        batch: BATCH,
        kl: divergence(log_p, &learned),
        kl_of_noise: divergence(log_p, &energies(trainer.flow())),
        learned_ln_z: trainer.log_normalizer(),
        ln_z: ln_z(&learned),
        value,
        accuracy,
        seconds,
        updates_per_second: updates as f64 / seconds,
    };
    println!(
        "{:>15}: KL(data ‖ energy) {:.4}, KL(data ‖ noise) {:.4}, learned ln Z {:.4}, by quadrature {:.4}; V = {value:.4}, {:.1} % told; {seconds:.1} s",
        row.noise,
        row.kl,
        row.kl_of_noise,
        row.learned_ln_z,
        row.ln_z,
        100.0 * accuracy
    );
    Ok((trainer, row))
}

/// Mean and standard deviation of a coordinate.
fn moments(values: &[f32]) -> (f64, f64) {
    let mean = |f: &dyn Fn(f64) -> f64| values.iter().map(|&x| f(f64::from(x))).sum::<f64>() / values.len() as f64;
    let m = mean(&|x| x);
    (m, mean(&|x| (x - m).powi(2)).sqrt())
}

fn main() -> Result<()> {
    let options = Options::read("Does it pay to let the noise of noise-contrastive estimation learn?");
    let updates = std::env::var("UP").ok().and_then(|v| v.parse().ok()).unwrap_or(if options.quick { 1_000 } else { 4_000 });
    let data = pinwheel(POINTS, options.seed);
    let log_p = cells(pinwheel_log_density);
    let ((m0, s0), (m1, s1)) = (moments(&data[..POINTS]), moments(&data[POINTS..]));
    let (fixed, fixed_row) = train(&data, &log_p, gaussian([m0, m1], [s0, s1])?, FlowGoal::Fixed, updates, options.seed)?;
    let (moved, moved_row) = train(
        &data,
        &log_p,
        Flow::new(2, 8, 24, options.seed)?,
        if std::env::var("OBJ").is_ok() { FlowGoal::Contest } else { FlowGoal::Likelihood },
        updates,
        options.seed,
    )?;

    // Samples of the energy, by chains of its own.
    let energy: Arc<dyn Trainable> = moved.energy()?;
    let chains = options.chains.unwrap_or(8_192);
    let mut run = Backend::cpu()
        .chains_of(energy.clone(), Arc::new(Mala::new(0.04)))
        .count(chains)
        .seed(options.seed)
        .start(Start::normal([0.0], 1.5))
        .build()?;
    run.advance(if options.quick { 200 } else { 1_000 })?;
    let draws: Vec<f32> =
        moved.flow().sample(100_000, options.seed, u64::MAX / 2).positions.into_iter().map(|x| x as f32).collect();

    let says = format!(
        "{} bumps, {} updates of {BATCH} points each; KL(data ‖ energy): {:.4} nats against a fixed Gaussian, {:.4} against a flow",
        BUMPS,
        thousands(updates as usize),
        fixed_row.kl,
        moved_row.kl
    );
    let mut picture = Picture::grid("Noise-contrastive estimation of a pinwheel", &says, 3, 2, [460, 460], false)?;
    let range = [-HALF, HALF];
    let truth = Density::of_formula(|x, y| -pinwheel_log_density(x, y), range, range);
    let energies: [(Arc<dyn Energy>, usize, usize, &str, String); 4] = [
        (fixed.energy()?, 1, 0, "energy, against a fixed Gaussian", says_ln_z(&fixed_row)),
        (Arc::new(fixed.flow().clone()), 0, 1, "the fixed Gaussian", format!("KL(data ‖ noise) {:.3}", fixed_row.kl_of_noise)),
        (energy, 2, 0, "energy, against a flow", says_ln_z(&moved_row)),
        (
            Arc::new(moved.flow().clone()),
            1,
            1,
            "the flow, its density",
            format!("KL(data ‖ flow) {:.3}", moved_row.kl_of_noise),
        ),
    ];
    for (energy, column, row, title, says) in energies {
        let density = Density::of(&*energy, range, range);
        let mut panel = picture.panel(column, row, range, range);
        panel.density(&*energy, &density).axes(title, &says);
    }
    picture.panel(0, 0, range, range).samples(&data, &truth).axes("data", &format!("{} points", thousands(POINTS)));
    let mut panel = picture.panel(2, 1, range, range);
    panel.samples(&run.positions()?, &truth).axes("samples of the energy", &format!("{} MALA chains", thousands(chains)));
    picture.save("flow_contrastive")?;
    println!("draws of the flow off the data's density by {:.3} in total variation", truth.total_variation(&draws));

    let kl_ratio = moved_row.kl / fixed_row.kl;
    println!("KL against the flow / against the fixed Gaussian: {kl_ratio:.3}");
    let checks = [
        (kl_ratio < 1.0, "the energy comes closer to the data against a flow"),
        ((moved_row.learned_ln_z - moved_row.ln_z).abs() < 0.05, "the learned ln Z is within 0.05 nats of quadrature"),
        (moved_row.kl_of_noise < fixed_row.kl_of_noise, "the flow comes closer to the data than the Gaussian"),
    ];
    options.finish(&Figures { rows: vec![fixed_row, moved_row], kl_ratio }, checks)
}

fn says_ln_z(row: &Row) -> String {
    format!("KL {:.4}; ln Z learned {:.3}, exact {:.3}", row.kl, row.learned_ln_z, row.ln_z)
}
