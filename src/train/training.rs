//! How to train, and what an update did.

use std::time::Duration;

use super::{Loss, Optimizer};
use crate::{Error, Result, error::positive};

/// How to train. [`Training::new`] gives batches of 256 and no moving average.
#[derive(Debug, Clone)]
pub struct Training {
    /// What is minimised.
    pub loss: Loss,
    /// How.
    pub optimizer: Optimizer,
    /// Data points an update; all of them where there are fewer.
    pub batch: usize,
    /// Decay of a moving average of the parameters, in [0, 1): [`Trainer::averaged`](super::Trainer::averaged).
    pub average: Option<f64>,
    /// The mean energy of data less that of chains may be so far from zero; beyond, training has run away.
    pub most_gap: f64,
    /// How often training may go back to good parameters before it is an error. It does where the loss, its gradient or a parameter is
    /// not finite; where the gap is too large; where not one of an update's transitions, of which there are 1,000 or more, moved a
    /// chain (the model has collapsed, or the kernel's steps are too large); and
    /// - where the loss of score matching or noise-contrastive estimation runs away: above F + 10⁶ M, or of the last 20 updates, looked at as
    ///   often, more than half above F + 10² M. F is the loss of a flat energy (0 of implicit and sliced score matching, `dim`/2 of denoising,
    ///   ln(1 + ν) + ν ln(1 + 1/ν) of noise-contrastive estimation with ν noise points a data point), M the larger of |L₀ − F|, with L₀ the
    ///   first loss, and a unit of the loss (½ Σ 1/variance of the data's coordinates; F of the others);
    /// - where, looked at every 20 updates in batches of 32 points or more, the energy has gone flat: where the law exp(−E/T) is that of the
    ///   data, of mean m in `dim` coordinates, mean (x − m)·∇E = T dim; the root mean square of that was at least half of T dim, and is below
    ///   a twentieth of it. T is 1 but of chains with another temperature; denoising score matching has noise on the data here, too.
    pub most_rollbacks: u32,
    /// Seed of all random numbers.
    pub seed: u64,
}

impl Training {
    /// With batches of 256, a gap of at most 10⁴, at most ten rollbacks, seed 0.
    pub fn new(loss: Loss, optimizer: Optimizer) -> Self {
        Self { loss, optimizer, batch: 256, average: None, most_gap: 1e4, most_rollbacks: 10, seed: 0 }
    }

    /// Other batches.
    pub fn batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// A moving average of the parameters.
    pub fn average(self, decay: f64) -> Self {
        Self { average: Some(decay), ..self }
    }

    /// Another seed.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    pub(super) fn check(&self, dim: usize) -> Result<()> {
        self.loss.check(dim)?;
        self.optimizer.check()?;
        positive("largest gap", self.most_gap)?;
        if self.batch == 0 {
            return Err(Error::setting("batch", 0, "must be at least 1"));
        }
        match self.average {
            Some(decay) if !(0.0..1.0).contains(&decay) => {
                Err(Error::setting("decay of the average", decay, "must be at least 0 and below 1"))
            }
            _ => Ok(()),
        }
    }
}

/// What an update did.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Update {
    /// Updates so far, this one included.
    pub updates: u64,
    /// The loss at the batch, before the step; NaN where the update was rolled back.
    pub loss: f64,
    /// Mean energy of data less that of the chains, where there are chains.
    pub gap: Option<f64>,
    /// Euclidean norm of the gradient.
    pub grad_norm: f64,
    /// Times that training has gone back to good parameters.
    pub rollbacks: u32,
    /// Time since the call of [`Trainer::run`](super::Trainer::run).
    pub elapsed: Duration,
}
