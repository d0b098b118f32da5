//! Long runs from a start far off end in the exact law, at any temperature; and dispatches that a driver cuts short are noticed
//! and right all the same.

mod common;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use common::{
    Suite,
    exact::{self, Exact},
    stats::{LEVEL, ks, p_of_z, smallest, z_of_mean},
};
use ergodic::{
    Backend, Collect, Start,
    chains::Chains,
    energy::{Mixture, Params},
    kernel::{Drift, Hmc, Independence, Kernel, Mala, Rwm, Ula, Underdamped},
};

/// Chains on the GPU and on the CPU.
fn count(backend: &Backend) -> usize {
    if backend.gpu().is_some() { 16_384 } else { 1_024 }
}

const WARM_UP: u64 = 500;
const DRAWS: u64 = 200;

/// Kernels whose law is exact.
fn exact_kernels() -> Vec<(&'static str, Arc<dyn Kernel>)> {
    vec![
        ("rwm", Arc::new(Rwm::new(1.0))),
        ("mala", Arc::new(Mala::new(0.25))),
        ("hmc", Arc::new(Hmc::new(0.4, 6).jitter(2).inverse_mass([0.8]))),
        ("independence", Arc::new(Independence::new([0.1], [1.4]))),
        ("drift", Arc::new(Drift::new(1.0, [-0.3]))),
    ]
}

/// See `exact_energy`.
type Reference = OnceLock<(f64, f64)>;

/// The mean energy of exact draws, with its standard error.
fn exact_energy(target: &Exact, draws: usize) -> (f64, f64) {
    let (dim, values) = (target.energy.dim(), target.energy.params());
    let x = target.draws(draws, 77);
    let energy = |chain: usize| {
        let point: Vec<_> = (0..dim).map(|i| f64::from(x[i * draws + chain])).collect();
        target.energy.energy(Params::new(&values), &point)
    };
    let energies: Vec<_> = (0..draws).map(energy).collect();
    let mean = energies.iter().sum::<f64>() / draws as f64;
    let variance = energies.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / draws as f64;
    (mean, (variance / draws as f64).sqrt())
}

/// The smallest p-value of a long run: of each coordinate's law at the end, of its means over the draws by the Monte Carlo
/// error that the report gives, and of the energy's. `reference` is filled by the first of a target's tests.
fn long_run(backend: &Backend, target: &Exact, kernel: Arc<dyn Kernel>, reference: &Reference) -> (String, f64) {
    let setup = backend.chains_of(target.energy.clone(), kernel);
    let mut chains =
        setup.temperature(target.temperature).count(count(backend)).seed(31).start(Start::normal([2.0], 0.3)).build().unwrap();
    chains.advance(WARM_UP).unwrap();
    let report = chains.collect(Collect::draws(DRAWS)).unwrap();
    assert_eq!(report.failed_transitions(), 0);
    let mut found = Vec::new();
    for (i, row) in chains.positions().unwrap().chunks(chains.count()).enumerate() {
        let x: Vec<_> = row.iter().map(|&x| f64::from(x)).collect();
        found.push((format!("law of x[{i}]"), ks(&x, |x| target.cdf(i, x))));
        let coordinate = &report.coordinates[i];
        let z = (coordinate.mean - target.mean(i)) / coordinate.mcse.unwrap();
        found.push((format!("mean of x[{i}]"), p_of_z(z)));
    }
    let (mean, error) = *reference.get_or_init(|| exact_energy(target, 1_000_000));
    let energy = report.energy_moments.unwrap();
    let error = energy.mcse.unwrap().hypot(error);
    found.push(("mean energy".into(), p_of_z((energy.mean - mean) / error)));
    smallest(found)
}

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

/// HMC with so many leapfrog steps that a long slice has more loop iterations than llvmpipe's 65,535 a dispatch.
fn long_slices(backend: &Backend, slice: Duration) -> Box<dyn Chains> {
    let target = Mixture::ring(3, 1.5, 0.6).unwrap();
    let mut chains = backend.chains(target, Hmc::new(0.2, 40)).count(64).seed(4).slice(slice).build().unwrap();
    chains.advance(10_000).unwrap();
    chains.collect(Collect::draws(5_000)).unwrap();
    chains
}

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for target in exact::targets() {
        let reference = Arc::new(Reference::new());
        for (name, kernel) in exact_kernels() {
            let (target, reference) = (target.clone(), reference.clone());
            suite = suite.both(format!("{name} on {}", target.name), move |backend| {
                let (what, p) = long_run(&backend, &target, kernel.clone(), &reference);
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
            let (_, p) = long_run(&Backend::gpu_of(gpu), &exact::targets()[0], Arc::new(Ula::new(0.05)), &Reference::new());
            assert!(p < LEVEL, "not found: p = {p:.3e}");
        })
        .gpu("a dispatch cut short is noticed and run again", |gpu| {
            let is_limited = gpu.info().name.contains("llvmpipe");
            let backend = Backend::gpu_of(gpu);
            let short = long_slices(&backend, Duration::from_millis(1));
            let long = long_slices(&backend, Duration::from_secs(2));
            assert_eq!(short.report().slices_redone, 0);
            assert_eq!(long.report().slices_redone > 0, is_limited);
            let bits = |x: Vec<f32>| x.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            assert!(bits(short.positions().unwrap()) == bits(long.positions().unwrap()), "the positions differ");
            assert!(bits(short.energies().unwrap()) == bits(long.energies().unwrap()), "the energies differ");
            assert_eq!(short.tallies(), long.tallies());
        })
        .run()
}
