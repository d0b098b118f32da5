//! Random numbers: the published vectors, the same integers and uniforms in WGSL and Rust, the law of uniforms and normals far
//! into the tails, no correlations, and no block used twice.

mod common;

use std::{collections::HashSet, sync::Arc};

use common::{
    Suite,
    random::{KNOWN, NORMAL_BOUND, RANDOM, bits, worst_normal},
    stats::{LEVEL, accept, ks, normal_cdf, p_of_z, z_of_correlation, z_of_count},
};
use ergodic::{
    Backend, Gpu, Result, Schedule, Start,
    energy::{DoubleWell, Energy},
    kernel::{Info, Kernel, State, Step},
    random::{Draws, Stream, key, normal_pair, threefry, uniform},
};
use statrs::function::erf::erfc;

fn encrypt(gpu: &Gpu, blocks: &[([u32; 2], [u32; 2])]) -> Vec<[u32; 2]> {
    common::random::encrypt(gpu, RANDOM, blocks)
}

fn convert(gpu: &Gpu, bits: &[[u32; 2]]) -> Vec<(f32, [f32; 2])> {
    common::random::convert(gpu, RANDOM, bits)
}

fn edges() -> Vec<[u32; 2]> {
    let first = [0, 1, 0x3fff, 0x4000, 0x4001, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe];
    let second = (0..4).flat_map(|quarter| [0u32, 511, 512, 0x1fff_ffff, 0x2000_0000, 0x3fff_ffff].map(|w| w | quarter << 30));
    second.flat_map(|second| first.map(|first| [first, second])).chain([[u32::MAX; 2]; 64]).collect()
}

/// P(|z| > t).
fn tail(t: f64) -> f64 {
    erfc(t / std::f64::consts::SQRT_2)
}

/// The p-value of the count beyond each of three limits among normals whose first word is below 2¹¹ = 2³² 2⁻²¹: only those can
/// pass 5.5, since that takes a radius of 5.5 and so a u below exp(−5.5²/2) = 2.7e-7 < 2⁻²¹.
fn tails(normals: impl Iterator<Item = f64> + Clone, n: u64) -> [f64; 3] {
    [5.5, 6.0, 6.5].map(|limit| {
        let count = normals.clone().filter(|z| z.abs() > limit).count() as u64;
        p_of_z(z_of_count(count, n, tail(limit) * 21f64.exp2()))
    })
}

/// Normals from uniforms of 24 bits alone, as many samplers make them: none can pass 5.77.
fn coarse_pair(bits: [u32; 2]) -> [f64; 2] {
    let coarse = [bits[0] | 0x4000, bits[1]];
    normal_pair(coarse)
}

const SEEDS: [u64; 6] = [0, 1, 2, 7, u64::MAX - 1, u64::MAX];

/// Shows its random numbers: the position after a step is that step's normals. An epoch has only 2³²/SLOTS = 4 steps.
#[derive(Debug)]
struct Show(Schedule);

const SHOW_SLOTS: u32 = 1 << 30;

impl Kernel for Show {
    fn name(&self) -> &'static str {
        "show"
    }
    fn source(&self) -> &'static str {
        "fn transition(chain: u32, step: u32, control: Control, x: ptr<function, Point>, grad: ptr<function, Point>,
            momentum: ptr<function, Point>, e: ptr<function, f32>) -> Info {
            random_normals(chain, step, 0u, x);
            return Info(1.0, true, NO_FAILURE);
        }"
    }
    fn validate(&self, _: &dyn Energy) -> Result<()> {
        Ok(())
    }
    fn slots(&self, _: usize) -> u32 {
        SHOW_SLOTS
    }
    fn step_size(&self) -> &Schedule {
        &self.0
    }
    fn uses_grad(&self) -> bool {
        false
    }
    fn transition(&self, step: &Step<'_>, state: &mut State, _: &mut State) -> Info {
        step.draws.normals(0, &mut state.x);
        Info { acceptance: 1.0, accepted: true, failure: None }
    }
}

/// Runs ten steps, over two ends of an epoch, in slices of any size, and checks every normal of every chain at every step.
fn epochs(backend: &Backend) {
    let n = 70;
    for seed in SEEDS {
        let setup = backend.chains_of(Arc::new(DoubleWell::new(2, 1.0).unwrap()), Arc::new(Show(Schedule::Constant(1.0))));
        let start = Start::point([0.0]);
        let first = u32::MAX - 69;
        let mut chains = setup.count(n).first_chain(first).seed(seed).start(start).build().unwrap();
        let mut done = 0u64;
        for steps in [1, 1, 1, 1, 1, 5] {
            chains.advance(steps).unwrap();
            done += steps;
            let x = chains.positions().unwrap();
            let (epoch, step) = ((done - 1) / 4, ((done - 1) % 4) as u32);
            for chain in 0..n {
                let draws = Draws::new(key(seed, Stream::Transition, epoch), first + chain as u32, step * SHOW_SLOTS);
                let mut z = [0.0; 2];
                draws.normals(0, &mut z);
                for i in 0..2 {
                    let found = f64::from(x[i * n + chain]);
                    assert!(
                        (found - z[i]).abs() < NORMAL_BOUND * (1.0 + z[i].abs()),
                        "seed {seed}, step {done}, chain {chain}: {found}, not {}",
                        z[i]
                    );
                }
            }
        }
        assert_eq!(chains.steps(), 10);
    }
}

fn correlations(pick: impl Fn(u32, u32) -> (f64, f64)) -> f64 {
    let pairs: Vec<_> = (0..512u32).flat_map(|a| (0..512u32).map(move |b| (a, b))).map(|(a, b)| pick(a, b)).collect();
    let plain = z_of_correlation(pairs.iter().map(|&(x, y)| (x, y)));
    // The squares too, since Box-Muller's radius is shared.
    let squares = z_of_correlation(pairs.iter().map(|&(x, y)| (x * x - 1.0, y * y - 1.0)));
    p_of_z(plain).min(p_of_z(squares))
}

fn main() -> std::process::ExitCode {
    let z = |seed: u64, chain: u32, index: u32| normal_pair(Draws::new(key(seed, Stream::Transition, 0), chain, index).bits(0));
    Suite::new()
        .test("published vectors", || {
            for [counter, key, answer] in KNOWN {
                assert_eq!(threefry(key, counter), answer);
            }
        })
        .gpu("published vectors", |gpu| {
            let blocks = KNOWN.map(|[counter, key, _]| (key, counter));
            assert_eq!(encrypt(&gpu, &blocks), KNOWN.map(|[_, _, answer]| answer));
        })
        .gpu("integers are those of the CPU bit for bit", |gpu| {
            let words: Vec<_> = bits(1 << 17, 32);
            let mut blocks: Vec<_> = words.chunks_exact(2).map(|w| (w[0], w[1])).collect();
            blocks.extend(SEEDS.map(|seed| (key(seed, Stream::Transition, u64::MAX), [u32::MAX, 0])));
            let found = encrypt(&gpu, &blocks);
            for (&(key, counter), found) in blocks.iter().zip(found) {
                assert_eq!(threefry(key, counter), found, "key {key:?}, counter {counter:?}");
            }
        })
        .gpu("uniforms agree bit for bit and normals within their bound", |gpu| {
            for bits in [bits(1 << 18, 32), bits(1 << 16, 14), bits(1 << 16, 15), bits(1 << 16, 4), edges()] {
                let found = convert(&gpu, &bits);
                for (found, &bits) in found.iter().zip(&bits) {
                    assert_eq!(f64::from(found.0), uniform(bits), "bits {bits:?}");
                }
                let worst = worst_normal(&found, &bits);
                assert!(worst < NORMAL_BOUND, "{worst}");
                // A planted fault is found: one bit of the angle, or one bit of the radius where it is that fine.
                let other: Vec<_> = bits.iter().map(|b| [b[0], b[1] ^ (1 << 16)]).collect();
                assert!(worst_normal(&found, &other) > NORMAL_BOUND);
            }
        })
        .gpu("the law of uniforms and normals", |gpu| {
            let blocks: Vec<_> = (0..1 << 18).map(|i| (key(3, Stream::Transition, 0), [i % 4096, i / 4096])).collect();
            let found = convert(&gpu, &encrypt(&gpu, &blocks));
            let uniforms: Vec<_> = found.iter().map(|f| f64::from(f.0)).collect();
            accept("uniforms", ks(&uniforms, |u| u));
            for i in 0..2 {
                let normals: Vec<_> = found.iter().map(|f| f64::from(f.1[i])).collect();
                accept("normals", ks(&normals, |z| normal_cdf(z, 0.0, 1.0)));
                assert!(ks(&normals, |z| normal_cdf(z, 0.02, 1.0)) < LEVEL, "a planted fault was not found");
            }
        })
        .gpu("the tails of normals beyond 5.5, 6 and 6.5", |gpu| {
            let bits = bits(1 << 20, 11);
            let found = convert(&gpu, &bits);
            let found = found.iter().flat_map(|f| f.1.map(f64::from));
            tails(found, 2 << 20).into_iter().for_each(|p| accept("tail", p));
        })
        .test("the tails of normals beyond 5.5, 6 and 6.5", || {
            let bits = bits(1 << 20, 11);
            let normals = bits.iter().flat_map(|&b| normal_pair(b));
            tails(normals, 2 << 20).into_iter().for_each(|p| accept("tail", p));
            let coarse = tails(bits.iter().flat_map(|&b| coarse_pair(b)), 2 << 20);
            assert!(coarse[1] < LEVEL && coarse[2] < LEVEL, "a planted fault was not found: {coarse:?}");
        })
        .test("no correlation of words, slots, chains, steps or seeds", move || {
            accept("words", correlations(|chain, index| z(7, chain, index).into()));
            accept("slots and steps", correlations(|chain, index| (z(7, chain, index)[0], z(7, chain, index + 1)[0])));
            accept("chains", correlations(|chain, index| (z(7, chain, index)[0], z(7, chain + 1, index)[0])));
            accept("seeds", correlations(|chain, index| (z(7, chain, index)[0], z(8, chain, index)[0])));
            accept("the lowest seeds", correlations(|chain, index| (z(0, chain, index)[0], z(1, chain, index)[0])));
            accept("the highest seeds", correlations(|chain, i| (z(u64::MAX, chain, i)[0], z(u64::MAX - 1, chain, i)[0])));
            let mixed = |chain, index| (z(7, chain, index)[0], z(7, chain, index)[0] * 0.02 + z(7, chain, index)[1]);
            assert!(correlations(mixed) < LEVEL, "a planted fault was not found");
        })
        .test("seeds, streams and epochs have keys of their own", || {
            let streams = [Stream::Transition, Stream::Start, Stream::Momentum, Stream::Substeps, Stream::Check];
            let epochs = [0, 1, 2, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, u64::MAX];
            let mut keys = HashSet::new();
            for seed in SEEDS.into_iter().chain([1 << 32, (1 << 32) + 1]) {
                for stream in streams {
                    for epoch in epochs {
                        assert!(keys.insert(key(seed, stream, epoch)), "seed {seed}, {stream:?}, epoch {epoch}");
                    }
                }
            }
        })
        .both("chains go on over the end of an epoch, for any seed", |backend| epochs(&backend))
        .run()
}
