//! The stored draws of one quantity.

use super::Undefined;
use crate::{Error, Result};

/// The draws of one quantity, chain by chain: `[chain][draw]` in f64.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    draws: usize,
    values: Vec<f64>,
}

/// Above this, fourth powers (in the error of an sd) and their sums could leave the range of f64.
const LARGEST: f64 = 1e70;

impl Traces {
    /// From one slice or vector of draws a chain.
    ///
    /// # Errors
    /// [`Error::Setting`] without a chain; [`Error::Shape`] where a chain has more or fewer draws than the first.
    pub fn new(chains: &[impl AsRef<[f64]>]) -> Result<Self> {
        let Some(first) = chains.first() else {
            return Err(Error::setting("number of chains", 0, "must be at least 1"));
        };
        let draws = first.as_ref().len();
        let mut values = Vec::with_capacity(draws * chains.len());
        for (chain, trace) in chains.iter().enumerate() {
            let trace = trace.as_ref();
            if trace.len() != draws {
                return Err(Error::shape(format!("draws of chain {chain}"), draws, trace.len()));
            }
            values.extend_from_slice(trace);
        }
        Ok(Self { draws, values })
    }

    /// Of one coordinate of stored positions, `[draw][dim][chain]`.
    ///
    /// # Errors
    /// [`Error::Setting`] where there is no chain or no such coordinate; [`Error::Shape`] where the last draw is not whole.
    pub fn of_coordinate(positions: &[f32], dim: usize, chains: usize, coordinate: usize) -> Result<Self> {
        if chains == 0 {
            return Err(Error::setting("number of chains", 0, "must be at least 1"));
        }
        if coordinate >= dim {
            return Err(Error::setting("coordinate", coordinate, format!("must be below the dimension, {dim}")));
        }
        let size = dim.saturating_mul(chains);
        if !positions.len().is_multiple_of(size) {
            let whole = positions.len().div_ceil(size).saturating_mul(size);
            return Err(Error::shape("positions ([draw][dim][chain])", whole, positions.len()));
        }
        let draws = positions.len() / size;
        let mut values = vec![0.0; draws * chains];
        for (draw, position) in positions.chunks_exact(size).enumerate() {
            for (chain, &x) in position[coordinate * chains..][..chains].iter().enumerate() {
                values[chain * draws + draw] = f64::from(x);
            }
        }
        Ok(Self { draws, values })
    }

    /// Draws a chain.
    pub fn draws(&self) -> usize {
        self.draws
    }

    /// The chains, each with its draws in order.
    pub fn chains(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.values.chunks_exact(self.draws.max(1))
    }

    /// A function of the quantity, draw by draw.
    pub fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self { draws: self.draws, values: self.values.iter().map(|&x| f(x)).collect() }
    }

    /// All draws of all chains, one chain after the other.
    pub(super) fn pooled(&self) -> &[f64] {
        &self.values
    }

    /// All draws of all chains in ascending order.
    pub(super) fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.values.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    }

    /// The same draws, with other values for them.
    pub(super) fn with_values(&self, values: Vec<f64>) -> Self {
        Self { draws: self.draws, values }
    }

    /// Every chain cut in two halves, so that a drift within a chain shows as a difference between chains; of an odd number of
    /// draws the middle one is left out.
    pub(super) fn split(&self) -> Self {
        let half = self.draws / 2;
        let halves = self.chains().flat_map(|chain| [&chain[..half], &chain[self.draws - half..]]);
        Self { draws: half, values: halves.flatten().copied().collect() }
    }

    /// Mean of all draws.
    pub(super) fn mean(&self) -> f64 {
        mean(&self.values)
    }

    /// Sample standard deviation of all draws.
    pub(super) fn sd(&self) -> f64 {
        variance(&self.values).sqrt()
    }

    /// What every diagnostic needs: enough draws, all of them finite, some of them different.
    pub(super) fn check(&self, least: usize) -> Result<(), Undefined> {
        self.check_finite(least)?;
        if is_constant(&self.values) {
            return Err(Undefined::Constant);
        }
        if self.chains().all(is_constant) { Err(Undefined::AtRest) } else { Ok(()) }
    }

    /// Enough draws, all of them finite.
    pub(super) fn check_finite(&self, least: usize) -> Result<(), Undefined> {
        if self.draws < least {
            return Err(Undefined::TooFewDraws { draws: self.draws, least });
        }
        match self.values.iter().position(|x| x.is_nan() || x.abs() >= LARGEST) {
            Some(at) => Err(Undefined::NotFinite { chain: at / self.draws, draw: at % self.draws }),
            None => Ok(()),
        }
    }
}

/// Whether all values are one. By comparison, since the variance of equal numbers need not round to zero.
pub(super) fn is_constant(values: &[f64]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sample variance, with n − 1.
pub(super) fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
}
