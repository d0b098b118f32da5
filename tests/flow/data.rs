//! Quadrature in the plane: ln Z and divergences.

use ergodic::energy::{Energy, Params};
use rayon::prelude::*;

/// The box of all quadratures, and its cells a side.
const HALF: f64 = 6.0;
const CELLS: usize = 600;

/// A function of the plane at the middles of all cells.
pub(super) fn cells(f: impl Fn(f64, f64) -> f64 + Sync) -> Vec<f64> {
    let at = |i: usize| -HALF + 2.0 * HALF * (i as f64 + 0.5) / CELLS as f64;
    (0..CELLS * CELLS).into_par_iter().map(|k| f(at(k % CELLS), at(k / CELLS))).collect()
}

/// The middles of all cells, `[dim][point]`.
pub(super) fn points() -> Vec<f64> {
    [cells(|x, _| x), cells(|_, y| y)].concat()
}

/// The area of a cell.
fn area() -> f64 {
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
