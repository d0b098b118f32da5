//! How much faster than a random walk does Hamiltonian Monte Carlo run along a curved valley, evaluation by evaluation?

mod common;

use std::sync::Arc;

use anyhow::Result;
use common::{
    Density, Options, Picture,
    canvas::{Align, INK},
    number_of_chains, progress, thousands,
};
use ergodic::{
    Start,
    energy::Rosenbrock,
    kernel::{Hmc, Kernel, Rwm},
};
use serde::Serialize;

/// The classical start of Rosenbrock's function, on the far side of the valley from its minimum (1, 1).
const START: [f64; 2] = [-1.2, 1.0];
/// Leapfrog steps of a trajectory, so gradients a transition; the random walk has as many energies instead.
const LEAPFROG_STEPS: u64 = 128;
/// Evaluations after which a picture is taken.
const STOPS: [u64; 4] = [128, 512, 2_048, 8_192];

#[derive(Serialize)]
struct Snapshot {
    evaluations: u64,
    mean_x: f64,
    total_variation: f64,
}

#[derive(Serialize)]
struct Row {
    kernel: &'static str,
    mean_acceptance: Option<f64>,
    snapshots: Vec<Snapshot>,
    exact_mean_x: f64,
    total_variation_of_exact_draws: f64,
    /// Mean of (x′ − x)² over 128 evaluations after the last snapshot, in units of that of independent draws, 2 Var(x) = 1.
    progress: f64,
    failed_transitions: u64,
}

fn main() -> Result<()> {
    let options =
        Options::read("How much faster than a random walk does HMC run along a curved valley, evaluation by evaluation?");
    let backend = options.open()?;
    let chains =
        options.count(&backend, if options.quick { 16_384 } else { 65_536 }, if options.quick { 2_048 } else { 8_192 });
    // x ~ N(1, 1/2), y ~ N(x^2, 1/200) given x.
    let target = Arc::new(Rosenbrock::new(2)?);
    let density = Density::of(&*target, [-4.0, 6.0], [-1.0, 19.0]);
    let (x, y) = ([-2.4, 3.4], [-0.8, 5.0]);

    let kernels: [(Arc<dyn Kernel>, u64, &str); 2] = [
        (Arc::new(Rwm::new(0.11)), 1, "random walk"),
        (Arc::new(Hmc::new(0.015, LEAPFROG_STEPS as u32)), LEAPFROG_STEPS, "HMC"),
    ];
    let mut rows = Vec::new();
    let mut snapshots_of_all = Vec::new();
    for (kernel, cost, title) in kernels {
        let mut run = backend
            .chains_of(target.clone(), kernel.clone())
            .count(chains)
            .seed(options.seed)
            .start(Start::point(START))
            .on_progress(progress(kernel.name()))
            .build()?;
        let mut snapshots = Vec::new();
        let mut positions = Vec::new();
        for evaluations in STOPS {
            run.advance(evaluations / cost - run.steps())?;
            positions = run.positions()?;
            snapshots.push(Snapshot {
                evaluations,
                mean_x: positions[..chains].iter().map(|&x| f64::from(x)).sum::<f64>() / chains as f64,
                total_variation: density.total_variation(&positions),
            });
            snapshots_of_all.push((title, positions.clone()));
        }
        run.advance(LEAPFROG_STEPS / cost)?;
        let jumps = run.positions()?.iter().zip(&positions).take(chains).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>();
        let report = run.report();
        println!("{report}");
        rows.push(Row {
            kernel: report.kernel,
            mean_acceptance: report.mean_acceptance,
            snapshots,
            exact_mean_x: 1.0,
            total_variation_of_exact_draws: density.of_exact_draws(chains),
            progress: jumps / chains as f64,
            failed_transitions: report.failed_transitions(),
        });
    }

    let [walk, hmc] = [&rows[0], &rows[1]];
    let gain = hmc.progress / walk.progress;
    let title = format!("Along Rosenbrock’s valley: {} from one point, by random walk and by HMC", number_of_chains(chains));
    let says = format!(
        "squared step along x in {LEAPFROG_STEPS} evaluations, relative to independent draws: {:.3} by random walk, {:.3} by HMC; \
         acceptance {:.2} and {:.2}; total variation of exact draws: {:.3}",
        walk.progress,
        hmc.progress,
        walk.mean_acceptance.unwrap_or(f64::NAN),
        hmc.mean_acceptance.unwrap_or(f64::NAN),
        walk.total_variation_of_exact_draws,
    );
    println!("{says}");
    let mut picture = Picture::grid(&title, &says, STOPS.len(), 2, [460, 460], false)?;
    let snapshots = rows.iter().flat_map(|row| &row.snapshots);
    for (i, ((title, positions), snapshot)) in snapshots_of_all.iter().zip(snapshots).enumerate() {
        let mut panel = picture.panel(i % STOPS.len(), i / STOPS.len(), x, y);
        panel.samples(positions, &density).contours_of(&*target, &density, &[2.0, 4.5], [1.0; 3], 0.45);
        panel.dots([START], 6.0, INK, 1.0).note("start", [-1.4, 0.8], Align::Right, INK);
        panel.axes(
            &format!("{title}, {} evaluations", thousands(snapshot.evaluations as usize)),
            &format!("mean of x {:.2}, total variation {:.3}", snapshot.mean_x, snapshot.total_variation).replace('-', "−"),
        );
    }
    picture.save("rosenbrock")?;

    let mean_error = (0.5 / chains as f64).sqrt();
    options.finish(
        &rows,
        [
            (rows.iter().all(|row| row.failed_transitions == 0), "no transition fails"),
            (gain > 2.0, "HMC makes more than twice the progress"),
            (
                (hmc.snapshots[3].mean_x - 1.0).abs() < 5.0 * mean_error,
                "the mean of x under HMC is within five standard errors",
            ),
            (
                hmc.snapshots[3].total_variation < 2.0 * hmc.total_variation_of_exact_draws,
                "HMC ends near the total variation of exact draws",
            ),
        ],
    )
}
