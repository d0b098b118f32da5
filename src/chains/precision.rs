//! How precise the moments are: Monte Carlo errors from the spread of the chains, and nested R-hat over superchains.

use serde::Serialize;

use super::moments::Moments;

/// Moments of one coordinate (or of the energy) over all chains and collected draws, and how precise they are.
///
/// What is undefined is None: a standard error with fewer than two chains, everything but the mean where no chain ever moved.
/// [`Report::notes`](super::Report::notes) says why.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Coordinate {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub sd: f64,
    /// Monte Carlo standard error of the mean, from the spread of the chains' means.
    pub mcse: Option<f64>,
    /// Monte Carlo standard error of the standard deviation, from the spread of the chains' second moments.
    pub mcse_sd: Option<f64>,
    /// Effective sample size of the mean, (sd / mcse)²; of all chains together.
    pub ess: Option<f64>,
    /// Nested R-hat over the superchains (Margossian et al. 2024).
    pub rhat: Option<f64>,
}

impl Coordinate {
    /// The moments of a row, with chains in `superchains` groups of equal size.
    pub(crate) fn new(moments: &Moments, row: usize, superchains: usize) -> Self {
        let (means, m2s) = moments.row(row);
        let (chains, draws) = (means.len() as f64, moments.draws as f64);
        let mean = means.iter().sum::<f64>() / chains;
        let between = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>();
        // The variance is that within the chains plus that of their means.
        let second = |(m, m2): (&f64, &f64)| m2 / draws + (m - mean).powi(2);
        let variance = means.iter().zip(m2s).map(second).sum::<f64>() / chains;
        let sd = variance.sqrt();
        let of_spread = |squares: f64| (squares / (chains - 1.0) / chains).sqrt();
        // Chains that stand still spread as they started, which says nothing of the target. One draw of each cannot tell.
        let moved = moments.draws < 2 || m2s.iter().any(|&m2| m2 > 0.0);
        let is_defined = chains > 1.0 && between > 0.0 && moved;
        let mcse = is_defined.then(|| of_spread(between));
        let mcse_sd = is_defined.then(|| {
            let squares = means.iter().zip(m2s).map(|values| (second(values) - variance).powi(2)).sum::<f64>();
            of_spread(squares) / (2.0 * sd)
        });
        let ess = mcse.map(|mcse| (sd / mcse).powi(2));
        Self { mean, sd, mcse, mcse_sd, ess, rhat: nested_rhat(means, m2s, moments.draws, superchains) }
    }
}

/// Nested R-hat (Margossian et al. 2024, section 2): √(1 + B/W) with B the variance of the superchains' means, and W the mean over
/// superchains of the variance of their chains' means plus the mean variance within their chains. None where nothing moved, or
/// with fewer than two superchains.
fn nested_rhat(means: &[f64], m2s: &[f64], draws: u64, superchains: usize) -> Option<f64> {
    if superchains < 2 || draws == 0 {
        return None;
    }
    let size = means.len() / superchains;
    let (mut centres, mut within) = (Vec::with_capacity(superchains), 0.0);
    for (means, m2s) in means.chunks_exact(size).zip(m2s.chunks_exact(size)) {
        let centre = means.iter().sum::<f64>() / size as f64;
        centres.push(centre);
        if size > 1 {
            within += means.iter().map(|m| (m - centre).powi(2)).sum::<f64>() / (size as f64 - 1.0);
        }
        if draws > 1 {
            within += m2s.iter().sum::<f64>() / (size as f64 * (draws as f64 - 1.0));
        }
    }
    within /= superchains as f64;
    let mean = centres.iter().sum::<f64>() / superchains as f64;
    let between = centres.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / (superchains as f64 - 1.0);
    (within > 0.0).then(|| (1.0 + between / within).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four chains in two superchains, by hand: means 0, 2 | 4, 6, variances within of 1 (3 draws, so m2 = 2).
    /// Centres 1 and 5: B = 8; variance of means 2, within 1: W = 3; √(1 + 8/3).
    #[test]
    fn nested_rhat_by_hand() {
        let rhat = nested_rhat(&[0.0, 2.0, 4.0, 6.0], &[2.0; 4], 3, 2).unwrap();
        assert!((rhat - (11.0f64 / 3.0).sqrt()).abs() < 1e-14, "{rhat}");
        // One chain a superchain: B = 20/3 over four means, W = 1.
        let rhat = nested_rhat(&[0.0, 2.0, 4.0, 6.0], &[2.0; 4], 3, 4).unwrap();
        assert!((rhat - (23.0f64 / 3.0).sqrt()).abs() < 1e-14, "{rhat}");
    }

    #[test]
    fn what_never_moved_is_undefined() {
        assert_eq!(nested_rhat(&[1.0; 4], &[0.0; 4], 3, 2), None);
        assert_eq!(nested_rhat(&[0.0, 1.0], &[1.0; 2], 3, 1), None);
    }
}
