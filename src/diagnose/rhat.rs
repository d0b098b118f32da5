//! R-hat: do the chains agree?

use super::{
    Traces, Undefined, rank,
    traces::{is_constant, mean, variance},
};

/// The least number of draws: two in each half.
const LEAST: usize = 4;

/// Rank-normalised split R-hat, the greater of that of the draws, which sees chains in different places, and that of the distances
/// from their median, which sees chains of different widths (Vehtari et al. 2021). Near 1 where the chains agree; above 1.01 run
/// longer.
///
/// # Errors
/// [`Undefined`] with fewer than 4 draws a chain, where a draw is not finite, and where no chain moves.
pub fn rhat(traces: &Traces) -> Result<f64, Undefined> {
    traces.check(LEAST)?;
    let bulk = of_chains(&rank::normalise(&traces.split()))?;
    match of_chains(&rank::normalise(&rank::fold(traces).split())) {
        Ok(folded) => Ok(bulk.max(folded)),
        // A quantity of two values, both as far from the median: its distances say nothing.
        Err(Undefined::Constant) => Ok(bulk),
        Err(why) => Err(why),
    }
}

/// Split R-hat of the draws themselves (Gelman et al. 2013): sees only chains in different places, and needs a finite variance.
///
/// # Errors
/// As [`rhat`].
pub fn split_rhat(traces: &Traces) -> Result<f64, Undefined> {
    traces.check(LEAST)?;
    of_chains(&traces.split())
}

/// √(((n − 1) W + B) / (n W)) with W the mean of the chains' variances and B = n times the variance of their n draws' means.
fn of_chains(traces: &Traces) -> Result<f64, Undefined> {
    if is_constant(traces.pooled()) {
        return Err(Undefined::Constant);
    }
    if traces.chains().all(is_constant) {
        return Err(Undefined::AtRest);
    }
    let n = traces.draws() as f64;
    let (means, variances): (Vec<_>, Vec<_>) = traces.chains().map(|chain| (mean(chain), variance(chain))).unzip();
    let within = mean(&variances);
    let between = n * variance(&means);
    Ok(((between / within + n - 1.0) / n).sqrt())
}
