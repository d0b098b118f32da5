//! Directions two at a time: what goes through the layers once for both are the values, and the sum of their curvatures, so that two
//! directions take four parts where jets along each would take six.

use crate::{
    Error, Result,
    train::{Traces, check_directions, side_by_side},
};

/// A slope's part along the second direction of a pair; before it come the value, the slope along the first and the curvatures.
pub(super) const PARTS: usize = 4;

/// Points in several directions each: a column for every pair, `[pair][point]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pairs {
    points: usize,
    directions: usize,
}

/// Columns, their first directions and their second ones, `[dim][column]`.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) x: Vec<f32>,
    pub(super) v: Vec<f32>,
    pub(super) second: Vec<f32>,
}

impl Pairs {
    /// The pairs of v, `[dim][direction][point]`, at x, `[dim][point]`; the last second direction is zero where their number is odd.
    pub(super) fn new(dim: usize, x: &[f32], v: &[f32]) -> Result<(Self, Columns)> {
        let (points, directions) = check_directions(dim, x, v)?;
        let every_other = |first: usize| {
            let pairs = (0..dim).flat_map(|i| (first..directions.next_multiple_of(2)).step_by(2).map(move |at| (i, at)));
            let of = |(i, direction): (usize, usize)| match direction < directions {
                true => v[(i * directions + direction) * points..][..points].to_vec(),
                false => vec![0.0; points],
            };
            pairs.flat_map(of).collect()
        };
        let x = side_by_side(dim, &vec![x; directions.div_ceil(2)]);
        Ok((Self { points, directions }, Columns { x, v: every_other(0), second: every_other(1) }))
    }

    /// Traces from the columns' slopes, curvatures and second slopes.
    pub(super) fn traces(self, [slopes, of_pairs, seconds]: [&[f64]; 3]) -> Traces {
        let mut curvatures = vec![0.0; self.points];
        for of_pair in of_pairs.chunks_exact(self.points) {
            curvatures.iter_mut().zip(of_pair).for_each(|(sum, curvature)| *sum += curvature);
        }
        let pairs = slopes.chunks_exact(self.points).zip(seconds.chunks_exact(self.points));
        let mut slopes: Vec<_> = pairs.flat_map(|(first, second)| [first, second].concat()).collect();
        slopes.truncate(self.directions * self.points);
        Traces { slopes, curvatures }
    }

    /// The adjoints of a column's parts.
    pub(super) fn adjoints(self, adjoints: &Traces) -> Result<impl Fn(usize) -> [f64; PARTS] + Sync + use<'_>> {
        let Self { points, directions } = self;
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
