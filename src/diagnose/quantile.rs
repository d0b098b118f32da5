//! Quantiles of all draws.

use super::{Traces, Undefined};

/// The quantile of a probability in [0, 1], interpolated between the draws next to it (type 7 of Hyndman and Fan 1996, the default of
/// R and NumPy).
///
/// # Errors
/// [`Undefined`] without draws, with one that is not finite, or for a probability outside of [0, 1].
pub fn quantile(traces: &Traces, probability: f64) -> Result<f64, Undefined> {
    check(probability)?;
    traces.check_finite(1)?;
    Ok(of_sorted(&traces.sorted(), probability))
}

pub(super) fn check(probability: f64) -> Result<(), Undefined> {
    if (0.0..=1.0).contains(&probability) { Ok(()) } else { Err(Undefined::Probability(probability)) }
}

/// Of values in ascending order, at least one.
pub(super) fn of_sorted(sorted: &[f64], probability: f64) -> f64 {
    let last = sorted.len() - 1;
    let at = last as f64 * probability;
    let below = at as usize;
    let above = (below + 1).min(last);
    sorted[below] + (at - below as f64) * (sorted[above] - sorted[below])
}
