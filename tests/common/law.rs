//! Long runs from a start far off, against exact moments and laws.

use std::sync::{Arc, OnceLock};

use ergodic::{
    Backend, Collect, Result, Start,
    energy::Params,
    kernel::{Drift, Hmc, Independence, Kernel, Mala, Rwm},
};

use super::{
    exact::Exact,
    stats::{ks, p_of_z, smallest},
};

/// Chains on the GPU and on the CPU.
pub fn count(backend: &Backend) -> usize {
    if backend.gpu().is_some() { 16_384 } else { 1_024 }
}

pub const WARM_UP: u64 = 500;
pub const DRAWS: u64 = 200;

/// Kernels whose law is exact.
pub fn exact_kernels() -> Vec<(&'static str, Arc<dyn Kernel>)> {
    vec![
        ("rwm", Arc::new(Rwm::new(1.0))),
        ("mala", Arc::new(Mala::new(0.25))),
        ("hmc", Arc::new(Hmc::new(0.4, 6).jitter(2).inverse_mass([0.8]))),
        ("independence", Arc::new(Independence::new([0.1], [1.4]))),
        ("drift", Arc::new(Drift::new(1.0, [-0.3]))),
    ]
}

/// See `exact_energy`.
pub type Reference = OnceLock<(f64, f64)>;

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
pub fn long_run(backend: &Backend, target: &Exact, kernel: Arc<dyn Kernel>, reference: &Reference) -> Result<(String, f64)> {
    let setup = backend.chains_of(target.energy.clone(), kernel);
    let mut chains =
        setup.temperature(target.temperature).count(count(backend)).seed(31).start(Start::normal([2.0], 0.3)).build()?;
    chains.advance(WARM_UP)?;
    let report = chains.collect(Collect::draws(DRAWS))?;
    let mut found = Vec::new();
    if report.failed_transitions() > 0 {
        found.push(("transitions failed: their number".into(), 0.0));
    }
    for (i, row) in chains.positions()?.chunks(chains.count()).enumerate() {
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
    Ok(smallest(found))
}
