//! What one transition costs, counted from the formulas: the share of the device's speed that a row reaches is this times the
//! rate, over the measured peak.
//!
//! Counted as one operation: an addition, a multiplication, a division, a square root, an exponential or logarithm, a
//! comparison or selection, and a 32-bit integer operation (a rotation is one). A multiply-add is two, as in the measured peak.
//! The count is of the algorithm as published; whatever else a program does (bounds checks, tallies, masks) is overhead.

use crate::case::{Case, Move, Target};

/// Threefry2x32-20: 20 rounds of add, rotate, xor, and 5 key injections of three additions; for 64 random bits.
const RANDOM_BITS: f64 = 20.0 * 3.0 + 5.0 * 3.0;
/// Two uniforms (4 each), a logarithm's series (20), a square root, sine and cosine by polynomials (20), quadrant and scale (11).
const NORMAL_PAIR: f64 = RANDOM_BITS + 2.0 * 4.0 + 20.0 + 1.0 + 20.0 + 11.0;
/// A uniform (4) and its logarithm (20), the difference of energies, a comparison, the exponential of the probability.
const DECISION: f64 = RANDOM_BITS + 4.0 + 20.0 + 3.0;

/// Operations of one transition of one chain.
pub(crate) fn operations(case: &Case) -> f64 {
    let d = case.dim as f64;
    let normals = (d / 2.0).ceil() * NORMAL_PAIR;
    let gradient = energy(case) + gradient_beside_energy(case);
    match case.kernel {
        // x + s z.
        Move::Rwm => normals + 2.0 * d + energy(case) + DECISION,
        // x - h g + s z.
        Move::Ula => normals + 4.0 * d + gradient,
        // The same, |z|^2, and the reverse move's z'^2: (x - x' + h g') / s squared.
        Move::Mala => normals + (4.0 + 2.0 + 6.0) * d + gradient + DECISION,
        // A drift and a kick a leapfrog step, one more half kick, the kinetic energies at both ends.
        Move::Hmc10 => normals + 10.0 * (4.0 * d + gradient) + 6.0 * d + DECISION,
    }
}

/// Operations of E(x).
fn energy(case: &Case) -> f64 {
    let d = case.dim as f64;
    match case.energy {
        // Eight times |x - m|^2, its scale, and one more term of a log-sum-exp.
        Target::Mixture8 => 8.0 * (3.0 * d + 8.0) + 2.0,
        // (x^2 - 1)^2, summed.
        Target::DoubleWell => 4.0 * d + 1.0,
    }
}

/// Operations that ∇E(x) adds to E(x).
fn gradient_beside_energy(case: &Case) -> f64 {
    let d = case.dim as f64;
    match case.energy {
        // A weight and a weighted sum of the eight differences, and the normaliser.
        Target::Mixture8 => 8.0 * (2.0 * d + 1.0) + d,
        // 4 h w x.
        Target::DoubleWell => 2.0 * d,
    }
}

/// Gradient evaluations of one transition.
pub(crate) fn gradients(case: &Case) -> f64 {
    match case.kernel {
        Move::Rwm => 0.0,
        Move::Ula | Move::Mala => 1.0,
        Move::Hmc10 => 10.0,
    }
}

/// Bytes that one chain must move in one submission to the device, which runs many steps: position, energy and gradient in
/// and out, three words of tallies out.
pub(crate) fn bytes_a_submission(case: &Case) -> f64 {
    let grad = if case.kernel == Move::Rwm { 0 } else { case.dim };
    (4 * (2 * (case.dim + 1 + grad) + 3)) as f64
}
