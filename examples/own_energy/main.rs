//! A user's own energy: a WGSL file with a mistake and the message, a wrong gradient and the message, then the corrected run.
//!
//! `cargo run --release --example own_energy -- [--quick] [--json FILE]`

#[path = "../common/mod.rs"]
mod common;

use std::path::PathBuf;

use anyhow::{Context, bail};
use common::{Density, Options, Picture, number_of_chains, progress};
use ergodic::{Backend, Chains, Collect, Error, Start, energy::WgslEnergy, kernel::Hmc};
use serde_json::json;

/// depth, winding, width.
const PARAMS: [f32; 3] = [3.0, 2.0, 2.5];
/// The picture shows this square.
const BOX: [f64; 2] = [-8.0, 8.0];
/// This one holds all of the density: outside, less than 1e-8 of it.
const ALL: [f64; 2] = [-16.0, 16.0];

fn main() -> anyhow::Result<()> {
    let options = Options::read("What happens with a mistake, with a wrong gradient, and with a right energy of one's own?");
    println!("1. A file with a mistake\n");
    let mistake = match spiral("1_mistake") {
        Err(error @ Error::Shader { .. }) => error.to_string(),
        other => bail!("expected the mistake to be reported, found {other:?}"),
    };
    println!("{mistake}");

    let backend = options.open()?;
    if backend.gpu().is_none() {
        println!("The rest of this example needs a GPU (a software one will do), since WGSL text alone has no CPU twin:");
        println!("On Debian and Ubuntu, `apt install mesa-vulkan-drivers` brings a software GPU.");
        return options.finish(&json!({ "mistake": mistake, "skipped": backend.describe() }), []);
    }

    println!("2. A wrong gradient\n");
    let wrong_gradient = match backend.chains(spiral("2_wrong_gradient")?, Hmc::new(0.1, 10)).build() {
        Err(error @ Error::Gradient { .. }) => error.to_string(),
        other => bail!("expected the gradient to be refused, found {other:?}"),
    };
    println!("{wrong_gradient}\n");

    println!("3. Both corrected\n");
    let count = options.count(&backend, if options.quick { 32_768 } else { 65_536 }, 0);
    let mut chains = build(&backend, count, options.seed)?;
    chains.advance(300)?;
    let report = chains.collect(Collect::draws(if options.quick { 150 } else { 600 }))?;
    println!("{report}\n");
    let positions = chains.positions()?;

    let exact = Density::of_formula(energy, ALL, ALL);
    let mean = report.energy_moments.context("moments were collected")?;
    let mcse = mean.mcse.context("there are many chains")?;
    let errors = (mean.mean - exact.mean_energy) / mcse;
    println!("mean energy: {:.5} ± {mcse:.5} by the chains, {:.5} by quadrature", mean.mean, exact.mean_energy);

    let says = format!("{} of HMC on an energy given as a WGSL file", number_of_chains(count));
    let mut picture = Picture::grid("A galaxy with two arms", &says, 2, 1, [620, 620], false)?;
    let mut panel = picture.panel(0, 0, BOX, BOX);
    panel.field(|x, y| (exact.least_energy - energy(x, y)).exp().sqrt());
    panel.axes("the density", "exp(-E(x)), its square root shown");
    let mut panel = picture.panel(1, 0, BOX, BOX);
    panel.samples(&positions, &exact);
    panel.contours(|x, y| energy(x, y) - exact.least_energy, &[2.0, 4.5], [1.0; 3], 0.45);
    let found = format!(
        "acceptance {:.2}, total variation {:.3}",
        report.mean_acceptance.unwrap_or(1.0),
        exact.total_variation(&positions)
    );
    panel.axes("the chains", &format!("{found} (exact draws: {:.3})", exact.of_exact_draws(count)));
    picture.save("own_energy")?;

    options.finish(
        &json!({
            "mistake": mistake,
            "wrong_gradient": wrong_gradient,
            "report": report,
            "mean_energy": { "found": mean.mean, "mcse": mcse, "exact": exact.mean_energy, "errors": errors },
        }),
        [
            (errors.abs() < 5.0, "the mean energy is within five errors of the quadrature"),
            (report.failures.is_empty(), "no transition failed"),
        ],
    )
}

fn spiral(folder: &str) -> ergodic::Result<WgslEnergy> {
    let path: PathBuf = ["examples", "own_energy", folder, "spiral.wgsl"].iter().collect();
    // The path from here where there is one: messages are then as short as the user's own.
    let path = if path.exists() { path } else { PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path) };
    WgslEnergy::from_file(path, 2, PARAMS)
}

fn build(backend: &Backend, count: usize, seed: u64) -> anyhow::Result<Box<dyn Chains>> {
    let setup = backend.chains(spiral("3_right")?, Hmc::new(0.12, 16).jitter(8)).count(count).seed(seed);
    Ok(setup.superchains(64).start(Start::normal([0.0], 2.0)).on_progress(progress("hmc")).build()?)
}

/// The energy in f64, for the true density.
fn energy(x: f64, y: f64) -> f64 {
    let [depth, winding, width] = PARAMS.map(f64::from);
    let (r2, phase) = (x * x + y * y, 2.0 * y.atan2(x) - winding * x.hypot(y));
    depth * (1.0 - phase.cos()) * r2 / (1.0 + r2) + 0.5 * r2 / (width * width)
}
