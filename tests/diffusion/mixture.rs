//! A mixture of eight with unequal weights, a product of two laws on lines: the discretised reverse process is then a product, too,
//! and the law of each factor is known without drawing (formula.rs).

use ergodic::{Backend, Result, diffusion::NoiseSchedule, energy::Mixture, random::normal_pair};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    common::{
        Suite,
        stats::{LEVEL, ks, p_of_z, smallest, z_of_count},
    },
    formula::{Line, Sampler, cdf, samplers},
};

/// The factors: four normals across, two up.
fn factors() -> [Line; 2] {
    [
        Line { weights: vec![0.1, 0.2, 0.3, 0.4], means: vec![-3.3, -1.0, 1.2, 3.0], sd: 0.3 },
        Line { weights: vec![0.35, 0.65], means: vec![-1.5, 1.4], sd: 0.3 },
    ]
}

pub(crate) fn target() -> Mixture {
    let [across, up] = factors();
    let (mut weights, mut means) = (Vec::new(), Vec::new());
    for (w, m) in up.weights.iter().zip(&up.means) {
        for (v, n) in across.weights.iter().zip(&across.means) {
            weights.push(w * v);
            means.push(vec![*n, *m]);
        }
    }
    Mixture::new(&weights, &means, &[across.sd; 8]).unwrap()
}

/// The normalised log-density.
pub(crate) fn log_density(x: [f64; 2]) -> f64 {
    let density = |(line, x): (Line, f64)| {
        let term = |(w, m): (&f64, &f64)| w * (-0.5 * ((x - m) / line.sd).powi(2)).exp();
        line.weights.iter().zip(&line.means).map(term).sum::<f64>() / (line.sd * std::f64::consts::TAU.sqrt())
    };
    factors().into_iter().zip(x).map(density).map(f64::ln).sum()
}

/// Exact draws, [dim][point].
pub(crate) fn draws(count: usize) -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(42);
    let mut draw = |line: &Line| {
        let u: f64 = rng.random();
        let mut below = 0.0;
        let at = line.weights.iter().position(|w| {
            below += w;
            u < below
        });
        let z = normal_pair([rng.random(), rng.random()])[0];
        (line.means[at.unwrap_or(line.means.len() - 1)] + line.sd * z) as f32
    };
    factors().iter().flat_map(|line| (0..count).map(|_| draw(line)).collect::<Vec<_>>()).collect()
}

fn paper() -> NoiseSchedule {
    NoiseSchedule::linear(1000, 1e-4, 0.02).unwrap()
}

pub(crate) fn add(mut suite: Suite) -> Suite {
    // DDIM(1) is ancestral sampling.
    for sampler in samplers(&paper()).into_iter().filter(|sampler| sampler.name != "ddim(1)") {
        suite = suite.both(format!("{} of a mixture of eight, T = 1,000", sampler.name), move |backend| {
            let chains = if backend.gpu().is_some() { 65_536 } else { 2_048 };
            let (what, p, _) = off_its_law(&backend, &sampler, &target(), chains).unwrap();
            assert!(p >= LEVEL, "{what} is off: p = {p:.3e}");
        });
    }
    for sampler in samplers(&paper()).into_iter().take(2) {
        suite = suite
            .gpu(format!("a million samples by {}", sampler.name), move |gpu| {
                let (what, p, z) = off_its_law(&Backend::gpu_of(gpu), &sampler, &target(), 1_000_000).unwrap();
                println!("smallest p-value {p:.3e}, of {what}; weights within {z:.2} standard errors");
                assert!(p >= LEVEL, "{what} is off: p = {p:.3e}");
                assert!(z < 4.0, "a weight is {z} standard errors off");
            })
            .long();
    }
    suite
        .test("the law on a grid is that of the recursion for normal data", || {
            let schedule = paper();
            let data = Line { weights: vec![1.0], means: vec![0.7], sd: 0.3 };
            for sampler in samplers(&schedule) {
                let table = sampler.law(&schedule, &data);
                let (mean, variance) = sampler.of_gaussian(&schedule, 0.7, 0.3);
                let miss = |&(x, f): &(f64, f64)| (f - crate::common::stats::normal_cdf(x, mean, variance.sqrt())).abs();
                let worst = table.iter().map(miss).fold(0.0, f64::max);
                assert!(worst < 1e-8, "{}: {worst:e}", sampler.name);
            }
        })
        .gpu("a planted fault is found: all modes moved by a tenth of their width", |gpu| {
            let sampler = samplers(&paper()).swap_remove(1);
            let [across, _] = factors();
            let mut means = target().means().to_vec();
            means.iter_mut().for_each(|m| m[0] += 0.1 * across.sd);
            let wrong = Mixture::new(target().weights(), &means, &[across.sd; 8]).unwrap();
            let (_, p, _) = off_its_law(&Backend::gpu_of(gpu), &sampler, &wrong, 65_536).unwrap();
            assert!(p < LEVEL, "not found: p = {p:.3e}");
        })
}

/// The smallest p-value of what a sampler draws from an energy against its law for the target: the weight of each mode (what lies
/// between the middles of the modes) and both marginals; and the largest score of a weight.
fn off_its_law(backend: &Backend, sampler: &Sampler, energy: &Mixture, chains: usize) -> Result<(String, f64, f64)> {
    let setup = backend.chains_of(std::sync::Arc::new(energy.clone()), sampler.kernel.clone());
    let mut run = setup.count(chains).seed(41).start(sampler.start.clone()).build()?;
    run.advance(sampler.steps())?;
    let x = run.positions()?;
    let mut found = Vec::new();
    let mut cells = Vec::new();
    let mut shares = Vec::new();
    for (i, (line, row)) in factors().iter().zip(x.chunks(chains)).enumerate() {
        let table = sampler.law(&paper(), line);
        let row: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
        found.push((format!("law of x[{i}]"), ks(&row, |x| cdf(&table, x))));
        let middles: Vec<f64> = line.means.windows(2).map(|m| 0.5 * (m[0] + m[1])).collect();
        let below: Vec<f64> = [0.0].into_iter().chain(middles.iter().map(|&m| cdf(&table, m))).chain([1.0]).collect();
        shares.push(below.windows(2).map(|f| f[1] - f[0]).collect::<Vec<_>>());
        cells.push(row.iter().map(|x| middles.partition_point(|m| m < x)).collect::<Vec<_>>());
    }
    let mut worst = 0.0f64;
    for (i, across) in shares[0].iter().enumerate() {
        for (j, up) in shares[1].iter().enumerate() {
            let count = cells[0].iter().zip(&cells[1]).filter(|&(&a, &b)| (a, b) == (i, j)).count();
            let z = z_of_count(count as u64, chains as u64, across * up);
            worst = worst.max(z.abs());
            found.push((format!("weight of mode {i}, {j}"), p_of_z(z)));
        }
    }
    if run.report().failed_transitions() > 0 {
        found.push(("transitions failed: their number".into(), 0.0));
    }
    let (what, p) = smallest(found);
    Ok((what, p, worst))
}
