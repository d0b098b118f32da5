//! A density on a box in the plane, summed on a fine grid: its peak, its mean energy, and how far samples are from it.

use ergodic::energy::{Energy, Params};
use rayon::prelude::*;

/// Cells a side of the fine grid, for sums.
const FINE: usize = 512;
/// Cells a side of the coarse grid, for counts.
const COARSE: usize = 32;

/// p(x) = exp(−E(x)/T) / Z on a box of the plane; the box must hold all of its mass that matters.
#[derive(Debug, Clone)]
pub struct Density {
    pub x: [f64; 2],
    pub y: [f64; 2],
    /// Greatest density on the fine grid.
    pub peak: f64,
    /// Mean energy under the density.
    pub mean_energy: f64,
    /// Least energy on the fine grid.
    pub least_energy: f64,
    /// Probabilities of the coarse cells.
    cells: Vec<f64>,
}

impl Density {
    /// Sums the density of a two-dimensional energy at temperature 1 over a box.
    pub fn of(energy: &dyn Energy, x: [f64; 2], y: [f64; 2]) -> Self {
        let values = energy.params();
        Self::of_formula(|x, y| energy.energy(Params::new(&values), &[x, y]), x, y)
    }

    /// The same for an energy given as a function.
    pub fn of_formula(energy: impl Fn(f64, f64) -> f64 + Sync, x: [f64; 2], y: [f64; 2]) -> Self {
        let at = |[low, high]: [f64; 2], i: usize| low + (high - low) * (i as f64 + 0.5) / FINE as f64;
        let energies: Vec<f64> = (0..FINE * FINE).into_par_iter().map(|i| energy(at(x, i % FINE), at(y, i / FINE))).collect();
        let least_energy = energies.iter().copied().fold(f64::INFINITY, f64::min);
        let mut cells = vec![0.0; COARSE * COARSE];
        let (mut sum, mut sum_energy) = (0.0, 0.0);
        for (i, e) in energies.iter().enumerate().filter(|(_, e)| e.is_finite()) {
            let weight = (least_energy - e).exp();
            cells[i / FINE * COARSE / FINE * COARSE + i % FINE * COARSE / FINE] += weight;
            sum += weight;
            sum_energy += weight * e;
        }
        cells.iter_mut().for_each(|cell| *cell /= sum);
        let area = (x[1] - x[0]) * (y[1] - y[0]) / (FINE * FINE) as f64;
        Self { x, y, peak: 1.0 / (sum * area), mean_energy: sum_energy / sum, least_energy, cells }
    }

    /// The total variation between samples, [dim][chain], and the density on the coarse grid:
    /// ½ Σ |share of the samples in a cell − its probability|, in [0, 1]. Samples outside of the box count in full.
    pub fn total_variation(&self, positions: &[f32]) -> f64 {
        let (xs, ys) = positions.split_at(positions.len() / 2);
        let n = xs.len() as f64;
        let mut counts = vec![0u32; self.cells.len()];
        let mut outside = n;
        let cell = |[low, high]: [f64; 2], v: f32| {
            let at = (f64::from(v) - low) / (high - low) * COARSE as f64;
            (at >= 0.0 && at < COARSE as f64).then_some(at as usize)
        };
        for (&x, &y) in xs.iter().zip(ys) {
            if let (Some(column), Some(row)) = (cell(self.x, x), cell(self.y, y)) {
                counts[row * COARSE + column] += 1;
                outside -= 1.0;
            }
        }
        let off: f64 = self.cells.iter().zip(&counts).map(|(p, &count)| (f64::from(count) / n - p).abs()).sum();
        0.5 * (off + outside / n)
    }

    /// The [`total_variation`](Self::total_variation) that independent exact draws show on average: from the mean absolute
    /// deviation of a binomial share, near √(2 p (1 − p) / (π n)), or 2p (1 − p)ⁿ and so less than 2p where n p is small.
    pub fn of_exact_draws(&self, draws: usize) -> f64 {
        let n = draws as f64;
        let off = |p: f64| (2.0 * p * (1.0 - p) / (std::f64::consts::PI * n)).sqrt().min(2.0 * p);
        0.5 * self.cells.iter().map(|&p| off(p)).sum::<f64>()
    }
}
