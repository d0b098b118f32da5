//! Mean and variance of every chain and coordinate, merged in f64 from the device's slices.

use rayon::prelude::*;

/// Moments of (dim + 1) rows (the coordinates, then the energy) of every chain: `[row][chain]`.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    chains: usize,
    pub(crate) draws: u64,
    mean: Vec<f64>,
    m2: Vec<f64>,
}

/// Moments of a row over all chains and draws.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pooled {
    pub(crate) mean: f64,
    pub(crate) sd: f64,
    /// Standard error of the mean from the spread of the chains' means; None with fewer than two chains.
    pub(crate) mcse: Option<f64>,
}

impl Moments {
    pub(crate) fn new(rows: usize, chains: usize) -> Self {
        Self { chains, draws: 0, mean: vec![0.0; rows * chains], m2: vec![0.0; rows * chains] }
    }

    /// Merges one value's moments over `n` more draws into entry `at` (Chan, Golub, LeVeque 1979), the slice being counted last.
    fn merge(draws: f64, mean: &mut f64, m2: &mut f64, n: f64, new_mean: f64, new_m2: f64) {
        let total = draws + n;
        let d = new_mean - *mean;
        *mean += d * (n / total);
        *m2 += new_m2 + d * d * (draws * n / total);
    }

    /// Merges a slice of `n` draws of the chains from `first` on: shift, mean and m2 are `[row][chain of the slice]` in f32.
    pub(crate) fn merge_slice(&mut self, first: usize, chains: usize, n: u64, shift: &[f32], mean: &[f32], m2: &[f32]) {
        let (draws, n) = (self.draws as f64, n as f64);
        let all = self.chains;
        let rows = self.mean.par_chunks_mut(all).zip(self.m2.par_chunks_mut(all)).enumerate();
        rows.for_each(|(row, (means, m2s))| {
            let from = row * chains;
            for i in 0..chains {
                let new_mean = f64::from(shift[from + i]) + f64::from(mean[from + i]);
                Self::merge(draws, &mut means[first + i], &mut m2s[first + i], n, new_mean, f64::from(m2[from + i]));
            }
        });
    }

    /// Merges one chain's moments over `n` draws, as `value(row)` gives them.
    pub(crate) fn merge_chain(&mut self, chain: usize, n: u64, value: impl Fn(usize) -> (f64, f64)) {
        for row in 0..self.mean.len() / self.chains {
            let at = row * self.chains + chain;
            let (mean, m2) = value(row);
            Self::merge(self.draws as f64, &mut self.mean[at], &mut self.m2[at], n as f64, mean, m2);
        }
    }

    /// A row's moments over all chains: the variance is that within the chains plus that of their means.
    pub(crate) fn pooled(&self, row: usize) -> Pooled {
        let of_row = row * self.chains..(row + 1) * self.chains;
        let (means, m2s) = (&self.mean[of_row.clone()], &self.m2[of_row]);
        let chains = self.chains as f64;
        let mean = means.iter().sum::<f64>() / chains;
        let between = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>();
        let within = m2s.iter().sum::<f64>() / self.draws as f64;
        let sd = ((within + between) / chains).sqrt();
        let mcse = (self.chains > 1).then(|| (between / (chains - 1.0) / chains).sqrt());
        Pooled { mean, sd, mcse }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two chains, cut into slices, against the plain formulas.
    #[test]
    fn slices_merge_to_the_moments_of_the_whole() {
        let data = [[1.0f64, 2.0, 4.0, 8.0, 16.0], [3.0, 3.5, -1.0, 0.0, 2.0]];
        let mut moments = Moments::new(1, 2);
        for cut in [0..2, 2..5] {
            let n = cut.len() as f64;
            for (chain, values) in data.iter().enumerate() {
                let mean = values[cut.clone()].iter().sum::<f64>() / n;
                let m2 = values[cut.clone()].iter().map(|v| (v - mean).powi(2)).sum::<f64>();
                moments.merge_chain(chain, n as u64, |_| (mean, m2));
            }
            moments.draws += n as u64;
        }
        let all: Vec<f64> = data.concat();
        let mean = all.iter().sum::<f64>() / 10.0;
        let sd = (all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 10.0).sqrt();
        let pooled = moments.pooled(0);
        assert!((pooled.mean - mean).abs() < 1e-14 && (pooled.sd - sd).abs() < 1e-14);
        let (a, b) = (6.2, 1.5);
        assert!((pooled.mcse.unwrap() - f64::abs(a - b) / 2.0).abs() < 1e-14);
        assert_eq!(Moments { chains: 1, draws: 1, mean: vec![0.0], m2: vec![0.0] }.pooled(0).mcse, None);
    }
}
