//! Batches of points through a whole flow, and back with gradients. Blocks of points go in parallel; sums over them have one order.

use rayon::prelude::*;

use super::{
    Flow,
    coupling::{POINTS, Row, Trace},
};
use crate::{Error, Result, error, net::Real};

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

/// A pass that remembers what its reverse needs: about 8 bytes a point for each hidden unit of each layer, twice, or half of that where
/// the flow is in training.
#[derive(Debug)]
pub struct Pass<'a> {
    flow: &'a Flow,
    direction: Direction,
    way: Way,
    /// log N(z; 0, I) of each point's place in the base.
    base: Vec<f64>,
    /// Where the points came to.
    pub mapped: Mapped,
}

/// The numbers in which points were carried: f64, or f32, as training does it.
#[derive(Debug)]
enum Way {
    Wide(Traced<f64>),
    Narrow(Traced<f32>),
}

/// Of a block of points, one a coordinate.
type Rows<T> = Vec<Row<T>>;

/// What the reverse of a pass needs.
#[derive(Debug)]
struct Traced<T> {
    params: Vec<T>,
    /// One a block, of all layers in the order in which they were passed.
    traces: Vec<Vec<Trace<T>>>,
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
    /// (the point) and column (the coordinate), from 1.
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
        self.check(x)?;
        Ok(self.log_density_in::<f64>(x))
    }

    /// log q(x), in numbers of a kind.
    pub(super) fn log_density_in<T: Real>(&self, x: &[f64]) -> Vec<f64> {
        let Mapped { positions, log_dets } = self.map_in::<T>(x, Direction::Inverse);
        standard_normal(&positions, log_dets.len()).zip(&log_dets).map(|(n, log_det)| n + log_det).collect()
    }

    /// [`forward`](Self::forward), ready to go back.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_pass(&self, z: &[f64]) -> Result<Pass<'_>> {
        self.pass(z, Direction::Forward, false)
    }

    /// [`inverse`](Self::inverse), ready to go back.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn inverse_pass(&self, x: &[f64]) -> Result<Pass<'_>> {
        self.pass(x, Direction::Inverse, false)
    }

    /// [`forward_pass`](Self::forward_pass) in f32, for training.
    pub(super) fn forward_in_training(&self, z: &[f64]) -> Result<Pass<'_>> {
        self.pass(z, Direction::Forward, true)
    }

    /// [`inverse_pass`](Self::inverse_pass) in f32, for training.
    pub(super) fn inverse_in_training(&self, x: &[f64]) -> Result<Pass<'_>> {
        self.pass(x, Direction::Inverse, true)
    }

    fn check(&self, points: &[f64]) -> Result<()> {
        if points.is_empty() { Ok(()) } else { error::points("points of the flow", self.dim, points).map(drop) }
    }

    pub(super) fn map(&self, points: &[f64], direction: Direction) -> Mapped {
        self.map_in::<f64>(points, direction)
    }

    /// Points, through all layers in numbers of a kind.
    pub(super) fn map_in<T: Real>(&self, points: &[f64], direction: Direction) -> Mapped {
        let params = self.params_in::<T>();
        let blocks = blocks(points, self.dim).map(|mut block| {
            let log_dets = self.through(&params, &mut block, direction, drop);
            (block, log_dets)
        });
        let (blocks, log_dets): (Vec<_>, Vec<_>) = blocks.unzip();
        Mapped::unite(&blocks, &log_dets, self.dim, points.len() / self.dim)
    }

    fn traced<T: Real>(&self, points: &[f64], direction: Direction) -> (Mapped, Traced<T>) {
        let params = self.params_in::<T>();
        let blocks = blocks(points, self.dim).map(|mut block| {
            let mut traces = Vec::with_capacity(self.layers.len());
            let log_dets = self.through(&params, &mut block, direction, |trace| traces.push(trace));
            ((block, log_dets), traces)
        });
        let ((blocks, log_dets), traces): ((Vec<_>, Vec<_>), Vec<_>) = blocks.unzip();
        (Mapped::unite(&blocks, &log_dets, self.dim, points.len() / self.dim), Traced { params, traces })
    }

    fn pass(&self, points: &[f64], direction: Direction, narrow: bool) -> Result<Pass<'_>> {
        self.check(points)?;
        let (mapped, way) = if narrow {
            let (mapped, traced) = self.traced(points, direction);
            (mapped, Way::Narrow(traced))
        } else {
            let (mapped, traced) = self.traced(points, direction);
            (mapped, Way::Wide(traced))
        };
        let count = mapped.log_dets.len();
        let base = match direction {
            Direction::Forward => standard_normal(points, count).collect(),
            Direction::Inverse => standard_normal(&mapped.positions, count).collect(),
        };
        Ok(Pass { flow: self, direction, way, base, mapped })
    }

    /// Takes a block through all layers; its log-determinants.
    fn through<T: Real>(
        &self,
        params: &[T],
        block: &mut [Row<T>],
        direction: Direction,
        mut keep: impl FnMut(Trace<T>),
    ) -> Row<T> {
        let mut log_dets = [T::zero(); POINTS];
        match direction {
            Direction::Forward => self.layers.iter().for_each(|layer| keep(layer.forward(params, block, &mut log_dets))),
            Direction::Inverse => self.layers.iter().rev().for_each(|layer| keep(layer.inverse(params, block, &mut log_dets))),
        }
        log_dets
    }

    fn params_in<T: Real>(&self) -> Vec<T> {
        self.params.iter().map(|&p| T::of(f64::from(p))).collect()
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
        for (what, expected, found) in [
            ("derivatives by the positions ([dim][point])", self.mapped.positions.len(), positions.len()),
            ("derivatives by the log-determinants", self.mapped.log_dets.len(), log_dets.len()),
        ] {
            if expected != found {
                return Err(Error::shape(what, expected, found));
            }
        }
        Ok(match &self.way {
            Way::Wide(traced) => traced.reverse(self.flow, self.direction, positions, log_dets),
            Way::Narrow(traced) => traced.reverse(self.flow, self.direction, positions, log_dets),
        })
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

impl<T: Real> Traced<T> {
    fn reverse(&self, flow: &Flow, direction: Direction, positions: &[f64], log_dets: &[f64]) -> Grads {
        let given = blocks(positions, flow.dim).zip(blocks(log_dets, 1)).zip(&self.traces);
        let back = given.map(|((adjoints, log_dets), traces)| self.back(flow, direction, adjoints, &log_dets[0], traces));
        let (adjoints, grads): (Vec<_>, Vec<_>) = back.unzip();
        let mut params = vec![0.0; self.params.len()];
        for grad in &grads {
            params.iter_mut().zip(grad).for_each(|(sum, g)| *sum += g.wide());
        }
        Grads { params, positions: unite(&adjoints, flow.dim, log_dets.len()) }
    }

    /// Takes the adjoints of a block back through all layers; with them, the gradient in the parameters.
    fn back(
        &self,
        flow: &Flow,
        direction: Direction,
        mut adjoints: Rows<T>,
        log_dets: &Row<T>,
        traces: &[Trace<T>],
    ) -> (Rows<T>, Vec<T>) {
        let mut grad = vec![T::zero(); self.params.len()];
        match direction {
            Direction::Forward => flow
                .layers
                .iter()
                .zip(traces)
                .rev()
                .for_each(|(layer, trace)| layer.reverse_forward(&self.params, trace, &mut adjoints, log_dets, &mut grad)),
            Direction::Inverse => flow
                .layers
                .iter()
                .zip(traces.iter().rev())
                .for_each(|(layer, trace)| layer.reverse_inverse(&self.params, trace, &mut adjoints, log_dets, &mut grad)),
        }
        (adjoints, grad)
    }
}

impl Mapped {
    /// Of blocks and their log-determinants.
    fn unite<T: Real>(blocks: &[Rows<T>], log_dets: &[Row<T>], dim: usize, count: usize) -> Self {
        Self { positions: unite(blocks, dim, count), log_dets: unite_rows(log_dets, count) }
    }
}

/// log N(z; 0, I) of each point of z, `[dim][point]`.
pub(super) fn standard_normal(z: &[f64], count: usize) -> impl Iterator<Item = f64> {
    let dim = z.len() / count.max(1);
    let constant = -0.5 * dim as f64 * std::f64::consts::TAU.ln();
    (0..count).map(move |p| constant - 0.5 * (0..dim).map(|i| z[i * count + p].powi(2)).sum::<f64>())
}

/// The points in blocks of rows; those past the end are zero.
fn blocks<T: Real>(points: &[f64], dim: usize) -> impl IndexedParallelIterator<Item = Rows<T>> {
    let count = points.len() / dim;
    (0..count.div_ceil(POINTS)).into_par_iter().map(move |block| {
        let own = block * POINTS..count.min((block + 1) * POINTS);
        let row = |i: usize| {
            let mut row = [T::zero(); POINTS];
            row.iter_mut().zip(&points[i * count..][own.clone()]).for_each(|(to, &x)| *to = T::of(x));
            row
        };
        (0..dim).map(row).collect()
    })
}

/// The points of all blocks, `[dim][point]`.
fn unite<T: Real>(blocks: &[Rows<T>], dim: usize, count: usize) -> Vec<f64> {
    let row = |i: usize| blocks.iter().flat_map(move |block| block[i]).take(count).map(T::wide);
    (0..dim).flat_map(row).collect()
}

fn unite_rows<T: Real>(rows: &[Row<T>], count: usize) -> Vec<f64> {
    rows.iter().flatten().take(count).map(|v| v.wide()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worst |narrow − wide| of log-densities, gradients in the parameters and in the points, each in units of the largest, of which
    /// the narrow log-densities count `by` times.
    fn off(by: f64) -> [f64; 3] {
        let mut worst = [0.0f64; 3];
        for (dim, layers, hidden, spread) in [(2, 20, 16, 0.3), (3, 5, 8, 0.5), (8, 3, 12, 0.5)] {
            let count = 200;
            let params = Flow::new(dim, layers, hidden, 1).unwrap().params().len();
            let wave = |i: usize, of: f64| of * (1.7 * i as f64 + 0.3).sin();
            let flow = Flow::from_params(dim, layers, hidden, (0..params).map(|i| wave(i, spread) as f32).collect::<Vec<_>>());
            let flow = flow.unwrap();
            let points: Vec<f64> = (0..dim * count).map(|i| f64::from(wave(i, 2.0) as f32)).collect();
            let weights: Vec<f64> = (0..count).map(|i| wave(i, 1.0) + 2.0).collect();
            let passes = [
                [flow.inverse_pass(&points).unwrap(), flow.inverse_in_training(&points).unwrap()],
                [flow.forward_pass(&points).unwrap(), flow.forward_in_training(&points).unwrap()],
            ];
            for [wide, narrow] in &passes {
                let scaled = narrow.log_densities().iter().map(|q| by * q).collect::<Vec<_>>();
                let [of_wide, of_narrow] = [wide, narrow].map(|pass| pass.reverse(&pass.mapped.positions, &weights).unwrap());
                let pairs = [
                    (wide.log_densities(), scaled),
                    (of_wide.params, of_narrow.params),
                    (of_wide.positions, of_narrow.positions),
                ];
                for (worst, (wide, narrow)) in worst.iter_mut().zip(pairs) {
                    let largest = wide.iter().fold(0.0, |top: f64, v| top.max(v.abs()));
                    wide.iter().zip(&narrow).for_each(|(a, b)| *worst = worst.max((a - b).abs() / largest));
                }
            }
            // Without traces: the same bits.
            assert_eq!(flow.log_density_in::<f32>(&points), passes[0][1].log_densities());
        }
        worst
    }

    /// An f32 holds 6·10⁻⁸; twenty layers multiply that.
    #[test]
    fn passes_of_training_are_those_in_f64() {
        let worst = off(1.0);
        assert!(worst.iter().all(|&off| off > 0.0 && off < 1e-5), "{worst:?}");
        assert!(off(1.001)[0] > 1e-5);
    }

    /// Where the square of what a unit is given passes what an f32 holds.
    #[test]
    fn far_points_stay_finite_in_training() {
        let flow = Flow::from_params(2, 2, 1, vec![0.5; Flow::new(2, 2, 1, 0).unwrap().params().len()]).unwrap();
        for x in [1e15, 1e25, -1e25] {
            let [wide, narrow] = [flow.map(&[x, 1.0], Direction::Inverse), flow.map_in::<f32>(&[x, 1.0], Direction::Inverse)];
            assert!((wide.log_dets[0] - narrow.log_dets[0]).abs() < 1e-5, "{x}: {narrow:?}, not {wide:?}");
        }
    }
}
