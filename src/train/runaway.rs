//! Has a loss run away? It may stay finite for long, where the model is worth nothing any more.

/// Losses have run away where most of them are so many times as far above that of a flat energy as the first was, or one is so many.
const MOST_FACTOR: f64 = 1e2;
const ONE_FACTOR: f64 = 1e6;

/// What is remembered of the losses of a run that have a value of their own: those of score matching and noise-contrastive estimation.
///
/// An energy that says nothing has a loss that is known, F. One whose loss is above F is worse than none. The start may be so; a run may go
/// above it for a moment. It has run away where more than half of the losses since the last look are above F + 10² M, or a single one is above
/// F + 10⁶ M, with M = max(|L₀ − F|, U), L₀ the first loss and U what a Gaussian that fits the data gains at most. As every loss is
/// compared with one of its own unit, the scale of the data does not matter. Nor does an outlier: of n points none is farther than √n standard
/// deviations from their mean, so with an energy that rises as a square or slower its batch of B is not above about n/B units.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Runaway {
    /// F and M; none before the first loss.
    pub(crate) scale: Option<[f64; 2]>,
    /// Losses since the last look, and how many of them were beyond.
    pub(crate) seen: u64,
    pub(crate) beyond: u64,
}

impl Runaway {
    /// Counts a loss, and says so where it has run away by itself. `flat` gives the loss of a flat energy, and what a fit gains.
    pub(crate) fn count(&mut self, loss: f64, flat: impl FnOnce() -> [f64; 2]) -> Option<String> {
        let [flat, unit] = *self.scale.get_or_insert_with(|| {
            let [flat, gain] = flat();
            [flat, gain.max((loss - flat).abs())]
        });
        self.seen += 1;
        self.beyond += u64::from(loss > flat + MOST_FACTOR * unit);
        let most = flat + ONE_FACTOR * unit;
        (loss > most).then(|| format!("the loss is {loss:.2e}, above {most:.2e}: {WORSE}"))
    }

    /// Says so where the losses since the last look, at least so many, have run away; they are forgotten then.
    pub(crate) fn look(&mut self, at_least: u64) -> Option<String> {
        if self.seen < at_least {
            return None;
        }
        let (seen, beyond) = (self.seen, self.beyond);
        self.forget();
        let [flat, unit] = self.scale.filter(|_| 2 * beyond > seen)?;
        let most = flat + MOST_FACTOR * unit;
        Some(format!("{beyond} of the last {seen} losses are above {most:.2e}: {WORSE}"))
    }

    /// What was counted is of parameters that are given up.
    pub(crate) fn forget(&mut self) {
        (self.seen, self.beyond) = (0, 0);
    }
}

const WORSE: &str = "the model is far worse than a flat one and than it was at the start";
