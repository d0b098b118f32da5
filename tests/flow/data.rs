//! Two moons, and a pinwheel with its exact density; ln Z and divergences by quadrature.

use std::f64::consts::{PI, TAU};

use ergodic::{
    energy::{Energy, Params},
    random::{Stream, key, normal_pair, threefry, uniform},
};
use rayon::prelude::*;

/// Two half circles with noise, `[dim][point]`.
pub(super) fn moons(count: usize, noise: f64, seed: u64) -> Vec<f32> {
    let key = key(seed, Stream::Check, 3);
    let mut x = vec![0.0; 2 * count];
    for p in 0..count {
        let t = PI * uniform(threefry(key, [p as u32, 0]));
        let z = normal_pair(threefry(key, [p as u32, 1]));
        let [a, b] = if p % 2 == 0 { [t.cos(), t.sin()] } else { [1.0 - t.cos(), 0.5 - t.sin()] };
        (x[p], x[count + p]) = ((a + noise * z[0]) as f32, (b + noise * z[1]) as f32);
    }
    x
}

const ARMS: usize = 5;
const RADIAL: f64 = 0.3;
const TANGENTIAL: f64 = 0.1;
const RATE: f64 = 0.25;
const SCALE: f64 = 2.0;
/// The box of all quadratures, and its cells a side.
const HALF: f64 = 6.0;
const CELLS: usize = 600;

/// The pinwheel of Johnson et al. (2016), of five arms, `[dim][point]`: with a ~ N(1, 0.3²) and b ~ N(0, 0.1²), twice (a, b) turned by
/// that of the arm and exp(a)/4.
pub(super) fn pinwheel(count: usize, seed: u64) -> Vec<f32> {
    let key = key(seed, Stream::Check, 4);
    let mut x = vec![0.0; 2 * count];
    for p in 0..count {
        let z = normal_pair(threefry(key, [p as u32, 1]));
        let (a, b) = (1.0 + RADIAL * z[0], TANGENTIAL * z[1]);
        let (s, c) = (TAU * (p % ARMS) as f64 / ARMS as f64 + RATE * a.exp()).sin_cos();
        (x[p], x[count + p]) = ((SCALE * (c * a - s * b)) as f32, (SCALE * (s * a + c * b)) as f32);
    }
    x
}

/// log p of the pinwheel, but for what lies more than six standard deviations off an arm. In polar coordinates (r, ψ) a point of an arm
/// has a = r cos w and b = r sin w with w + exp(a)/4 + angle of the arm = ψ, and (a, b) ↦ x has the determinant 1 − b exp(a)/4.
pub(super) fn pinwheel_log_density(x: f64, y: f64) -> f64 {
    let (r, angle) = (x.hypot(y) / SCALE, y.atan2(x));
    let widest = if r < 6.0 * TANGENTIAL { PI } else { (6.0 * TANGENTIAL / r).asin() };
    let turned = |w: f64| w + RATE * (r * w.cos()).exp();
    let mut sum = 0.0;
    for arm in 0..ARMS {
        let wanted = angle - TAU * arm as f64 / ARMS as f64;
        let (low, high) = (turned(-widest), turned(widest));
        // The solution within the range, a whole number of turns off.
        let goal = wanted + TAU * ((low - wanted) / TAU).ceil();
        if goal > high {
            continue;
        }
        let (mut left, mut right) = (-widest, widest);
        for _ in 0..50 {
            let middle = 0.5 * (left + right);
            if turned(middle) < goal { left = middle } else { right = middle }
        }
        let (a, b) = (r * left.cos(), r * left.sin());
        let square = ((a - 1.0) / RADIAL).powi(2) + (b / TANGENTIAL).powi(2);
        sum += (-0.5 * square).exp() / (TAU * RADIAL * TANGENTIAL * (1.0 - RATE * b * a.exp()).abs());
    }
    (sum / (ARMS as f64 * SCALE * SCALE)).ln()
}

/// A function of the plane at the middles of all cells.
pub(super) fn cells(f: impl Fn(f64, f64) -> f64 + Sync) -> Vec<f64> {
    let at = |i: usize| -HALF + 2.0 * HALF * (i as f64 + 0.5) / CELLS as f64;
    (0..CELLS * CELLS).into_par_iter().map(|k| f(at(k % CELLS), at(k / CELLS))).collect()
}

/// The area of a cell.
pub(super) fn area() -> f64 {
    (2.0 * HALF / CELLS as f64).powi(2)
}

/// An energy in all cells.
pub(super) fn energies(energy: &dyn Energy) -> Vec<f64> {
    let values = energy.params();
    cells(|x, y| energy.energy(Params::new(&values), &[x, y]))
}

/// ln ∫ exp(−E).
pub(super) fn ln_z(energies: &[f64]) -> f64 {
    let least = energies.iter().copied().fold(f64::INFINITY, f64::min);
    energies.iter().map(|e| (least - e).exp()).sum::<f64>().ln() + area().ln() - least
}

/// KL(p ‖ exp(−E)/Z) of a density p, given as log p in all cells.
pub(super) fn divergence(log_p: &[f64], energies: &[f64]) -> f64 {
    let ln_z = ln_z(energies);
    log_p.iter().zip(energies).filter(|(l, _)| **l > -700.0).map(|(l, e)| l.exp() * (l + e + ln_z)).sum::<f64>() * area()
}
