//! The scale of each coordinate from the spread of the chains.

use serde::{Deserialize, Serialize};

/// Chains that quartiles are taken of: enough to know them within a few per cent.
const SAMPLED: usize = 1024;
/// Values further than so many interquartile ranges from the quartiles count as if they stood there: 14 standard deviations of a
/// Gaussian, so it never matters but for heavy tails, whose variance may be infinite.
const REACH: f64 = 10.0;
/// No target has this scale: chains that spread as far do so because nothing holds them.
const LOST: f64 = 1e12;
/// Fewer chains have no quartiles worth the name.
const FEWEST_CHAINS: usize = 8;

/// Mean and spread of each coordinate over chains and transitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spread {
    /// Positions taken in.
    count: f64,
    mean: Vec<f64>,
    m2: Vec<f64>,
    /// Values beyond the reach, a coordinate.
    outlying: Vec<f64>,
}

impl Spread {
    pub(crate) fn new(dim: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; dim], m2: vec![0.0; dim], outlying: vec![0.0; dim] }
    }

    /// Whether it is of so many coordinates.
    pub(crate) fn is_of(&self, dim: usize) -> bool {
        [&self.mean, &self.m2, &self.outlying].into_iter().all(|values| values.len() == dim)
    }

    /// Takes in positions, `[dim][chain]`.
    pub(crate) fn add(&mut self, positions: &[f32], chains: usize) {
        let mut sample = Vec::with_capacity(SAMPLED);
        for (i, row) in positions.chunks_exact(chains).enumerate() {
            let (low, high) = bounds(row, &mut sample);
            let values = || row.iter().map(|&x| f64::from(x).clamp(low, high));
            let mean = values().sum::<f64>() / chains as f64;
            let m2 = values().map(|x| (x - mean).powi(2)).sum::<f64>();
            self.outlying[i] += row.iter().filter(|&&x| !(low..=high).contains(&f64::from(x))).count() as f64;
            let before = self.count;
            let (d, total) = (mean - self.mean[i], before + chains as f64);
            self.mean[i] += d * (chains as f64 / total);
            self.m2[i] += m2 + d * d * (before * chains as f64 / total);
        }
        self.count += chains as f64;
    }

    /// Of both.
    pub(crate) fn merged(&self, other: &Self) -> Self {
        let count = self.count + other.count;
        if count == 0.0 {
            return self.clone();
        }
        let rows = self.mean.iter().zip(&self.m2).zip(other.mean.iter().zip(&other.m2));
        let (mean, m2) = rows
            .map(|((a, m2_a), (b, m2_b))| {
                let d = b - a;
                (a + d * (other.count / count), m2_a + m2_b + d * d * (self.count * other.count / count))
            })
            .unzip();
        let outlying = self.outlying.iter().zip(&other.outlying).map(|(a, b)| a + b).collect();
        Self { count, mean, m2, outlying }
    }

    /// Positions taken in.
    pub(crate) fn count(&self) -> f64 {
        self.count
    }

    pub(crate) fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The variance of a coordinate; None where it cannot be told or used.
    pub(crate) fn variance(&self, coordinate: usize) -> Option<f64> {
        let variance = self.m2[coordinate] / (self.count - 1.0);
        (self.count > 1.0 && variance > 1e-30 && variance < 1e30).then_some(variance)
    }

    /// A coordinate along which the chains are beyond all bounds.
    pub(crate) fn lost(&self) -> Option<usize> {
        let is_lost = |i: &usize| !(self.mean[*i].abs() < LOST && self.m2[*i] < LOST * LOST * self.count.max(1.0));
        (0..self.mean.len()).find(is_lost)
    }

    /// The coordinate with the most values beyond the reach, and the part of all that they are.
    pub(crate) fn outlying(&self) -> (usize, f64) {
        let most = (0..self.outlying.len()).max_by(|&a, &b| self.outlying[a].total_cmp(&self.outlying[b])).unwrap_or(0);
        (most, self.outlying[most] / self.count.max(1.0))
    }

    /// How far two of them are apart: the largest shift of a mean in standard deviations, or change of the logarithm of a standard
    /// deviation, and the coordinate.
    pub(crate) fn distance(&self, other: &Self) -> (f64, usize) {
        let of = |i: usize| match (self.variance(i), other.variance(i)) {
            (Some(a), Some(b)) => {
                let shift = (self.mean[i] - other.mean[i]).abs() / a.max(b).sqrt();
                (shift.max(0.5 * (a / b).ln().abs()), i)
            }
            _ => (f64::INFINITY, i),
        };
        (0..self.mean.len()).map(of).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((f64::INFINITY, 0))
    }
}

/// Between which values count in full.
fn bounds(row: &[f32], sample: &mut Vec<f32>) -> (f64, f64) {
    if row.len() < FEWEST_CHAINS {
        return (f64::NEG_INFINITY, f64::INFINITY);
    }
    sample.clear();
    sample.extend(row.iter().step_by(row.len().div_ceil(SAMPLED)));
    let n = sample.len();
    let mut quartile = |at: usize| f64::from(*sample.select_nth_unstable_by(at, f32::total_cmp).1);
    let (low, high) = (quartile(n / 4), quartile(n - 1 - n / 4));
    let range = high - low;
    // More than half of the chains at one point have no range.
    if range > 0.0 { (low - REACH * range, high + REACH * range) } else { (f64::NEG_INFINITY, f64::INFINITY) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::normal_pair;

    fn normals(n: usize) -> Vec<f32> {
        let word = |i: usize| (i as u32).wrapping_mul(0x9e37_79b9);
        let pairs = (0..n / 2).flat_map(|i| normal_pair(crate::random::threefry([7, 8], [word(i), i as u32])));
        pairs.map(|z| z as f32).collect()
    }

    #[test]
    fn moments_of_normals_are_those_of_the_plain_formulas() {
        let x = normals(2000);
        let mut spread = Spread::new(2);
        spread.add(&x[..1000], 500);
        spread.add(&x[1000..], 500);
        let of = |i: usize| [&x[i * 500..(i + 1) * 500], &x[1000 + i * 500..1500 + i * 500]].concat();
        for i in 0..2 {
            let values: Vec<f64> = of(i).into_iter().map(f64::from).collect();
            let mean = values.iter().sum::<f64>() / 1000.0;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 999.0;
            assert!((spread.mean()[i] - mean).abs() < 1e-12);
            assert!((spread.variance(i).unwrap() - variance).abs() < 1e-12);
        }
        let mut first = Spread::new(2);
        first.add(&x[..1000], 500);
        let mut second = Spread::new(2);
        second.add(&x[1000..], 500);
        let merged = first.merged(&second);
        assert!((merged.variance(0).unwrap() - spread.variance(0).unwrap()).abs() < 1e-12);
        assert_eq!(Spread::new(2).merged(&first), first);
    }

    #[test]
    fn one_chain_far_out_does_not_decide() {
        let mut x = normals(1000);
        x[3] = 1e20;
        let mut spread = Spread::new(1);
        spread.add(&x, 1000);
        assert!(spread.variance(0).unwrap() < 2.0);
        assert_eq!(spread.outlying(), (0, 0.001));
        x[4] = f32::INFINITY;
        let mut spread = Spread::new(1);
        spread.add(&x, 1000);
        assert!(spread.variance(0).unwrap() < 2.0);
    }

    #[test]
    fn what_has_no_spread_has_no_variance() {
        let mut spread = Spread::new(1);
        spread.add(&[2.0; 16], 16);
        assert_eq!(spread.variance(0), None);
        assert_eq!(spread.distance(&spread).0, f64::INFINITY);
    }
}
