//! Exact draws stay exact draws under one transition; unadjusted kernels keep to their own law.

use std::sync::Arc;

use ergodic::{
    Backend, Result, Start,
    energy::{Call, Energy, Params},
    kernel::{Annealed, Drift, Hmc, Independence, Kernel, Mala, Rwm, Ula, Underdamped},
    program::Composer,
};

use super::{
    exact::Exact,
    stats::{ks, normal_cdf, p_of_z, smallest, z_of_mean},
};

/// Kernels whose law is exact.
pub fn exact_kernels(dim: usize) -> Vec<(&'static str, Arc<dyn Kernel>)> {
    let mass: Vec<f64> = (0..dim).map(|i| 0.6 + 0.3 * i as f64).collect();
    vec![
        ("rwm", Arc::new(Rwm::new(0.8))),
        ("mala", Arc::new(Mala::new(0.15))),
        ("hmc", Arc::new(Hmc::new(0.4, 5).jitter(1))),
        ("hmc_mass", Arc::new(Hmc::new(0.4, 4).inverse_mass(mass))),
        ("independence", Arc::new(Independence::new([0.2], vec![1.1; dim]))),
        ("drift", Arc::new(Drift::new(0.7, [0.3]))),
    ]
}

/// The smallest p-value after one transition and after three more: of the changes of each coordinate's first three moments and of
/// the energy, chain by chain; and, at the end, of the distance of each coordinate's law from the exact one.
pub fn moved(backend: &Backend, target: &Exact, kernel: Arc<dyn Kernel>, chains: usize) -> Result<(String, f64)> {
    let start = target.draws(chains, 5);
    let setup = backend.chains_of(target.energy.clone(), kernel).temperature(target.temperature);
    let mut run = setup.count(chains).seed(11).start(Start::array(start.clone())).build()?;
    let dim = target.energy.dim();
    let values = target.energy.params();
    let energies = |x: &[f32]| {
        let point = |chain: usize| (0..dim).map(|i| f64::from(x[i * chains + chain])).collect::<Vec<_>>();
        (0..chains).map(|chain| target.energy.energy(Params::new(&values), &point(chain))).collect::<Vec<_>>()
    };
    let before = energies(&start);
    let mut found = Vec::new();
    for steps in [1, 3] {
        run.advance(steps)?;
        let x = run.positions()?;
        for (i, (new, old)) in x.chunks(chains).zip(start.chunks(chains)).enumerate() {
            let moved = new.iter().zip(old).filter(|(new, old)| new != old).count();
            if moved <= chains / 10 {
                found.push((format!("only {moved} of {chains} chains moved: x[{i}]"), 0.0));
            }
            let new: Vec<_> = new.iter().map(|&x| f64::from(x)).collect();
            if steps == 3 {
                found.push((format!("x[{i}] after {} steps", run.steps()), ks(&new, |x| target.cdf(i, x))));
            }
            for power in 1..=3 {
                let change = new.iter().zip(old).map(|(new, old)| new.powi(power) - f64::from(*old).powi(power));
                found.push((format!("x[{i}]^{power} after {} steps", run.steps()), p_of_z(z_of_mean(change, 0.0))));
            }
        }
        let after = energies(&x);
        let change = after.iter().zip(&before).map(|(new, old)| new - old);
        found.push((format!("energy after {} steps", run.steps()), p_of_z(z_of_mean(change, 0.0))));
    }
    if run.report().failed_transitions() > 0 {
        found.push(("transitions failed: their number".into(), 0.0));
    }
    Ok(smallest(found))
}

/// E(x) = |x − mean|²/(2 (sd² + σ²)): a Gaussian that knows its noise levels.
#[derive(Debug, Clone)]
struct Noisy {
    mean: f64,
    sd: f64,
}

impl Energy for Noisy {
    fn name(&self) -> String {
        "noisy gaussian".into()
    }
    fn dim(&self) -> usize {
        2
    }
    fn params(&self) -> Vec<f32> {
        vec![self.mean as f32, (self.sd * self.sd) as f32]
    }
    fn compose(&self, program: &mut Composer) -> Result<Call> {
        let text = "
            fn noisy_energy(at: u32, x: ptr<function, Point>) -> f32 {
                let d = ((*x)[0] - param(at)) * lane_mask(0u);
                return dot(d, d) / (2.0 * (param(at + 1u) + noise_variance));
            }
            fn noisy_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
                (*grad)[0] = ((*x)[0] - param(at)) * lane_mask(0u) / (param(at + 1u) + noise_variance);
                return noisy_energy(at, x);
            }";
        program.add("noisy", text)?;
        Ok(Call::new("noisy", &[]))
    }
    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        let d2: f64 = x.iter().map(|x| (x - params.get(0)).powi(2)).sum();
        d2 / (2.0 * (params.get(1) + params.noise_variance()))
    }
    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        for (g, x) in grad.iter_mut().zip(x) {
            *g = (x - params.get(0)) / (params.get(1) + params.noise_variance());
        }
        self.energy(params, x)
    }
    fn has_noise_levels(&self) -> bool {
        true
    }
}

/// The variance after each step of x′ = x − h k x + √(2hT) z at the curvatures k and step sizes h of the steps.
fn langevin_variances(start: f64, temperature: f64, steps: &[(f64, f64)]) -> Vec<f64> {
    let next = |variance: &mut f64, &(curvature, h): &(f64, f64)| {
        *variance = (1.0 - h * curvature).powi(2) * *variance + 2.0 * h * temperature;
        Some(*variance)
    };
    steps.iter().scan(start, next).collect()
}

/// The variance of x after each step of BAOAB at curvature k, friction γ, step h and inverse mass m⁻¹, from independent x and p
/// of variances start and mT: each stage is a linear map of (x, p), so it maps their covariance.
fn baoab_variances(
    start: f64,
    curvature: f64,
    friction: f64,
    h: f64,
    inverse_mass: f64,
    temperature: f64,
    n: usize,
) -> Vec<f64> {
    let (mut xx, mut xp, mut pp) = (start, 0.0, temperature / inverse_mass);
    let damp = (-friction * h).exp();
    let mut variances = Vec::new();
    for _ in 0..n {
        let kick = 0.5 * h * curvature;
        let drift = 0.5 * h * inverse_mass;
        for stage in "BAOAB".chars() {
            match stage {
                'B' => (pp, xp) = (pp - 2.0 * kick * xp + kick * kick * xx, xp - kick * xx),
                'A' => (xx, xp) = (xx + 2.0 * drift * xp + drift * drift * pp, xp + drift * pp),
                _ => (pp, xp) = (damp * damp * pp + (1.0 - damp * damp) * temperature / inverse_mass, damp * xp),
            }
        }
        variances.push(xx);
    }
    variances
}

/// An unadjusted kernel on a Gaussian, with the variance that each step must have.
#[derive(Clone)]
pub struct Unadjusted {
    pub name: &'static str,
    pub kernel: Arc<dyn Kernel>,
    temperature: f64,
    variances: Vec<f64>,
}

const MEAN: f64 = 0.7;
const SD: f64 = 0.8;
/// The variance of the starts.
const START: f64 = 0.5;

/// Every unadjusted kernel.
pub fn unadjusted() -> Vec<Unadjusted> {
    let curvature = 1.0 / (SD * SD);
    let baoab = |friction, h, inverse_mass, t| baoab_variances(START, curvature, friction, h, inverse_mass, t, 6);
    // Two levels of three steps; a step's gradient is that of its own level.
    let (levels, epsilon): ([f64; 2], f64) = ([1.0, 0.5], 0.2);
    let annealed = levels.map(|sigma| (1.0 / (SD * SD + sigma * sigma), 0.5 * epsilon * (sigma / levels[1]).powi(2)));
    let annealed = annealed.into_iter().flat_map(|step| [step; 3]).collect::<Vec<_>>();
    vec![
        Unadjusted {
            name: "ula",
            kernel: Arc::new(Ula::new(0.3)),
            temperature: 1.0,
            variances: langevin_variances(START, 1.0, &[(curvature, 0.3); 6]),
        },
        Unadjusted {
            name: "ula_at_0.4",
            kernel: Arc::new(Ula::new(0.2).noise(0.4).unwrap()),
            temperature: 0.4,
            variances: langevin_variances(START, 0.4, &[(curvature, 0.2); 6]),
        },
        Unadjusted {
            name: "annealed",
            kernel: Arc::new(Annealed::new(levels, 3, epsilon)),
            temperature: 1.0,
            variances: langevin_variances(START, 1.0, &annealed),
        },
        Unadjusted {
            name: "underdamped",
            kernel: Arc::new(Underdamped::new(0.5, 1.5)),
            temperature: 1.0,
            variances: baoab(1.5, 0.5, 1.0, 1.0),
        },
        Unadjusted {
            name: "underdamped_mass_at_1.6",
            kernel: Arc::new(Underdamped::new(0.4, 0.3).inverse_mass([0.7])),
            temperature: 1.6,
            variances: baoab(0.3, 0.4, 0.7, 1.6),
        },
    ]
}

/// The smallest p-value of an unadjusted kernel against its own law after one step and after six.
pub fn off_its_law(backend: &Backend, case: &Unadjusted, chains: usize) -> Result<(String, f64)> {
    let start = Exact::gaussian("start", vec![MEAN; 2], START.sqrt(), 1.0).draws(chains, 3);
    let mut setup = backend.chains_of(Arc::new(Noisy { mean: MEAN, sd: SD }), case.kernel.clone());
    // A kernel with a temperature of its own must not be told another.
    if case.kernel.temperature().is_none() {
        setup = setup.temperature(case.temperature);
    }
    let mut run = setup.count(chains).seed(12).start(Start::array(start)).build()?;
    assert!((run.report().temperature - case.temperature).abs() < 1e-12);
    let mut found = Vec::new();
    for steps in [1, 5] {
        run.advance(steps)?;
        let variance = case.variances[run.steps() as usize - 1];
        for (i, row) in run.positions()?.chunks(chains).enumerate() {
            let x: Vec<_> = row.iter().map(|&x| f64::from(x)).collect();
            let what = |what: &str| format!("{what} of x[{i}] after {} steps", run.steps());
            found.push((what("law"), ks(&x, |x| normal_cdf(x, MEAN, variance.sqrt()))));
            found.push((what("mean"), p_of_z(z_of_mean(x.iter().copied(), MEAN))));
            found.push((what("variance"), p_of_z(z_of_mean(x.iter().map(|x| (x - MEAN).powi(2)), variance))));
        }
    }
    if run.report().failed_transitions() > 0 {
        found.push(("transitions failed: their number".into(), 0.0));
    }
    Ok(smallest(found))
}
