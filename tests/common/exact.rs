//! Targets that one can sample exactly, all of them asymmetric, with the distribution function of each coordinate.

use std::sync::Arc;

use ergodic::{
    energy::{Compose, Energy, Gaussian, Mixture, Params},
    random::normal_pair,
};
use nalgebra::{DMatrix, DVector};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::stats::normal_cdf;

/// A target with its exact law.
#[derive(Clone)]
pub struct Exact {
    pub name: &'static str,
    pub energy: Arc<dyn Energy>,
    pub temperature: f64,
    law: Law,
}

#[derive(Clone)]
enum Law {
    /// Weights (of sum one), means, standard deviations.
    Mixture(Vec<f64>, Vec<Vec<f64>>, Vec<f64>),
    /// x = mean + L z with the rows of a lower triangular L.
    Affine(Vec<f64>, Vec<Vec<f64>>),
    /// In one dimension: equally spaced points with the distribution function there.
    Table(Arc<Vec<(f64, f64)>>),
}

impl Exact {
    /// At temperature 1, where a mixture's own formula is its law.
    fn mixture(name: &'static str, weights: &[f64], means: &[Vec<f64>], sds: &[f64]) -> Self {
        let energy = Arc::new(Mixture::new(weights, means, sds).unwrap());
        Self { name, energy, temperature: 1.0, law: Law::Mixture(weights.to_vec(), means.to_vec(), sds.to_vec()) }
    }

    /// A Gaussian N(mean, sd²), whose law at a temperature T is N(mean, T sd²).
    pub fn gaussian(name: &'static str, mean: Vec<f64>, sd: f64, temperature: f64) -> Self {
        let energy = Arc::new(Mixture::new(&[1.0], std::slice::from_ref(&mean), &[sd]).unwrap());
        let law = Law::Mixture(vec![1.0], vec![mean], vec![sd * temperature.sqrt()]);
        Self { name, energy, temperature, law }
    }

    /// A Gaussian of covariance L Lᵀ.
    fn correlated(name: &'static str, mean: Vec<f64>, factor: Vec<Vec<f64>>) -> Self {
        let covariance = |i: usize, j: usize| factor[i].iter().zip(&factor[j]).map(|(a, b)| a * b).sum::<f64>();
        let dim = mean.len();
        let covariances: Vec<_> = (0..dim * dim).map(|k| covariance(k / dim, k % dim)).collect();
        let energy = Arc::new(Gaussian::full(mean.clone(), &covariances).unwrap());
        Self { name, energy, temperature: 1.0, law: Law::Affine(mean, factor) }
    }

    /// Of a Gaussian in six dimensions, with coordinates 1, 2 and 4 held: the law of the others by the formula for conditionals, mean
    /// m + C₁₂ C₂₂⁻¹ (v − m₂) and covariance C₁₁ − C₁₂ C₂₂⁻¹ C₂₁. The energy has the coordinates `held` held at the same values.
    pub fn conditional(name: &'static str, held: [usize; 3]) -> Self {
        let (dim, free, given, values) = (6, [0, 3, 5], [1, 2, 4], [0.7, -0.6, 0.3]);
        let mean: Vec<_> = (0..dim).map(|i| 0.1 * i as f64 - 0.3).collect();
        let root = |i: usize, j: usize| if i == j { 0.9 } else { 0.3 * ((3 * i + 5 * j) as f64).sin() };
        let root = DMatrix::from_fn(dim, dim, root);
        let covariance = &root * root.transpose();
        let block = |rows: &[usize], columns: &[usize]| {
            DMatrix::from_fn(rows.len(), columns.len(), |i, j| covariance[(rows[i], columns[j])])
        };
        let gain = block(&free, &given) * block(&given, &given).try_inverse().unwrap();
        let miss = DVector::from_fn(3, |i, _| values[i] - mean[given[i]]);
        let shift = &gain * miss;
        let factor = (block(&free, &free) - &gain * block(&given, &free)).cholesky().unwrap().l();
        let joint = Gaussian::full(mean.clone(), covariance.as_slice()).unwrap();
        let energy = Arc::new(joint.condition(held.into_iter().zip(values)).unwrap());
        let law = Law::Affine(
            (0..3).map(|i| mean[free[i]] + shift[i]).collect(),
            (0..3).map(|i| (0..=i).map(|j| factor[(i, j)]).collect()).collect(),
        );
        Self { name, energy, temperature: 1.0, law }
    }

    /// A one-dimensional energy at any temperature, by the trapezoid rule between limits beyond which nothing is left.
    fn line(name: &'static str, energy: Arc<dyn Energy>, temperature: f64, low: f64, high: f64) -> Self {
        let n = 100_000;
        let values = energy.params();
        let point = |i: usize| low + (high - low) * i as f64 / n as f64;
        let density = |i: usize| (-energy.energy(Params::new(&values), &[point(i)]) / temperature).exp();
        let mut table = vec![(low, 0.0)];
        for i in 1..=n {
            table.push((point(i), table[i - 1].1 + 0.5 * (density(i - 1) + density(i))));
        }
        let total = table[n].1;
        table.iter_mut().for_each(|row| row.1 /= total);
        Self { name, energy, temperature, law: Law::Table(Arc::new(table)) }
    }

    /// Exact draws, [dim][chain].
    pub fn draws(&self, n: usize, seed: u64) -> Vec<f32> {
        let dim = self.energy.dim();
        let mut rng = StdRng::seed_from_u64(seed);
        let mut x = vec![0f32; dim * n];
        for chain in 0..n {
            let u: f64 = rng.random();
            match &self.law {
                Law::Mixture(weights, means, sds) => {
                    let mut below = 0.0;
                    let component = weights.iter().position(|w| {
                        below += w;
                        u < below
                    });
                    let component = component.unwrap_or(weights.len() - 1);
                    for i in 0..dim {
                        let z = normal_pair([rng.random(), rng.random()])[0];
                        x[i * n + chain] = (means[component][i] + sds[component] * z) as f32;
                    }
                }
                Law::Affine(mean, factor) => {
                    let z: Vec<_> = (0..dim).map(|_| normal_pair([rng.random(), rng.random()])[0]).collect();
                    for i in 0..dim {
                        x[i * n + chain] = (mean[i] + factor[i].iter().zip(&z).map(|(l, z)| l * z).sum::<f64>()) as f32;
                    }
                }
                Law::Table(table) => {
                    let above = table.partition_point(|row| row.1 <= u).clamp(1, table.len() - 1);
                    let ((x0, f0), (x1, f1)) = (table[above - 1], table[above]);
                    x[chain] = (x0 + (x1 - x0) * (u - f0) / (f1 - f0)) as f32;
                }
            }
        }
        x
    }

    /// The mean of a coordinate.
    pub fn mean(&self, coordinate: usize) -> f64 {
        match &self.law {
            Law::Mixture(weights, means, _) => weights.iter().zip(means).map(|(w, mean)| w * mean[coordinate]).sum(),
            Law::Affine(mean, _) => mean[coordinate],
            Law::Table(table) => table.windows(2).map(|w| (w[1].1 - w[0].1) * 0.5 * (w[0].0 + w[1].0)).sum(),
        }
    }

    /// The distribution function of a coordinate.
    pub fn cdf(&self, coordinate: usize, x: f64) -> f64 {
        match &self.law {
            Law::Mixture(weights, means, sds) => {
                let part = |j: usize| weights[j] * normal_cdf(x, means[j][coordinate], sds[j]);
                (0..weights.len()).map(part).sum()
            }
            Law::Affine(mean, factor) => {
                let sd = factor[coordinate].iter().map(|l| l * l).sum::<f64>().sqrt();
                normal_cdf(x, mean[coordinate], sd)
            }
            Law::Table(table) => {
                let (low, step) = (table[0].0, table[1].0 - table[0].0);
                let at = ((x - low) / step).clamp(0.0, (table.len() - 1) as f64);
                let i = (at as usize).min(table.len() - 2);
                table[i].1 + (table[i + 1].1 - table[i].1) * (at - i as f64)
            }
        }
    }
}

/// Targets of scale one: asymmetric ones in two dimensions and in five (padded lanes), a correlated one, a conditional, and two at temperatures
/// that are not one.
pub fn targets() -> Vec<Exact> {
    let line = Mixture::new(&[0.8, 0.2], &[vec![-0.5], vec![1.5]], &[0.6, 0.5]).unwrap();
    vec![
        Exact::mixture("two_gaussians", &[0.7, 0.3], &[vec![-0.8, 0.5], vec![1.2, -1.0]], &[0.6, 1.0]),
        Exact::mixture("five", &[0.6, 0.4], &[vec![-0.5, 0.3, 0.0, 0.8, -0.2], vec![0.7, -0.6, 0.4, -0.1, 0.3]], &[0.7, 1.0]),
        Exact::correlated("correlated", vec![0.3, -0.6, 0.0], vec![vec![1.1], vec![-0.8, 0.5], vec![0.3, 0.4, 0.7]]),
        Exact::conditional("conditional", [1, 2, 4]),
        Exact::line("line_at_1.7", Arc::new(line), 1.7, -12.0, 13.0),
        Exact::gaussian("gaussian_at_0.6", vec![0.5, -0.3, 1.0], 0.9, 0.6),
    ]
}
