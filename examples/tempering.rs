//! Why temper? Plain HMC keeps to the modes where it started; a ladder of temperatures finds the true weights of far modes, and
//! annealed importance sampling their ln Z.

mod common;

use std::sync::Arc;

use anyhow::{Context, Result};
use common::{Density, Options, Picture, progress, thousands};
use ergodic::{
    AnnealedImportance, Backend, Base, Collect, Start,
    chains::TemperingReport,
    energy::Mixture,
    kernel::{Hmc, Kernel, Ladder, Tempering},
};
use serde::Serialize;

const MEANS: [[f64; 2]; 4] = [[8.0, 5.0], [-9.0, 3.0], [5.0, -8.0], [-6.0, -9.0]];
const WEIGHTS: [f64; 4] = [0.1, 0.2, 0.3, 0.4];
const SDS: [f64; 4] = [1.0, 0.8, 0.6, 0.5];
const RUNGS: usize = 8;
const HOTTEST: f64 = 200.0;
const HALF: f64 = 13.0;

#[derive(Serialize)]
struct Row {
    kernel: &'static str,
    chains: usize,
    steps: u64,
    /// Share of the chains at temperature 1 that are nearest to each mode.
    weights: [f64; 4],
    exact_weights: [f64; 4],
    /// Of each share, over independent chains or ladders.
    standard_errors: [f64; 4],
    transitions_per_second: f64,
    tempering: Option<TemperingReport>,
    failed_transitions: u64,
}

#[derive(Serialize)]
struct Figures {
    rows: Vec<Row>,
    ln_z: f64,
    ln_z_error: f64,
    exact_ln_z: f64,
}

fn target() -> Result<Mixture> {
    Ok(Mixture::new(&WEIGHTS, &MEANS.map(|mean| mean.to_vec()), &SDS)?)
}

/// The part of the positions, `[dim][chain]`, nearest to each mode.
fn shares(positions: &[f32]) -> [f64; 4] {
    let (xs, ys) = positions.split_at(positions.len() / 2);
    let mut counts = [0.0; 4];
    for (&x, &y) in xs.iter().zip(ys) {
        let distance = |j: usize| (f64::from(x) - MEANS[j][0]).hypot(f64::from(y) - MEANS[j][1]);
        let nearest = (0..4).min_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap_or(0);
        counts[nearest] += 1.0 / xs.len() as f64;
    }
    counts
}

/// Every chain starts around the lightest mode. The positions of the whole run, and its figures.
fn run(backend: &Backend, options: &Options, kernel: impl Kernel + 'static, rungs: usize) -> Result<(Vec<f32>, Row)> {
    let chains = options.count(backend, if options.quick { 16_384 } else { 65_536 }, 4_096).next_multiple_of(rungs);
    let name = if rungs > 1 { "tempered hmc" } else { "hmc" };
    let setup = backend.chains(target()?, kernel).count(chains).seed(options.seed).start(Start::normal(MEANS[0], SDS[0]));
    let mut run = setup.on_progress(progress(name)).build()?;
    run.advance(400)?;
    let report = run.collect(Collect::draws(600))?;
    println!("{report}");
    let positions = run.positions()?;
    let coldest: Vec<_> = positions.iter().step_by(rungs).copied().collect();
    let row = Row {
        kernel: name,
        chains,
        steps: run.steps(),
        weights: shares(&coldest),
        exact_weights: WEIGHTS,
        standard_errors: WEIGHTS.map(|w| (w * (1.0 - w) * rungs as f64 / chains as f64).sqrt()),
        transitions_per_second: report.transitions_per_second,
        failed_transitions: report.failed_transitions(),
        tempering: report.tempering,
    };
    for ((share, error), exact) in row.weights.iter().zip(row.standard_errors).zip(WEIGHTS) {
        println!("  share of a mode: {share:.4} ± {error:.4}, exact {exact:.4}");
    }
    Ok((positions, row))
}

fn says(row: &Row) -> String {
    row.weights.map(|w| format!("{w:.3}")).join(", ")
}

fn main() -> Result<()> {
    let options =
        Options::read("Why temper? Plain HMC keeps to the modes where it started; tempering finds their true weights.");
    let backend = options.open()?;
    let law = target()?;
    let density = Density::of(&law, [-HALF, HALF], [-HALF, HALF]);
    let hmc = || Hmc::new(0.25, 5).jitter(2);
    let ladder = Ladder::geometric(HOTTEST, RUNGS as u64).swap_every(2);
    let temperatures = ladder.temperatures().to_vec();

    let (plain_positions, plain) = run(&backend, &options, hmc(), 1)?;
    let (positions, tempered) = run(&backend, &options, Tempering::new(hmc(), ladder), RUNGS)?;
    let tempering = tempered.tempering.as_ref().context("a tempered run reports its swaps")?;

    let base = Base::normal([0.0, 0.0], [9.0])?;
    let importance = AnnealedImportance::geometric(0.01, if options.quick { 100 } else { 300 });
    let importance = importance.chains(options.count(&backend, 8_192, 1_024)).seed(options.seed);
    let found = importance.forward(&backend, target()?, &base, Arc::new(hmc()))?;
    let exact_ln_z = std::f64::consts::TAU.ln();
    println!("annealed importance sampling: ln Z = {:.4} ± {:.4}, exact {exact_ln_z:.4}", found.ln_z, found.error);

    let title = "Four far modes, every chain starts at the lightest, upper right";
    let trips = format!(
        "true shares {}; {} round trips, {:.1} of a ladder in 1,000 steps; ln Z = {:.3} ± {:.3}, exact {exact_ln_z:.3}",
        WEIGHTS.map(|w| format!("{w}")).join(", "),
        thousands(tempering.round_trips as usize),
        tempering.round_trips_in_1000_steps,
        found.ln_z,
        found.error,
    );
    let mut picture = Picture::grid(title, &trips, 4, 1, [460, 460], false)?;
    let at_rung = |rung: usize| positions[rung..].iter().step_by(RUNGS).copied().collect::<Vec<_>>();
    let middle = RUNGS / 2;
    let panels = [
        (plain_positions, "hmc".to_owned(), format!("shares {}", says(&plain))),
        (at_rung(0), "tempered hmc, T = 1".to_owned(), format!("shares {}", says(&tempered))),
        (at_rung(middle), format!("T = {:.1}", temperatures[middle]), "a rung in the middle".to_owned()),
        (at_rung(RUNGS - 1), format!("T = {HOTTEST}"), "the hottest rung crosses everywhere".to_owned()),
    ];
    for (column, (positions, title, says)) in panels.iter().enumerate() {
        let mut panel = picture.panel(column, 0, [-HALF, HALF], [-HALF, HALF]);
        panel.samples(positions, &density).contours_of(&law, &density, &[0.5, 2.0, 4.5], [1.0; 3], 0.45);
        panel.axes(title, says);
    }
    picture.save("tempering")?;

    let within = |row: &Row| (0..4).all(|j| (row.weights[j] - WEIGHTS[j]).abs() < 5.0 * row.standard_errors[j]);
    let checks = [
        (plain.failed_transitions + tempered.failed_transitions == 0, "no transition fails"),
        (plain.weights[0] > 0.99, "plain HMC keeps to the mode where it started"),
        (within(&tempered), "tempered HMC gives the true weights, within five standard errors"),
        (tempering.round_trips > 0, "states go up the ladder and come back"),
        ((found.ln_z - exact_ln_z).abs() < 5.0 * found.error, "ln Z is the exact one, within five standard errors"),
    ];
    let (ln_z, ln_z_error) = (found.ln_z, found.error);
    options.finish(&Figures { rows: vec![plain, tempered], ln_z, ln_z_error, exact_ln_z }, checks)
}
