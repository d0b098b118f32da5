//! Has a loss run away? It may stay finite for long, where the model is worth nothing any more.

/// A loss has run away where it is so many times as far above that of a flat energy as it was at the start. Honest training comes down
/// from its start; a step that is too long once and is made good again stays below.
const FACTOR: f64 = 100.0;

/// What is remembered of the losses of a run that have a value of their own: those of score matching and noise-contrastive estimation.
///
/// An energy that says nothing has a loss that is known, F. One whose loss is above F is worse than none. The start may be so; a run may go
/// above it for a moment. It has run away where more than half of the losses since the last look are above F + 100 max(|L₀ − F|, U), with L₀
/// the first loss and U what a Gaussian that fits the data gains at most. As every loss is compared with one of its own unit, the scale of
/// the data does not matter; as more than half must be above, neither do single batches with outliers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Runaway {
    /// Above this a loss is beyond; none before the first loss.
    pub(crate) most: Option<f64>,
    /// Losses since the last look, and how many of them were beyond.
    pub(crate) seen: u64,
    pub(crate) beyond: u64,
}

impl Runaway {
    /// Counts a loss. `flat` gives the loss of a flat energy, and what a fit gains.
    pub(crate) fn count(&mut self, loss: f64, flat: impl FnOnce() -> [f64; 2]) {
        let most = *self.most.get_or_insert_with(|| {
            let [flat, gain] = flat();
            flat + FACTOR * gain.max((loss - flat).abs())
        });
        self.seen += 1;
        self.beyond += u64::from(loss > most);
    }

    /// Says so where the losses since the last look, at least so many, have run away; they are forgotten then.
    pub(crate) fn look(&mut self, at_least: u64) -> Option<String> {
        if self.seen < at_least {
            return None;
        }
        let (seen, beyond) = (self.seen, self.beyond);
        self.forget();
        let most = self.most.filter(|_| 2 * beyond > seen)?;
        Some(format!(
            "{beyond} of the last {seen} losses are above {most:.2e}, where the model is far worse than a flat one and than it was at the start"
        ))
    }

    /// What was counted is of parameters that are given up.
    pub(crate) fn forget(&mut self) {
        (self.seen, self.beyond) = (0, 0);
    }
}
