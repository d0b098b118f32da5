//! Do chains in free coordinates come to every family's exact law in the coordinates of its user?

#[path = "../common/mod.rs"]
mod common;
mod laws;

use anyhow::Result;
use common::{
    Options, Picture,
    canvas::{COLOURS, INK},
    panel::Panel,
    thousands,
};
use laws::{Family, Law, families};
use rayon::prelude::*;
use serde::Serialize;
use statrs::distribution::{ChiSquared, ContinuousCDF};

/// A family's law may look as unlikely as that by chance.
const LEVEL: f64 = 1e-6;
/// Bars of a histogram.
const BARS: usize = 60;
/// Counts beyond are one bin.
const MOST: usize = 200;

/// What one family did.
#[derive(Serialize)]
struct Row {
    family: &'static str,
    energy: String,
    kernel: &'static str,
    draws: usize,
    steps: u64,
    mean_acceptance: Option<f64>,
    failures: u64,
    transitions_per_second: f64,
    /// Kolmogorov and Smirnov's distance, the largest of the coordinates; of whole numbers, the largest difference of the distribution
    /// functions.
    ks: f64,
    /// p-value, the smallest of the coordinates: of that distance, or of Pearson's chi-square.
    p: f64,
}

/// The distance and its p-value (Stephens 1970).
fn kolmogorov_smirnov(values: &[f32], cdf: &laws::Function) -> [f64; 2] {
    let mut u: Vec<f64> = values.par_iter().map(|&x| cdf(f64::from(x))).collect();
    u.par_sort_by(f64::total_cmp);
    let n = u.len() as f64;
    let d = u.iter().enumerate().map(|(i, u)| (u - i as f64 / n).max((i + 1) as f64 / n - u)).fold(0.0, f64::max);
    let lambda = (n.sqrt() + 0.12 + 0.11 / n.sqrt()) * d;
    let term = |k: i32| 2.0 * f64::from(1 - 2 * ((k - 1) % 2)) * (-2.0 * f64::from(k * k) * lambda * lambda).exp();
    [d, if lambda < 0.05 { 1.0 } else { (1..100).map(term).sum::<f64>().clamp(0.0, 1.0) }]
}

/// The largest difference of the distribution functions, and the p-value of Pearson's chi-square over bins of ten expected and more.
fn chi_square(values: &[f32], mass: &laws::Function) -> Result<[f64; 2]> {
    let mut seen = vec![0.0; MOST + 1];
    values.iter().for_each(|&x| seen[(x.max(0.0) as usize).min(MOST)] += 1.0);
    let n = values.len() as f64;
    let (mut distance, mut below) = (0f64, 0.0);
    let (mut statistic, mut bins, mut open, mut left) = (0.0, 0, [0.0; 2], [n; 2]);
    for (k, &count) in seen.iter().enumerate() {
        let expected = n * mass(k as f64);
        below += (count - expected) / n;
        distance = distance.max(below.abs());
        open = [open[0] + count, open[1] + expected];
        if open[1] >= 10.0 && left[1] - open[1] >= 10.0 {
            statistic += (open[0] - open[1]).powi(2) / open[1];
            bins += 1;
            left = [left[0] - open[0], left[1] - open[1]];
            open = [0.0; 2];
        }
    }
    statistic += (left[0] - left[1]).powi(2) / left[1];
    Ok([distance, ChiSquared::new(f64::from(bins))?.sf(statistic)])
}

/// Draws of a coordinate as bars under its exact law.
fn draw(panel: &mut Panel<'_>, family: &Family, law: &Law, values: &[f32], bar: f64, colour: common::canvas::Colour) {
    let [low, high] = family.x;
    match law {
        Law::Numbers(density, _) => {
            let width = (high - low) / BARS as f64;
            let mut counts = vec![0.0; BARS];
            for &x in values {
                let at = (f64::from(x) - low) / width;
                if (0.0..BARS as f64).contains(&at) {
                    counts[at as usize] += 1.0;
                }
            }
            for (i, count) in counts.iter().enumerate() {
                let (x, y) = (low + (i as f64 + 0.5) * width, count / (values.len() as f64 * width));
                panel.line(&[[x, 0.0], [x, y.min(family.top)]], bar, colour, 0.55);
            }
            let at = |i: usize| low + (high - low) * (i as f64 + 0.5) / 400.0;
            let curve: Vec<_> = (0..400).map(|i| [at(i), density(at(i))]).filter(|p| p[1] < family.top).collect();
            panel.line(&curve, 2.6, INK, 1.0);
        }
        Law::Counts(mass) => {
            for k in low.ceil() as i64..=high.floor() as i64 {
                let (x, share) = (k as f64, values.iter().filter(|&&v| v == k as f32).count() as f64 / values.len() as f64);
                panel.line(&[[x, 0.0], [x, share]], bar * 2.0, colour, 0.55);
                panel.dots([[x, mass(x)]], 6.0, INK, 1.0);
            }
        }
    }
}

fn main() -> Result<()> {
    let options = Options::read("Do chains in free coordinates come to every family's exact law?");
    options.at_least(100, "so that the tests of whole numbers expect ten in more than one place")?;
    let backend = options.open()?;
    let draws =
        if options.quick { options.count(&backend, 200_000, 50_000) } else { options.count(&backend, 1_000_000, 200_000) };
    let title = format!("Ten families, {} independent chains each", thousands(draws));
    let says = "bars: the draws; lines and dots: the exact law; numbers run in free coordinates, by log, logit and stick-breaking; counts by Metropolis on the integers";
    let mut picture = Picture::grid(&title, says, 5, 2, [420, 340], false)?;
    let mut rows = Vec::new();
    println!("{:>14} {:>8} {:>10} {:>8} {:>9} {:>14}  failures", "family", "kernel", "acceptance", "KS", "p", "transitions/s");
    for (i, family) in families()?.into_iter().enumerate() {
        let steps = if family.kernel.uses_grad() { 60 } else { 300 };
        let setup = backend.chains_of(family.energy.clone(), family.kernel.clone()).count(draws).seed(options.seed);
        let mut run = setup.start(family.start.clone()).on_progress(common::progress(family.name)).build()?;
        run.advance(steps)?;
        let positions = run.positions()?;
        let mut found = [0.0, 1.0];
        let mut panel = picture.panel(i % 5, i / 5, family.x, [0.0, family.top]);
        for ((law, values), colour) in family.laws.iter().zip(positions.chunks(draws)).zip(COLOURS) {
            let [d, p] = match law {
                Law::Numbers(_, cdf) => kolmogorov_smirnov(values, cdf),
                Law::Counts(mass) => chi_square(values, mass)?,
            };
            found = [f64::max(found[0], d), f64::min(found[1], p)];
            draw(&mut panel, &family, law, values, 6.0, colour);
        }
        let [ks, p] = found;
        let report = run.report();
        panel.axes(family.name, &format!("{}: KS {ks:.5}, p {p:.2}", family.says));
        println!(
            "{:>14} {:>8} {:>10.3} {ks:>8.5} {p:>9.2e} {:>14.3e}  {}",
            family.name,
            family.kernel.name(),
            report.mean_acceptance.unwrap_or(f64::NAN),
            report.transitions_per_second,
            report.failed_transitions()
        );
        rows.push(Row {
            family: family.name,
            energy: family.energy.name(),
            kernel: family.kernel.name(),
            draws,
            steps,
            mean_acceptance: report.mean_acceptance,
            failures: report.failed_transitions(),
            transitions_per_second: report.transitions_per_second,
            ks,
            p,
        });
    }
    picture.save("families")?;
    let checks = rows.iter().flat_map(|row| {
        [(row.p >= LEVEL, "every family has its law at the level 1e-6"), (row.failures == 0, "no transition fails")]
    });
    options.finish(&rows, checks)
}
