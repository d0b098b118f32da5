//! What a formula does wrong at some positions is counted, never repaired: on the GPU and on the CPU reference alike.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::common::Suite;
use ergodic::{
    Backend, Collect, Error, Report, Result, Start,
    chains::{Setup, Tally},
    energy::{Call, Energy, Params},
    kernel::{Failure, Hmc, Kernel, Mala, Rwm, Ula},
    program::Composer,
};

/// Energy and gradient of a position, in f64.
type Formula = fn(&[f64], &mut [f64]) -> f64;

/// An energy of the trait: WGSL text and its twin.
#[derive(Debug, Clone)]
struct Own {
    dim: usize,
    text: String,
    twin: Formula,
    /// The least distance of any proposal's x₀ from `edge`, where the energy changes its kind; as the bits of an f64 (whose
    /// order, above zero, is that of the numbers).
    nearest: Arc<AtomicU64>,
    edge: f64,
    /// What the function of the energy alone adds.
    more: f64,
}

impl Own {
    /// `body` gives the energy of `p`, the first lane, and sets `g`, the first lane of the gradient.
    fn new(dim: usize, edge: f64, body: &str, twin: Formula) -> Self {
        let text = format!(
            "fn own_energy(at: u32, x: ptr<function, Point>) -> f32 {{ var g: Point; return own_energy_and_grad(at, x, &g); }}
             fn own_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {{
                 let nan = bitcast<f32>(0x7fc00000u | at);
                 let infinity = bitcast<f32>(0x7f800000u | at);
                 let p = (*x)[0];
                 var g = Lane(0.0);
                 var e = 0.0;
                 {body}
                 (*grad)[0] = g;
                 return e;
             }}"
        );
        Self { dim, text, twin, nearest: Arc::new(AtomicU64::new(f64::INFINITY.to_bits())), edge, more: 0.0 }
    }

    /// The function of the energy alone gives more.
    fn with_more(mut self, more: f64) -> Self {
        self.more = more;
        self.text = self.text.replacen("(at, x, &g);", &format!("(at, x, &g) + {more};"), 1);
        self
    }
}

impl Energy for Own {
    fn name(&self) -> String {
        "own".into()
    }
    fn dim(&self) -> usize {
        self.dim
    }
    fn params(&self) -> Vec<f32> {
        Vec::new()
    }
    fn compose(&self, program: &mut Composer) -> Result<Call> {
        program.add("own", &self.text)?;
        Ok(Call::new("own", &[]))
    }
    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        self.energy_and_grad(params, x, &mut vec![0.0; x.len()]) + self.more
    }
    fn energy_and_grad(&self, _: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        self.nearest.fetch_min((x[0] - self.edge).abs().to_bits(), Ordering::Relaxed);
        (self.twin)(x, grad)
    }
}

/// Zero to the left of 1.5, NaN to the right.
fn half_nan() -> Own {
    Own::new(2, 1.5, "if (p.x > 1.5) { e = nan; }", |x, grad| {
        grad.fill(0.0);
        if x[0] > 1.5 { f64::NAN } else { 0.0 }
    })
}

/// A standard normal whose gradient is NaN to the right of 1.
fn half_nan_grad() -> Own {
    Own::new(2, 1.0, "e = 0.5 * dot(p, p); g = p; if (p.x > 1.0) { g.y = nan; }", |x, grad| {
        grad.copy_from_slice(x);
        if x[0] > 1.0 {
            grad[1] = f64::NAN;
        }
        0.5 * (x[0] * x[0] + x[1] * x[1])
    })
}

/// Finite at one point only.
fn all_nan() -> Own {
    Own::new(2, 0.0, "if (p.x != 0.25 || p.y != -0.5) { e = nan; g = Lane(nan); }", |x, grad| {
        let inside = x[0] == 0.25 && x[1] == -0.5;
        grad.fill(if inside { 0.0 } else { f64::NAN });
        if inside { 0.0 } else { f64::NAN }
    })
}

/// The half of a standard normal right of zero.
fn half_normal() -> Own {
    Own::new(1, 0.0, "e = 0.5 * p.x * p.x; g.x = p.x; if (p.x < 0.0) { e = infinity; }", |x, grad| {
        grad[0] = x[0];
        if x[0] < 0.0 { f64::INFINITY } else { 0.5 * x[0] * x[0] }
    })
}

fn kernels() -> Vec<Arc<dyn Kernel>> {
    vec![Arc::new(Rwm::new(0.7)), Arc::new(Mala::new(0.3)), Arc::new(Hmc::new(0.5, 3))]
}

fn setup(backend: &Backend, own: &Own, kernel: Arc<dyn Kernel>, chains: usize) -> Setup {
    backend.chains_of(Arc::new(own.clone()), kernel).count(chains).seed(11)
}

fn counts(tallies: &[Tally]) -> Vec<(u64, u64)> {
    tallies.iter().map(|tally| (tally.accepted, tally.failures)).collect()
}

fn has_no_nan(report: &Report) {
    let all = report.coordinates.iter().chain(&report.energy_moments);
    assert!(all.into_iter().all(|c| c.mean.is_finite() && c.sd.is_finite() && c.mcse.is_none_or(f64::is_finite)), "{report}");
}

pub(crate) fn tests(mut suite: Suite) -> Suite {
    for kernel in kernels() {
        let name = kernel.name();
        let own_kernel = kernel.clone();
        suite = suite.both(format!("NaN in proposals, {name}"), move |backend| nan_proposals(&backend, own_kernel.clone()));
        let own_kernel = kernel.clone();
        suite = suite.gpu(format!("NaN counted as by the twin, {name}"), move |gpu| {
            counted_as_by_the_twin(&Backend::gpu_of(gpu), half_nan(), own_kernel, Start::point([0.0]));
        });
        if kernel.uses_grad() {
            let own_kernel = kernel.clone();
            suite = suite.both(format!("NaN in gradients, {name}"), move |backend| nan_gradients(&backend, own_kernel.clone()));
        }
        suite = suite.both(format!("NaN at the start, {name}"), move |backend| {
            let mut start = vec![0.0f32; 2 * 300];
            start[217] = 2.0;
            let setup = setup(&backend, &half_nan(), kernel.clone(), 300).first_chain(1000).start(Start::array(start));
            match setup.build() {
                Err(Error::Start { chain: 1217, coordinate: None, why }) => assert!(why.contains("NaN"), "{why}"),
                other => panic!("{other:?}"),
            }
        });
    }
    suite
        .gpu("a planted difference of counts is seen", |gpu| {
            // The twin is NaN a little further to the right.
            let wrong = Own { twin: |x, grad| half_nan_shifted(x, grad), ..half_nan() };
            let caught = std::panic::AssertUnwindSafe(|| {
                counted_as_by_the_twin(&Backend::gpu_of(gpu), wrong, Arc::new(Rwm::new(0.7)), Start::point([0.0]));
            });
            assert!(std::panic::catch_unwind(caught).is_err());
        })
        .gpu("outside of a half line: 10^8 proposals", |gpu| half_line(&Backend::gpu_of(gpu), 65_536, 1_600))
        .test("cpu::outside of a half line", || half_line(&Backend::cpu(), 4_096, 400))
        .both("outside of a box", |backend| {
            let body = "if (any(p < Lane(0.0)) || any(p > Lane(1.0))) { e = infinity; }";
            let own = Own::new(2, 0.0, body, |x, grad| {
                grad.fill(0.0);
                if x.iter().all(|x| (0.0..=1.0).contains(x)) { 0.0 } else { f64::INFINITY }
            });
            for kernel in kernels() {
                let mut chains = setup(&backend, &own, kernel, 4096).start(Start::uniform([0.0], [1.0])).build().unwrap();
                let report = chains.collect(Collect::draws(200)).unwrap();
                // For HMC a trajectory that ends outside of the support is a diverged one.
                assert!(report.failures.iter().all(|row| report.kernel == "hmc" && row.kind == Failure::Diverged), "{report}");
                assert!(report.mean_acceptance.unwrap() < 0.9, "{report}");
                assert!(chains.positions().unwrap().iter().all(|x| (0.0..=1.0).contains(x)));
                for c in &report.coordinates {
                    within(c.mean, 0.5, c.mcse);
                }
            }
        })
        .both("unbounded below", |backend| {
            let own = Own::new(2, 0.0, "e = -1e29 * dot(p, p); g = -2e29 * p;", |x, grad| {
                (grad[0], grad[1]) = (-2e29 * x[0], -2e29 * x[1]);
                -1e29 * (x[0] * x[0] + x[1] * x[1])
            });
            for (kernel, expected) in [
                (Arc::new(Rwm::new(1.0)) as Arc<dyn Kernel>, &[Failure::Unbounded][..]),
                (Arc::new(Ula::new(0.1)), &[Failure::Escaped]),
                (Arc::new(Hmc::new(0.1, 5)), &[Failure::Unbounded, Failure::NotFinite, Failure::Diverged]),
            ] {
                let mut chains = setup(&backend, &own, kernel, 64).start(Start::normal([0.0], 0.1)).build().unwrap();
                chains.advance(100).unwrap();
                let report = chains.report();
                assert!(!report.failures.is_empty(), "{report}");
                assert!(report.failures.iter().all(|row| expected.contains(&row.kind)), "{report}");
                assert!(chains.energies().unwrap().iter().all(|e| e.abs() < 1e30));
                assert!(chains.positions().unwrap().iter().all(|x| x.is_finite()));
            }
        })
        .both("a wrong gradient of the trait", |backend| {
            let own = Own::new(2, 0.0, "e = 0.5 * dot(p, p); g = Lane(p.x, 2.0 * p.y);", |x, grad| {
                (grad[0], grad[1]) = (x[0], 2.0 * x[1]);
                0.5 * (x[0] * x[0] + x[1] * x[1])
            });
            for kernel in kernels() {
                let uses_grad = kernel.uses_grad();
                match setup(&backend, &own, kernel, 64).build() {
                    Err(Error::Gradient { coordinate: 1, found, expected, .. }) => {
                        assert!(uses_grad && (found - 2.0 * expected).abs() < 0.1 * expected.abs(), "{found} {expected}");
                    }
                    Ok(_) => assert!(!uses_grad),
                    Err(other) => panic!("{other}"),
                }
            }
        })
        .both("two energies of the trait", |backend| {
            let own = Own::new(2, 0.0, "e = 0.5 * dot(p, p); g = p;", |x, grad| {
                grad.copy_from_slice(x);
                0.5 * (x[0] * x[0] + x[1] * x[1])
            });
            for kernel in kernels() {
                setup(&backend, &own, kernel.clone(), 64).build().unwrap();
                let uses_grad = kernel.uses_grad();
                match setup(&backend, &own.clone().with_more(0.25), kernel, 64).build() {
                    Err(Error::Energies { alone, with_grad, .. }) => {
                        assert!(uses_grad && (alone - with_grad - 0.25).abs() < 1e-4, "{alone} {with_grad}");
                    }
                    Ok(_) => assert!(!uses_grad),
                    Err(other) => panic!("{other}"),
                }
            }
        })
        .both("constant energy", |backend| {
            let own = Own::new(2, 0.0, "", |_, grad| {
                grad.fill(0.0);
                0.0
            });
            for kernel in kernels() {
                let mut chains = setup(&backend, &own, kernel, 257).build().unwrap();
                let report = chains.collect(Collect::draws(50)).unwrap();
                has_no_nan(&report);
                assert_eq!(report.failed_transitions(), 0);
                assert!(report.mean_acceptance.unwrap() > 1.0 - 1e-5, "{report}");
                let energy = report.energy_moments.unwrap();
                assert_eq!((energy.mean, energy.sd), (0.0, 0.0));
            }
        })
}

fn half_nan_shifted(x: &[f64], grad: &mut [f64]) -> f64 {
    grad.fill(0.0);
    if x[0] > 1.501 { f64::NAN } else { 0.0 }
}

/// Every proposal fails: the state does not change by a bit, and every one is counted.
fn nan_proposals(backend: &Backend, kernel: Arc<dyn Kernel>) {
    let mut chains = setup(backend, &all_nan(), kernel, 257).start(Start::point([0.25, -0.5])).build().unwrap();
    chains.advance(23).unwrap();
    let x = chains.positions().unwrap();
    assert!(x[..257].iter().all(|x| x.to_bits() == 0.25f32.to_bits()));
    assert!(x[257..].iter().all(|x| x.to_bits() == (-0.5f32).to_bits()));
    assert!(chains.energies().unwrap().iter().all(|e| e.to_bits() == 0));
    for tally in chains.tallies() {
        assert_eq!(tally, Tally { accepted: 0, failures: 23, first_failure: Some((0, Failure::NotFinite)) });
    }
    assert_eq!(chains.report().failed_transitions(), 23 * 257);
}

/// No proposal of the twin lies closer to the edge than the device rounds, so all counts agree.
fn counted_as_by_the_twin(backend: &Backend, own: Own, kernel: Arc<dyn Kernel>, start: Start) {
    let tallies = |backend: &Backend| {
        let mut chains = setup(backend, &own, kernel.clone(), 2048).start(start.clone()).build().unwrap();
        chains.advance(20).unwrap();
        chains.tallies()
    };
    let twin = tallies(&Backend::cpu());
    let nearest = f64::from_bits(own.nearest.load(Ordering::Relaxed));
    assert!(nearest > 1e-6 * own.edge, "a proposal of the twin is {nearest:e} from the edge: choose another seed");
    assert!(twin.iter().map(|tally| tally.failures).sum::<u64>() > 1000);
    assert_eq!(counts(&tallies(backend)), counts(&twin));
}

/// The energy is finite everywhere, the gradient is not: no chain ever stands where it is not.
fn nan_gradients(backend: &Backend, kernel: Arc<dyn Kernel>) {
    let setup = setup(backend, &half_nan_grad(), kernel, 1024).start(Start::point([-4.0, 0.0]));
    let mut chains = setup.build().unwrap();
    chains.advance(50).unwrap();
    let report = chains.collect(Collect::draws(200)).unwrap();
    has_no_nan(&report);
    assert!(report.failed_transitions() > 1000, "{report}");
    assert!(report.failures.iter().all(|row| row.kind == Failure::NotFinite), "{report}");
    assert!(chains.positions().unwrap()[..1024].iter().all(|&x| x <= 1.0));
}

/// A half normal under a random walk: mean √(2/π), mean square one.
fn half_line(backend: &Backend, count: usize, draws: u64) {
    let setup = setup(backend, &half_normal(), Arc::new(Rwm::new(1.5)), count).start(Start::uniform([0.0], [2.0]));
    let mut chains = setup.build().unwrap();
    chains.advance(100).unwrap();
    let report = chains.collect(Collect::draws(draws)).unwrap();
    // An entry would leave an infinite energy in the moments.
    has_no_nan(&report);
    assert_eq!(report.failed_transitions(), 0, "being outside of the support is no failure: {report}");
    assert!(chains.positions().unwrap().iter().all(|&x| x >= 0.0));
    within(report.coordinates[0].mean, (2.0 / std::f64::consts::PI).sqrt(), report.coordinates[0].mcse);
    let energy = report.energy_moments.unwrap();
    within(energy.mean, 0.5, energy.mcse);
}

/// Within six standard errors: a level of 2e-9 for each of about twenty comparisons.
fn within(found: f64, expected: f64, mcse: Option<f64>) {
    let mcse = mcse.unwrap();
    assert!((found - expected).abs() < 6.0 * mcse, "{found} is not {expected} to within {mcse}");
}
