// What every energy may rely on, whatever its dimension and the program that it stands in.

// What an energy means for a chain.
const NO_FAILURE = 0u;
const NOT_FINITE = 1u;       // energy or gradient of the proposal is NaN
const UNBOUNDED = 2u;        // energy below -1e30

// The noise level of the evaluation in hand: zero but for annealed Langevin dynamics.
var<private> noise_variance: f32;

// Zero, as a value the compiler cannot know.
fn unknown_zero() -> u32 { return run.blocks - BLOCKS; }

// +infinity, the energy outside of a support. Read from a variable: a constant expression may not overflow.
fn infinity() -> f32 {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
}

// By the bits: a compiler may assume that NaN and infinity never occur.
fn is_finite(v: f32) -> bool { return (bitcast<u32>(v) & 0x7f800000u) != 0x7f800000u; }

fn is_nan(v: f32) -> bool { return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u; }

// An energy that a chain may stand on.
fn is_usable(v: f32) -> bool { return is_finite(v) && abs(v) < 1e30; }

// What a proposal's energy means for the chain: +infinity (or above 1e30) is outside of the support, an ordinary rejection.
fn failure_of(energy: f32) -> u32 {
    let unbounded = (bitcast<u32>(energy) & 0x80000000u) != 0u && !is_usable(energy);
    return select(select(NO_FAILURE, UNBOUNDED, unbounded), NOT_FINITE, is_nan(energy));
}
