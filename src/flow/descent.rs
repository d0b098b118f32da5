//! How everything that is trained here goes down its gradient.

use crate::{
    Error, Result,
    train::{Memory, Optimizer},
};

/// An optimiser and what it remembers, for parameters in f32, as the GPU reads them; its memory is in f64.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Descent {
    /// What messages call the learning rate.
    name: &'static str,
    optimizer: Optimizer,
    pub(super) memory: Memory,
}

impl Descent {
    /// Of so many parameters.
    ///
    /// # Errors
    /// [`Error::Setting`] where a setting of the optimiser is outside of its range.
    pub(super) fn new(name: &'static str, optimizer: &Optimizer, params: usize) -> Result<Self> {
        optimizer.check()?;
        Ok(Self { name, optimizer: optimizer.clone(), memory: Memory::new(params) })
    }

    /// The parameters one step on, and what comes then, from the objective and its gradient.
    ///
    /// # Errors
    /// [`Error::Setting`] where the objective is not finite, or a parameter would not be.
    pub(super) fn step(&self, params: &[f32], objective: f64, grad: &[f64]) -> Result<(Vec<f32>, Self)> {
        let mut next = self.clone();
        let mut wide: Vec<_> = params.iter().map(|&p| f64::from(p)).collect();
        self.optimizer.descend(&mut wide, grad, &mut next.memory);
        let moved: Vec<_> = wide.into_iter().map(|p| p as f32).collect();
        if objective.is_finite() && moved.iter().all(|p| p.is_finite()) {
            return Ok((moved, next));
        }
        let update = self.memory.steps;
        let why = format!("training diverged in update {update}; lower it");
        Err(Error::setting(self.name, self.optimizer.rate().at(update), why))
    }
}

/// The means of what so many updates saw.
pub(super) fn means<const N: usize>(updates: u64, mut update: impl FnMut() -> Result<[f64; N]>) -> Result<[f64; N]> {
    let mut sums = [0.0; N];
    for _ in 0..updates {
        let seen = update()?;
        sums.iter_mut().zip(seen).for_each(|(sum, v)| *sum += v);
    }
    Ok(sums.map(|sum| sum / updates.max(1) as f64))
}
