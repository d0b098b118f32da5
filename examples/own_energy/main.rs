//! A user's own energy: a WGSL file with a mistake and the message, a wrong gradient and the message, then the corrected run.
//!
//! `cargo run --release --example own_energy -- [--quick] [--json FILE]`

mod picture;

use std::{ops::ControlFlow, path::PathBuf};

use anyhow::{Context, bail};
use clap::Parser;
use ergodic::{Backend, Collect, Error, Report, Start, energy::WgslEnergy, kernel::Hmc};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

/// depth, winding, width.
const PARAMS: [f32; 3] = [3.0, 2.0, 2.5];
/// The picture shows [-HALF, HALF]^2.
const HALF: f64 = 8.0;

#[derive(Parser)]
#[command(
    about = "A user's own energy from WGSL files: a mistake and its message, a wrong gradient and its message, then the right run"
)]
struct Options {
    /// Fewer chains and steps: at most 20 seconds on two cores.
    #[arg(long)]
    quick: bool,
    /// Writes the figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    println!("1. A file with a mistake\n");
    let mistake = match spiral("1_mistake") {
        Err(error @ Error::Shader { .. }) => error.to_string(),
        other => bail!("expected the mistake to be reported, found {other:?}"),
    };
    println!("{mistake}");

    let backend = Backend::best()?;
    if backend.gpu().is_none() {
        println!("The rest of this example needs a GPU (a software one will do), since WGSL text alone has no CPU twin:");
        println!("{}", backend.describe());
        println!("On Debian and Ubuntu, `apt install mesa-vulkan-drivers` brings a software GPU.");
        return write_json(&options, &json!({ "mistake": mistake, "skipped": backend.describe() }));
    }

    println!("2. A wrong gradient\n");
    let wrong_gradient = match backend.chains(spiral("2_wrong_gradient")?, Hmc::new(0.1, 10)).build() {
        Err(error @ Error::Gradient { .. }) => error.to_string(),
        other => bail!("expected the gradient to be refused, found {other:?}"),
    };
    println!("{wrong_gradient}\n");

    println!("3. Both corrected\n");
    let (count, warm_up, draws) = if options.quick { (32_768, 100, 150) } else { (65_536, 300, 600) };
    let (report, positions) = sample(&backend, count, warm_up, draws)?;
    println!("{report}\n");
    let exact = exact_mean_energy();
    let mean = report.energy_moments.context("moments were collected")?;
    let mcse = mean.mcse.context("there are many chains")?;
    println!("mean energy: {:.5} ± {mcse:.5} by the chains, {exact:.5} by quadrature", mean.mean);
    let path = picture::save("own_energy", HALF, energy, &positions)?;
    println!("picture: {} (left: chains over the true density; right: histogram of all chains)", path.display());
    write_json(
        &options,
        &json!({
            "mistake": mistake,
            "wrong_gradient": wrong_gradient,
            "report": report,
            "mean_energy": { "found": mean.mean, "mcse": mcse, "exact": exact, "errors": (mean.mean - exact) / mcse },
        }),
    )
}

fn spiral(folder: &str) -> ergodic::Result<WgslEnergy> {
    let path: PathBuf = ["examples", "own_energy", folder, "spiral.wgsl"].iter().collect();
    // The path from here where there is one: messages are then as short as the user's own.
    let path = if path.exists() { path } else { PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path) };
    WgslEnergy::from_file(path, 2, PARAMS)
}

fn sample(backend: &Backend, count: usize, warm_up: u64, draws: u64) -> anyhow::Result<(Report, Vec<f32>)> {
    let bar = ProgressBar::new(warm_up + draws).with_style(ProgressStyle::with_template("{bar:40} {pos}/{len} steps {eta}")?);
    let shown = bar.clone();
    let mut chains = backend
        .chains(spiral("3_right")?, Hmc::new(0.12, 16).jitter(8))
        .count(count)
        .seed(7)
        .start(Start::normal([0.0], 2.0))
        .on_progress(move |progress| {
            // Two calls: the second counts on from the first.
            let before = if progress.total == draws { warm_up } else { 0 };
            shown.set_position(before + progress.done);
            ControlFlow::Continue(())
        })
        .build()?;
    chains.advance(warm_up)?;
    let report = chains.collect(Collect::draws(draws))?;
    bar.finish_and_clear();
    Ok((report, chains.positions()?))
}

/// The energy in f64, for the true density.
fn energy(x: f64, y: f64) -> f64 {
    let [depth, winding, width] = PARAMS.map(f64::from);
    let (r2, phase) = (x * x + y * y, 2.0 * y.atan2(x) - winding * x.hypot(y));
    depth * (1.0 - phase.cos()) * r2 / (1.0 + r2) + 0.5 * r2 / (width * width)
}

/// ∫ E exp(−E) / ∫ exp(−E) by the midpoint rule, which for a smooth density that has died away at the edges is exact to far
/// more digits than are shown.
fn exact_mean_energy() -> f64 {
    let (half, n) = (2.0 * HALF, 2000);
    let at = |i: usize| half * ((2 * i + 1) as f64 / n as f64 - 1.0);
    let energies = (0..n * n).map(|i| energy(at(i % n), at(i / n)));
    let (sum, mass) = energies.fold((0.0, 0.0), |(sum, mass), e| (sum + e * (-e).exp(), mass + (-e).exp()));
    sum / mass
}

fn write_json(options: &Options, figures: &serde_json::Value) -> anyhow::Result<()> {
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(figures)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
