//! What a chain does depends on (seed, chain, step) alone: not on how many chains there are, where they are split, how steps are
//! cut into slices, or whether moments are collected. Compared bit for bit.

mod common;

use std::sync::Arc;

use common::{
    Suite, cases,
    determinism::{columns, differences, ring},
};
use ergodic::{
    Backend, Start,
    chains::Setup,
    energy::{Energy, Gaussian},
    kernel::{Hmc, Kernel, Ula},
};

fn same(backend: &Backend, energy: &Arc<dyn Energy>, kernel: &Arc<dyn Kernel>) {
    assert_eq!(differences(backend, energy, kernel).unwrap(), Vec::<&str>::new());
}

fn after(setup: Setup, calls: &[u64]) -> Vec<Vec<u32>> {
    common::determinism::after(setup, calls).unwrap()
}

/// Must not be the same: what the comparisons above would miss if they compared nothing.
fn different(backend: &Backend) {
    let kernel: Arc<dyn Kernel> = Arc::new(Hmc::new(0.2, 3));
    let setup = || backend.chains_of(ring(), kernel.clone()).count(100).seed(9);
    let whole = after(setup(), &[10]);
    assert!(whole != after(setup(), &[11]), "another step makes no difference");
    assert!(whole != after(setup().seed(10), &[10]), "another seed makes no difference");
    assert!(whole != after(setup().first_chain(1), &[10]), "other chains are the same");
    assert!(columns(&whole, 1..2) != columns(&whole, 2..3), "two chains are the same");
    let mut start = vec![0.5f32; 200];
    // After many steps with the same random numbers the two would have come together again.
    let at_point = after(setup().start(Start::array(start.clone())), &[1]);
    start[150] = 0.500_000_06;
    assert!(at_point != after(setup().start(Start::array(start)), &[1]), "a start one bit away makes no difference");
}

/// With schedules and jitter, whose tables are cut with the slices.
fn scheduled(backend: &Backend) {
    use ergodic::Schedule;
    let ula: Arc<dyn Kernel> =
        Arc::new(Ula::new(Schedule::polynomial(0.1, 5.0, 0.6)).temperature(Schedule::linear(3.0, 1.0, 31)));
    let hmc: Arc<dyn Kernel> = Arc::new(Hmc::new(Schedule::cosine(0.3, 0.1, 25), 7).jitter(2));
    for kernel in [ula, hmc] {
        same(backend, &ring(), &kernel);
    }
}

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for (name, kernel) in cases::kernels() {
        let energies = cases::energies();
        let Some((_, energy)) = energies
            .into_iter()
            .find(|(_, energy)| (kernel.noise_level().is_none() || energy.has_noise_levels()) && energy.dim() > 1)
        else {
            continue;
        };
        suite = suite.both(name, move |backend| same(&backend, &energy, &kernel));
    }
    for (name, kernel) in cases::kernels() {
        if !["mala", "annealed", "underdamped"].contains(&name) {
            continue;
        }
        let energy: Arc<dyn Energy> = Arc::new(Gaussian::isotropic(vec![0.5; 70], 1.5).unwrap());
        suite = suite
            .gpu(format!("{name}, a chain by several invocations"), move |gpu| same(&Backend::gpu_of(gpu), &energy, &kernel));
    }
    suite
        .both("schedules and jitter", |backend| scheduled(&backend))
        .both("a planted fault is found", |backend| different(&backend))
        .run()
}
