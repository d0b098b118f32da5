//! Every transform: its inverse, its Jacobian and the gradient of that against differences; where starts, draws, moments and checkpoints of
//! constrained energies are.

use std::sync::Arc;

use ergodic::{
    AnnealedImportance, Backend, Base, Collect, Error, Start,
    energy::{Compose, Dirichlet, Energy, Gamma, Gaussian, Params},
    kernel::{Hmc, Rwm},
    store::Draw,
    transform::{Affine, Log, Logit, Ordered, StickBreaking, Transform},
};
use nalgebra::DMatrix;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use statrs::function::gamma::ln_gamma;

use super::common::{cases, streaming::moments_against_positions};

/// Every transform, and of how many coordinates.
pub(crate) fn transforms() -> Vec<(&'static str, Arc<dyn Transform>, usize)> {
    vec![
        ("log above", Arc::new(Log::above(-1.5)), 3),
        ("log below", Arc::new(Log::below(2.0)), 2),
        ("logit", Arc::new(Logit::between(-1.0, 3.0)), 3),
        ("affine", Arc::new(Affine::new(0.5, -2.0)), 2),
        ("ordered", Arc::new(Ordered), 5),
        ("stick-breaking of 2", Arc::new(StickBreaking), 2),
        ("stick-breaking of 6", Arc::new(StickBreaking), 6),
    ]
}

/// Fourth-order central differences; the truncation is below 1e-12 and the rounding below 1e-11 for functions of size and scale one.
fn difference(f: impl Fn(f64) -> f64) -> f64 {
    let h = 1e-3;
    (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h)
}

pub(crate) fn fits(transform: &dyn Transform, count: usize) -> Result<(), String> {
    let mut rng = SmallRng::seed_from_u64(4);
    let params = transform.params();
    let params = Params::new(&params);
    let moving = count - transform.idle();
    for _ in 0..100 {
        let y: Vec<f64> = (0..count).map(|_| rng.random_range(-2.5..2.5)).collect();
        let position = |y: &[f64]| {
            let mut x = y.to_vec();
            let log_det = transform.position(params, &mut x);
            (x, log_det)
        };
        let moved = |i: usize, by: f64| {
            let mut y = y.clone();
            y[i] += by;
            position(&y)
        };
        let (x, log_det) = position(&y);

        let mut back = x.clone();
        transform.free(params, &mut back).map_err(|e| format!("{e:?}"))?;
        for i in 0..moving {
            if (back[i] - y[i]).abs() > 1e-9 {
                return Err(format!("y[{i}] = {} comes back as {}", y[i], back[i]));
            }
        }

        let jacobian = DMatrix::from_fn(moving, moving, |i, j| difference(|h| moved(j, h).0[i]));
        let idle: f64 = y[moving..].iter().map(|y| -0.5 * y * y - 0.5 * std::f64::consts::TAU.ln()).sum();
        let expected = jacobian.determinant().abs().ln() + idle;
        if (log_det - expected).abs() > 1e-7 {
            return Err(format!("log|det| is {log_det}, differences say {expected}, at {y:?}"));
        }

        // Of E = 0: the gradient of −log|det|. Of E = Σ (i + 1) xᵢ: that and the chain rule.
        for slope in [0.0, 1.0] {
            let energy = |(x, log_det): (Vec<f64>, f64)| {
                slope * x.iter().enumerate().map(|(i, x)| (i + 1) as f64 * x).sum::<f64>() - log_det
            };
            let mut grad: Vec<_> = (0..count).map(|i| slope * (i + 1) as f64).collect();
            transform.grad(params, &y, &x, &mut grad);
            for (i, &found) in grad.iter().enumerate() {
                let expected = difference(|h| energy(moved(i, h)));
                if (found - expected).abs() > 1e-7 * (1.0 + expected.abs()) {
                    return Err(format!("coordinate {i} of the gradient is {found}, differences say {expected}, at {y:?}"));
                }
            }
        }
    }
    Ok(())
}

/// A right transform with a wrong log-determinant or gradient.
#[derive(Debug)]
pub(crate) struct Off(Arc<dyn Transform>, f64, f64);

impl Transform for Off {
    fn stem(&self) -> &'static str {
        self.0.stem()
    }
    fn source(&self) -> &'static str {
        self.0.source()
    }
    fn params(&self) -> Vec<f32> {
        self.0.params()
    }
    fn validate(&self, count: usize) -> ergodic::Result<()> {
        self.0.validate(count)
    }
    fn idle(&self) -> usize {
        self.0.idle()
    }
    fn position(&self, params: Params<'_>, x: &mut [f64]) -> f64 {
        let first = x[0];
        self.0.position(params, x) + self.1 * first
    }
    fn grad(&self, params: Params<'_>, y: &[f64], x: &[f64], grad: &mut [f64]) {
        self.0.grad(params, y, x, grad);
        grad[0] *= 1.0 + self.2;
    }
    fn free(&self, params: Params<'_>, x: &mut [f64]) -> Result<(), ergodic::transform::Outside> {
        self.0.free(params, x)
    }
}

/// A faulty one is found.
pub(crate) fn faults() {
    for (name, transform, count) in transforms() {
        assert!(fits(&Off(transform.clone(), 0.0, 0.0), count).is_ok());
        assert!(fits(&Off(transform.clone(), 1e-4, 0.0), count).unwrap_err().contains("log|det|"), "{name}");
        assert!(fits(&Off(transform, 0.0, 1e-4), count).unwrap_err().contains("gradient"), "{name}");
    }
}

/// Moments that are taken on the device are those of positions.
pub(crate) fn moments(backend: Backend) {
    let beta = ergodic::energy::Beta::new(2, 3.0, 2.0).unwrap().constrain(0..2, Logit::between(0.0, 1.0)).unwrap();
    let targets: [Arc<dyn Energy>; 2] = [Arc::new(cases::constrained()), Arc::new(beta)];
    for target in targets {
        let (what, miss) = moments_against_positions(&backend, target, Arc::new(Hmc::new(0.3, 4))).unwrap();
        assert!(miss <= 1.0, "{what}: {miss} of what is allowed");
    }
}

/// Stored draws are the positions to the bit, and those lie on the support.
pub(crate) fn draws(backend: Backend) {
    let setup = backend.chains(cases::constrained(), Rwm::new(0.3)).count(70).seed(3);
    let mut run = setup.build().unwrap();
    let mut stored = Vec::new();
    let mut sink = |draw: Draw<'_>| {
        stored = draw.positions.to_vec();
        Ok(())
    };
    run.collect_into(Collect::draws(20).thin(5), &mut sink).unwrap();
    let positions = run.positions().unwrap();
    assert_eq!(
        stored.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
        positions.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    );
    for chain in 0..70 {
        let x = |i: usize| positions[i * 70 + chain];
        assert!(x(0) < 2.0 && (1..5).all(|i| x(i) > 0.0) && ((1..5).map(x).sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((5..7).all(|i| x(i) > -1.0 && x(i) < 3.0) && x(7) < x(8));
    }
}

/// A run that is saved and resumed goes on with the same bits; a start in positions is where the chains stand.
pub(crate) fn resumed(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let setup = || backend.chains(cases::constrained(), Hmc::new(0.3, 3)).count(65).seed(9);
    let mut whole = setup().build().unwrap();
    whole.advance(7).unwrap();
    whole.save(&path).unwrap();
    whole.advance(6).unwrap();
    let mut again = setup().resume(&path).unwrap();
    again.advance(6).unwrap();
    assert_eq!(whole.positions().unwrap(), again.positions().unwrap());

    let x = whole.positions().unwrap();
    let started = setup().start(Start::array(x.clone())).build().unwrap();
    for (i, (a, b)) in started.positions().unwrap().iter().zip(&x).enumerate() {
        assert!(
            (a - b).abs() <= 1e-5 * (1.0 + b.abs()),
            "chain {} stands at {a}, not at {b}, in coordinate {}",
            i % 65,
            i / 65
        );
    }
}

/// Where a chain stood when a transition failed is told in positions.
pub(crate) fn failures(backend: Backend) {
    let target = Gamma::new(1, 2.5, 2.0).unwrap().constrain(0..1, Log::above(7.0)).unwrap();
    let mut run = backend.chains(target, Hmc::new(3.0, 4)).count(64).start(Start::point([9.0])).build().unwrap();
    run.advance(3).unwrap();
    let failed_at = run.report().failed_at;
    assert!(!failed_at.is_empty() && failed_at.iter().all(|failed| failed.position[0] > 7.0), "{failed_at:?}");
    // The first transition left its chain where it started.
    let first = failed_at.iter().find(|failed| failed.step == 0).unwrap();
    assert!((first.position[0] - 9.0).abs() < 1e-5, "{first:?}");
}

/// Starts outside of the support are errors that name chain and coordinate.
pub(crate) fn outside(backend: Backend) {
    let built = |target: &dyn Fn() -> ergodic::energy::Constrained, start: Start| {
        backend.chains(target(), Rwm::new(0.5)).count(2).first_chain(10).start(start).build().map(drop)
    };
    let of = |chain: u64, coordinate: usize, result: ergodic::Result<()>| match result {
        Err(Error::Start { chain: c, coordinate: Some(i), .. }) => assert_eq!((c, i), (chain, coordinate)),
        other => panic!("{other:?}"),
    };
    let flat = || Gaussian::standard(3);
    let positive = || flat().constrain(1..3, Log::above(0.0)).unwrap();
    built(&positive, Start::array([0.0, 0.0, 1.0, 1.0, 0.5, 0.5])).unwrap();
    of(11, 2, built(&positive, Start::array([0.0, 0.0, 1.0, 1.0, 0.5, 0.0])));
    of(10, 1, built(&positive, Start::point([0.0])));
    let between = || flat().constrain(0..1, Logit::between(1.0, 2.0)).unwrap();
    of(10, 0, built(&between, Start::point([2.0, 0.0, 0.0])));
    of(10, 0, built(&between, Start::normal([0.0], 0.1)));
    let ordered = || flat().constrain(0..3, Ordered).unwrap();
    of(11, 2, built(&ordered, Start::array([0.0, 0.0, 1.0, 1.0, 2.0, 1.0])));
    let simplex = || flat().constrain(0..3, StickBreaking).unwrap();
    built(&simplex, Start::point([0.2, 0.3, 0.5])).unwrap();
    of(10, 2, built(&simplex, Start::point([0.2, 0.3, 0.4])));
    of(10, 1, built(&simplex, Start::point([0.5, 0.0, 0.5])));
}

/// ∫ exp(−E) over positions is that over free coordinates: ln Z of a gamma and of a Dirichlet by annealed importance sampling.
pub(crate) fn normalisers(backend: Backend) {
    let gamma = Gamma::new(1, 2.5, 2.0).unwrap().constrain(0..1, Log::above(0.0)).unwrap();
    let alpha = [1.5, 2.5, 0.8];
    let dirichlet = Dirichlet::new(&alpha).unwrap().constrain(0..3, StickBreaking).unwrap();
    let of_dirichlet = alpha.iter().map(|&a| ln_gamma(a)).sum::<f64>() - ln_gamma(alpha.iter().sum());
    let targets: [(Arc<dyn Energy>, f64); 2] =
        [(Arc::new(gamma), ln_gamma(2.5) - 2.5 * 2f64.ln()), (Arc::new(dirichlet), of_dirichlet)];
    for (target, expected) in targets {
        let base = Base::normal(vec![0.0; target.dim()], [1.5]).unwrap();
        let importance = AnnealedImportance::linear(30).chains(4_096).seed(2);
        let found = importance.forward(&backend, target.clone(), &base, Arc::new(Hmc::new(0.5, 3))).unwrap();
        let z = (found.ln_z - expected) / found.error;
        assert!(z.abs() < 6.5 && found.error < 0.02, "{}: {} ± {}, not {expected}", target.name(), found.ln_z, found.error);
        assert!(found.positions.iter().all(|&x| x > 0.0));
    }
}
