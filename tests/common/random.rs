//! The random numbers of WGSL, block by block.

use ergodic::{Gpu, random::normal_pair};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::compute;

/// What shaders/random.wgsl relies on, and two entry points: bits from (key, counter); a uniform and two normals from bits.
const HEADER: &str = "
const DIM = 2u;
const SHARES = 1u;
const BLOCKS = 1u;
const SLOTS = 1u;
const TAIL_MASK = Lane(1.0, 1.0);
alias Point = array<Lane, BLOCKS>;
struct Run { key: vec2<u32> }
var<private> run: Run;
fn blocks() -> u32 { return BLOCKS; }
fn lane_mask(b: u32) -> Lane { return TAIL_MASK; }
fn param(i: u32) -> f32 { return 0.0; }
fn whole_block(b: u32) -> u32 { return b; }
@group(0) @binding(0) var<storage, read> input: array<u32>;
@group(0) @binding(1) var<storage, read_write> output: array<u32>;

@compute @workgroup_size(64)
fn encrypt(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    run.key = vec2<u32>(input[4u * i], input[4u * i + 1u]);
    let bits = random_bits(input[4u * i + 2u], input[4u * i + 3u], 0u);
    output[2u * i] = bits.x;
    output[2u * i + 1u] = bits.y;
}

@compute @workgroup_size(64)
fn convert(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    let bits = vec2<u32>(input[2u * i], input[2u * i + 1u]);
    let z = random_normal_pair(bits);
    output[3u * i] = bitcast<u32>(random_uniform(bits));
    output[3u * i + 1u] = bitcast<u32>(z.x);
    output[3u * i + 2u] = bitcast<u32>(z.y);
}
";

/// The library's own.
pub const RANDOM: &str = concat!(
    include_str!("../../shaders/threefry.wgsl"),
    include_str!("../../shaders/normal.wgsl"),
    include_str!("../../shaders/random.wgsl")
);

fn source(random: &str) -> String {
    let lanes = concat!(include_str!("../../shaders/lane2.wgsl"), include_str!("../../shaders/random_lane2.wgsl"));
    format!("{lanes}{HEADER}{random}")
}

/// Random123's kat_vectors, threefry2x32 with 20 rounds: counter, key, answer.
pub const KNOWN: [[[u32; 2]; 3]; 3] = [
    [[0, 0], [0, 0], [0x6b20_0159, 0x99ba_4efe]],
    [[u32::MAX; 2], [u32::MAX; 2], [0x1cb9_96fc, 0xbb00_2be7]],
    [[0x243f_6a88, 0x85a3_08d3], [0x1319_8a2e, 0x0370_7344], [0xc492_3a9c, 0x483d_f7a0]],
];

/// Bits from (key, counter) on the GPU, by a text like shaders/random.wgsl.
pub fn encrypt(gpu: &Gpu, random: &str, blocks: &[([u32; 2], [u32; 2])]) -> Vec<[u32; 2]> {
    let mut input: Vec<u32> = blocks.iter().flat_map(|(key, counter)| [key[0], key[1], counter[0], counter[1]]).collect();
    input.resize(4 * blocks.len().next_multiple_of(64), 0);
    let n = input.len() / 4;
    let words = compute::run(gpu, &source(random), "encrypt", &input, 2 * n, (n / 64) as u32);
    words.chunks_exact(2).map(|w| [w[0], w[1]]).take(blocks.len()).collect()
}

/// (uniform, normals) of bits on the GPU.
pub fn convert(gpu: &Gpu, random: &str, bits: &[[u32; 2]]) -> Vec<(f32, [f32; 2])> {
    assert!(bits.len().is_multiple_of(64));
    let words = compute::run(gpu, &source(random), "convert", bits.as_flattened(), 3 * bits.len(), (bits.len() / 64) as u32);
    words.chunks_exact(3).map(|w| (f32::from_bits(w[0]), [f32::from_bits(w[1]), f32::from_bits(w[2])])).collect()
}

/// Bits whose first word is below 2^shift, and those at the edges of every branch.
pub fn bits(n: usize, shift: u32) -> Vec<[u32; 2]> {
    let mut rng = StdRng::seed_from_u64(u64::from(shift));
    (0..n).map(|_| [rng.random::<u32>() >> (32 - shift), rng.random()]).collect()
}

/// The largest error of a normal, relative to 1 + |z|.
///
/// Bound 2e-6: the radius √(−2 log u) to 4 ULP (log to 2, sqrt to 3, halved), the polynomials of sine and cosine to 1e-6 at the
/// ends of their quarter turn, their product to one more rounding.
pub fn worst_normal(found: &[(f32, [f32; 2])], bits: &[[u32; 2]]) -> f64 {
    let miss = |(found, bits): (&(f32, [f32; 2]), &[u32; 2])| {
        let expected = normal_pair(*bits);
        (0..2).map(|i| (f64::from(found.1[i]) - expected[i]).abs() / (1.0 + expected[i].abs())).fold(0.0, f64::max)
    };
    found.iter().zip(bits).map(miss).fold(0.0, |a, b| if b.is_nan() { b } else { a.max(b) })
}

pub const NORMAL_BOUND: f64 = 2e-6;
