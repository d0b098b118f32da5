//! A mixture of Gaussians with full covariances in the plane, fitted by expectation maximisation in its plainest form.

use std::f64::consts::TAU;

use ergodic::random::{Stream, key, threefry};
use rayon::prelude::*;

/// Weight, mean, covariance (xx, xy, yy).
type Component = (f64, [f64; 2], [f64; 3]);

pub(super) struct Fitted {
    components: Vec<Component>,
}

impl Fitted {
    /// The likeliest on the data of so many fits, each from other points.
    pub(super) fn best_of(data: &[f32], components: usize, iterations: usize, fits: u64) -> Self {
        let fit = |seed: u64| Self::new(data, components, iterations, seed);
        let fits: Vec<_> = (0..fits).into_par_iter().map(|seed| (fit(seed).mean_density(data), fit(seed))).collect();
        fits.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap().1
    }

    fn new(data: &[f32], components: usize, iterations: usize, seed: u64) -> Self {
        let points = points(data);
        let key = key(seed, Stream::Check, 5);
        let start = |j: usize| {
            (1.0 / components as f64, points[threefry(key, [j as u32, 0])[0] as usize % points.len()], [0.1, 0.0, 0.1])
        };
        let mut fitted = Self { components: (0..components).map(start).collect() };
        for _ in 0..iterations {
            let mut sums = vec![[0.0; 6]; components];
            for &[x, y] in &points {
                let (logs, total) = fitted.logs(x, y);
                for (sums, log) in sums.iter_mut().zip(logs) {
                    let share = (log - total).exp();
                    sums.iter_mut().zip([1.0, x, y, x * x, x * y, y * y]).for_each(|(sum, v)| *sum += share * v);
                }
            }
            for (component, [n, x, y, xx, xy, yy]) in fitted.components.iter_mut().zip(sums) {
                let (a, b) = (x / n, y / n);
                *component = (n / points.len() as f64, [a, b], [xx / n - a * a + 1e-6, xy / n - a * b, yy / n - b * b + 1e-6]);
            }
        }
        fitted
    }

    /// The mean log-density of points.
    pub(super) fn mean_density(&self, data: &[f32]) -> f64 {
        let points = points(data);
        points.iter().map(|&[x, y]| self.logs(x, y).1).sum::<f64>() / points.len() as f64
    }

    /// log wⱼ N(x; mⱼ, Cⱼ) of each component, and the log of their sum.
    fn logs(&self, x: f64, y: f64) -> (Vec<f64>, f64) {
        let one = |&(w, [a, b], [xx, xy, yy]): &Component| {
            let (x, y, det) = (x - a, y - b, xx * yy - xy * xy);
            w.ln() - 0.5 * (yy * x * x - 2.0 * xy * x * y + xx * y * y) / det - 0.5 * det.ln() - TAU.ln()
        };
        let logs: Vec<_> = self.components.iter().map(one).collect();
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total = top + logs.iter().map(|log| (log - top).exp()).sum::<f64>().ln();
        (logs, total)
    }
}

fn points(data: &[f32]) -> Vec<[f64; 2]> {
    let count = data.len() / 2;
    (0..count).map(|p| [data[p], data[count + p]].map(f64::from)).collect()
}
