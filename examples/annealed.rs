//! Why anneal? Plain Langevin gives two far modes the wrong weights, annealed Langevin the right ones (Song and Ermon 2019).

mod common;

use anyhow::Result;
use common::{Density, Options, Picture, progress, thousands};
use ergodic::{
    Backend, Schedule, Start,
    energy::Mixture,
    kernel::{Annealed, Kernel, Ula},
};
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal};

/// The toy of the paper: noise levels from 20 to 1, 100 steps at each of ten, steps α = 0.1 (σ/σ_L)²; plain Langevin has as many.
const LEVELS: (f64, f64, u64) = (20.0, 1.0, 10);
const EACH: u64 = 100;
const SLOWER: u64 = 4;
const EPSILON: f64 = 0.1;
const WEIGHTS: [f64; 2] = [0.8, 0.2];

#[derive(Serialize)]
struct Row {
    kernel: &'static str,
    step: u64,
    noise_level: f64,
    /// Share of the chains on the heavier mode's side, x + y > 0; the other mode has the rest.
    weights: [f64; 2],
    standard_error: f64,
    /// The same under the law that the chains are drawn to at this noise level.
    exact_weights: [f64; 2],
    failed_transitions: u64,
}

/// The mixture convolved with N(0, σ²I).
fn at_noise(sigma: f64) -> Result<Mixture> {
    Ok(Mixture::new(&WEIGHTS, &[vec![5.0, 5.0], vec![-5.0, -5.0]], &[1f64.hypot(sigma); 2])?)
}

/// Runs a kernel and takes the shares of the modes after some steps, and a panel each where there is a picture.
fn run(
    backend: &Backend,
    options: &Options,
    kernel: impl Kernel + 'static,
    stops: &[(u64, f64)],
    mut panels: Option<(&mut Picture, usize)>,
) -> Result<Vec<Row>> {
    let chains = options.count(backend, if options.quick { 16_384 } else { 65_536 }, 8_192);
    let name = kernel.name();
    let mut run = backend
        .chains(at_noise(0.0)?, kernel)
        .count(chains)
        .seed(options.seed)
        .start(Start::uniform([-8.0], [8.0]))
        .on_progress(progress(name))
        .build()?;
    let mut rows = Vec::new();
    for (column, &(step, sigma)) in stops.iter().enumerate() {
        run.advance(step - run.steps())?;
        let positions = run.positions()?;
        let (xs, ys) = positions.split_at(chains);
        let share = xs.iter().zip(ys).filter(|&(x, y)| x + y > 0.0).count() as f64 / chains as f64;
        let standard_error = (share * (1.0 - share) / chains as f64).sqrt();
        let beyond = Normal::new(0.0, 1f64.hypot(sigma))?.cdf(50f64.sqrt());
        let exact = WEIGHTS[0] * beyond + WEIGHTS[1] * (1.0 - beyond);
        println!("{name:>9} step {step:>5}, σ = {sigma:>4.1}: {share:.4} ± {standard_error:.4}, exact {exact:.4}");
        if let Some((picture, row)) = &mut panels {
            let law = at_noise(sigma)?;
            let far = 12.0 + 4.0 * sigma;
            let density = Density::of(&law, [-far, far], [-far, far]);
            let half = 9.0 + 2.2 * sigma;
            let mut panel = picture.panel(column, *row, [-half, half], [-half, half]);
            panel.samples(&positions, &density).contours_of(&law, &density, &[0.5, 2.0, 4.5], [1.0; 3], 0.45);
            let level = if sigma > 0.0 { format!(", σ = {sigma:.1}") } else { String::new() };
            let exact = if sigma > 0.0 { format!(", exact {exact:.3}") } else { String::new() };
            panel.axes(
                &format!("{name}, step {}{level}", thousands(step as usize)),
                &format!("{share:.3} to {:.3}, ± {standard_error:.3}{exact}", 1.0 - share),
            );
        }
        rows.push(Row {
            kernel: name,
            step,
            noise_level: sigma,
            weights: [share, 1.0 - share],
            standard_error,
            exact_weights: [exact, 1.0 - exact],
            failed_transitions: run.report().failed_transitions(),
        });
    }
    println!("{}", run.report());
    Ok(rows)
}

fn main() -> Result<()> {
    let options =
        Options::read("Why anneal? Plain Langevin gives two far modes the wrong weights, annealed Langevin the right ones.");
    let backend = options.open()?;
    let annealed = |slower: u64| Annealed::geometric(LEVELS.0, LEVELS.1, LEVELS.2, EACH * slower, EPSILON);
    let sigmas = Schedule::geometric(LEVELS.0, LEVELS.1, LEVELS.2);
    let last = annealed(1).steps();

    // Slower annealing leaves less of the bias: the levels at which chains no longer change sides come to their law.
    let slow = run(&backend, &options, annealed(SLOWER), &[(SLOWER * last, LEVELS.1)], None)?.remove(0);
    let title = "Two far modes with the weights 0.8 and 0.2, from a uniform start";
    let says = format!(
        "shares of the chains on the two sides; lines: the law at the noise level σ; annealed {SLOWER} times as slowly: {:.3} to \
         {:.3}, ± {:.3}",
        slow.weights[0], slow.weights[1], slow.standard_error
    );
    let mut picture = Picture::grid(title, &says, 4, 2, [460, 460], false)?;
    let stops = [1, 10, 100, last].map(|step| (step, 0.0));
    let mut rows = run(&backend, &options, Ula::new(0.5 * EPSILON), &stops, Some((&mut picture, 0)))?;
    let stops = [1, 5, 8, 10].map(|level| (level * EACH, sigmas.at(level - 1)));
    rows.extend(run(&backend, &options, annealed(1), &stops, Some((&mut picture, 1)))?);
    picture.save("annealed")?;

    let [plain, annealed] = [rows[3].weights[0], rows[7].weights[0]];
    let slowly = slow.weights[0];
    let error = 3.0 * slow.standard_error;
    rows.push(slow);
    options.finish(
        &rows,
        [
            (rows.iter().all(|row| row.failed_transitions == 0), "no transition fails"),
            ((plain - 0.5).abs() < 0.05 + error, "plain Langevin gives about half and half"),
            (
                (annealed - WEIGHTS[0]).abs() < 0.03 + error,
                "annealed Langevin gives 0.8 and 0.2, within 0.03 and three standard errors",
            ),
            (
                (slowly - WEIGHTS[0]).abs() < 0.02 + error,
                "slower annealing gives 0.8 and 0.2, within 0.02 and three standard errors",
            ),
        ],
    )
}
