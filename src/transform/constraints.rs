//! The transforms of an energy, each on a range of its coordinates.

use std::{ops::Range, sync::Arc};

use rayon::prelude::*;

use super::{Outside, Transform};
use crate::{Error, Result, energy::Params, program::Composer};

/// Transforms on ranges of the coordinates; coordinates of no range are free as they are.
#[derive(Debug, Clone)]
pub struct Constraints {
    dim: usize,
    parts: Vec<Part>,
    params: Vec<f32>,
}

#[derive(Debug, Clone)]
struct Part {
    range: Range<usize>,
    transform: Arc<dyn Transform>,
    /// Where its parameters begin.
    at: usize,
}

impl Constraints {
    /// None yet, of `dim` coordinates.
    pub(crate) fn none(dim: usize) -> Self {
        Self { dim, parts: Vec::new(), params: Vec::new() }
    }

    /// One more, on coordinates that have none.
    pub(crate) fn and(mut self, range: Range<usize>, transform: Arc<dyn Transform>) -> Result<Self> {
        let name = format!("coordinates of the transform {}", transform.stem());
        let refused = |why: String| Err(Error::setting(name, format!("{range:?}"), why));
        if range.is_empty() || range.end > self.dim {
            return refused(format!("must be at least one of the {} coordinates", self.dim));
        }
        if let Some(other) = self.parts.iter().find(|part| part.range.start < range.end && range.start < part.range.end) {
            return refused(format!("{} acts on {:?} already", other.transform.stem(), other.range));
        }
        transform.validate(range.len())?;
        let at = self.params.len();
        self.params.extend(transform.params());
        self.parts.push(Part { range, transform, at });
        Ok(self)
    }

    /// What it does, for names.
    pub(crate) fn describe(&self) -> String {
        let names: Vec<_> = self.parts.iter().map(|part| format!("{} of x[{:?}]", part.transform.stem(), part.range)).collect();
        names.join(", ")
    }

    /// The parameters of all transforms, one after another.
    pub fn params(&self) -> &[f32] {
        &self.params
    }

    /// Adds `constraints_position(at, y, x) -> f32` and `constraints_grad(at, y, x, grad)` to a program, which has one energy with
    /// constraints at most.
    pub(crate) fn compose(&self, program: &mut Composer) -> Result<()> {
        let (mut position, mut grad) = (String::new(), String::new());
        for Part { range, transform, at } in &self.parts {
            program.add(transform.stem(), transform.source())?;
            let (stem, first, count) = (transform.stem(), range.start, range.len());
            position += &format!("    log_det += {stem}_position(at + {at}u, {first}u, {count}u, x);\n");
            grad += &format!("    {stem}_grad(at + {at}u, {first}u, {count}u, y, x, grad);\n");
        }
        let text = format!(
            "fn constraints_position(at: u32, y: ptr<function, Point>, x: ptr<function, Point>) -> f32 {{\n    copy(y, x);\n    \
             var log_det = 0.0;\n{position}    return log_det;\n}}\n\n\
             fn constraints_grad(at: u32, y: ptr<function, Point>, x: ptr<function, Point>, grad: ptr<function, Point>) {{\n{grad}}}\n"
        );
        program.add("constraints", &text)
    }

    /// Replaces the free coordinates of a point by its position; log|det ∂x/∂y|. The parameters are read from the first of `params` on.
    pub(crate) fn position_with(&self, params: Params<'_>, x: &mut [f64]) -> f64 {
        let part = |Part { range, transform, at }: &Part| transform.position(params.from(*at), &mut x[range.clone()]);
        self.parts.iter().map(part).sum()
    }

    /// The gradient with respect to free coordinates, from that with respect to the position.
    pub(crate) fn grad_with(&self, params: Params<'_>, y: &[f64], x: &[f64], grad: &mut [f64]) {
        for Part { range, transform, at } in &self.parts {
            let of = range.clone();
            transform.grad(params.from(*at), &y[of.clone()], &x[of.clone()], &mut grad[of]);
        }
    }

    /// Replaces the free coordinates of a point by its position; log|det ∂x/∂y|, and the log density of idle coordinates.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are more or fewer coordinates than the energy has.
    pub fn position(&self, point: &mut [f64]) -> Result<f64> {
        if point.len() != self.dim {
            return Err(Error::shape("free coordinates of a point", self.dim, point.len()));
        }
        Ok(self.place(point))
    }

    /// [`position`](Self::position) of as many coordinates as the energy has.
    pub(crate) fn place(&self, point: &mut [f64]) -> f64 {
        self.position_with(Params::new(&self.params), point)
    }

    /// Replaces a position by its free coordinates; those that move no position are 0.
    ///
    /// # Errors
    /// Where the position is not finite, not inside of the support, or has more or fewer coordinates than the energy: the coordinate, and
    /// why. The point is then of no use.
    pub fn free(&self, point: &mut [f64]) -> Result<(), Outside> {
        if point.len() != self.dim {
            let why = format!("the position has {} coordinates, but must have {}", point.len(), self.dim);
            return Err(Outside::new(point.len().min(self.dim), why));
        }
        if let Some(i) = point.iter().position(|x| !x.is_finite()) {
            return Err(Outside::new(i, format!("its position is {}, but must be finite", point[i])));
        }
        for Part { range, transform, at } in &self.parts {
            let freed = transform.free(Params::new(&self.params).from(*at), &mut point[range.clone()]);
            freed.map_err(|outside| Outside { coordinate: range.start + outside.coordinate, ..outside })?;
        }
        Ok(())
    }

    /// The free coordinates that move no position.
    pub(crate) fn idle(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().flat_map(|part| part.range.end - part.transform.idle()..part.range.end)
    }

    /// The positions, `[dim][chain]`, of so many chains, from their free coordinates.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are not as many as the chains have.
    pub fn positions(&self, free: &[f32], chains: usize) -> Result<Vec<f32>> {
        if self.dim.checked_mul(chains) != Some(free.len()) {
            return Err(Error::shape("free coordinates ([dim][chain])", self.dim.saturating_mul(chains), free.len()));
        }
        let point = |chain: usize| {
            let mut x: Vec<_> = free.iter().skip(chain).step_by(chains).map(|&y| f64::from(y)).collect();
            self.place(&mut x);
            x
        };
        let points: Vec<_> = (0..chains).into_par_iter().map(point).collect();
        Ok((0..self.dim).flat_map(|i| points.iter().map(move |x| x[i] as f32)).collect())
    }
}
