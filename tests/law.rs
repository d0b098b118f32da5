//! Long runs from a start far off end in the exact law, at any temperature; and dispatches that a driver cuts short are noticed
//! and right all the same.

mod common;

use std::{sync::Arc, time::Duration};

use common::{
    Suite,
    cases::correlated,
    determinism::long_slices,
    exact,
    law::{Reference, WARM_UP, count, exact_kernels, long_run},
    stats::{LEVEL, p_of_z, smallest, z_of_mean},
};
use ergodic::{
    Backend, Start,
    energy::{Compose, Energy, Gaussian, Mixture},
    kernel::{Annealed, Hmc, Kernel, Ula, Underdamped},
};

/// The smallest p-value of an unadjusted kernel's positions after a long run on a Gaussian, against its exact stationary variance.
fn unadjusted(backend: &Backend, kernel: Arc<dyn Kernel>, temperature: f64, variance: impl Fn(f64) -> f64) -> (String, f64) {
    let (mean, sd) = (0.4, 0.8);
    let energy = Mixture::new(&[1.0], &[vec![mean; 3]], &[sd]).unwrap();
    let setup = backend.chains_of(Arc::new(energy), kernel).temperature(temperature).count(count(backend));
    let mut chains = setup.seed(32).start(Start::normal([2.0], 0.3)).build().unwrap();
    chains.advance(WARM_UP).unwrap();
    let variance = variance(1.0 / (sd * sd));
    let mut found = Vec::new();
    for (i, row) in chains.positions().unwrap().chunks(chains.count()).enumerate() {
        let x: Vec<_> = row.iter().map(|&x| f64::from(x)).collect();
        found.push((format!("mean of x[{i}]"), p_of_z(z_of_mean(x.iter().copied(), mean))));
        let squares = x.iter().map(|x| (x - mean).powi(2));
        found.push((format!("variance of x[{i}]"), p_of_z(z_of_mean(squares, variance))));
    }
    smallest(found)
}

/// The smallest p-value of the means of annealed Langevin dynamics on the conditional of a Gaussian after its last level σ, where they are
/// those of the conditional of the Gaussian with noise σ, given v + `noise` σz. Its step biases the spread, but no mean of a Gaussian.
fn annealed_conditional(backend: &Backend, noise: f64) -> (String, f64) {
    let (dim, sigma, held, value) = (5, 0.4f64, [1, 3], 0.7);
    let covariance = correlated(dim);
    let joint = Gaussian::full(vec![0.3; dim], &covariance).unwrap();
    let target = joint.condition(held.map(|i| (i, value))).unwrap().with_noise(8).unwrap();
    let z: Vec<_> = target.params()[2..4].iter().map(|&z| f64::from(z)).collect();
    let noisy = |i: usize, j: usize| covariance[i * dim + j] + if i == j { sigma * sigma } else { 0.0 };
    let [[a, b], [_, d]] = held.map(|i| held.map(|j| noisy(i, j)));
    let miss = [0, 1].map(|k| value + noise * sigma * z[k] - 0.3);
    let pull = [d * miss[0] - b * miss[1], a * miss[1] - b * miss[0]].map(|p| p / (a * d - b * b));
    let mean = |i: usize| 0.3 + noisy(i, held[0]) * pull[0] + noisy(i, held[1]) * pull[1];

    let kernel = Annealed::geometric(3.0, sigma, 8, 40, 0.3 * sigma * sigma);
    let steps = kernel.steps();
    let free = target.free().to_vec();
    let setup = backend.chains(target, kernel).count(count(backend)).seed(33).start(Start::normal([0.0], 3.0));
    let mut chains = setup.build().unwrap();
    chains.advance(steps + 100).unwrap();
    let positions = chains.positions().unwrap();
    smallest(
        positions
            .chunks(chains.count())
            .zip(free)
            .map(|(row, i)| (format!("mean of x[{i}]"), p_of_z(z_of_mean(row.iter().map(|&x| f64::from(x)), mean(i))))),
    )
}

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for target in exact::targets() {
        let reference = Arc::new(Reference::new());
        for (name, kernel) in exact_kernels() {
            let (target, reference) = (target.clone(), reference.clone());
            suite = suite.both(format!("{name} on {}", target.name), move |backend| {
                let (what, p) = long_run(&backend, &target, kernel.clone(), &reference).unwrap();
                assert!(p >= LEVEL, "{what} is off: p = {p:.3e}");
            });
        }
    }
    suite
        .both("ula on a Gaussian", |backend| {
            let (h, t) = (0.3, 1.4);
            // The fixed point of v = (1 - h k)^2 v + 2 h T.
            let variance = |k: f64| 2.0 * h * t / (1.0 - (1.0 - h * k).powi(2));
            let (what, p) = unadjusted(&backend, Arc::new(Ula::new(h)), t, variance);
            assert!(p >= LEVEL, "{what} is off: p = {p:.3e}");
        })
        .both("underdamped on a Gaussian", |backend| {
            // The positions of BAOAB are exact there, whatever the step (Leimkuhler and Matthews 2013).
            let (what, p) = unadjusted(&backend, Arc::new(Underdamped::new(0.7, 1.0)), 1.4, |k| 1.4 / k);
            assert!(p >= LEVEL, "{what} is off: p = {p:.3e}");
        })
        .gpu("a planted fault is found: the bias of ula", |gpu| {
            let (_, p) = unadjusted(&Backend::gpu_of(gpu.clone()), Arc::new(Ula::new(0.3)), 1.4, |k| 1.4 / k);
            assert!(p < LEVEL, "not found: p = {p:.3e}");
            let (_, p) =
                long_run(&Backend::gpu_of(gpu), &exact::targets()[0], Arc::new(Ula::new(0.05)), &Reference::new()).unwrap();
            assert!(p < LEVEL, "not found: p = {p:.3e}");
        })
        .both("a planted fault is found: another coordinate is held", |backend| {
            let wrong = exact::Exact::conditional("another coordinate", [1, 2, 5]);
            let (_, p) = long_run(&backend, &wrong, Arc::new(Hmc::new(0.4, 6)), &Reference::new()).unwrap();
            assert!(p < LEVEL, "not found: p = {p:.3e}");
        })
        .both("annealed on a conditional", |backend| {
            let (what, p) = annealed_conditional(&backend, 1.0);
            assert!(p >= LEVEL, "{what} is off: p = {p:.3e}");
        })
        .gpu("a planted fault is found: what is held has no noise", |gpu| {
            let (_, p) = annealed_conditional(&Backend::gpu_of(gpu), 0.0);
            assert!(p < LEVEL, "not found: p = {p:.3e}");
        })
        .gpu("a dispatch cut short is noticed and run again", |gpu| {
            let is_limited = gpu.info().name.contains("llvmpipe");
            let backend = Backend::gpu_of(gpu);
            let kernel: Arc<dyn Kernel> = Arc::new(Hmc::new(0.2, 40));
            // A step a slice, whatever the time: it must not be cut.
            let short = long_slices(&backend, kernel.clone(), Duration::ZERO, 15_000).unwrap();
            let long = long_slices(&backend, kernel, Duration::from_secs(2), 15_000).unwrap();
            assert_eq!(short.report().slices_redone, 0);
            assert_eq!(long.report().slices_redone > 0, is_limited);
            let bits = |x: Vec<f32>| x.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            assert!(bits(short.positions().unwrap()) == bits(long.positions().unwrap()), "the positions differ");
            assert!(bits(short.energies().unwrap()) == bits(long.energies().unwrap()), "the energies differ");
            assert_eq!(short.tallies(), long.tallies());
        })
        .run()
}
