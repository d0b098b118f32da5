//! Ranks instead of values: diagnostics then need no finite variance, and do not change under a change of scale.

use statrs::distribution::{ContinuousCDF, Normal};

use super::{Traces, quantile};

/// Rank normalisation: each draw becomes Φ⁻¹((r − 3/8)/(S + 1/4)) with its rank r among all S draws, equal draws sharing the mean
/// of their ranks (Vehtari et al. 2021, equation 14; Blom 1958).
pub(super) fn normalise(traces: &Traces) -> Traces {
    let normal = Normal::standard();
    let mut order: Vec<(f64, usize)> = traces.pooled().iter().copied().zip(0..).collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let size = order.len() as f64;
    let mut scores = vec![0.0; order.len()];
    let mut below = 0;
    // `==` and not total_cmp: 0 and −0 are equal.
    for equal in order.chunk_by(|a, b| a.0 == b.0) {
        let rank = below as f64 + 0.5 * (equal.len() as f64 + 1.0);
        let score = normal.inverse_cdf((rank - 0.375) / (size + 0.25));
        equal.iter().for_each(|&(_, at)| scores[at] = score);
        below += equal.len();
    }
    traces.with_values(scores)
}

/// Distances from the median of all draws: chains that differ in scale alone differ in the location of these.
pub(super) fn fold(traces: &Traces) -> Traces {
    let median = quantile::of_sorted(&traces.sorted(), 0.5);
    traces.map(|x| (x - median).abs())
}
