//! Transforms of constrained coordinates, the families of densities that stand on them, and those of whole numbers.

#[path = "../common/mod.rs"]
mod common;
mod discrete;
mod exact;
mod law;
mod refusals;
mod transforms;

use std::sync::Arc;

use common::{Suite, planted::Planted, stats::LEVEL};
use ergodic::{Backend, energy::Compose, kernel::Hmc, transform::Log};

/// Draws of a law, one a chain.
const DRAWS: usize = 1_000_000;

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for (name, transform, count) in transforms::transforms() {
        suite = suite
            .test(format!("inverse, Jacobian and gradient of {name}"), move || transforms::fits(&*transform, count).unwrap());
    }
    for family in exact::families().unwrap() {
        for (name, kernel) in law::kernels() {
            let family = family.clone();
            let draws = if name == "hmc" { DRAWS } else { DRAWS / 10 };
            suite = suite.both(format!("{name} leaves {} as it is", family.name), move |backend| {
                let (what, p) = law::moved(&backend, &family, kernel.clone(), draws).unwrap();
                assert!(p >= LEVEL, "{what} moved: p = {p:.3e}");
            });
        }
        for draws in [DRAWS / 10, DRAWS] {
            let (name, family) = (format!("hmc comes to {}, {draws} draws", family.name), family.clone());
            let law = move |backend: Backend| {
                let (what, p) = law::came(&backend, &family, Arc::new(Hmc::new(0.5, 6).jitter(3)), draws, 60).unwrap();
                assert!(p >= LEVEL, "{what} is off: p = {p:.3e}");
            };
            let (again, on_gpu) = (law.clone(), law);
            suite = suite.gpu(name.clone(), move |gpu| on_gpu(Backend::gpu_of(gpu)));
            suite = if draws == DRAWS { suite.long() } else { suite };
            suite = suite.test(format!("cpu::{name}"), move || again(Backend::cpu()));
            suite = if draws == DRAWS { suite.long() } else { suite };
        }
    }
    for law in discrete::laws().unwrap() {
        let again = law.clone();
        suite = suite.both(format!("lattice leaves {} as it is", law.name), move |backend| {
            let (what, p) = law.off(&backend, DRAWS, true, 3).unwrap();
            assert!(p >= LEVEL, "{what} moved: p = {p:.3e}");
        });
        suite = suite.both(format!("lattice comes to {}", again.name), move |backend| {
            let draws = if backend.gpu().is_some() { DRAWS } else { DRAWS / 10 };
            let (what, p) = again.off(&backend, draws, false, 300).unwrap();
            assert!(p >= LEVEL, "{what} is off: p = {p:.3e}");
        });
    }
    suite
        .both("a ladder of temperatures on a constrained energy", |backend| {
            let (what, p) = law::came(&backend, &exact::family("gamma"), law::tempered(), 20_000, 60).unwrap();
            assert!(p >= LEVEL, "{what} is off: p = {p:.3e}");
        })
        .gpu("a user's own energy on a constrained support", |gpu| {
            let own = exact::own_gamma().unwrap().constrain(0..1, Log::above(0.0)).unwrap();
            let (what, p) =
                law::came(&Backend::gpu_of(gpu), &exact::family("gamma").of(own), Arc::new(Hmc::adaptive()), 20_000, 100)
                    .unwrap();
            assert!(p >= LEVEL, "{what} is off: p = {p:.3e}");
        })
        .both("a planted fault is found: a transform without its Jacobian", |backend| {
            let kernels = [law::kernels().remove(0).1, law::kernels().remove(2).1];
            for kernel in kernels {
                let (what, p) = law::moved(&backend, &law::planted(), kernel.clone(), 20_000).unwrap();
                assert!(p < LEVEL, "not found by one step: {p:.3e} of {what}");
                let (what, p) = law::came(&backend, &law::planted(), kernel, 20_000, 60).unwrap();
                assert!(p < LEVEL, "not found by a run: {p:.3e} of {what}");
            }
        })
        .gpu("a planted fault is found: integers that are rarely left to the left", |gpu| {
            let mut law = discrete::laws().unwrap().remove(1);
            law.kernel = Planted::wgsl(law.kernel, "(bits.y & 1u) == 0u", "(bits.y & 3u) != 0u");
            let (what, p) = law.off(&Backend::gpu_of(gpu), 100_000, true, 3).unwrap();
            assert!(p < LEVEL, "not found: {p:.3e} of {what}");
        })
        .test("a wrong log-determinant and a wrong gradient are found", transforms::faults)
        .both("moments are those of positions", transforms::moments)
        .both("stored draws are positions, on the support", transforms::draws)
        .both("saved, resumed, and started from positions", transforms::resumed)
        .both("starts outside of the support are refused", transforms::outside)
        .both("ln Z of constrained energies", transforms::normalisers)
        .test("bad settings of families are refused", refusals::families)
        .test("bad transforms are refused", refusals::transforms)
        .test("compositions of constrained energies are refused", refusals::compositions)
        .both("whole numbers are asked for", refusals::discrete)
        .run()
}
