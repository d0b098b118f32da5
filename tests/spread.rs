//! Chains in high dimension, each run by several invocations: what the other suites, which run them among their cases, do not touch.

mod common;

use std::sync::Arc;

use common::{Suite, planted::Planted};
use ergodic::{
    Backend, Error, Gpu, Program, Result, Start,
    energy::{Compose, DoubleWell, Energy, Gaussian, Mixture, Rosenbrock},
    kernel::{Failure, Independence, Kernel, Rwm, Ula, Underdamped},
    program::Options,
};

/// Of 70 dimensions: four invocations a chain.
fn wells() -> Arc<dyn Energy> {
    Arc::new(DoubleWell::new(70, 1.0).unwrap())
}

fn shares(energy: &dyn Energy, kernel: &dyn Kernel, subgroup: usize) -> usize {
    let options = Options { software: subgroup > 0, subgroup, ..Options::default() };
    Program::new(energy, kernel, options).unwrap().shares()
}

/// As many invocations as hold at most 32 coordinates each, and one for energies that need all coordinates.
fn how_many() {
    let kernel = Independence::new([0.0], [1.0]);
    for (dim, expected) in [(1, 1), (32, 1), (33, 2), (64, 2), (65, 4), (128, 4), (130, 8), (512, 16), (680, 32)] {
        let wells = || DoubleWell::new(dim, 1.0).unwrap();
        let mixture = Mixture::new(&[1.0; 2], &[vec![0.0; dim], vec![1.0; dim]], &[1.0; 2]).unwrap();
        let sum = wells().plus(Gaussian::standard(dim).mixed_with(0.5, mixture).unwrap()).unwrap();
        assert_eq!(shares(&wells(), &kernel, 0), expected, "{dim} dimensions");
        assert_eq!(shares(&sum.scaled(2.0).unwrap(), &kernel, 0), expected, "{dim} dimensions");
        if dim > 1 {
            let whole = wells().plus(Rosenbrock::new(dim).unwrap()).unwrap();
            assert_eq!(shares(&whole, &kernel, 0), 1, "{dim} dimensions");
        }
    }
}

/// As many of a subgroup of eight, or all eight where they can hold the chain; else as without subgroups.
fn how_many_in_a_subgroup() {
    let kernel = Rwm::new(0.1);
    let mixture = |dim: usize, components: usize| {
        let means: Vec<_> = (0..components).map(|j| vec![j as f64; dim]).collect();
        Mixture::new(&vec![1.0; components], &means, &vec![1.0; components]).unwrap()
    };
    for (dim, expected) in [(32, 1), (33, 2), (70, 4), (130, 8), (512, 8), (520, 32)] {
        assert_eq!(shares(&DoubleWell::new(dim, 1.0).unwrap(), &kernel, 8), expected, "{dim} dimensions");
    }
    for (dim, components, expected) in [(64, 2, 2), (64, 8, 4), (128, 8, 8), (512, 16, 8), (512, 17, 16)] {
        assert_eq!(shares(&mixture(dim, components), &kernel, 8), expected, "{components} components, {dim} dimensions");
    }
    assert_eq!(shares(&DoubleWell::new(680, 1.0).unwrap(), &kernel, 4), 32);
    assert_eq!(shares(&DoubleWell::new(70, 1.0).unwrap(), &kernel, 1), 4);
}

/// The positions after two steps of a mixture of three, one of whose 3 · dim means may be wrong. The first goes by the gradient at the
/// start, which another pipeline evaluates; the second by that of the pipeline that steps.
fn after_two_steps(backend: &Backend, dim: usize, wrong: Option<usize>) -> Vec<f32> {
    let mut means: Vec<_> = (0..3).map(|j| (0..dim).map(|i| 0.1 * ((i + 3 * j) % 5) as f64).collect::<Vec<_>>()).collect();
    wrong.into_iter().for_each(|at| means[at / dim][at % dim] += 0.1);
    let mixture = Arc::new(Mixture::new(&[1.0; 3], &means, &[1.0; 3]).unwrap());
    let setup = backend.chains_of(mixture, Arc::new(Ula::new(1.0))).count(16).seed(3);
    let mut chains = setup.start(Start::normal(vec![0.0; dim], 1.0)).build().unwrap();
    chains.advance(2).unwrap();
    chains.positions().unwrap()
}

/// Each invocation holds what its blocks need of the parameters: a wrong number in any block of any vector shows.
fn planted_parameter(gpu: Gpu, dim: usize, every: usize) {
    let found = after_two_steps(&Backend::gpu_of(gpu), dim, None);
    let miss = |wrong| {
        let truth = after_two_steps(&Backend::cpu(), dim, wrong);
        found.iter().zip(&truth).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    assert!(miss(None) < 1e-4, "{}", miss(None));
    for at in (0..3 * dim).step_by(every) {
        assert!(miss(Some(at)) > 1e-3, "mean {} x[{}]: {}", at / dim, at % dim, miss(Some(at)));
    }
}

/// Two steps of a random walk on the wells, with a text at the end of a transition.
fn walk_with(gpu: &Gpu, text: &str) -> Result<Vec<f32>> {
    let kernel = Planted::wgsl(Arc::new(Rwm::new(0.1)), "return info;", &format!("{text}\nreturn info;"));
    let mut chains = Backend::gpu_of(gpu.clone()).chains_of(wells(), kernel).count(100).seed(2).build()?;
    chains.advance(2)?;
    chains.positions()
}

/// A walk whose share `slow` goes through 100,000 iterations of a loop, more than llvmpipe grants.
fn with_a_slow_share(gpu: &Gpu, slow: u32) -> Result<Vec<f32>> {
    let waste = format!(
        "var word = chain + 2u;
         if (share == {slow}u) {{ for (var i = 0u; i < 100000u; i++) {{ word = word * 1664525u + step; }} }}
         if (word == 1u) {{ *e = 0.0; }}"
    );
    walk_with(gpu, &waste)
}

/// Whichever of the invocations of a chain comes to another end than the others, on any driver: none of its results is taken.
fn other_end(gpu: Gpu) {
    for other in 0..4 {
        let found = walk_with(&gpu, &format!("if (share == {other}u) {{ run.canary_steps = 1u; }}"));
        assert!(
            matches!(found, Err(Error::CutShort { good_steps: 0, .. })),
            "share {other}: {:?}",
            found.map(|_| "not noticed")
        );
    }
}

/// Whichever of the invocations of a chain is cut short: none of its results is taken.
fn cut_short(gpu: Gpu) {
    let whole = with_a_slow_share(&gpu, 4).unwrap();
    for slow in 0..4 {
        match with_a_slow_share(&gpu, slow) {
            Err(Error::CutShort { good_steps: 0, .. }) if gpu.info().name.contains("llvmpipe") => {}
            Ok(positions) if !gpu.info().name.contains("llvmpipe") => assert!(positions == whole),
            other => panic!("share {slow}: {:?}", other.map(|_| "not noticed")),
        }
    }
}

/// Unadjusted chains that escape stop one at a time, while those in the same workgroup go on.
fn escapes(gpu: Gpu, kernel: Arc<dyn Kernel>) {
    // One coordinate of every third chain starts where the gradient throws it out.
    let count = 100;
    let mut start = vec![1.0f32; 70 * count];
    (0..count).step_by(3).for_each(|chain| start[(chain % 70) * count + chain] = 40.0);
    let setup = |backend: Backend| backend.chains_of(wells(), kernel.clone()).count(count).start(Start::array(start.clone()));
    let mut chains = setup(Backend::gpu_of(gpu)).build().unwrap();
    let mut reference = setup(Backend::cpu()).build().unwrap();
    chains.advance(30).unwrap();
    let early = chains.positions().unwrap();
    chains.advance(30).unwrap();
    reference.advance(60).unwrap();
    let late = chains.positions().unwrap();
    for (chain, (tally, twin)) in chains.tallies().iter().zip(reference.tallies()).enumerate() {
        let escaped = chain % 3 == 0;
        let kind = tally.first_failure.map(|(_, kind)| kind);
        assert_eq!((tally.failures, kind), if escaped { (1, Some(Failure::Escaped)) } else { (0, None) }, "chain {chain}");
        assert_eq!(twin.failures, tally.failures, "chain {chain}");
        let stays = (0..70).all(|i| early[i * count + chain] == late[i * count + chain]);
        assert_eq!(stays, escaped, "chain {chain}");
    }
}

fn main() -> std::process::ExitCode {
    Suite::new()
        .test("invocations a chain", how_many)
        .test("invocations a chain in a subgroup", how_many_in_a_subgroup)
        .gpu("a wrong parameter of any block is found, 41 dimensions", |gpu| planted_parameter(gpu, 41, 1))
        .gpu("a wrong parameter of any block is found, 300 dimensions", |gpu| planted_parameter(gpu, 300, 4))
        .gpu("an invocation that is cut short is noticed", cut_short)
        .gpu("an invocation that comes to another end is noticed", other_end)
        .gpu("ula escapes", |gpu| escapes(gpu, Arc::new(Ula::new(0.01))))
        .gpu("underdamped escapes", |gpu| escapes(gpu, Arc::new(Underdamped::new(0.1, 1.0))))
        .run()
}
