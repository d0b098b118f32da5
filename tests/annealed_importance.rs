//! ln Z by annealed importance sampling against exact values, within its own errors; the errors are as large as they say; and both
//! sides bracket the truth.

mod common;

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use common::{
    Suite, cases,
    planted::{Planted, replaced},
    stats::{LEVEL, p_of_z},
};
use ergodic::{
    AnnealedImportance, Backend, Base, Error, LogNormalizer, Start,
    chains::Progress,
    energy::{Compose, DoubleWell, Energy, Gaussian, Mixture, Params, Ring},
    kernel::{Hmc, Kernel, Mala, Rwm, Ula},
    random::normal_pair,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use statrs::distribution::{ChiSquared, ContinuousCDF};

/// ln √det(2πC) of the covariance that `cases::correlated` gives, C_ij = s_i s_j r^|i − j|: det C = Π s_i² (1 − r²)^(dim − 1).
fn correlated_ln_z(dim: usize) -> f64 {
    let sds: f64 = (0..dim).map(|i| (0.7 + 0.3 * (i % 4) as f64).ln()).sum();
    0.5 * dim as f64 * std::f64::consts::TAU.ln() + sds + 0.5 * (dim as f64 - 1.0) * (1.0f64 - 0.36).ln()
}

/// ln ∫ exp(−E) over a square by the trapezoid rule, whose error is exponentially small where nothing is left at the edges.
fn by_quadrature(energy: &dyn Energy, half: f64, n: usize) -> f64 {
    let values = energy.params();
    let h = 2.0 * half / n as f64;
    let at = |i: usize| -half + h * i as f64;
    let density = |x: &[f64]| (-energy.energy(Params::new(&values), x)).exp();
    match energy.dim() {
        1 => ((0..=n).map(|i| density(&[at(i)])).sum::<f64>() * h).ln(),
        _ => ((0..=n).flat_map(|i| (0..=n).map(move |j| (i, j))).map(|(i, j)| density(&[at(i), at(j)])).sum::<f64>() * h * h)
            .ln(),
    }
}

struct Case {
    name: &'static str,
    target: Arc<dyn Energy>,
    ln_z: f64,
    base: Base,
    kernel: Arc<dyn Kernel>,
    betas: AnnealedImportance,
}

fn cases_with_ln_z() -> Vec<Case> {
    let tau = std::f64::consts::TAU;
    let mixture = Mixture::new(&[0.7, 0.3], &[vec![2.0; 5], vec![-2.0; 5]], &[0.6, 1.0]).unwrap();
    let well = DoubleWell::new(1, 3.0).unwrap();
    let tilted = DoubleWell::new(2, 1.5).unwrap().plus(Gaussian::isotropic([0.8, -0.3], 1.2).unwrap()).unwrap();
    let ring = Ring::new(2, 2.0, 0.4).unwrap();
    vec![
        Case {
            name: "correlated_8",
            target: Arc::new(Gaussian::full(vec![0.5; 8], &cases::correlated(8)).unwrap()),
            ln_z: correlated_ln_z(8),
            base: Base::normal([0.0; 8], [2.0]).unwrap(),
            kernel: Arc::new(Hmc::new(0.3, 4)),
            betas: AnnealedImportance::linear(100),
        },
        Case {
            name: "mixture_5",
            target: Arc::new(mixture),
            ln_z: 2.5 * tau.ln(),
            base: Base::normal([0.0; 5], [2.5]).unwrap(),
            kernel: Arc::new(Mala::new(0.15)),
            betas: AnnealedImportance::geometric(0.01, 150).steps_a_beta(2),
        },
        Case {
            name: "double_well_1",
            ln_z: by_quadrature(&well, 5.0, 2_000),
            target: Arc::new(well),
            base: Base::normal([0.2], [1.3]).unwrap(),
            kernel: Arc::new(Rwm::new(0.7)),
            betas: AnnealedImportance::sigmoid(60, 4.0),
        },
        Case {
            name: "tilted_double_well_2",
            ln_z: by_quadrature(&tilted, 5.0, 400),
            target: Arc::new(tilted),
            base: Base::normal([0.0; 2], [1.5, 1.0]).unwrap(),
            kernel: Arc::new(Hmc::new(0.2, 3)),
            betas: AnnealedImportance::linear(60),
        },
        Case {
            name: "ring_2",
            ln_z: by_quadrature(&ring, 6.0, 1_000),
            target: Arc::new(ring),
            base: Base::normal([0.3, 0.0], [2.0]).unwrap(),
            kernel: Arc::new(Hmc::new(0.2, 4)),
            betas: AnnealedImportance::linear(80),
        },
    ]
}

fn forward(backend: &Backend, case: &Case, betas: AnnealedImportance) -> LogNormalizer {
    betas.forward(backend, case.target.clone(), &case.base, case.kernel.clone()).unwrap()
}

/// The p-value of the sum of squared scores over some seeds: by how much the truth is missed, in units of the error given.
fn misses(
    backend: &Backend,
    case: &Case,
    chains: usize,
    seeds: u64,
    change: impl Fn(AnnealedImportance) -> AnnealedImportance,
) -> f64 {
    let mut squares = 0.0;
    for seed in 0..seeds {
        let found = forward(backend, case, change(case.betas.clone().chains(chains).seed(seed)));
        let z = (found.ln_z - case.ln_z) / found.error;
        println!(
            "{} seed {seed}: {} ± {:.2e}, exact {}, {z:.2} errors, ess {:.0}",
            case.name, found.ln_z, found.error, case.ln_z, found.ess
        );
        squares += z * z;
    }
    ChiSquared::new(seeds as f64).unwrap().sf(squares)
}

/// Cancelled, saved and resumed after every second slice, a run weighs every chain with the bits of one that was not; what is wrong else.
fn goes_on(backend: &Backend, case: &Case, change: impl Fn(AnnealedImportance) -> AnnealedImportance) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ais.safetensors");
    let importance = change(case.betas.clone().chains(300).seed(5));
    let whole = forward(backend, case, importance.clone());
    let run = |importance: AnnealedImportance| {
        let cancel = |p: Progress| if p.done >= 8 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let importance = importance.on_progress(cancel).checkpoint(&path, Duration::from_secs(3600));
        importance.forward(backend, case.target.clone(), &case.base, case.kernel.clone())
    };
    let (mut good, mut ended) = (0, run(importance.clone()));
    while let Err(Error::Cancelled { good_steps }) = ended {
        assert!(good_steps > good);
        good = good_steps;
        ended = run(importance.clone().resume(&path));
    }
    assert!(good > 0);
    let resumed = ended.unwrap();
    for other in [importance.clone().seed(6), importance.clone().steps_a_beta(3), importance.clone().chains(299)] {
        let refused = other.resume(&path).forward(backend, case.target.clone(), &case.base, case.kernel.clone());
        assert!(matches!(refused, Err(Error::Checkpoint { .. })), "{refused:?}");
    }
    // An error comes back as it is also where the save that follows it fails.
    let gone = folder.path().join("gone");
    std::fs::create_dir(&gone).unwrap();
    let unsaved = importance.checkpoint(gone.join("ais.safetensors"), Duration::from_secs(3600)).on_progress(move |_| {
        std::fs::remove_dir(&gone).unwrap();
        ControlFlow::Break(())
    });
    let ended = unsaved.forward(backend, case.target.clone(), &case.base, case.kernel.clone());
    assert!(matches!(ended, Err(Error::Cancelled { .. })), "{ended:?}");
    let is_same = (resumed.ln_z, resumed.error, resumed.report.steps) == (whole.ln_z, whole.error, whole.report.steps)
        && (&resumed.log_weights, &resumed.positions) == (&whole.log_weights, &whole.positions);
    if is_same { Ok(()) } else { Err(format!("ln Z {} and {}", resumed.ln_z, whole.ln_z)) }
}

/// Over many seeds the scores are standard normal: errors that are too small or too large by a third fail.
fn calibrated(scale: f64) -> f64 {
    let case = cases_with_ln_z().remove(2);
    let seeds = 300;
    let squares: f64 = (0..seeds)
        .map(|seed| forward(&Backend::cpu(), &case, AnnealedImportance::linear(20).chains(200).seed(1000 + seed)))
        .map(|found| ((found.ln_z - case.ln_z) / (scale * found.error)).powi(2))
        .sum();
    let law = ChiSquared::new(seeds as f64).unwrap();
    println!("sum of {seeds} squared scores: {squares:.1}");
    2.0 * law.cdf(squares).min(law.sf(squares))
}

/// From both sides, with exact draws of the target.
fn bracket(backend: &Backend) {
    let (weights, means, sds) = ([0.7, 0.3], [1.5, -1.5], [0.6, 1.0]);
    let target = Mixture::new(&weights, &means.map(|m| vec![m; 3]), &sds).unwrap();
    let chains = 4096;
    let mut rng = StdRng::seed_from_u64(4);
    let mut x = vec![0f32; 3 * chains];
    for chain in 0..chains {
        let component = usize::from(rng.random::<f64>() > weights[0]);
        for i in 0..3 {
            let z = normal_pair([rng.random(), rng.random()])[0];
            x[i * chains + chain] = (means[component] + sds[component] * z) as f32;
        }
    }
    let base = Base::normal([0.0; 3], [2.0]).unwrap();
    let importance = AnnealedImportance::linear(60).chains(chains).seed(6);
    let above = importance.reverse(backend, target.clone(), &base, Arc::new(Hmc::new(0.25, 4)), Start::array(x)).unwrap();
    let below = importance.forward(backend, target, &base, Arc::new(Hmc::new(0.25, 4))).unwrap();
    let exact = 1.5 * std::f64::consts::TAU.ln();
    for found in [&above, &below] {
        let z = (found.ln_z - exact) / found.error;
        assert!(p_of_z(z) >= LEVEL, "{} ± {}, exact {exact}", found.ln_z, found.error);
    }
    let error = above.error.hypot(below.error);
    assert!((above.ln_z - below.ln_z).abs() < 6.5 * error && error < 0.05, "{} and {} ± {error}", below.ln_z, above.ln_z);
}

/// Chain by chain, the weights of both devices, and those of a run that is cut into dispatches otherwise (by its length).
fn twin(backend: &Backend) {
    let case = cases_with_ln_z().remove(3);
    let importance = AnnealedImportance::linear(12).chains(1000).seed(3);
    let (found, expected) = (forward(backend, &case, importance.clone()), forward(&Backend::cpu(), &case, importance.clone()));
    let pairs = found.log_weights.iter().zip(&expected.log_weights);
    let near = pairs.filter(|(a, b)| (**a - **b).abs() < 1e-4 * (1.0 + b.abs())).count();
    let far = 1000 - near;
    assert!(far < 10, "{far} of 1,000 weights differ");
    let few = forward(backend, &case, importance.chains(10));
    assert_eq!(few.log_weights, found.log_weights[..10], "the number of chains makes a difference");
}

/// Weights of chains that start where the target has no density are zero, and Z is that of the support.
fn outside(backend: &Backend) {
    // Half a standard normal: E = +infinity for x < 0.
    let base = Base::normal([0.0], [1.0]).unwrap();
    let importance = AnnealedImportance::linear(4).chains(20_000).seed(1);
    let found = importance.forward(backend, Half, &base, Arc::new(Rwm::new(0.8))).unwrap();
    let exact = (0.5 * std::f64::consts::TAU.sqrt()).ln();
    let z = (found.ln_z - exact) / found.error;
    assert!(p_of_z(z) >= LEVEL, "{} ± {}, exact {exact}", found.ln_z, found.error);
    let zero = found.log_weights.iter().filter(|w| **w == f64::NEG_INFINITY).count();
    assert!((9_500..10_500).contains(&zero), "{zero} of 20,000 weights are zero");
}

/// x²/2 for x > 0.
#[derive(Debug)]
struct Half;

impl Energy for Half {
    fn name(&self) -> String {
        "half a normal".into()
    }
    fn dim(&self) -> usize {
        1
    }
    fn params(&self) -> Vec<f32> {
        vec![1e38]
    }
    fn compose(&self, program: &mut ergodic::program::Composer) -> ergodic::Result<ergodic::energy::Call> {
        let text = "
            fn half_energy(at: u32, x: ptr<function, Point>) -> f32 {
                let v = coordinate(x, 0u);
                return select(0.5 * v * v, param(at) * 100.0, v < 0.0);
            }
            fn half_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
                (*grad)[0] = (*x)[0];
                return half_energy(at, x);
            }";
        program.add("half", text)?;
        Ok(ergodic::energy::Call::new("half", &[]))
    }
    fn energy(&self, _: Params<'_>, x: &[f64]) -> f64 {
        if x[0] < 0.0 { f64::INFINITY } else { 0.5 * x[0] * x[0] }
    }
    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        grad[0] = x[0];
        self.energy(params, x)
    }
}

fn refusals() {
    let run = |importance: AnnealedImportance, base: Base, kernel: Arc<dyn Kernel>| {
        importance.forward(&Backend::cpu(), DoubleWell::new(2, 1.0).unwrap(), &base, kernel).map(drop)
    };
    let rwm = || Arc::new(Rwm::new(0.5));
    let base = || Base::normal([0.0; 2], [1.0]).unwrap();
    for bad in [
        AnnealedImportance::new([0.5]),
        AnnealedImportance::new([]),
        AnnealedImportance::linear(5).chains(0),
        AnnealedImportance::linear(5).steps_a_beta(0),
        AnnealedImportance::geometric(0.0, 5),
    ] {
        let refused = run(bad.clone(), base(), rwm());
        assert!(matches!(refused, Err(Error::Setting { .. })), "{bad:?}: {refused:?}");
    }
    let (unadjusted, adaptive): (Arc<dyn Kernel>, Arc<dyn Kernel>) = (Arc::new(Ula::new(0.1)), Arc::new(Hmc::adaptive()));
    for kernel in [unadjusted, adaptive] {
        let refused = run(AnnealedImportance::linear(5), base(), kernel);
        assert!(matches!(refused, Err(Error::Unsupported(_))), "{refused:?}");
    }
    let refused = run(AnnealedImportance::linear(5), Base::normal([0.0; 3], [1.0]).unwrap(), rwm());
    assert!(matches!(refused, Err(Error::Shape { .. })), "{refused:?}");
    assert!(Base::normal([0.0; 3], [1.0, 2.0]).is_err() && Base::normal([0.0], [0.0]).is_err());
}

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for i in 0..cases_with_ln_z().len() {
        suite = suite.both(cases_with_ln_z()[i].name, move |backend| {
            let chains = if backend.gpu().is_some() { 8192 } else { 1024 };
            let p = misses(&backend, &cases_with_ln_z()[i], chains, 4, |importance| importance);
            assert!(p >= LEVEL, "the exact value is missed: p = {p:.3e}");
        });
    }
    suite = suite
        .test("errors are as large as they say", || {
            let p = calibrated(1.0);
            assert!(p >= LEVEL, "p = {p:.3e}");
        })
        .test("a planted fault is found: errors too small by two fifths", || {
            let p = calibrated(0.6);
            assert!(p < LEVEL, "not found: p = {p:.3e}");
        })
        .both("both sides bracket the truth", |backend| bracket(&backend))
        .gpu("weights agree with the twin's", |gpu| twin(&Backend::gpu_of(gpu)))
        .both("chains outside of the support have no weight", |backend| outside(&backend))
        .test("bad settings are refused", refusals)
        .both("a run that is cancelled and resumed has the same bits", |backend| {
            for case in cases_with_ln_z() {
                goes_on(&backend, &case, |importance| importance).unwrap();
            }
        })
        .gpu("a planted fault is found: a part of the weight that is not carried on", |gpu| {
            let forget = |text: &'static str| replaced(text, "+ index] = rest;", "+ index] = 0.0;");
            let found = goes_on(&Backend::gpu_of(gpu), &cases_with_ln_z()[2], |importance| importance.with_stage(forget));
            assert!(found.is_err(), "not found");
        })
        .test("a planted fault is found: a transition at the wrong temperature", || {
            let case = cases_with_ln_z().remove(2);
            let kernel = Planted::twin(case.kernel.clone(), |real, step, state, scratch| {
                let mut step = *step;
                step.control.temperature *= 1.3;
                real.transition(&step, state, scratch)
            });
            let p = misses(&Backend::cpu(), &Case { kernel, ..case }, 4096, 4, |importance| importance);
            assert!(p < LEVEL, "not found: p = {p:.3e}");
        });
    let faults = [
        ("the sign of a weight", "weigh(-change * bridge_gap)", "weigh(change * bridge_gap)"),
        (
            "energies left at the last temperature",
            "if (USES_GRAD) { *e = energy_and_grad(x, grad); } else { *e = energy(x); }",
            "_ = energy(x);",
        ),
        (
            "the gap of a proposal",
            "if (USES_GRAD) { *e = energy_and_grad(x, grad); } else { *e = energy(x); }\n    weigh(-change * bridge_gap);",
            "weigh(-change * bridge_gap);\n    *e = energy(x);",
        ),
        (
            "an increment at the wrong temperature",
            "let change = (*control).level - bridge_beta;",
            "let change = (*control).level - 0.95 * bridge_beta;",
        ),
    ];
    for (name, piece, fault) in faults {
        suite = suite.gpu(format!("a planted fault is found: {name}"), move |gpu| {
            // Few steps, so that each of them matters, and many chains.
            let betas = AnnealedImportance::linear(6);
            let case = Case { betas, ..cases_with_ln_z().remove(2) };
            let plant = |importance: AnnealedImportance| importance.with_stage(|text| replaced(text, piece, fault));
            let p = misses(&Backend::gpu_of(gpu), &case, 65_536, 4, plant);
            assert!(p < LEVEL, "not found: p = {p:.3e}");
        });
    }
    suite.run()
}
