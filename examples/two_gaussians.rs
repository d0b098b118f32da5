//! How do Metropolis–Hastings chains come from a start far away to two Gaussians, and when have they forgotten it?

mod common;

use std::sync::Arc;

use anyhow::Result;
use common::{
    Density, Options, Picture,
    canvas::{Align, COLOURS, FAINT, INK},
    number_of_chains,
    panel::Axis,
    thousands,
};
use ergodic::{Start, energy::Mixture, kernel::Rwm};
use indicatif::ProgressIterator;
use serde::Serialize;

const START: [f64; 2] = [0.0, 12.0];
/// Chains whose paths are drawn, and for how many steps.
const PATHS: usize = 6;
const PATH_STEPS: u64 = 100;

#[derive(Serialize)]
struct Figures {
    chains: usize,
    step_size: f64,
    mean_acceptance: Option<f64>,
    /// The steps after which the next three were taken.
    steps: Vec<u64>,
    mean_energy: Vec<f64>,
    /// Share of the chains nearer to the heavier mode.
    share_right: Vec<f64>,
    total_variation: Vec<f64>,
    exact_mean_energy: f64,
    exact_share_right: f64,
    total_variation_of_exact_draws: f64,
}

fn main() -> Result<()> {
    let options = Options::read("How do Metropolis-Hastings chains come from a start far away to two Gaussians?");
    let backend = options.open()?;
    let chains = options.count(&backend, if options.quick { 8_192 } else { 65_536 }, 4_096);
    let last: u64 = if options.quick { 4_000 } else { 10_000 };
    let step_size = 0.8;
    let target = Arc::new(Mixture::new(&[0.3, 0.7], &[vec![-2.0, 0.0], vec![2.0, 0.0]], &[0.7, 0.7])?);
    let density = Density::of(&*target, [-8.0, 8.0], [-3.0, 13.0]);

    let mut run = backend
        .chains_of(target.clone(), Arc::new(Rwm::new(step_size)))
        .count(chains)
        .seed(options.seed)
        .start(Start::point(START))
        .build()?;
    let mut paths = vec![vec![START]; PATHS.min(chains)];
    let mut figures = Figures {
        chains,
        step_size,
        mean_acceptance: None,
        steps: Vec::new(),
        mean_energy: Vec::new(),
        share_right: Vec::new(),
        total_variation: Vec::new(),
        exact_mean_energy: density.mean_energy - density.least_energy,
        exact_share_right: 0.7,
        total_variation_of_exact_draws: density.of_exact_draws(chains),
    };
    // Every step at first, for the paths; then at steps in geometric progression.
    let mut stops: Vec<u64> = (1..=PATH_STEPS).collect();
    stops.extend((0..).map(|k| (PATH_STEPS as f64 * 1.06f64.powi(k + 1)) as u64).take_while(|&step| step < last).chain([last]));
    for stop in stops.into_iter().progress() {
        run.advance(stop - run.steps())?;
        let positions = run.positions()?;
        let (xs, ys) = positions.split_at(chains);
        if stop <= PATH_STEPS {
            paths.iter_mut().enumerate().for_each(|(i, path)| path.push([f64::from(xs[i]), f64::from(ys[i])]));
        }
        let mean = run.energies()?.iter().map(|&e| f64::from(e)).sum::<f64>() / chains as f64;
        figures.steps.push(stop);
        figures.mean_energy.push(mean - density.least_energy);
        // A chain that has not moved yet counts half.
        let right = |&x: &f32| if x == 0.0 { 0.5 } else { f64::from(u8::from(x > 0.0)) };
        figures.share_right.push(xs.iter().map(right).sum::<f64>() / chains as f64);
        figures.total_variation.push(density.total_variation(&positions));
    }
    let report = run.report();
    figures.mean_acceptance = report.mean_acceptance;
    println!("{report}");

    let title = format!("Random-walk Metropolis–Hastings: {} from far above to two Gaussians", number_of_chains(chains));
    let says = format!(
        "step {step_size}, acceptance {:.2}, {} steps",
        figures.mean_acceptance.unwrap_or(f64::NAN),
        thousands(last as usize)
    );
    let mut picture = Picture::grid(&title, &says, 3, 1, [640, 640], true)?;
    let mut panel = picture.panel(0, 0, density.x, density.y);
    panel.density(&*target, &density);
    for (path, colour) in paths.iter().zip(COLOURS) {
        panel.line(path, 2.2, colour, 0.85).dots(path.last().copied(), 7.0, colour, 1.0);
    }
    panel.dots([START], 8.0, INK, 1.0).note("start", [0.5, 12.1], Align::Left, INK);
    panel.axes("paths of some chains", &format!("the first {PATH_STEPS} steps, over the true density")).labels("x", "y");

    let steps = [1.0, last as f64];
    let curve = |values: &[f64]| -> Vec<_> { figures.steps.iter().zip(values).map(|(&k, &v)| [k as f64, v]).collect() };
    let exact = |value: f64| [[steps[0], value], [steps[1], value]];
    let mut panel = picture.panel(1, 0, Axis::log(steps[0], steps[1]), Axis::log(0.5, 300.0));
    panel.line(&exact(figures.exact_mean_energy), 2.0, FAINT, 1.0);
    panel.line(&curve(&figures.mean_energy), 4.0, COLOURS[0], 1.0);
    panel.note("exact", [1.3, figures.exact_mean_energy * 0.8], Align::Left, FAINT);
    let found = figures.mean_energy[figures.mean_energy.len() - 1];
    panel.axes("the fall: energy above its minimum", &format!("at the end {found:.3}, exact {:.3}", figures.exact_mean_energy));
    panel.labels("step", "mean over chains");

    let mut panel = picture.panel(2, 0, Axis::log(steps[0], steps[1]), [0.0, 1.05]);
    panel.line(&exact(figures.exact_share_right), 2.0, FAINT, 1.0).line(
        &exact(figures.total_variation_of_exact_draws),
        2.0,
        FAINT,
        1.0,
    );
    panel.line(&curve(&figures.share_right), 4.0, COLOURS[1], 1.0).line(&curve(&figures.total_variation), 4.0, COLOURS[0], 1.0);
    panel.note("total variation", [1.3, 0.94], Align::Left, COLOURS[0]);
    panel.note("right mode", [1.3, 0.45], Align::Left, COLOURS[1]);
    panel.note("exact share", [1.3, 0.72], Align::Left, FAINT);
    panel.note("that of exact draws", [1.3, figures.total_variation_of_exact_draws + 0.02], Align::Left, FAINT);
    let share = figures.share_right[figures.share_right.len() - 1];
    panel.axes("the balance: weights of the modes", &format!("right mode at the end {share:.3}, exact 0.7")).labels("step", "");
    picture.save("two_gaussians")?;

    let found_variation = figures.total_variation[figures.total_variation.len() - 1];
    // The energy above its minimum has a standard deviation near 1, as that of one Gaussian has.
    let energy_error = 1.1 / (chains as f64).sqrt();
    let share_error = (0.7 * 0.3 / chains as f64).sqrt();
    options.finish(
        &figures,
        [
            (report.failures.is_empty(), "no transition fails"),
            ((found - figures.exact_mean_energy).abs() < 5.0 * energy_error, "the mean energy is within five standard errors"),
            ((share - 0.7).abs() < 5.0 * share_error, "the modes have their weights within five standard errors"),
            (found_variation < 2.0 * figures.total_variation_of_exact_draws, "the total variation is near that of exact draws"),
        ],
    )
}
