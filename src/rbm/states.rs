//! Binary units of many chains, as bits.

use rayon::prelude::*;

use super::Reals;
use crate::{Result, error::room};

/// Units of many chains (or images): bit c mod 32 of word `[unit][c / 32]` is that of chain c.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct States {
    units: usize,
    chains: usize,
    words: Vec<u32>,
}

impl States {
    /// All units zero.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) beyond 2³² − 1 words of 32 chains; [`Error::Setting`](crate::Error::Setting) where memory does not
    /// hold them.
    pub fn zeros(units: usize, chains: usize) -> Result<Self> {
        Self::check_room(units, chains)?;
        Ok(Self::blank(units, chains))
    }

    /// Checks that there can be so many.
    pub(crate) fn check_room(units: usize, chains: usize) -> Result<()> {
        room("words of 32 chains", units.saturating_mul(chains.div_ceil(32)), size_of::<u32>())
    }

    /// All units zero, of no more chains than there is room for.
    pub(crate) fn blank(units: usize, chains: usize) -> Self {
        Self { units, chains, words: vec![0; units * chains.div_ceil(32)] }
    }

    /// From rows, `[chain][unit]`: one where a value is at least `threshold`.
    ///
    /// # Errors
    /// As [`Reals::new`].
    pub fn from_rows(rows: &[f32], units: usize, threshold: f32) -> Result<Self> {
        Ok(Reals::new(rows, units)?.at_least(threshold))
    }

    pub(crate) fn from_words(units: usize, chains: usize, words: Vec<u32>) -> Self {
        debug_assert_eq!(words.len(), units * chains.div_ceil(32));
        Self { units, chains, words }
    }

    /// Number of units.
    pub fn units(&self) -> usize {
        self.units
    }

    /// Number of chains.
    pub fn chains(&self) -> usize {
        self.chains
    }

    /// Words a unit.
    pub(crate) fn groups(&self) -> usize {
        self.chains.div_ceil(32)
    }

    /// The words, `[unit][chain / 32]`; bits beyond the last chain mean nothing.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// One unit of one chain.
    ///
    /// # Panics
    /// Beyond the last unit or chain; so does `set`.
    pub fn get(&self, unit: usize, chain: usize) -> bool {
        assert!(unit < self.units && chain < self.chains, "unit {unit}, chain {chain}");
        self.words[unit * self.groups() + chain / 32] >> (chain % 32) & 1 == 1
    }

    /// Sets one unit of one chain.
    pub fn set(&mut self, unit: usize, chain: usize, on: bool) {
        assert!(unit < self.units && chain < self.chains, "unit {unit}, chain {chain}");
        let at = unit * self.groups() + chain / 32;
        self.words[at] = self.words[at] & !(1 << (chain % 32)) | u32::from(on) << (chain % 32);
    }

    /// The units of one chain as zeros and ones.
    ///
    /// # Panics
    /// Beyond the last chain.
    pub fn row(&self, chain: usize) -> Vec<f64> {
        (0..self.units).map(|unit| f64::from(u8::from(self.get(unit, chain)))).collect()
    }

    /// The units of some chains as zeros and ones, `[chain][unit]`.
    pub(crate) fn rows<T: From<u8>>(&self, chains: std::ops::Range<usize>) -> Vec<T> {
        chains.flat_map(|chain| (0..self.units).map(move |unit| T::from(u8::from(self.get(unit, chain))))).collect()
    }

    /// The units of the chains named as zeros and ones, `[chain][unit]`, by words of 32 rows.
    pub(crate) fn rows_named(&self, chains: &[usize]) -> Vec<f32> {
        let mut rows = vec![0.0; chains.len() * self.units];
        rows.par_chunks_mut(32 * self.units).zip(chains.par_chunks(32)).for_each(|(rows, chains)| {
            for (unit, words) in self.words.chunks_exact(self.groups()).enumerate() {
                for (row, &chain) in chains.iter().enumerate() {
                    rows[row * self.units + unit] = (words[chain / 32] >> (chain % 32) & 1) as f32;
                }
            }
        });
        rows
    }

    /// Sets chains from `first` on to the rows of zeros and ones, `[chain][unit]`.
    pub(crate) fn set_rows<T: PartialOrd + From<u8>>(&mut self, first: usize, rows: &[T]) {
        for (chain, row) in rows.chunks_exact(self.units).enumerate() {
            for (unit, value) in row.iter().enumerate() {
                self.set(unit, first + chain, *value > T::from(0));
            }
        }
    }

    /// The chains named, in that order.
    ///
    /// # Panics
    /// Beyond the last chain.
    pub fn select(&self, chains: &[usize]) -> Self {
        let mut selected = Self::blank(self.units, chains.len());
        for (to, &from) in chains.iter().enumerate() {
            (0..self.units).for_each(|unit| selected.set(unit, to, self.get(unit, from)));
        }
        selected
    }

    /// The mean of each unit over all chains.
    pub fn means(&self) -> Vec<f64> {
        (0..self.units)
            .map(|unit| (0..self.chains).filter(|&chain| self.get(unit, chain)).count() as f64 / self.chains as f64)
            .collect()
    }
}
