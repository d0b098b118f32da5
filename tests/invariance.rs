//! Chains that start from exact draws of a target stay exact draws: nothing moves but the points themselves.
//!
//! Unadjusted kernels are biased, so they are held to their own law instead: on a Gaussian their position after any number of
//! steps is Gaussian, with a variance that the recursion of their formula gives.

mod common;

use std::sync::Arc;

use common::{
    Suite, exact,
    invariance::{exact_kernels, moved, off_its_law, unadjusted},
    planted::Planted,
    stats::LEVEL,
};
use ergodic::{
    Backend,
    kernel::{Drift, Hmc, Independence, Info, Kernel, Mala, Rwm, Ula},
};

/// Chains on the GPU and on the CPU.
fn count(backend: &Backend) -> usize {
    if backend.gpu().is_some() { 1_000_000 } else { 100_000 }
}

/// (name, kernel, piece of its text, what to plant instead): each must be found on the first target.
fn planted() -> Vec<(&'static str, Arc<dyn Kernel>, &'static str, &'static str)> {
    let hmc: Arc<dyn Kernel> = Arc::new(Hmc::new(0.4, 5).jitter(1));
    let mala: Arc<dyn Kernel> = Arc::new(Mala::new(0.15));
    vec![
        ("wrong sign of the ratio", Arc::new(Rwm::new(0.8)), "(*e - proposed)", "(proposed - *e)"),
        ("a random block used twice", Arc::new(Rwm::new(0.8)), "step, 0u, proposed", "step, 1u, proposed"),
        ("always accepted", mala.clone(), "info.accepted", "true"),
        ("no ratio of proposals in mala", mala.clone(), "+ 0.5 * sums.y", ""),
        ("an old gradient", mala, "move_if(info.accepted, &proposal_grad, grad);", ""),
        ("no first half-kick", hmc.clone(), "start - 0.5 * kick * hmc_scale(b) * (*grad)[b]", "start"),
        ("no last half-kick", hmc, "v[b] + 0.5 * kick * hmc_scale(b) * g[b]", "v[b]"),
        ("no ratio of proposals in independence", Arc::new(Independence::new([0.2], [1.1])), "+ sums.y", ""),
        ("no ratio of proposals in drift", Arc::new(Drift::new(0.7, [0.3])), "+ sums.y", ""),
    ]
}

/// The same for unadjusted kernels, by the name of their case.
const PLANTED_UNADJUSTED: [(&str, &str, &str); 6] = [
    ("ula", "sqrt(2.0 * control.step_size * control.temperature)", "sqrt(control.step_size * control.temperature)"),
    ("ula_at_0.4", "sqrt(2.0 * control.step_size * control.temperature)", "sqrt(2.0 * control.step_size)"),
    ("annealed", "- control.step_size * (*grad)[b]", "- 0.9 * control.step_size * (*grad)[b]"),
    ("underdamped", "loss * (2.0 - loss)", "2.0 * loss"),
    ("underdamped", "- scale * (*grad)[b]", ""),
    ("underdamped_mass_at_1.6", "half_step * underdamped_scale(b) * g[b]", "Lane(0.0)"),
];

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for target in exact::targets() {
        for (name, kernel) in exact_kernels(target.energy.dim()) {
            let target = target.clone();
            suite = suite.both(format!("{name} on {}", target.name), move |backend| {
                let (what, p) = moved(&backend, &target, kernel.clone(), count(&backend)).unwrap();
                assert!(p >= LEVEL, "{what} moved: p = {p:.3e}");
            });
        }
    }
    for case in unadjusted() {
        suite = suite.both(format!("the law of {}", case.name), move |backend| {
            let (what, p) = off_its_law(&backend, &case, count(&backend)).unwrap();
            assert!(p >= LEVEL, "{what} is off: p = {p:.3e}");
        });
    }
    for (name, kernel, piece, fault) in planted() {
        suite = suite.gpu(format!("a planted fault is found: {name}"), move |gpu| {
            let target = &exact::targets()[0];
            let (what, p) = moved(&Backend::gpu_of(gpu), target, Planted::wgsl(kernel, piece, fault), 200_000).unwrap();
            assert!(p < LEVEL, "not found; the smallest p-value is {p:.3e}, of {what}");
        });
    }
    for (name, piece, fault) in PLANTED_UNADJUSTED {
        suite = suite.gpu(format!("a planted fault is found: `{fault}` in {name}"), move |gpu| {
            let mut case = unadjusted().into_iter().find(|case| case.name == name).unwrap();
            case.kernel = Planted::wgsl(case.kernel, piece, fault);
            let (what, p) = off_its_law(&Backend::gpu_of(gpu), &case, 200_000).unwrap();
            assert!(p < LEVEL, "not found; the smallest p-value is {p:.3e}, of {what}");
        });
    }
    suite
        .test("a planted fault is found: the wrong temperature in a twin", || {
            let kernel = Planted::twin(Arc::new(Rwm::new(0.8)), |real, step, state, scratch| {
                let mut step = *step;
                step.control.temperature *= 1.2;
                real.transition(&step, state, scratch)
            });
            let (what, p) = moved(&Backend::cpu(), &exact::targets()[0], kernel, 100_000).unwrap();
            assert!(p < LEVEL, "not found; the smallest p-value is {p:.3e}, of {what}");
        })
        .test("a planted fault is found: a twin that accepts always", || {
            let kernel = Planted::twin(Arc::new(Mala::new(0.15)), |_, step, state, scratch| Info {
                failure: None,
                ..Ula::new(0.15).transition(step, state, scratch)
            });
            let (what, p) = moved(&Backend::cpu(), &exact::targets()[0], kernel, 100_000).unwrap();
            assert!(p < LEVEL, "not found; the smallest p-value is {p:.3e}, of {what}");
        })
        .run()
}
