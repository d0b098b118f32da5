//! Laplacians against differences, and log-likelihoods by the probability flow against exact densities.

use ergodic::{
    Error, Result,
    diffusion::{NoiseSchedule, log_likelihood},
    energy::{Call, DoubleWell, Energy, Gaussian, Params},
    program::Composer,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    common::{Suite, cases},
    mixture,
};

fn paper() -> NoiseSchedule {
    NoiseSchedule::linear(1000, 1e-4, 0.02).unwrap()
}

/// Points near the origin.
fn points(dim: usize, count: usize) -> Vec<Vec<f64>> {
    let mut rng = StdRng::seed_from_u64(8);
    (0..count).map(|_| (0..dim).map(|_| 4.0 * rng.random::<f64>() - 2.0).collect()).collect()
}

/// The greatest miss of a Laplacian from central differences of the gradient, in units of 1 + Σ |∂ᵢ²E|.
pub(crate) fn off(energy: &dyn Energy, noise_variance: f64, laplacian: impl Fn(Params<'_>, &[f64]) -> f64) -> f64 {
    let (dim, values, h) = (energy.dim(), energy.params(), 1e-4);
    let params = Params::new(&values).at_noise(noise_variance);
    let mut worst = 0.0f64;
    for x in points(dim, 20) {
        let slope = |i: usize, by: f64| {
            let (mut there, mut grad) = (x.clone(), vec![0.0; dim]);
            there[i] += by;
            energy.energy_and_grad(params, &there, &mut grad);
            grad[i]
        };
        let second: Vec<f64> = (0..dim).map(|i| (slope(i, h) - slope(i, -h)) / (2.0 * h)).collect();
        let size = 1.0 + second.iter().map(|s| s.abs()).sum::<f64>();
        worst = worst.max((laplacian(params, &x) - second.iter().sum::<f64>()).abs() / size);
    }
    worst
}

pub(crate) fn add(mut suite: Suite) -> Suite {
    for (name, energy) in cases::energies().into_iter().filter(|(_, energy)| energy.has_noise_levels()) {
        // The Laplacian over the free coordinates is a part of the whole one, which energies give.
        if name.starts_with("conditioned") {
            continue;
        }
        suite = suite.test(format!("the Laplacian of {name}"), move || {
            for noise_variance in [0.0, 0.1, 1.0, 1e4] {
                let miss = off(&*energy, noise_variance, |params, x| energy.laplacian(params, x).unwrap());
                assert!(miss < 1e-5, "at σ² = {noise_variance}: {miss:e}");
                let wrong = off(&*energy, noise_variance, |params, x| 1.001 * energy.laplacian(params, x).unwrap() + 1e-4);
                assert!(wrong > 1e-5, "a fault is not found at σ² = {noise_variance}: {wrong:e}");
            }
        });
    }
    suite
        .test("log-likelihoods of normal data", || {
            // The flow of N(m, s²) moves y − m by the ratio of widths, so its density is known, the start's N(0, 1/ᾱ_T) included.
            let (m, s, schedule) = (0.8, 0.4, paper());
            let level = schedule.noise_variance(1000);
            let data: Vec<f32> = (0..20).map(|i| 0.1 * i as f32 - 0.5).collect();
            let found = log_likelihood(&Gaussian::isotropic([m], s).unwrap(), &schedule, 200, &data).unwrap();
            for (x, found) in data.iter().zip(found) {
                let stretch = ((s * s + level) / (s * s)).sqrt();
                let y = m + (f64::from(*x) - m) * stretch;
                let expected = -0.5 * (y * y / (1.0 + level) + (std::f64::consts::TAU * (1.0 + level)).ln()) + stretch.ln();
                assert!((found - expected).abs() < 1e-4, "at {x}: {found}, not {expected}");
            }
        })
        .test("log-likelihoods of the mixture of eight, within 0.01 nats on average", || {
            let (mean, absolute) = off_the_truth(&mixture::target());
            println!("mean difference {mean:.2e} nats, mean absolute difference {absolute:.2e}");
            assert!(mean.abs() < 0.01 && absolute < 0.01, "mean {mean}, absolute {absolute}");
        })
        .test("a planted fault is found: the divergence's sign", || {
            let (mean, _) = off_the_truth(&Planted(-1.0));
            assert!(mean.abs() > 0.01, "{mean}");
        })
        .test("a planted fault is found: a divergence a hundredth off", || {
            let (mean, _) = off_the_truth(&Planted(1.01));
            assert!(mean.abs() > 0.01, "{mean}");
        })
        .test("what cannot be is refused", || {
            let (schedule, target) = (paper(), Gaussian::standard(2));
            let unsupported = log_likelihood(&DoubleWell::new(2, 1.0).unwrap(), &schedule, 100, &[0.0; 2]);
            assert!(matches!(unsupported, Err(Error::Unsupported(_))), "{unsupported:?}");
            for steps in [0, 1001] {
                assert!(matches!(log_likelihood(&target, &schedule, steps, &[0.0; 2]), Err(Error::Setting { .. })));
            }
            for data in [&[0.0; 3][..], &[]] {
                assert!(matches!(log_likelihood(&target, &schedule, 10, data), Err(Error::Shape { .. })));
            }
            let refused = log_likelihood(&target, &schedule, 10, &[0.0, 0.0, f32::NAN, 0.0]).unwrap_err().to_string();
            assert!(refused.contains("data, row 1, column 2 (counted from 1)"), "{refused}");
        })
}

/// The mean difference, and the mean absolute one, of the flow's log-likelihoods and the exact ones, over draws of the mixture.
fn off_the_truth(energy: &dyn Energy) -> (f64, f64) {
    let count = 2_000;
    let data = mixture::draws(count);
    let found = log_likelihood(energy, &paper(), 200, &data).unwrap();
    let truth = |point: usize| mixture::log_density([0, 1].map(|i| f64::from(data[i * count + point])));
    let miss: Vec<f64> = found.iter().enumerate().map(|(point, found)| found - truth(point)).collect();
    let mean = |f: fn(f64) -> f64| miss.iter().map(|&m| f(m)).sum::<f64>() / count as f64;
    (mean(|m| m), mean(f64::abs))
}

/// The mixture, with its Laplacian times a factor.
#[derive(Debug)]
struct Planted(f64);

impl Energy for Planted {
    fn name(&self) -> String {
        "planted".into()
    }
    fn dim(&self) -> usize {
        2
    }
    fn params(&self) -> Vec<f32> {
        mixture::target().params()
    }
    fn compose(&self, program: &mut Composer) -> Result<Call> {
        mixture::target().compose(program)
    }
    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        mixture::target().energy(params, x)
    }
    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        mixture::target().energy_and_grad(params, x, grad)
    }
    fn has_noise_levels(&self) -> bool {
        true
    }
    fn laplacian(&self, params: Params<'_>, x: &[f64]) -> Option<f64> {
        Some(self.0 * mixture::target().laplacian(params, x)?)
    }
}
