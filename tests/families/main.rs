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
use exact::Family;

/// Draws of a law, one a chain: in every run, and in a long one.
const DRAWS: [usize; 2] = [30_000, 1_000_000];

/// A law on the GPU and on the CPU, by the smallest p-value and what it is of.
fn add(
    mut suite: Suite,
    title: String,
    draws: usize,
    law: impl Fn(&Backend) -> ergodic::Result<(String, f64)> + Clone + Send + 'static,
) -> Suite {
    let check = move |backend: Backend| {
        let (what, p) = law(&backend).unwrap();
        assert!(p >= LEVEL, "{what}: p = {p:.3e}");
    };
    let on_gpu = check.clone();
    let mark = |suite: Suite| if draws == DRAWS[1] { suite.long() } else { suite };
    suite = mark(suite.gpu(title.clone(), move |gpu| on_gpu(Backend::gpu_of(gpu))));
    mark(suite.test(format!("cpu::{title}"), move || check(Backend::cpu())))
}

/// The laws of a family in its user's coordinates.
fn laws(mut suite: Suite, family: &Family, draws: usize) -> Suite {
    for (name, kernel) in law::kernels() {
        let (title, family) = (format!("{name} leaves {} as it is, {draws} draws", family.name), family.clone());
        suite = add(suite, title, draws, move |backend| law::moved(backend, &family, kernel.clone(), draws));
    }
    let (title, family) = (format!("hmc comes to {}, {draws} draws", family.name), family.clone());
    let kernel = Arc::new(Hmc::new(0.5, 6).jitter(3));
    add(suite, title, draws, move |backend| law::came(backend, &family, kernel.clone(), draws, 60))
}

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for (name, transform, count) in transforms::transforms() {
        suite = suite
            .test(format!("inverse, Jacobian and gradient of {name}"), move || transforms::fits(&*transform, count).unwrap());
    }
    for (family, draws) in exact::families().unwrap().iter().flat_map(|family| DRAWS.map(|draws| (family, draws))) {
        suite = laws(suite, family, draws);
    }
    for (law, draws) in discrete::laws().unwrap().iter().flat_map(|law| DRAWS.map(|draws| (law, draws))) {
        for (what, exact, steps) in [("leaves exact draws of", true, 3), ("comes to", false, 150)] {
            let (title, law) = (format!("lattice {what} {}, {draws} draws", law.name), law.clone());
            suite = add(suite, title, draws, move |backend| law.off(backend, draws, exact, steps));
        }
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
        .both("failures are told in positions", transforms::failures)
        .both("starts outside of the support are refused", transforms::outside)
        .both("ln Z of constrained energies", transforms::normalisers)
        .test("bad settings of families are refused", refusals::families)
        .test("bad transforms are refused", refusals::transforms)
        .test("positions that are none of a constrained energy are refused by coordinate", refusals::positions)
        .test("free coordinates of another number are refused", refusals::free_coordinates)
        .test("compositions of constrained energies are refused", refusals::compositions)
        .both("whole numbers are asked for", refusals::discrete)
        .run()
}
