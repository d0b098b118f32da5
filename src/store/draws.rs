//! Draws in memory.

use super::{Draw, Shape, Sink};
use crate::{Error, Result};

/// Draws kept in memory. Another collection of the same chains adds to them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Draws {
    dim: usize,
    chains: usize,
    steps: Vec<u64>,
    positions: Vec<f32>,
    energies: Vec<f32>,
}

impl Draws {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Draws of each chain.
    pub fn count(&self) -> usize {
        self.steps.len()
    }

    /// Number of coordinates.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of stored chains.
    pub fn chains(&self) -> usize {
        self.chains
    }

    /// Positions, `[draw][dim][chain]`.
    pub fn positions(&self) -> &[f32] {
        &self.positions
    }

    /// Energies E(x), `[draw][chain]`.
    pub fn energies(&self) -> &[f32] {
        &self.energies
    }

    /// The steps that the chains had done at each draw.
    pub fn steps(&self) -> &[u64] {
        &self.steps
    }

    /// The positions of one draw, `[dim][chain]`; None beyond the last.
    pub fn draw(&self, draw: usize) -> Option<&[f32]> {
        let size = self.dim * self.chains;
        self.positions.get(draw.checked_mul(size)?..)?.get(..size).filter(|_| draw < self.count())
    }
}

impl Sink for Draws {
    fn begin(&mut self, shape: &Shape) -> Result<()> {
        if self.steps.is_empty() {
            (self.dim, self.chains) = (shape.dim, shape.chains);
        }
        if (self.dim, self.chains) != (shape.dim, shape.chains) {
            let what = "values a draw, as the draws that are kept already have them";
            return Err(Error::shape(what, self.dim * self.chains, shape.dim * shape.chains));
        }
        if !shape.at_most {
            reserve(&mut self.positions, (shape.dim * shape.chains) as u64, shape.draws)?;
            reserve(&mut self.energies, shape.chains as u64, shape.draws)?;
        }
        Ok(())
    }

    fn write(&mut self, draws: &[Draw<'_>]) -> Result<()> {
        for draw in draws {
            let (positions, energies) = (draw.positions.len() as u64, draw.energies.len() as u64);
            if self.positions.capacity() - self.positions.len() < draw.positions.len() {
                // Twice as much, so that no draw is moved often.
                reserve(&mut self.positions, positions, self.steps.len() as u64 + 1)?;
                reserve(&mut self.energies, energies, self.steps.len() as u64 + 1)?;
            }
            self.positions.extend_from_slice(draw.positions);
            self.energies.extend_from_slice(draw.energies);
            self.steps.push(draw.step);
        }
        Ok(())
    }
}

/// Room for more values, or an error: an allocation that fails otherwise ends the program.
fn reserve(values: &mut Vec<f32>, a_draw: u64, draws: u64) -> Result<()> {
    let more = a_draw.saturating_mul(draws);
    let fits = usize::try_from(more).is_ok_and(|more| values.try_reserve_exact(more).is_ok());
    if fits {
        return Ok(());
    }
    Err(Error::Limit {
        what: "bytes of draws in memory".into(),
        asked: (values.len() as u64).saturating_add(more).saturating_mul(4),
        allowed: (values.capacity() * 4) as u64,
        limit: "the allocator (thin them, store fewer chains, or store them in a file)".into(),
    })
}
