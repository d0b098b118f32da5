//! Mean and variance of every chain and watched value, merged in f64 from the device's segments.

use std::ops::Range;

use rayon::prelude::*;

use super::rows::Rows;

/// The most draws of a segment: what f32 moments are accumulated over.
pub(crate) const SEGMENT: u64 = 1024;

/// Zeros that are written: their memory is taken now, not by and by, so that a run that has begun does not grow.
fn written_zeros(n: usize) -> Vec<f64> {
    let mut zeros = Vec::with_capacity(n);
    zeros.resize(n, 0.0);
    zeros
}

/// Moments of the watched values (the coordinates, the energy, the Hamiltonian where there is one) of every chain: `[row][chain]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Moments {
    chains: usize,
    /// Chains of a ladder of temperatures, of which the first alone has moments; 1 where chains go alone.
    rungs: usize,
    /// Draws of every chain.
    pub(crate) draws: u64,
    pub(crate) mean: Vec<f64>,
    pub(crate) m2: Vec<f64>,
    /// Sum over chains and draws of |x′ − x|².
    pub(crate) jumps: f64,
    /// Sum over chains of the squared differences of successive Hamiltonians, and how many of them a chain has.
    pub(crate) changes: f64,
    pub(crate) changes_a_chain: u64,
    /// What went on between the rungs of all ladders.
    pub(crate) exchanges: Exchanges,
}

impl Moments {
    /// Of so many chains, in ladders of so many rungs.
    pub(crate) fn new(rows: usize, chains: usize, rungs: usize) -> Self {
        let chains = chains / rungs;
        let exchanges = Exchanges::new(rungs);
        Self {
            chains,
            rungs,
            draws: 0,
            mean: written_zeros(rows * chains),
            m2: written_zeros(rows * chains),
            jumps: 0.0,
            changes: 0.0,
            changes_a_chain: 0,
            exchanges,
        }
    }

    /// Chains that have moments: those at the target's own temperature.
    pub(crate) fn chains(&self) -> usize {
        self.chains
    }

    /// Merges one value's moments over `n` more draws (Chan, Golub, LeVeque 1979).
    fn merge(draws: f64, mean: &mut f64, m2: &mut f64, n: f64, new_mean: f64, new_m2: f64) {
        let total = draws + n;
        let d = new_mean - *mean;
        *mean += d * (n / total);
        *m2 += new_m2 + d * d * (draws * n / total);
    }

    /// These rows alone, with all sums.
    pub(crate) fn part(&self, rows: Range<usize>) -> Self {
        let values = rows.start * self.chains..rows.end * self.chains;
        let (mean, m2) = (self.mean[values.clone()].to_vec(), self.m2[values].to_vec());
        Self { mean, m2, exchanges: self.exchanges.clone(), ..*self }
    }

    /// Merges a segment of `n` draws of the chains from `first` on: `values` are the moment rows of these chains. The draws are
    /// counted by [`count`](Self::count), once the segment of every chain has been merged.
    pub(crate) fn merge_segment(&mut self, rows: &Rows, first: usize, chains: usize, n: u64, values: &[f32]) {
        let (watched, sums) = values.split_at(3 * rows.watched() * chains);
        self.merge_rows(first, chains, n, watched);
        self.add_sums(rows, chains, sums);
    }

    /// The same of the watched values, shift, mean and m2, of these rows.
    pub(crate) fn merge_rows(&mut self, first: usize, chains: usize, n: u64, values: &[f32]) {
        let (draws, n) = (self.draws as f64, n as f64);
        let (all, rungs, first) = (self.chains, self.rungs, first / self.rungs);
        let part = values.len() / 3;
        let (shift, mean, m2) = (&values[..part], &values[part..2 * part], &values[2 * part..]);
        let merged = self.mean.par_chunks_mut(all).zip(self.m2.par_chunks_mut(all)).enumerate();
        merged.for_each(|(row, (means, m2s))| {
            let from = row * chains;
            for (i, at) in (from..from + chains).step_by(rungs).enumerate() {
                let new_mean = f64::from(shift[at]) + f64::from(mean[at]);
                Self::merge(draws, &mut means[first + i], &mut m2s[first + i], n, new_mean, f64::from(m2[at]));
            }
        });
    }

    /// The same of what is summed over chains: the rows after those of the watched values.
    pub(crate) fn add_sums(&mut self, rows: &Rows, chains: usize, values: &[f32]) {
        let rungs = self.rungs;
        let before = 3 * rows.watched();
        let of_row = |row: usize| values[(row - before) * chains..(row - before + 1) * chains].iter().map(|&v| f64::from(v));
        let sum = |row: usize| of_row(row).step_by(rungs).sum::<f64>();
        self.jumps += sum(before);
        if let Some(row) = rows.changes() {
            self.changes += sum(row);
        }
        if let Some(row) = rows.swaps() {
            for (chain, ((proposed, made), trips)) in of_row(row).zip(of_row(row + 1)).zip(of_row(row + 2)).enumerate() {
                self.exchanges.add(chain % rungs, proposed, made, trips);
            }
        }
    }

    /// Counts `n` draws of every chain as merged.
    pub(crate) fn count(&mut self, n: u64) {
        self.draws += n;
        self.changes_a_chain += n.saturating_sub(1);
    }

    /// The rows.
    pub(crate) fn rows(&self) -> usize {
        self.mean.len() / self.chains.max(1)
    }

    /// A row's means and sums of squared deviations, one a chain.
    pub(crate) fn row(&self, row: usize) -> (&[f64], &[f64]) {
        let of_row = row * self.chains..(row + 1) * self.chains;
        (&self.mean[of_row.clone()], &self.m2[of_row])
    }
}

/// Swaps between each rung of a ladder and the next, and round trips, over all ladders.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exchanges {
    /// Proposed and made, one pair a rung; the last has none.
    pub(crate) swaps: Vec<[f64; 2]>,
    pub(crate) round_trips: f64,
}

impl Exchanges {
    pub(crate) fn new(rungs: usize) -> Self {
        Self { swaps: vec![[0.0; 2]; rungs], round_trips: 0.0 }
    }

    /// Adds what a chain at this rung counted.
    pub(crate) fn add(&mut self, rung: usize, proposed: f64, made: f64, round_trips: f64) {
        self.swaps[rung][0] += proposed;
        self.swaps[rung][1] += made;
        self.round_trips += round_trips;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chains::summary::Summary, kernel::Rwm};

    /// Two chains, cut into segments, against the plain formulas.
    #[test]
    fn segments_merge_to_the_moments_of_the_whole() {
        let data = [[1.0f32, 2.0, 4.0, 8.0, 16.0], [3.0, 3.5, -1.0, 0.0, 2.0]];
        let rows = Rows::new(1, &Rwm::new(1.0));
        let mut moments = Moments::new(rows.watched(), 2, 1);
        for cut in [0..2, 2..5] {
            let n = cut.len() as f32;
            let mean = data.map(|values| values[cut.clone()].iter().sum::<f32>() / n - 0.5);
            let m2 = [0, 1].map(|c| data[c][cut.clone()].iter().map(|v| (v - 0.5 - mean[c]).powi(2)).sum::<f32>());
            // The energy is constant; the jumps count one a draw.
            let rows_of_segment = [[0.5; 2], [7.0; 2], mean, [0.0; 2], m2, [0.0; 2], [n; 2]];
            moments.merge_segment(&rows, 0, 2, cut.len() as u64, rows_of_segment.as_flattened());
            moments.count(cut.len() as u64);
        }
        let all: Vec<f64> = data.concat().into_iter().map(f64::from).collect();
        let mean = all.iter().sum::<f64>() / 10.0;
        let sd = (all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 10.0).sqrt();
        let summary = Summary::of(&moments, 1, 1);
        let of = summary.coordinates[0];
        assert!((of.mean - mean).abs() < 1e-6 && (of.sd - sd).abs() < 1e-6, "{of:?}");
        let (a, b) = (6.2, 1.5);
        assert!((of.mcse.unwrap() - f64::abs(a - b) / 2.0).abs() < 1e-6);
        assert!((summary.squared_jump - 1.0).abs() < 1e-12);
        assert_eq!(summary.e_bfmi, None);
    }
}
