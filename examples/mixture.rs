//! Do all kernels find all eight modes of a mixture? 65,536 chains each, started in the one mode at the right.

mod common;

use std::sync::Arc;

use anyhow::Result;
use common::{Density, Options, Picture, number_of_chains, progress, thousands};
use ergodic::{
    Collect, Report, Start,
    energy::Mixture,
    kernel::{Annealed, Drift, Hmc, Independence, Kernel, Mala, Rwm, Ula, Underdamped},
};
use serde::Serialize;

/// What one kernel did.
#[derive(Serialize)]
struct Row {
    settings: &'static str,
    /// After the last step.
    total_variation: f64,
    total_variation_of_exact_draws: f64,
    exact_mean_energy: f64,
    report: Report,
}

/// A kernel, its settings in words, and the energies or gradients that a transition evaluates on average.
type Case = (Arc<dyn Kernel>, &'static str, u64);

fn cases(evaluations: u64) -> Vec<Case> {
    vec![
        (Arc::new(Rwm::new(1.2)), "step 1.2", 1),
        (Arc::new(Drift::new(1.2, [0.4, 0.2])), "step 1.2, drift (0.4, 0.2)", 1),
        (Arc::new(Independence::new([0.0], [3.0])), "proposal N(0, 9)", 1),
        (Arc::new(Mala::new(0.35)), "step 0.35", 1),
        (Arc::new(Hmc::new(0.45, 8).jitter(4)), "step 0.45, 4 to 8 leapfrog steps", 6),
        (Arc::new(Ula::new(0.08)), "step 0.08", 1),
        (Arc::new(Underdamped::new(0.3, 0.3)), "step 0.3, friction 0.3", 1),
        (Arc::new(Annealed::geometric(6.0, 0.05, 10, evaluations / 10, 0.0015)), "noise levels from 6 to 0.05", 1),
    ]
}

fn main() -> Result<()> {
    let options = Options::read("Do all kernels find all eight modes of a mixture, started in one of them?");
    let backend = options.open()?;
    let chains = if options.quick { options.count(&backend, 16_384, 1_024) } else { options.count(&backend, 65_536, 4_096) };
    let (evaluations, draws) = if options.quick { (2_000, 40) } else { (6_000, 120) };
    let target = Arc::new(Mixture::ring(8, 4.0, 0.5)?);
    let density = Density::of(&*target, [-6.4, 6.4], [-6.4, 6.4]);
    let floor = density.of_exact_draws(chains);

    let cases = cases(evaluations);
    let columns = cases.len().min(4);
    let start = if chains == 1 { "starts" } else { "all start" };
    let sampled = number_of_chains(chains);
    let title = format!("A mixture of eight Gaussians, sampled by {sampled} that {start} in the mode at the right");
    let says = format!(
        "positions after {} evaluations of the energy or its gradient a chain; lines: the true density; total variation \
         of as many exact draws: {floor:.3}",
        thousands(evaluations as usize)
    );
    let mut picture = Picture::grid(&title, &says, columns, cases.len().div_ceil(columns), [460, 460], false)?;
    let mut rows = Vec::new();
    println!("{:>14} {:>10} {:>15} {:>14}  failures", "kernel", "acceptance", "total variation", "transitions/s");
    for (i, (kernel, settings, cost)) in cases.into_iter().enumerate() {
        let name = kernel.name();
        let mut run = backend
            .chains_of(target.clone(), kernel)
            .count(chains)
            .seed(options.seed)
            .start(Start::normal([4.0, 0.0], 0.5))
            .on_progress(progress(name))
            .build()?;
        run.advance(evaluations / cost - draws)?;
        let report = run.collect(Collect::draws(draws))?;
        let positions = run.positions()?;
        let total_variation = density.total_variation(&positions);
        let acceptance = report.mean_acceptance.map_or("unadjusted".into(), |a| format!("{a:.3}"));
        println!(
            "{name:>14} {acceptance:>10} {total_variation:>15.4} {:>14.3e}  {}",
            run.report().transitions_per_second,
            report.failed_transitions()
        );

        let mut panel = picture.panel(i % columns, i / columns, density.x, density.y);
        panel.samples(&positions, &density);
        panel.contours_of(&*target, &density, &[2.0, 4.5], [1.0; 3], 0.45);
        let acceptance = report.mean_acceptance.map_or("unadjusted".into(), |a| format!("acceptance {a:.2}"));
        panel.axes(name, &format!("{acceptance}, total variation {total_variation:.3}"));
        rows.push(Row {
            settings,
            total_variation,
            total_variation_of_exact_draws: floor,
            exact_mean_energy: density.mean_energy,
            report,
        });
    }
    println!("{:>14} {:>10} {floor:>15.4}", "exact draws", "");
    picture.save("mixture")?;
    let checks = rows.iter().flat_map(|row| {
        let moved = row.total_variation < 0.4 + floor;
        [(row.report.failures.is_empty(), "no transition fails"), (moved, "every kernel leaves the first mode")]
    });
    options.finish(&rows, checks)
}
