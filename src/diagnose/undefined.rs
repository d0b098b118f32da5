//! Why a diagnostic has no value.

/// Why a diagnostic has no value. Variants may be added.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Undefined {
    /// There are not enough draws.
    #[error("{draws} draws a chain are too few; it takes {least}")]
    TooFewDraws {
        /// Draws a chain.
        draws: usize,
        /// The least number that gives a value.
        least: usize,
    },
    /// A draw is NaN, infinite, or so large that its fourth power is no f64.
    #[error("draw {draw} of chain {chain} is not a finite number below 1e70")]
    NotFinite {
        /// The chain, from 0.
        chain: usize,
        /// The draw, from 0.
        draw: usize,
    },
    /// Every draw of every chain is the same number.
    #[error("every draw is the same")]
    Constant,
    /// All draws are as far from their mean, one way or the other.
    #[error("every draw is as far from the mean")]
    EquallyFar,
    /// The chains stand at different numbers, and none of them ever moves (for R-hat, within half of its draws).
    #[error("no chain moves: each stands at a number of its own")]
    AtRest,
    /// So many draws are equal to the smallest or the largest that none lies beyond the quantile.
    #[error("no draw lies beyond the {:.4} % quantile, since too many are equal", 100.0 * probability)]
    NoTail {
        /// Probability of the quantile.
        probability: f64,
    },
    /// A quantile was asked for whose probability does not lie between 0 and 1.
    #[error("there is no quantile of probability {0}; it must lie between 0 and 1")]
    Probability(f64),
}
