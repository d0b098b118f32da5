//! Effective sample size: how many independent draws would tell as much?

use super::{
    Traces, Undefined, autocorrelation, quantile, rank,
    traces::{is_constant, mean, variance},
};

/// The least number of draws a chain: six in each half, below which no pair of autocorrelations beyond the first is looked at.
pub(super) const LEAST: usize = 12;

/// For the mean: draws divided by τ = 1 + 2 Σ ρₗ, the autocorrelations being summed as far as they are above the noise (Geyer
/// 1992). Above the number of draws where draws by turns make up for each other.
///
/// # Errors
/// [`Undefined`] with fewer than 12 draws a chain, where a draw is not finite, and where no chain moves.
pub fn ess_mean(traces: &Traces) -> Result<f64, Undefined> {
    traces.check(LEAST)?;
    of_split(traces)
}

/// Of the rank-normalised draws: how well the bulk of the distribution is known, whatever its scale (Vehtari et al. 2021).
///
/// # Errors
/// As [`ess_mean`].
pub fn ess_bulk(traces: &Traces) -> Result<f64, Undefined> {
    traces.check(LEAST)?;
    of_chains(&rank::normalise(&traces.split()))
}

/// The smaller of those of the 5 % and the 95 % quantile (Vehtari et al. 2021).
///
/// # Errors
/// As [`ess_quantile`].
pub fn ess_tail(traces: &Traces) -> Result<f64, Undefined> {
    traces.check(LEAST)?;
    let sorted = traces.sorted();
    Ok(at_quantile(traces, &sorted, 0.05)?.min(at_quantile(traces, &sorted, 0.95)?))
}

/// For a quantile: that of the share of draws up to it.
///
/// # Errors
/// As [`ess_mean`]; also for a probability outside of [0, 1], and where no draw is larger, as for a probability of 1.
pub fn ess_quantile(traces: &Traces, probability: f64) -> Result<f64, Undefined> {
    quantile::check(probability)?;
    traces.check(LEAST)?;
    at_quantile(traces, &traces.sorted(), probability)
}

/// For the standard deviation: that of the squared distances from the mean, as in posterior since its pull request 388.
///
/// # Errors
/// As [`ess_mean`]; also where all distances are equal.
pub fn ess_sd(traces: &Traces) -> Result<f64, Undefined> {
    traces.check(LEAST)?;
    let mean = traces.mean();
    of_split(&traces.map(|x| (x - mean).powi(2))).map_err(|_| Undefined::EquallyFar)
}

/// [`ess_quantile`] of checked traces, whose sorted draws are known.
pub(super) fn at_quantile(traces: &Traces, sorted: &[f64], probability: f64) -> Result<f64, Undefined> {
    let bound = quantile::of_sorted(sorted, probability);
    let share = traces.map(|x| f64::from(u8::from(x <= bound)));
    of_split(&share).map_err(|_| Undefined::NoTail { probability })
}

fn of_split(traces: &Traces) -> Result<f64, Undefined> {
    of_chains(&traces.split())
}

/// Draws divided by τ. The autocorrelation at a lag is 1 − (W − γ)/V with W the mean of the chains' variances, γ their mean
/// autocovariance at the lag, and V the variance that W and the spread of the chains' means make together: chains that have not
/// mixed stay correlated at every lag.
fn of_chains(traces: &Traces) -> Result<f64, Undefined> {
    if is_constant(traces.pooled()) {
        return Err(Undefined::Constant);
    }
    let n = traces.draws();
    let covariance = autocorrelation::of_chains(traces);
    let within = covariance[0] * n as f64 / (n as f64 - 1.0);
    let means: Vec<_> = traces.chains().map(mean).collect();
    let spread = if means.len() > 1 { variance(&means) } else { 0.0 };
    let total = covariance[0] + spread;
    if total == 0.0 {
        return Err(Undefined::Constant);
    }
    let rho = |lag: usize| if lag == 0 { 1.0 } else { 1.0 - (within - covariance[lag]) / total };

    // Pairs ρ(t) + ρ(t + 1) of a reversible chain are positive and fall; noise takes over where an estimate does not.
    let (mut sum, mut last) = (0.0, 1.0 + rho(1));
    let mut least = last;
    let mut t = 0;
    while last > 0.0 && t + 5 < n {
        least = last.min(least);
        sum += least;
        t += 2;
        last = rho(t) + rho(t + 1);
    }
    // The first lag of the pair that ended it still counts where it is positive: less variance for antithetic chains.
    let end = if last >= 0.0 { rho(t) } else { rho(t).max(0.0) };
    let tau = 2.0 * sum - 1.0 + end;
    let size = traces.pooled().len() as f64;
    Ok(size / tau.max(1.0 / size.log10()))
}
