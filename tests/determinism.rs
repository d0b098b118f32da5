//! What a chain does depends on (seed, chain, step) alone: not on how many chains there are, where they are split, how steps are
//! cut into slices, or whether moments are collected. Compared bit for bit.

mod common;

use std::{sync::Arc, time::Duration};

use common::{Suite, cases};
use ergodic::{
    Backend, Collect, Start,
    chains::{Chains, Setup},
    energy::{Energy, Mixture},
    kernel::{Hmc, Kernel, Ula},
};

/// The bits of every position and energy, [dim + 1][chain].
fn bits(chains: &dyn Chains) -> Vec<Vec<u32>> {
    let positions = chains.positions().unwrap();
    let rows = positions.chunks(chains.count()).map(|row| row.to_vec()).chain([chains.energies().unwrap()]);
    rows.map(|row| row.into_iter().map(f32::to_bits).collect()).collect()
}

/// Columns of some chains.
fn columns(rows: &[Vec<u32>], chains: std::ops::Range<usize>) -> Vec<Vec<u32>> {
    rows.iter().map(|row| row[chains.clone()].to_vec()).collect()
}

/// Runs a setup by calls of `advance`.
fn after(setup: Setup, calls: &[u64]) -> Vec<Vec<u32>> {
    let mut chains = setup.build().unwrap();
    calls.iter().for_each(|&steps| chains.advance(steps).unwrap());
    bits(&*chains)
}

fn ring() -> Arc<dyn Energy> {
    Arc::new(Mixture::ring(8, 2.0, 0.5).unwrap())
}

/// Everything that must make no difference, for one kernel.
fn same(backend: &Backend, energy: &Arc<dyn Energy>, kernel: &Arc<dyn Kernel>) {
    let setup = || backend.chains_of(energy.clone(), kernel.clone()).seed(9);
    let whole = after(setup().count(1000), &[40]);

    let few = after(setup().count(32), &[40]);
    assert_eq!(columns(&whole, 17..18), columns(&few, 17..18), "chain 17 among 32 and among 1,000");
    assert!(columns(&whole, 0..32) == few, "32 chains and 1,000 differ");
    let last = after(setup().count(333).first_chain(667), &[40]);
    assert!(columns(&whole, 667..1000) == last, "chains from 667 on differ on their own");
    let ends = after(setup().count(1), &[40]);
    assert!(columns(&whole, 0..1) == ends, "one chain differs from the first of 1,000");

    assert!(whole == after(setup().count(1000), &[20, 20]), "40 steps and twice 20 differ");
    assert!(whole == after(setup().count(1000), &[1, 2, 37]), "40 steps and 1 + 2 + 37 differ");
    assert!(whole == after(setup().count(1000).slice(Duration::from_nanos(1)), &[40]), "slices of one step make a difference");

    let mut chains = setup().count(1000).build().unwrap();
    chains.advance(13).unwrap();
    chains.collect(Collect::draws(27)).unwrap();
    assert!(whole == bits(&*chains), "advance and collect differ");
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
    suite
        .both("schedules and jitter", |backend| scheduled(&backend))
        .both("a planted fault is found", |backend| different(&backend))
        .run()
}
