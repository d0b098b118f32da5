//! Where chains start.

use crate::{
    Error, Result,
    error::{finite, positive},
    random::{Draws, Stream, key},
};

/// Starting positions; a pure function of (seed, chain), so the same for any number of chains and on any device.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Start {
    /// All chains at one point: one number a coordinate, or a single one for all.
    Point(Vec<f64>),
    /// Independent normals around a point (one number a coordinate, or a single one for all).
    Normal {
        /// The point.
        mean: Vec<f64>,
        /// Standard deviation > 0 of each coordinate.
        sd: f64,
    },
    /// Uniform in a box.
    Uniform {
        /// Lower bounds (one number a coordinate, or a single one for all).
        low: Vec<f64>,
        /// Upper bounds, likewise.
        high: Vec<f64>,
    },
    /// A user's positions, `[dim][chain]`.
    Array(Vec<f32>),
}

impl Default for Start {
    /// Standard normal.
    fn default() -> Self {
        Self::normal([0.0], 1.0)
    }
}

impl Start {
    /// All chains at one point: one number a coordinate, or a single one for all.
    pub fn point(point: impl Into<Vec<f64>>) -> Self {
        Self::Point(point.into())
    }

    /// Normal around `mean` (one number a coordinate, or a single one for all).
    pub fn normal(mean: impl Into<Vec<f64>>, sd: f64) -> Self {
        Self::Normal { mean: mean.into(), sd }
    }

    /// Uniform in a box (one number a coordinate, or a single one for all).
    pub fn uniform(low: impl Into<Vec<f64>>, high: impl Into<Vec<f64>>) -> Self {
        Self::Uniform { low: low.into(), high: high.into() }
    }

    /// A user's positions, `[dim][chain]`.
    pub fn array(positions: impl Into<Vec<f32>>) -> Self {
        Self::Array(positions.into())
    }

    /// Positions, `[dim][chain]`, of so many chains, each `stride` after the one before it, the first with this global id.
    pub(crate) fn positions(&self, dim: usize, first: u32, chains: usize, stride: u32, seed: u64) -> Result<Vec<f32>> {
        let id = |chain: usize| first.wrapping_add((chain as u32).wrapping_mul(stride));
        let draws = |chain: usize| Draws::new(key(seed, Stream::Start, 0), id(chain), 0);
        let mut x = vec![0f32; dim * chains];
        match self {
            Self::Point(point) => {
                let point = spread("start point", point, dim)?;
                for (row, &v) in x.chunks_mut(chains).zip(&point) {
                    row.fill(v as f32);
                }
            }
            Self::Normal { mean, sd } => {
                let mean = spread("mean of the start", mean, dim)?;
                positive("standard deviation of the start", *sd)?;
                let mut z = vec![0.0; dim];
                for chain in 0..chains {
                    draws(chain).normals(0, &mut z);
                    for i in 0..dim {
                        x[i * chains + chain] = (mean[i] + sd * z[i]) as f32;
                    }
                }
            }
            Self::Uniform { low, high } => {
                let low = spread("lower bound of the start", low, dim)?;
                let high = spread("upper bound of the start", high, dim)?;
                for i in 0..dim {
                    if low[i] > high[i] {
                        let value = format!("{} to {}", low[i], high[i]);
                        return Err(Error::setting(
                            format!("box of the start, coordinate {i}"),
                            value,
                            "the lower bound is above the upper",
                        ));
                    }
                    for chain in 0..chains {
                        x[i * chains + chain] = (low[i] + (high[i] - low[i]) * draws(chain).uniform(i as u32)) as f32;
                    }
                }
            }
            Self::Array(positions) => {
                if positions.len() != dim * chains {
                    return Err(Error::shape("start positions ([dim][chain])", dim * chains, positions.len()));
                }
                x.copy_from_slice(positions);
            }
        }
        match x.iter().position(|v| v.abs().partial_cmp(&1e30) != Some(std::cmp::Ordering::Less)) {
            None => Ok(x),
            Some(at) => Err(Error::Start {
                chain: u64::from(id(at % chains)),
                coordinate: Some(at / chains),
                why: format!("its position is {}; give finite positions below 1e30", x[at]),
            }),
        }
    }
}

/// One number for every coordinate, from one for each or a single one for all.
pub(crate) fn spread(name: &str, values: &[f64], dim: usize) -> Result<Vec<f64>> {
    values.iter().try_for_each(|&v| finite(name, v).map(drop))?;
    match values {
        [one] => Ok(vec![*one; dim]),
        values if values.len() == dim => Ok(values.to_vec()),
        values => Err(Error::shape(format!("coordinates of the {name}"), dim, values.len())),
    }
}
