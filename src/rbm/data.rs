//! Rows of data: binary, as bits ([`States`]), or real ([`Reals`]).

use super::States;
use crate::{Error, Result, error::place};

/// Rows of data of equally many units: [`States`] or [`Reals`].
pub trait Data: Sync + sealed::Sealed {
    /// Values a row.
    fn units(&self) -> usize;

    /// Number of rows.
    fn count(&self) -> usize;

    /// One row.
    ///
    /// # Panics
    /// Beyond the last row.
    fn row(&self, row: usize) -> Vec<f64>;

    /// The mean of each unit over all rows.
    fn means(&self) -> Vec<f64>;

    /// The rows named, in that order, `[row][unit]`.
    ///
    /// # Panics
    /// Beyond the last row.
    fn rows_of(&self, rows: &[usize]) -> Vec<f32>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::States {}
    impl Sealed for super::Reals {}
}

impl Data for States {
    fn units(&self) -> usize {
        self.units()
    }

    fn count(&self) -> usize {
        self.chains()
    }

    fn row(&self, row: usize) -> Vec<f64> {
        self.row(row)
    }

    fn means(&self) -> Vec<f64> {
        self.means()
    }

    fn rows_of(&self, rows: &[usize]) -> Vec<f32> {
        self.rows_named(rows)
    }
}

/// Rows of finite real numbers, `[row][unit]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Reals {
    units: usize,
    values: Vec<f32>,
}

impl Reals {
    /// From rows, `[row][unit]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the last row is not whole; [`Error::Setting`] where `units` is zero or a value is not finite.
    pub fn new(values: impl Into<Vec<f32>>, units: usize) -> Result<Self> {
        let values = values.into();
        if units == 0 {
            return Err(Error::setting("units", 0, "must be at least 1"));
        }
        if values.is_empty() || !values.len().is_multiple_of(units) {
            let expected = values.len().div_ceil(units).max(1).saturating_mul(units);
            return Err(Error::shape("values ([row][unit])", expected, values.len()));
        }
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(Self { units, values }),
            Some(i) => Err(Error::setting(place(i / units, i % units), values[i], "must be a finite number")),
        }
    }

    /// Values a row.
    pub fn units(&self) -> usize {
        self.units
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.values.len() / self.units
    }

    /// The values, `[row][unit]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The rows named, in that order.
    ///
    /// # Panics
    /// Beyond the last row.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self { units: self.units, values: self.rows_of(rows) }
    }

    /// The standard deviation of each unit over all rows.
    pub fn sds(&self) -> Vec<f64> {
        let (means, n) = (self.means(), self.count() as f64);
        let mut squares = vec![0.0; self.units];
        for row in self.values.chunks_exact(self.units) {
            squares.iter_mut().zip(row).zip(&means).for_each(|((s, &v), mean)| *s += (f64::from(v) - mean).powi(2));
        }
        squares.into_iter().map(|s: f64| (s / n).sqrt()).collect()
    }

    /// Binary rows: one where a value is at least `threshold`.
    pub fn at_least(&self, threshold: f32) -> States {
        let mut states = States::blank(self.units, self.count());
        for (chain, row) in self.values.chunks_exact(self.units).enumerate() {
            row.iter().enumerate().for_each(|(unit, &value)| states.set(unit, chain, value >= threshold));
        }
        states
    }
}

impl Data for Reals {
    fn units(&self) -> usize {
        self.units
    }

    fn count(&self) -> usize {
        self.count()
    }

    fn row(&self, row: usize) -> Vec<f64> {
        self.values[row * self.units..(row + 1) * self.units].iter().map(|&v| f64::from(v)).collect()
    }

    fn means(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.units];
        for row in self.values.chunks_exact(self.units) {
            sums.iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v));
        }
        sums.into_iter().map(|sum| sum / self.count() as f64).collect()
    }

    fn rows_of(&self, rows: &[usize]) -> Vec<f32> {
        rows.iter().flat_map(|&row| &self.values[row * self.units..(row + 1) * self.units]).copied().collect()
    }
}
