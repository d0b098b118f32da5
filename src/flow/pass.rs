//! Batches of points through a whole flow, and back with gradients. Blocks of points go in parallel; sums over them have one order.

use rayon::prelude::*;

use super::{
    Flow,
    coupling::{POINTS, Row, Trace},
};
use crate::{Error, Result, error};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Inverse,
}

/// Points carried through a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    /// Where they came to, `[dim][point]`.
    pub positions: Vec<f64>,
    /// log |det| of the derivative of where they came to by where they were, one a point.
    pub log_dets: Vec<f64>,
}

/// A pass that remembers what its reverse needs: about 8 bytes a point for each hidden unit of each layer, twice.
#[derive(Debug)]
pub struct Pass<'a> {
    flow: &'a Flow,
    direction: Direction,
    params: Vec<f64>,
    /// One a block, of all layers in the order in which they were passed.
    traces: Vec<Vec<Trace>>,
    /// log N(z; 0, I) of each point's place in the base.
    base: Vec<f64>,
    /// Where the points came to.
    pub mapped: Mapped,
}

/// Gradients of a sum over points.
#[derive(Debug, Clone, PartialEq)]
pub struct Grads {
    /// By the flow's parameters.
    pub params: Vec<f64>,
    /// By where each point was, `[dim][point]`.
    pub positions: Vec<f64>,
}

impl Flow {
    /// From the base to the data: x = f(z) of z, `[dim][point]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the points are no multiple of the dimension; [`Error::Setting`] where a number is not finite in f32, with its row
    /// (the point) and column (the coordinate), from 0.
    pub fn forward(&self, z: &[f64]) -> Result<Mapped> {
        self.check(z)?;
        Ok(self.map(z, Direction::Forward))
    }

    /// From the data to the base: z = f⁻¹(x) of x, `[dim][point]`.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn inverse(&self, x: &[f64]) -> Result<Mapped> {
        self.check(x)?;
        Ok(self.map(x, Direction::Inverse))
    }

    /// log q(x) of x, `[dim][point]`.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn log_density(&self, x: &[f64]) -> Result<Vec<f64>> {
        let Mapped { positions, log_dets } = self.inverse(x)?;
        Ok(standard_normal(&positions, log_dets.len()).zip(&log_dets).map(|(n, log_det)| n + log_det).collect())
    }

    /// [`forward`](Self::forward), ready to go back.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_pass(&self, z: &[f64]) -> Result<Pass<'_>> {
        self.pass(z, Direction::Forward)
    }

    /// [`inverse`](Self::inverse), ready to go back.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn inverse_pass(&self, x: &[f64]) -> Result<Pass<'_>> {
        self.pass(x, Direction::Inverse)
    }

    fn check(&self, points: &[f64]) -> Result<()> {
        if points.is_empty() { Ok(()) } else { error::points("points of the flow", self.dim, points).map(drop) }
    }

    pub(super) fn map(&self, points: &[f64], direction: Direction) -> Mapped {
        let params = self.params_f64();
        let blocks = blocks(points, self.dim).map(|mut block| {
            let log_dets = self.through(&params, &mut block, direction, drop);
            (block, log_dets)
        });
        let (blocks, log_dets): (Vec<_>, Vec<_>) = blocks.unzip();
        let count = points.len() / self.dim;
        Mapped { positions: unite(&blocks, self.dim, count), log_dets: unite_rows(&log_dets, count) }
    }

    fn pass(&self, points: &[f64], direction: Direction) -> Result<Pass<'_>> {
        self.check(points)?;
        let params = self.params_f64();
        let blocks = blocks(points, self.dim).map(|mut block| {
            let mut traces = Vec::with_capacity(self.layers.len());
            let log_dets = self.through(&params, &mut block, direction, |trace| traces.push(trace));
            ((block, log_dets), traces)
        });
        let ((blocks, log_dets), traces): ((Vec<_>, Vec<_>), Vec<_>) = blocks.unzip();
        let count = points.len() / self.dim;
        let mapped = Mapped { positions: unite(&blocks, self.dim, count), log_dets: unite_rows(&log_dets, count) };
        let base = match direction {
            Direction::Forward => standard_normal(points, count).collect(),
            Direction::Inverse => standard_normal(&mapped.positions, count).collect(),
        };
        Ok(Pass { flow: self, direction, params, traces, base, mapped })
    }

    /// Takes a block through all layers; its log-determinants.
    fn through(&self, params: &[f64], block: &mut [Row], direction: Direction, mut keep: impl FnMut(Trace)) -> Row {
        let mut log_dets = [0.0; POINTS];
        match direction {
            Direction::Forward => self.layers.iter().for_each(|layer| keep(layer.forward(params, block, &mut log_dets))),
            Direction::Inverse => self.layers.iter().rev().for_each(|layer| keep(layer.inverse(params, block, &mut log_dets))),
        }
        log_dets
    }

    fn params_f64(&self) -> Vec<f64> {
        self.params.iter().map(|&p| f64::from(p)).collect()
    }
}

impl<'a> Pass<'a> {
    /// The flow that was passed.
    pub fn flow(&self) -> &'a Flow {
        self.flow
    }

    /// log q of each point: of those that came out of a forward pass, of those that went into an inverse one.
    pub fn log_densities(&self) -> Vec<f64> {
        let sign = if self.direction == Direction::Forward { -1.0 } else { 1.0 };
        self.base.iter().zip(&self.mapped.log_dets).map(|(n, log_det)| n + sign * log_det).collect()
    }

    /// The gradient of a function of [`mapped`](Self::mapped) whose derivatives by its positions, `[dim][point]`, and
    /// log-determinants are given.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are not as many derivatives as there are positions and log-determinants.
    pub fn reverse(&self, positions: &[f64], log_dets: &[f64]) -> Result<Grads> {
        let dim = self.flow.dim;
        for (what, expected, found) in [
            ("derivatives by the positions ([dim][point])", self.mapped.positions.len(), positions.len()),
            ("derivatives by the log-determinants", self.mapped.log_dets.len(), log_dets.len()),
        ] {
            if expected != found {
                return Err(Error::shape(what, expected, found));
            }
        }
        let log_det_rows = blocks(log_dets, 1);
        let back = |((mut adjoints, log_dets), traces): ((Vec<Row>, Vec<Row>), &Vec<Trace>)| {
            let mut grad = vec![0.0; self.params.len()];
            let layers = &self.flow.layers;
            match self.direction {
                Direction::Forward => layers.iter().zip(traces).rev().for_each(|(layer, trace)| {
                    layer.reverse_forward(&self.params, trace, &mut adjoints, &log_dets[0], &mut grad)
                }),
                Direction::Inverse => layers.iter().zip(traces.iter().rev()).for_each(|(layer, trace)| {
                    layer.reverse_inverse(&self.params, trace, &mut adjoints, &log_dets[0], &mut grad)
                }),
            }
            (adjoints, grad)
        };
        let (adjoints, grads): (Vec<_>, Vec<_>) = blocks(positions, dim).zip(log_det_rows).zip(&self.traces).map(back).unzip();
        let mut params = vec![0.0; self.params.len()];
        for grad in &grads {
            params.iter_mut().zip(grad).for_each(|(sum, g)| *sum += g);
        }
        Ok(Grads { params, positions: unite(&adjoints, dim, log_dets.len()) })
    }

    /// The gradient of Σ wₚ log q(xₚ), q at fixed points that went into an inverse pass, in the parameters and the points; of a
    /// forward pass, of Σ wₚ log q(f(zₚ)) in the parameters, at fixed z.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are not as many weights as points.
    pub fn reverse_density(&self, weights: &[f64]) -> Result<Grads> {
        let count = self.mapped.log_dets.len();
        if weights.len() != count {
            return Err(Error::shape("weights of the points", count, weights.len()));
        }
        match self.direction {
            Direction::Forward => {
                let log_dets: Vec<_> = weights.iter().map(|w| -w).collect();
                self.reverse(&vec![0.0; self.mapped.positions.len()], &log_dets)
            }
            Direction::Inverse => {
                let rows = self.mapped.positions.chunks(count.max(1));
                let positions: Vec<_> = rows.flat_map(|row| row.iter().zip(weights).map(|(z, w)| -w * z)).collect();
                self.reverse(&positions, weights)
            }
        }
    }
}

/// log N(z; 0, I) of each point of z, `[dim][point]`.
pub(super) fn standard_normal(z: &[f64], count: usize) -> impl Iterator<Item = f64> {
    let dim = z.len() / count.max(1);
    let constant = -0.5 * dim as f64 * std::f64::consts::TAU.ln();
    (0..count).map(move |p| constant - 0.5 * (0..dim).map(|i| z[i * count + p].powi(2)).sum::<f64>())
}

/// The points in blocks of rows; those past the end are zero.
fn blocks(points: &[f64], dim: usize) -> impl IndexedParallelIterator<Item = Vec<Row>> {
    let count = points.len() / dim;
    (0..count.div_ceil(POINTS)).into_par_iter().map(move |block| {
        let own = block * POINTS..count.min((block + 1) * POINTS);
        let row = |i: usize| {
            let mut row = [0.0; POINTS];
            row[..own.len()].copy_from_slice(&points[i * count + own.start..i * count + own.end]);
            row
        };
        (0..dim).map(row).collect()
    })
}

/// The points of all blocks, `[dim][point]`.
fn unite(blocks: &[Vec<Row>], dim: usize, count: usize) -> Vec<f64> {
    let mut points = vec![0.0; dim * count];
    for (b, block) in blocks.iter().enumerate() {
        let own = b * POINTS..count.min((b + 1) * POINTS);
        for (i, row) in block.iter().enumerate() {
            points[i * count + own.start..i * count + own.end].copy_from_slice(&row[..own.len()]);
        }
    }
    points
}

fn unite_rows(rows: &[Row], count: usize) -> Vec<f64> {
    let mut values: Vec<_> = rows.iter().flatten().copied().collect();
    values.truncate(count);
    values
}
