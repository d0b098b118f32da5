//! Every energy and gradient in WGSL, in f32 on the GPU, against its f64 twin, with and without noise levels.

mod common;

use std::sync::Arc;

use common::{Suite, cases, twin_energy::agree};
use ergodic::{
    Backend, Error, Gpu,
    energy::{Ackley, Compose, Energy, Funnel, Gaussian, Himmelblau, Mixture, Rastrigin, Ring, Rosenbrock, TwoMoons},
    evaluate,
};

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for (name, energy) in cases::energies().into_iter().chain(cases::spread()) {
        let again = energy.clone();
        suite = suite.gpu(name, move |gpu| agree(&gpu, &energy, &energy, 0.0).unwrap());
        if again.has_noise_levels() {
            suite = suite.gpu(format!("{name} at a noise level"), move |gpu| agree(&gpu, &again, &again, 0.7).unwrap());
        }
    }
    suite
        .gpu("20 dimensions, composed", |gpu| high_dimension(&gpu, cases::high_dimension(20)))
        .gpu("70 dimensions, constrained", |gpu| high_dimension(&gpu, Arc::new(cases::constrained_of(70))))
        .gpu("300 dimensions", |gpu| high_dimension(&gpu, diagonal(300)))
        .gpu("680 dimensions", |gpu| high_dimension(&gpu, diagonal(680)))
        .gpu("512 dimensions, full covariance", |gpu| high_dimension(&gpu, full_covariance(512)))
        .long()
        .gpu("a wrong parameter is found", planted_fault)
        .gpu("a wrong parameter of any block is found", planted_block)
        .gpu("far points and cusps", far_points)
        .gpu("a part without density somewhere adds none", outside)
        .both("positions that do not fit are refused", refused)
        .run()
}

fn high_dimension(gpu: &Gpu, target: Arc<dyn Energy>) {
    agree(gpu, &target, &target, 0.0).unwrap();
}

fn diagonal(dim: usize) -> Arc<dyn Energy> {
    let sds: Vec<_> = (0..dim).map(|i| 0.5 + (i % 7) as f64 / 7.0).collect();
    Arc::new(Gaussian::diagonal((0..dim).map(|i| (i % 5) as f64 - 2.0).collect::<Vec<_>>(), &sds).unwrap())
}

fn full_covariance(dim: usize) -> Arc<dyn Energy> {
    Arc::new(Gaussian::full(vec![0.1; dim], &cases::correlated(dim)).unwrap())
}

fn planted_fault(gpu: Gpu) {
    let mixture = |sd: f64| -> Arc<dyn Energy> { Arc::new(Mixture::ring(3, 2.0, sd).unwrap()) };
    agree(&gpu, &mixture(0.5), &mixture(0.5), 0.0).unwrap();
    assert!(agree(&gpu, &mixture(0.5), &mixture(0.5001), 0.0).unwrap_err().contains("of the bound"));
    assert!(agree(&gpu, &mixture(0.5), &mixture(0.5001), 0.7).is_err());
}

/// Above 32 dimensions each invocation reads the blocks that it holds. (What it keeps of them from step to step: tests/spread.rs.)
fn planted_block(gpu: Gpu) {
    let dim = 41;
    let mixture = |wrong: Option<usize>| -> Arc<dyn Energy> {
        let mut means: Vec<_> = (0..3).map(|j| (0..dim).map(|i| ((i + 3 * j) % 5) as f64 - 2.0).collect::<Vec<_>>()).collect();
        wrong.into_iter().for_each(|at| means[at / dim][at % dim] += 0.01);
        Arc::new(Mixture::new(&[1.0; 3], &means, &[1.0; 3]).unwrap())
    };
    agree(&gpu, &mixture(None), &mixture(None), 0.0).unwrap();
    for at in (0..3 * dim).step_by(4) {
        assert!(agree(&gpu, &mixture(None), &mixture(Some(at)), 0.0).is_err(), "mean {} x[{}]", at / dim, at % dim);
    }
}

/// Energies and gradients are finite and right to 10⁻⁵ where the formula lets f32 hold them, and +∞, not NaN, where it does not.
fn far_points(gpu: Gpu) {
    let targets: [Arc<dyn Energy>; 8] = [
        Arc::new(Rosenbrock::new(5).unwrap()),
        Arc::new(Ring::new(3, 2.0, 0.1).unwrap()),
        Arc::new(TwoMoons::new()),
        Arc::new(Himmelblau::new()),
        Arc::new(Rastrigin::new(3)),
        Arc::new(Ackley::new(4)),
        Arc::new(Mixture::ring(8, 4.0, 0.1).unwrap()),
        Arc::new(Gaussian::full([0.0; 3], &[1.0, 0.5, 0.0, 0.5, 1.0, 0.0, 0.0, 0.0, 1e-4]).unwrap()),
    ];
    let backend = Backend::gpu_of(gpu);
    for target in targets {
        let far = [0.0, 1000.0, -1000.0, 999.5];
        let x: Vec<f32> = (0..target.dim()).flat_map(|_| far).collect();
        let found = evaluate(&backend, target.clone(), &x, 0.0).unwrap();
        let truth = evaluate(&Backend::cpu(), target.clone(), &x, 0.0).unwrap();
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-5 * (1.0 + b.abs());
        let pairs = found.energies.iter().zip(&truth.energies).chain(found.grads.iter().zip(&truth.grads));
        pairs.for_each(|(&a, &b)| assert!(close(a, b), "{}: {a} for {b}", target.name()));
    }
    let funnel = evaluate(&backend, Funnel::new(2).unwrap(), &[-100.0, -100.0, 1000.0, 1.0, 0.0, 1000.0], 0.0).unwrap();
    assert_eq!(funnel.energies[0], f64::INFINITY);
    assert!(funnel.energies[1..].iter().all(|e| e.is_finite()) && funnel.grads[1].is_finite() && funnel.grads[4] == 0.0);
}

fn outside(gpu: Gpu) {
    let backend = Backend::gpu_of(gpu);
    let x = [-100.0, 1.0];
    let funnel = || Funnel::new(2).unwrap();
    let one = evaluate(&backend, funnel().mixed_with(0.5, Gaussian::standard(2)).unwrap(), &x, 0.0).unwrap();
    assert!((one.energies[0] - (5000.5 + 2f64.ln())).abs() < 1e-2 && (one.grads[0] + 100.0).abs() < 1e-3, "{one:?}");
    let both = evaluate(&backend, funnel().mixed_with(0.5, funnel()).unwrap(), &x, 0.0).unwrap();
    assert_eq!(both.energies[0], f64::INFINITY);
}

fn refused(backend: Backend) {
    let shape = evaluate(&backend, Gaussian::standard(2), &[0.0; 3], 0.0);
    assert!(matches!(shape, Err(Error::Shape { .. })), "{shape:?}");
    let empty = evaluate(&backend, Gaussian::standard(2), &[], 0.0);
    assert!(matches!(empty, Err(Error::Shape { .. })), "{empty:?}");
    let negative = evaluate(&backend, Gaussian::standard(2), &[0.0; 2], -1.0);
    assert!(matches!(negative, Err(Error::Setting { .. })), "{negative:?}");
    let without = evaluate(&backend, Ackley::new(2), &[0.0; 2], 1.0);
    assert!(matches!(without, Err(Error::Unsupported(_))), "{without:?}");
}
