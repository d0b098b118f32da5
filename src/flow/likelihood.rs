//! Training by maximum likelihood.

use super::{
    Flow,
    descent::{Descent, means},
    pair::wide,
};
use crate::{
    Error, Result,
    error::{points, room},
    random::{Stream, key, threefry},
    train::Optimizer,
};

/// How to train. [`Default`]: batches of 512 and Adam at 0.003.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// Points an update, of data and of the flow each.
    pub batch: usize,
    /// What moves the flow, its learning rate being a function of the flow's own updates.
    pub optimizer: Optimizer,
    /// Seed of all random numbers.
    pub seed: u64,
}

impl Default for Training {
    fn default() -> Self {
        Self { batch: 512, optimizer: Optimizer::adam(0.003), seed: 1 }
    }
}

impl Training {
    /// Checks the settings, and begins.
    pub(super) fn descent(&self, flow: &Flow) -> Result<Descent> {
        if self.batch == 0 {
            return Err(Error::setting("batch", 0, "must be at least 1"));
        }
        // What a pass remembers of each point.
        let traced = flow.layers().saturating_mul(flow.hidden() + 2 * flow.dim()).saturating_mul(2 * size_of::<f64>());
        room("batch", self.batch, traced)?;
        Descent::new("learning rate", &self.optimizer, flow.params().len())
    }

    /// The points of an update, drawn with replacement from checked data, `[dim][point]`.
    pub(super) fn draw(&self, dim: usize, data: &[f32], update: u64) -> Vec<f32> {
        let count = data.len() / dim;
        let key = key(self.seed, Stream::Shuffle, update);
        let row = |i: usize| ((u64::from(threefry(key, [i as u32, 1])[0]) * count as u64) >> 32) as usize;
        let rows: Vec<_> = (0..self.batch).map(row).collect();
        data.chunks(count).flat_map(|values| rows.iter().map(|&row| values[row])).collect()
    }
}

/// A flow in training by maximum likelihood: maximises Σ log q(xₙ). What follows depends on this state, the settings and the data
/// alone, bit for bit.
///
/// ```
/// # use ergodic::flow::{Flow, Likelihood, Training};
/// let data: Vec<f32> = (0..200).map(|i| (i as f32 / 30.0).sin()).collect();    // [dim][point]
/// let mut trainer = Likelihood::new(Flow::new(2, 4, 8, 1)?, Training::default())?;
/// let before = trainer.advance(&data, 10)?;
/// let after = trainer.advance(&data, 50)?;
/// assert!(after > before);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Likelihood {
    pub(super) settings: Training,
    pub(super) flow: Flow,
    pub(super) descent: Descent,
}

impl Likelihood {
    /// Starts to train a flow.
    ///
    /// # Errors
    /// [`Error::Setting`] where a setting is outside of its range.
    pub fn new(flow: Flow, settings: Training) -> Result<Self> {
        let descent = settings.descent(&flow)?;
        Ok(Self { settings, flow, descent })
    }

    /// The flow as it is now.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Updates so far.
    pub fn updates(&self) -> u64 {
        self.descent.memory.steps
    }

    /// Updates by batches of the data, `[dim][point]`; the mean log-density of the batches, each before its update.
    ///
    /// # Errors
    /// [`Error::Shape`] where the data do not fit or there are none; [`Error::Setting`] where a number is not finite, with its row (the
    /// point) and column (the coordinate), from 1, or where the parameters would leave the finite range (the state is then that before this
    /// update).
    pub fn advance(&mut self, data: &[f32], updates: u64) -> Result<f64> {
        points("data", self.flow.dim(), data)?;
        // Within the pool, where work is handed round at once; from outside, each batch would wait for threads to wake.
        Ok(rayon::scope(|_| means(updates, || self.update(data)))?[0])
    }

    fn update(&mut self, data: &[f32]) -> Result<[f64; 1]> {
        let batch = self.settings.draw(self.flow.dim(), data, self.updates());
        let pass = self.flow.inverse_in_training(&wide(&batch))?;
        let count = self.settings.batch as f64;
        let likelihood = pass.log_densities().iter().sum::<f64>() / count;
        let grad = pass.reverse_density(&vec![-count.recip(); self.settings.batch])?.params;
        let (moved, descent) = self.descent.step(self.flow.params(), likelihood, &grad)?;
        self.flow.set_params(&moved)?;
        self.descent = descent;
        Ok([likelihood])
    }
}
