//! The points that passes over a network are taken at, with the directions of their jets.
//!
//! Of several directions a point, two go at a time: what goes through the layers once for both are the values and the sum of their
//! curvatures, so that two directions take four parts where jets along each would take six (after the forward Laplacian, Li et al. 2024).

use crate::{
    Error, Result,
    train::{Adjoints, Jets, Order, Traces, check_directions, check_points, side_by_side},
};

/// Parts of a jet at most: the value, the slope along the first direction, the sum of the curvatures, and the slope along the second.
pub(super) const PARTS: usize = 4;

/// Points and their directions, `[dim][point]`.
#[derive(Debug)]
pub(super) struct Points {
    pub(super) count: usize,
    /// Parts of the jets.
    pub(super) parts: usize,
    pub(super) x: Vec<f32>,
    /// Empty where there is none, as is `second`.
    pub(super) v: Vec<f32>,
    second: Vec<f32>,
    /// Of traces: the directions of each point, which stands here once for every two of them, `[pair][point]`.
    directions: Option<usize>,
}

impl Points {
    /// With the directions of jets of this order.
    pub(super) fn new(dim: usize, x: &[f32], v: &[f32], order: Order) -> Result<Self> {
        let count = check_points(dim, x, v, order)?;
        let (x, v, second) = (x.to_vec(), v.to_vec(), Vec::new());
        Ok(Self { count, parts: order as usize + 1, x, v, second, directions: None })
    }

    /// With several directions each, `[dim][direction][point]`; the last second one is zero where their number is odd.
    pub(super) fn in_directions(dim: usize, x: &[f32], v: &[f32]) -> Result<Self> {
        let (points, directions) = check_directions(dim, x, v)?;
        if directions == 1 {
            return Ok(Self { directions: Some(1), ..Self::new(dim, x, v, Order::Curvature)? });
        }
        let every_other = |first: usize| {
            let pairs = (0..dim).flat_map(|i| (first..directions.next_multiple_of(2)).step_by(2).map(move |at| (i, at)));
            let of = |(i, direction): (usize, usize)| match direction < directions {
                true => v[(i * directions + direction) * points..][..points].to_vec(),
                false => vec![0.0; points],
            };
            pairs.flat_map(of).collect()
        };
        let pairs = directions.div_ceil(2);
        Ok(Self {
            count: pairs * points,
            parts: PARTS,
            x: side_by_side(dim, &vec![x; pairs]),
            v: every_other(0),
            second: every_other(1),
            directions: Some(directions),
        })
    }

    /// What goes into the first layer, part by part; empty where it is zero.
    pub(super) fn input(&self) -> [&[f32]; PARTS] {
        [&self.x, &self.v, &[], &self.second]
    }

    /// The parts of ½ ‖x‖² at a point.
    pub(super) fn half_square(&self, point: usize) -> [f64; PARTS] {
        let dot = |a: &[f32], b: &[f32]| self.dot(a, b, point);
        let curvature = dot(&self.v, &self.v) + dot(&self.second, &self.second);
        [0.5 * dot(&self.x, &self.x), dot(&self.x, &self.v), curvature, dot(&self.x, &self.second)]
    }

    /// Σ aᵢ bᵢ at a point; zero where one is empty.
    pub(super) fn dot(&self, a: &[f32], b: &[f32], point: usize) -> f64 {
        let rows = (point..a.len().min(b.len())).step_by(self.count);
        rows.map(|at| f64::from(a[at]) * f64::from(b[at])).sum()
    }

    /// Traces from the parts of all jets.
    pub(super) fn traces(&self, parts: &[Vec<f64>]) -> Traces {
        let directions = self.directions.unwrap_or(1);
        let points = self.count / directions.div_ceil(2);
        let mut curvatures = vec![0.0; points];
        for of_pair in parts[2].chunks_exact(points) {
            curvatures.iter_mut().zip(of_pair).for_each(|(sum, curvature)| *sum += curvature);
        }
        let along = |direction: usize| &parts[1 + direction % 2 * 2][direction / 2 * points..][..points];
        Traces { slopes: (0..directions).flat_map(along).copied().collect(), curvatures }
    }

    /// The adjoints of each point's parts from those of its jet.
    pub(super) fn of_jets<'a>(&self, adjoints: &'a Adjoints) -> Result<impl Fn(usize) -> [f64; PARTS] + Sync + use<'a>> {
        if self.directions.is_some() {
            return Err(other_call("traces", "traces_param_grad"));
        }
        adjoints.check(self.count)?;
        Ok(|point: usize| {
            let [value, slope, curvature] = adjoints.of(point);
            [value, slope, curvature, 0.0]
        })
    }

    /// The same from those of traces.
    pub(super) fn of_traces<'a>(&self, adjoints: &'a Traces) -> Result<impl Fn(usize) -> [f64; PARTS] + Sync + use<'a>> {
        let directions = self.directions.ok_or_else(|| other_call("jets", "param_grad"))?;
        let points = self.count / directions.div_ceil(2);
        if adjoints.directions(points)? != directions {
            return Err(Error::shape("slopes ([direction][point])", directions * points, adjoints.slopes.len()));
        }
        Ok(move |column: usize| {
            let (pair, point) = (column / points, column % points);
            let slope = |direction: usize| adjoints.slopes.get(direction * points + point).copied().unwrap_or(0.0);
            [0.0, slope(2 * pair), adjoints.curvatures[point], slope(2 * pair + 1)]
        })
    }
}

/// The jets whose parts these are.
pub(super) fn jets(parts: Vec<Vec<f64>>) -> Jets {
    let mut parts = parts.into_iter();
    let mut next = || parts.next().unwrap_or_default();
    Jets { values: next(), slopes: next(), curvatures: next() }
}

fn other_call(last: &str, reverse: &str) -> Error {
    Error::Unsupported(format!("the last call was of {last}, whose gradient is another: call {reverse}"))
}
