//! The table of everything that one wants to know of stored draws.

use std::fmt;

use rayon::prelude::*;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    Traces, Undefined,
    ess::{ess_bulk, ess_tail},
    mcse::{mcse_mean, mcse_sd},
    quantile::of_sorted,
    rhat::rhat,
};
use crate::{Error, Result};

/// What there is to know of one quantity.
///
/// Serialises as a map of its fields; an undefined one is null, and `undefined` then says why, field by field.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// Name of the quantity.
    pub name: String,
    /// Mean.
    pub mean: Result<f64, Undefined>,
    /// Sample standard deviation.
    pub sd: Result<f64, Undefined>,
    /// Monte Carlo standard error of the mean.
    pub mcse_mean: Result<f64, Undefined>,
    /// Monte Carlo standard error of the standard deviation.
    pub mcse_sd: Result<f64, Undefined>,
    /// 5 % quantile.
    pub q5: Result<f64, Undefined>,
    /// 50 % quantile.
    pub median: Result<f64, Undefined>,
    /// 95 % quantile.
    pub q95: Result<f64, Undefined>,
    /// Effective sample size of the rank-normalised draws.
    pub ess_bulk: Result<f64, Undefined>,
    /// Effective sample size of the 5 % and 95 % quantiles, the smaller of the two.
    pub ess_tail: Result<f64, Undefined>,
    /// Rank-normalised split R-hat.
    pub rhat: Result<f64, Undefined>,
}

impl Row {
    /// Of the draws of one quantity.
    pub fn new(name: impl Into<String>, traces: &Traces) -> Self {
        let sorted = traces.check_finite(1).map(|()| traces.sorted());
        let quantile = |probability| sorted.as_deref().map(|sorted| of_sorted(sorted, probability)).map_err(|&why| why);
        Self {
            name: name.into(),
            mean: traces.check_finite(1).map(|()| traces.mean()),
            sd: traces.check_finite(2).map(|()| traces.sd()),
            mcse_mean: mcse_mean(traces),
            mcse_sd: mcse_sd(traces),
            q5: quantile(0.05),
            median: quantile(0.5),
            q95: quantile(0.95),
            ess_bulk: ess_bulk(traces),
            ess_tail: ess_tail(traces),
            rhat: rhat(traces),
        }
    }

    /// The fields.
    fn columns(&self) -> [Column; COLUMNS] {
        let whole = |v: f64| format!("{v:.0}");
        let thousandths = |v: f64| format!("{v:.3}");
        [
            ("mean", self.mean, digits),
            ("sd", self.sd, digits),
            ("mcse_mean", self.mcse_mean, digits),
            ("mcse_sd", self.mcse_sd, digits),
            ("q5", self.q5, digits),
            ("median", self.median, digits),
            ("q95", self.q95, digits),
            ("ess_bulk", self.ess_bulk, whole),
            ("ess_tail", self.ess_tail, whole),
            ("rhat", self.rhat, thousandths),
        ]
    }
}

const COLUMNS: usize = 10;

/// Name, value, and how it is printed.
type Column = (&'static str, Result<f64, Undefined>, fn(f64) -> String);

/// Four significant digits.
fn digits(v: f64) -> String {
    let before = if v == 0.0 { 1 } else { v.abs().log10().floor() as i32 + 1 };
    if (-3..=6).contains(&before) { format!("{v:.*}", (4 - before).max(0) as usize) } else { format!("{v:.3e}") }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.name)?;
        let mut undefined = std::collections::BTreeMap::new();
        for (column, value, _) in self.columns() {
            map.serialize_entry(column, &value.ok())?;
            if let Err(why) = value {
                undefined.insert(column, why.to_string());
            }
        }
        if !undefined.is_empty() {
            map.serialize_entry("undefined", &undefined)?;
        }
        map.end()
    }
}

/// A row a quantity. Displays as a table; serialises as a list of rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Summary {
    /// The rows, in the order of the quantities.
    pub rows: Vec<Row>,
}

impl Summary {
    /// Of quantities with their names, in parallel.
    pub fn new<N: Into<String> + Send>(quantities: impl IntoIterator<Item = (N, Traces)>) -> Self {
        let quantities: Vec<_> = quantities.into_iter().collect();
        Self { rows: quantities.into_par_iter().map(|(name, traces)| Row::new(name, &traces)).collect() }
    }

    /// Of the coordinates of stored positions, `[draw][dim][chain]`, in parallel; `names` are theirs, or empty for `x[0]`, `x[1]`, ...
    ///
    /// # Errors
    /// [`Error::Shape`] where the last draw is not whole or the names are not one a coordinate; [`Error::Setting`] without a chain.
    pub fn of_positions(positions: &[f32], dim: usize, chains: usize, names: &[&str]) -> Result<Self> {
        if !names.is_empty() && names.len() != dim {
            return Err(Error::shape("names of coordinates", dim, names.len()));
        }
        let row = |i: usize| {
            let name = names.get(i).map_or_else(|| format!("x[{i}]"), |&name| name.to_owned());
            Ok(Row::new(name, &Traces::of_coordinate(positions, dim, chains, i)?))
        };
        Ok(Self { rows: (0..dim).into_par_iter().map(row).collect::<Result<_>>()? })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.rows.first() else {
            return write!(f, "no quantities");
        };
        let mut table =
            vec![std::iter::once("").chain(first.columns().map(|(name, ..)| name)).map(String::from).collect::<Vec<_>>()];
        for row in &self.rows {
            let cell = |(_, value, print): Column| value.map_or("undefined".into(), print);
            table.push(std::iter::once(row.name.clone()).chain(row.columns().map(cell)).collect());
        }
        let widths: Vec<_> =
            (0..=COLUMNS).map(|i| table.iter().map(|cells| cells[i].chars().count()).max().unwrap_or(0)).collect();
        for (at, cells) in table.iter().enumerate() {
            let line = if at == 0 { "" } else { "\n" };
            write!(f, "{line}{:>width$}", cells[0], width = widths[0])?;
            for (cell, width) in cells.iter().zip(&widths).skip(1) {
                write!(f, "  {cell:>width$}")?;
            }
        }
        for row in &self.rows {
            let mut told = Vec::new();
            for (_, value, _) in row.columns() {
                if let Err(why) = value
                    && !told.contains(&why)
                {
                    write!(f, "\n{}: undefined, since {why}", row.name)?;
                    told.push(why);
                }
            }
        }
        Ok(())
    }
}
