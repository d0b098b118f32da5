//! Every energy's f64 gradient against differences of its f64 energy, with and without noise levels; and the energy at a noise level
//! against a numerical convolution of the density.

mod common;

use std::sync::Arc;

use common::{Suite, cases, cases::Case};
use ergodic::{
    Error, Result,
    energy::{Ackley, Call, Compose, Convex, Energy, Funnel, Gaussian, Mixture, Params, Ring, Scaled, Sum, TwoMoons},
    program::Composer,
    transform::Log,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for (name, energy) in cases::energies() {
        let again = energy.clone();
        suite = suite.test(format!("gradient of {name}"), move || gradient(&*energy, 0.0).unwrap());
        if again.has_noise_levels() {
            suite = suite.test(format!("gradient of {name} at a noise level"), move || gradient(&*again, 0.7).unwrap());
        }
    }
    for (name, energy) in convolved() {
        suite = suite.test(format!("convolution of {name}"), move || {
            for noise_level in [0.3, 1.0] {
                convolution(&*energy, noise_level).unwrap();
            }
        });
    }
    suite
        .test("a wrong gradient is found", wrong_gradient)
        .test("a noise level without its normaliser is found", wrong_normaliser)
        .test("a point where f64 and a cusp leave no gradient has one", at_the_cusps)
        .test("at a noise level, a conditional is that of the convolved density", convolved_conditional)
        .test("parameters out of range are refused", refused)
        .test("a part without density somewhere adds none", outside)
        .run()
}

/// NaN is near nothing.
fn is_near(found: f64, expected: f64, bound: f64) -> bool {
    (found - expected).abs() <= bound
}

/// Central differences of fourth order with h = 10⁻³ max(1, |x|): the truncation is h⁴ E⁽⁵⁾/30, below 10⁻⁸ for waves of length one and
/// amplitude one (E⁽⁵⁾ ~ (2π)⁵), and the rounding ε |E|/h below 10⁻¹⁰ for |E| < 500. Bound: 10⁻⁷ of the larger of 1 and |∇E|.
fn gradient(target: &dyn Energy, noise_level: f64) -> Result<(), String> {
    let mut rng = SmallRng::seed_from_u64(1);
    let values = target.params();
    let params = Params::new(&values).at_noise(noise_level * noise_level);
    for _ in 0..200 {
        let x: Vec<f64> = (0..target.dim()).map(|_| rng.random_range(-2.5..2.5)).collect();
        let mut grad = vec![f64::NAN; x.len()];
        let energy = target.energy_and_grad(params, &x, &mut grad);
        let alone = target.energy(params, &x);
        if (energy - alone).abs() > 1e-13 * (1.0 + alone.abs()) {
            return Err(format!("energy {energy} with the gradient, {alone} without, at {x:?}"));
        }
        let size = grad.iter().fold(1.0, |top: f64, g| top.max(g.abs()));
        for i in 0..x.len() {
            let h = 1e-3 * x[i].abs().max(1.0);
            let moved = |by: f64| {
                let mut x = x.clone();
                x[i] += by * h;
                target.energy(params, &x)
            };
            let expected = (8.0 * (moved(1.0) - moved(-1.0)) - (moved(2.0) - moved(-2.0))) / (12.0 * h);
            if !is_near(grad[i], expected, 1e-7 * size) {
                return Err(format!("coordinate {i} is {}, differences say {expected}, at {x:?}", grad[i]));
            }
        }
    }
    Ok(())
}

fn convolved() -> Vec<Case<dyn Energy>> {
    vec![
        ("gaussian_1", Arc::new(Gaussian::isotropic([0.5], 0.8).unwrap())),
        ("gaussian_diagonal_2", Arc::new(Gaussian::diagonal([0.5, -1.0], &[0.5, 1.2]).unwrap())),
        ("gaussian_full_2", Arc::new(Gaussian::full([1.0, -0.5], &[2.0, 0.9, 0.9, 0.7]).unwrap())),
        ("mixture_1", Arc::new(Mixture::new(&[1.0, 3.0], &[vec![-2.0], vec![1.0]], &[0.6, 1.0]).unwrap())),
        ("mixture_2", Arc::new(Mixture::new(&[1.0, 3.0], &[vec![-2.0, 0.0], vec![1.0, 1.0]], &[0.6, 1.0]).unwrap())),
        (
            "mixture_covariances_2",
            Arc::new(
                Mixture::with_covariances(
                    &[0.7, 0.3],
                    &[vec![0.0, 0.0], vec![2.0, 1.0]],
                    &[vec![1.0, 0.6, 0.6, 1.5], vec![0.5, 0.1, 0.1, 0.4]],
                )
                .unwrap(),
            ),
        ),
        ("convex_of_gaussians", Arc::new(cases::convex_of_gaussians())),
    ]
}

/// exp(−E^σ(x)) = ∫ exp(−E(x + σu)) φ(u) du by the trapezoidal rule with step 0.1 over |u| < 8.5. The error for Gaussian bumps of width w
/// in u is exp(−2π²(w/0.1)²), nothing for w > 0.2; what is cut off is below 10⁻¹⁶ of φ. The rows of W of a full covariance are
/// rounded to f32, so they are orthogonal to ε₃₂ only, which the formula neglects. Bound: ε₃₂ (1 + |E|).
fn convolution(target: &dyn Energy, noise_level: f64) -> Result<(), String> {
    let mut rng = SmallRng::seed_from_u64(2);
    let values = target.params();
    let (clean, noisy) = (Params::new(&values), Params::new(&values).at_noise(noise_level * noise_level));
    let step = 0.1;
    let nodes: Vec<f64> = (-85..=85).map(|k| step * f64::from(k)).collect();
    let weight = |u: f64| step * (-0.5 * u * u).exp() / std::f64::consts::TAU.sqrt();
    for _ in 0..10 {
        let x: Vec<f64> = (0..target.dim()).map(|_| rng.random_range(-2.5..2.5)).collect();
        let density = |u: &[f64]| {
            let y: Vec<f64> = x.iter().zip(u).map(|(x, u)| x + noise_level * u).collect();
            (-target.energy(clean, &y)).exp()
        };
        let sum: f64 = match target.dim() {
            1 => nodes.iter().map(|&u| weight(u) * density(&[u])).sum(),
            _ => nodes.iter().map(|&u| nodes.iter().map(|&v| weight(u) * weight(v) * density(&[u, v])).sum::<f64>()).sum(),
        };
        let (found, expected) = (target.energy(noisy, &x), -sum.ln());
        if !is_near(found, expected, f64::from(f32::EPSILON) * (1.0 + expected.abs())) {
            return Err(format!("at noise {noise_level} the energy is {found}, a convolution says {expected}, at {x:?}"));
        }
    }
    Ok(())
}

/// An energy with a planted fault: a gradient that is a little too long, or a noise level that forgets the normaliser.
#[derive(Debug)]
struct Faulty {
    inner: Gaussian,
    grad_factor: f64,
    forgets_normaliser: bool,
}

impl Energy for Faulty {
    fn name(&self) -> String {
        "faulty".into()
    }

    fn dim(&self) -> usize {
        self.inner.dim()
    }

    fn params(&self) -> Vec<f32> {
        self.inner.params()
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        self.inner.compose(program)
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        let at_mean = if self.forgets_normaliser { self.inner.energy(params, &[0.0; 2]) } else { 0.0 };
        self.inner.energy(params, x) - at_mean
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        self.inner.energy_and_grad(params, x, grad);
        grad[1] *= self.grad_factor;
        self.energy(params, x)
    }
}

fn wrong_gradient() {
    let inner = Gaussian::standard(2);
    let faulty = |grad_factor| Faulty { inner: inner.clone(), grad_factor, forgets_normaliser: false };
    assert!(gradient(&faulty(1.0), 0.0).is_ok());
    assert!(gradient(&faulty(1.0 + 1e-5), 0.0).unwrap_err().contains("coordinate 1"));
    assert!(gradient(&faulty(f64::NAN), 0.0).is_err());
}

fn wrong_normaliser() {
    let inner = Gaussian::standard(2);
    let faulty = |forgets_normaliser| Faulty { inner: inner.clone(), grad_factor: 1.0, forgets_normaliser };
    assert!(convolution(&faulty(false), 0.3).is_ok());
    assert!(convolution(&faulty(true), 0.3).is_err());
}

fn at_the_cusps() {
    let targets: [Arc<dyn Energy>; 4] = [
        Arc::new(Ring::new(3, 1.0, 0.5).unwrap()),
        Arc::new(TwoMoons::new()),
        Arc::new(Ackley::new(4)),
        Arc::new(Funnel::new(5).unwrap()),
    ];
    for target in targets {
        let params = target.params();
        let mut grad = vec![f64::NAN; target.dim()];
        let energy = target.energy_and_grad(Params::new(&params), &vec![0.0; target.dim()], &mut grad);
        assert!(energy.is_finite() && grad.iter().all(|g| g.is_finite()), "{} at 0: {energy}, {grad:?}", target.name());
    }
}

/// C + σ²I is the covariance of a Gaussian of covariance C with noise σ, and its conditional is held at v + σz. Parameters are f32: 1e-5.
fn convolved_conditional() {
    let (dim, sigma, held) = (5, 0.8f64, [1, 3]);
    let covariance = cases::correlated(dim);
    let wider: Vec<_> = (0..dim * dim).map(|k| covariance[k] + if k % (dim + 1) == 0 { sigma * sigma } else { 0.0 }).collect();
    let joint = |covariance: &[f64]| Gaussian::full(vec![0.3; dim], covariance).unwrap();
    let noisy = joint(&covariance).condition(held.map(|i| (i, 0.7))).unwrap().with_noise(3).unwrap();
    let params = noisy.params();
    let grad = |target: &dyn Energy, params: Params<'_>| {
        let mut grad = [0.0; 3];
        target.energy_and_grad(params, &[0.4, -0.2, 1.1], &mut grad);
        grad
    };
    let found = grad(&noisy, Params::new(&params).at_noise(sigma * sigma));
    let miss = |noise: f64| {
        let at = |k: usize| (held[k], 0.7 + noise * f64::from(params[held.len() + k]));
        let exact = joint(&wider).condition([at(0), at(1)]).unwrap();
        let expected = grad(&exact, Params::new(&exact.params()));
        found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    assert!(miss(sigma) < 1e-5, "off by {}", miss(sigma));
    assert!(miss(0.0) > 0.01, "a value held without its noise is not found: off by {}", miss(0.0));
}

fn refused() {
    let setting = |result: Result<Arc<dyn Energy>>| assert!(matches!(result, Err(Error::Setting { .. })), "{result:?}");
    let shape = |result: Result<Arc<dyn Energy>>| assert!(matches!(result, Err(Error::Shape { .. })), "{result:?}");
    fn shared<E: Energy + 'static>(energy: E) -> Arc<dyn Energy> {
        Arc::new(energy)
    }
    let plane = || -> Arc<dyn Energy> { Arc::new(Gaussian::standard(2)) };
    setting(Gaussian::isotropic([0.0, 0.0], 0.0).map(shared));
    setting(Gaussian::isotropic([f64::NAN], 1.0).map(shared));
    shape(Gaussian::diagonal([0.0, 0.0], &[1.0]).map(shared));
    shape(Gaussian::full([0.0, 0.0], &[1.0, 0.0, 1.0]).map(shared));
    setting(Gaussian::full([0.0, 0.0], &[1.0, 0.5, 0.4, 1.0]).map(shared));
    setting(Gaussian::full([0.0, 0.0], &[1.0, 1.0, 1.0, 1.0]).map(shared));
    setting(Gaussian::full([0.0, 0.0], &[0.0; 4]).map(shared));
    setting(Gaussian::full([0.0, 0.0], &[1.0, 0.0, 0.0, f64::INFINITY]).map(shared));
    setting(Gaussian::full([], &[]).map(shared));
    setting(Mixture::new(&[], &[], &[]).map(shared));
    setting(Mixture::new(&[1.0], &[vec![0.0]], &[-1.0]).map(shared));
    shape(Mixture::with_covariances(&[1.0], &[vec![0.0, 0.0]], &[vec![1.0]]).map(shared));
    setting(Funnel::new(1).map(shared));
    setting(Ring::new(2, -1.0, 1.0).map(shared));
    setting(Ring::new(2, 1.0, 1e-20).map(shared));
    setting(TwoMoons::shape(2.0, 0.0, 1.0).map(shared));
    setting(Sum::new([]).map(shared));
    shape(Sum::new([plane(), Arc::new(Gaussian::standard(3))]).map(shared));
    shape(Convex::new(&[1.0], [plane(), plane()]).map(shared));
    setting(Convex::new(&[1.0, 0.0], [plane(), plane()]).map(shared));
    setting(Scaled::new(plane(), -1.0).map(shared));
    setting(plane().at_temperature(0.0).map(shared));
    setting(plane().condition([(2, 0.0)]).map(shared));
    setting(plane().condition([(1, 0.0), (1, 0.5)]).map(shared));
    setting(plane().condition([(1, f64::INFINITY)]).map(shared));
    setting(plane().condition([(1, 0.0), (0, 0.5)]).map(shared));
    assert!(matches!(Ring::new(2, 1.0, 1.0).unwrap().condition([(1, 0.0)]).unwrap().with_noise(1), Err(Error::Unsupported(_))));
    let constrained = plane().constrain(0..1, Log::above(0.0)).unwrap();
    assert!(matches!(constrained.condition([(1, 0.0)]), Err(Error::Unsupported(_))));
    let conditioned = Gaussian::standard(3).condition([(1, 7.0)]).unwrap();
    assert!(matches!(conditioned.whole(&[0.0; 3]), Err(Error::Shape { .. })));
    assert_eq!(conditioned.whole(&[1.0, 2.0, 3.0, 4.0]).unwrap(), [1.0, 2.0, 7.0, 7.0, 3.0, 4.0]);
}

fn outside() {
    // Far down the funnel e⁻ᵛ is infinite, and so is the energy.
    let target = Funnel::new(2).unwrap().mixed_with(0.5, Gaussian::standard(2)).unwrap();
    let params = target.params();
    let x = [-800.0, 1.0];
    let mut grad = [f64::NAN; 2];
    let energy = target.energy_and_grad(Params::new(&params), &x, &mut grad);
    let expected = 0.5 * (800.0f64.powi(2) + 1.0) - f64::from(0.5f32.ln());
    assert!((energy - expected).abs() < 1e-6 && (grad[0] + 800.0).abs() < 1e-9, "{energy} {grad:?}");
    let both = Funnel::new(2).unwrap().mixed_with(0.5, Funnel::new(2).unwrap()).unwrap();
    assert_eq!(both.energy(Params::new(&both.params()), &x), f64::INFINITY);
}
