//! Judging a model: ln Z and divergences by quadrature in one and two dimensions, two-sample distances, anomaly scores.

use std::sync::Arc;

use rayon::prelude::*;

use super::Toy;
use crate::{
    AnnealedImportance, Backend, Base, Error, Result, Start,
    energy::{Energy, Params},
    error::{self, finite, room},
    evaluate,
    kernel::Kernel,
    random::{Draws, Stream, key},
    start::spread,
};

/// A grid over a box in one or two dimensions, for sums in place of integrals. The box must hold all of the mass that matters: what lies
/// outside of it is not seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    low: Vec<f64>,
    high: Vec<f64>,
    cells: usize,
}

impl Grid {
    /// A box with so many cells a side; sums are taken at their midpoints.
    ///
    /// # Errors
    /// [`Error::Setting`] where the box is empty or not finite, or there are no cells or more than memory holds; [`Error::Limit`]
    /// beyond 2³² − 1 cells in all; [`Error::Unsupported`] beyond two dimensions;
    /// [`Error::Shape`] where lengths differ.
    pub fn new(low: impl Into<Vec<f64>>, high: impl Into<Vec<f64>>, cells: usize) -> Result<Self> {
        let low = low.into();
        low.iter().try_for_each(|&bound| finite("lower bound of the grid", bound).map(drop))?;
        let high = spread("upper bound of the grid", &high.into(), low.len())?;
        if low.is_empty() || low.len() > 2 {
            let why = "quadrature goes in one or two dimensions; elsewhere use AnnealedImportance";
            return Err(Error::Unsupported(format!("a grid in {} dimensions: {why}", low.len())));
        }
        if let Some(i) = (0..low.len()).find(|&i| low[i].partial_cmp(&high[i]) != Some(std::cmp::Ordering::Less)) {
            let value = format!("{:?} to {:?}", low[i], high[i]);
            return Err(Error::setting(format!("box of the grid, coordinate {i}"), value, "must not be empty"));
        }
        if cells == 0 {
            return Err(Error::setting("cells of the grid", 0, "must be at least 1"));
        }
        // A point and two terms a cell.
        room("cells of the grid", cells.saturating_pow(low.len() as u32), 4 * size_of::<f64>())?;
        Ok(Self { low, high, cells })
    }

    fn point(&self, k: usize) -> Vec<f64> {
        let at = |i: usize| {
            let cell = if i == 0 { k % self.cells } else { k / self.cells };
            self.low[i] + (self.high[i] - self.low[i]) * (cell as f64 + 0.5) / self.cells as f64
        };
        (0..self.low.len()).map(at).collect()
    }

    fn points(&self) -> impl IndexedParallelIterator<Item = Vec<f64>> + '_ {
        (0..self.cells.pow(self.low.len() as u32)).into_par_iter().map(|k| self.point(k))
    }

    /// ln of the size of a cell.
    fn ln_cell(&self) -> f64 {
        let side = |(low, high): (&f64, &f64)| ((high - low) / self.cells as f64).ln();
        self.low.iter().zip(&self.high).map(side).sum()
    }

    fn check(&self, energy: &dyn Energy) -> Result<()> {
        if energy.dim() != self.low.len() {
            return Err(Error::shape("dimension of the energy on a grid", self.low.len(), energy.dim()));
        }
        if energy.has_twin() {
            return Ok(());
        }
        Err(Error::Unsupported(format!("{} has no f64 twin to sum up on a grid", energy.name())))
    }

    /// ln of the sum of exp, and the terms less it: logarithms of densities, of which −∞ says that there is none.
    fn normalized(&self, mut terms: Vec<f64>) -> Result<(f64, Vec<f64>)> {
        let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if top == f64::NEG_INFINITY && !terms.iter().any(|t| t.is_nan()) {
            return Err(Error::setting("density on the grid", 0, "must be above zero somewhere in the box"));
        }
        self.numbers("log density", &terms, f64::is_nan)?;
        self.numbers("log density", &terms, |t| t == f64::INFINITY)?;
        let sum = top + terms.iter().map(|t| (t - top).exp()).sum::<f64>().ln();
        terms.iter_mut().for_each(|t| *t -= sum);
        Ok((sum, terms))
    }

    /// That no number of the points of the grid is bad, or an error that names the first point where one is.
    fn numbers(&self, what: &str, values: &[f64], bad: impl Fn(f64) -> bool) -> Result<()> {
        match values.iter().position(|&value| bad(value)) {
            None => Ok(()),
            Some(k) => {
                Err(Error::setting(format!("{what} at {:?}", self.point(k)), values[k], "must be a number on all of the grid"))
            }
        }
    }

    fn energies(&self, energy: &dyn Energy) -> Vec<f64> {
        let params = energy.params();
        self.points().map(|x| energy.energy(Params::new(&params), &x)).collect()
    }

    /// ln ∫ exp(−E) over the box.
    ///
    /// # Errors
    /// [`Error::Shape`] where the dimension differs; [`Error::Unsupported`] for an energy without an f64 twin; [`Error::Setting`] where an
    /// energy is NaN or −∞, with the point, or +∞ on all of the grid.
    pub fn ln_z(&self, energy: &dyn Energy) -> Result<f64> {
        self.check(energy)?;
        let terms = self.energies(energy).into_iter().map(|e| -e).collect();
        Ok(self.normalized(terms)?.0 + self.ln_cell())
    }

    /// KL(p ‖ q) in nats of p ∝ exp(−E) and q ∝ exp(−E′), both normalised over the box.
    ///
    /// # Errors
    /// As [`ln_z`](Self::ln_z).
    pub fn kl(&self, truth: &dyn Energy, model: &dyn Energy) -> Result<f64> {
        self.check(truth)?;
        let params = truth.params();
        self.kl_of(|x| -truth.energy(Params::new(&params), x), model)
    }

    /// The same where p is given by ln p, up to a constant.
    ///
    /// # Errors
    /// As [`ln_z`](Self::ln_z).
    pub fn kl_of(&self, ln_density: impl Fn(&[f64]) -> f64 + Sync, model: &dyn Energy) -> Result<f64> {
        self.check(model)?;
        let of_truth = self.normalized(self.points().map(|x| ln_density(&x)).collect())?.1;
        let of_model = self.normalized(self.energies(model).into_iter().map(|e| -e).collect())?.1;
        let terms = of_truth.into_iter().zip(of_model);
        Ok(terms.filter(|(p, _)| p.exp() > 0.0).map(|(p, q)| p.exp() * (p - q)).sum())
    }

    /// KL(p ‖ q) of the law p that a toy's points are drawn from and q ∝ exp(−E′): of every toy, by [`Toy::law`] or [`Toy::ln_density`].
    ///
    /// # Errors
    /// As [`ln_z`](Self::ln_z).
    pub fn kl_of_toy(&self, toy: Toy, model: &dyn Energy) -> Result<f64> {
        if self.low.len() != 2 {
            return Err(Error::shape("dimension of the grid under points of the plane", 2, self.low.len()));
        }
        match toy.law() {
            Some(law) => self.kl(&law, model),
            None => self.kl_of(|x| toy.ln_density([x[0], x[1]]).unwrap_or(f64::NAN), model),
        }
    }

    /// The Fisher divergence ½ ∫ p ‖∇E − ∇E′‖² of p ∝ exp(−E) and q ∝ exp(−E′).
    ///
    /// # Errors
    /// As [`ln_z`](Self::ln_z).
    pub fn fisher(&self, truth: &dyn Energy, model: &dyn Energy) -> Result<f64> {
        self.check(truth)?;
        self.check(model)?;
        let (of_truth, of_model) = (truth.params(), model.params());
        let at = |x: Vec<f64>| {
            let (mut a, mut b) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            let energy = truth.energy_and_grad(Params::new(&of_truth), &x, &mut a);
            model.energy_and_grad(Params::new(&of_model), &x, &mut b);
            (-energy, a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f64>())
        };
        let (logs, squares): (Vec<_>, Vec<_>) = self.points().map(at).unzip();
        let logs = self.normalized(logs)?.1;
        let terms: Vec<_> =
            logs.iter().zip(squares).map(|(p, s)| if p.exp() > 0.0 { 0.5 * p.exp() * s } else { 0.0 }).collect();
        self.numbers("squared difference of gradients", &terms, f64::is_nan)?;
        Ok(terms.iter().sum())
    }

    /// Mean of ln q at points `[dim][point]`, q ∝ exp(−E) being normalised over the box.
    ///
    /// # Errors
    /// As [`ln_z`](Self::ln_z), and as [`evaluate`]; [`Error::Setting`] where a number of the points is not finite, with its row (the point)
    /// and column (the coordinate), from 1, or their energy is NaN or −∞.
    pub fn log_likelihood(&self, model: &Arc<dyn Energy>, points: &[f32]) -> Result<f64> {
        Ok(-mean_energy(&Backend::cpu(), model, points)? - self.ln_z(&**model)?)
    }
}

/// Mean log-likelihood of points, from below and from above: annealed importance sampling from the base gives ln Z too low in the mean,
/// and backwards, from draws of the model, too high (Grosse, Ghahramani, Adams 2015). `draws` are `[dim][chain]`, as many as the
/// importance sampling has chains; where they come from chains that do not reach the law of the model, the lower end is no bound.
///
/// # Errors
/// As [`AnnealedImportance::forward`] and [`evaluate`]; [`Error::Setting`] where a number of the points is not finite, with its row (the
/// point) and column (the coordinate), from 1, or their energy is NaN or −∞.
pub fn log_likelihood_bracket(
    backend: &Backend,
    model: &Arc<dyn Energy>,
    base: &Base,
    importance: &AnnealedImportance,
    kernel: &Arc<dyn Kernel>,
    draws: &[f32],
    points: &[f32],
) -> Result<[f64; 2]> {
    let mean = -mean_energy(backend, model, points)?;
    let forward = importance.forward(backend, model.clone(), base, kernel.clone())?;
    let reverse = importance.reverse(backend, model.clone(), base, kernel.clone(), Start::array(draws))?;
    Ok([mean - reverse.ln_z, mean - forward.ln_z])
}

/// The mean energy at points `[dim][point]`.
fn mean_energy(backend: &Backend, model: &Arc<dyn Energy>, points: &[f32]) -> Result<f64> {
    error::points("points", model.dim(), points)?;
    let energies = evaluate(backend, model.clone(), points, 0.0)?.energies;
    match energies.iter().position(|e| e.is_nan() || *e == f64::NEG_INFINITY) {
        None => Ok(energies.iter().sum::<f64>() / energies.len() as f64),
        Some(row) => Err(Error::setting(
            format!("energy of the points, row {} (counted from 1)", row + 1),
            energies[row],
            "must be a number",
        )),
    }
}

/// Points `[dim][point]` as rows.
fn rows(points: &[f32], dim: usize) -> Result<Vec<Vec<f64>>> {
    let n = error::points("points", dim, points)?;
    Ok((0..n).map(|p| (0..dim).map(|i| f64::from(points[i * n + p])).collect()).collect())
}

/// The squared energy distance 2 E|X − Y| − E|X − X′| − E|Y − Y′| of two samples, `[dim][point]` each, without bias: near zero, on either
/// side, where their laws are equal (Székely and Rizzo 2013). Costs the product of the numbers of points.
///
/// # Errors
/// [`Error::Shape`] where the points are no multiple of the dimension; [`Error::Setting`] where a number is not finite, with its row (the
/// point) and column (the coordinate), from 1.
pub fn energy_distance(x: &[f32], y: &[f32], dim: usize) -> Result<f64> {
    let (x, y) = (rows(x, dim)?, rows(y, dim)?);
    let far = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    let sums = |a: &[Vec<f64>], b: &[Vec<f64>]| -> Vec<f64> {
        a.par_iter().map(|a| b.iter().map(|b| far(a, b)).sum::<f64>()).collect()
    };
    let sum = |a: &[Vec<f64>], b: &[Vec<f64>]| sums(a, b).iter().sum::<f64>();
    let (n, m) = (x.len() as f64, y.len() as f64);
    let own = |points: &[Vec<f64>], n: f64| if n > 1.0 { sum(points, points) / (n * (n - 1.0)) } else { 0.0 };
    Ok(2.0 * sum(&x, &y) / (n * m) - own(&x, n) - own(&y, m))
}

/// The sliced Wasserstein distance of order 1 of two samples, `[dim][point]` each: the mean over random directions of the distance of
/// their projections, ∫ |F⁻¹ − G⁻¹| (Bonneel et al. 2015).
///
/// # Errors
/// As [`energy_distance`]; [`Error::Setting`] for no directions; [`Error::Limit`] beyond 2³² − 1.
pub fn sliced_wasserstein(x: &[f32], y: &[f32], dim: usize, directions: usize, seed: u64) -> Result<f64> {
    let (x, y) = (rows(x, dim)?, rows(y, dim)?);
    if directions == 0 {
        return Err(Error::setting("directions", 0, "must be at least 1"));
    }
    room("directions", directions, size_of::<f64>())?;
    let key = key(seed, Stream::Loss, u64::MAX);
    let along = |direction: usize| {
        let mut v = vec![0.0; dim];
        Draws::new(key, direction as u32, 0).normals(0, &mut v);
        let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        let projected = |points: &[Vec<f64>]| {
            let dot = |x: &Vec<f64>| x.iter().zip(&v).map(|(x, v)| x * v).sum::<f64>() / norm;
            let mut all: Vec<_> = points.iter().map(dot).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let (a, b) = (projected(&x), projected(&y));
        // Both quantile functions are constant between the multiples of 1/n and 1/m.
        let (mut i, mut j, mut at, mut sum) = (0, 0, 0.0, 0.0);
        while i < a.len() && j < b.len() {
            let (of_a, of_b) = ((i + 1) as f64 / a.len() as f64, (j + 1) as f64 / b.len() as f64);
            let next = of_a.min(of_b);
            sum += (next - at) * (a[i] - b[j]).abs();
            at = next;
            i += usize::from(of_a <= next);
            j += usize::from(of_b <= next);
        }
        sum
    };
    let all: Vec<_> = (0..directions).into_par_iter().map(along).collect();
    Ok(all.iter().sum::<f64>() / directions as f64)
}

/// Energies of normal data, against which new points are held.
#[derive(Debug, Clone, PartialEq)]
pub struct Normality {
    sorted: Vec<f64>,
}

impl Normality {
    /// From the scores of normal data: energies, or differences of energies of two models (log ratios of densities).
    ///
    /// # Errors
    /// [`Error::Setting`] where there are none, or one is NaN.
    pub fn new(scores: impl Into<Vec<f64>>) -> Result<Self> {
        let mut sorted = scores.into();
        if sorted.is_empty() || sorted.iter().any(|s| s.is_nan()) {
            return Err(Error::setting("scores of normal data", "none, or a NaN", "must be numbers, at least one"));
        }
        sorted.sort_by(f64::total_cmp);
        Ok(Self { sorted })
    }

    /// The score below which this share of normal data lie.
    ///
    /// # Errors
    /// [`Error::Setting`] where the share is outside of [0, 1].
    pub fn quantile(&self, share: f64) -> Result<f64> {
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::setting("share of normal data", share, "must be in [0, 1]"));
        }
        let at = (share * self.sorted.len() as f64).ceil() as usize;
        Ok(self.sorted[at.saturating_sub(1)])
    }

    /// Share of normal data of this score and above, with the point itself: a p-value.
    ///
    /// # Errors
    /// [`Error::Setting`] where the score is NaN.
    pub fn p_value(&self, score: f64) -> Result<f64> {
        if score.is_nan() {
            return Err(Error::setting("score", score, "must be a number"));
        }
        let below = self.sorted.partition_point(|&s| s < score);
        Ok((self.sorted.len() - below + 1) as f64 / (self.sorted.len() + 1) as f64)
    }

    /// The area under the receiver operating characteristic: the probability that an outlier scores above a normal point, ties by half.
    ///
    /// # Errors
    /// [`Error::Setting`] where there are no outliers, or one is NaN.
    pub fn roc_area(&self, outliers: &[f64]) -> Result<f64> {
        if outliers.is_empty() || outliers.iter().any(|s| s.is_nan()) {
            return Err(Error::setting("scores of outliers", "none, or a NaN", "must be numbers, at least one"));
        }
        let of = |score: &f64| {
            let below = self.sorted.partition_point(|s| s < score);
            let not_above = self.sorted.partition_point(|s| s <= score);
            0.5 * (below + not_above) as f64
        };
        Ok(outliers.iter().map(of).sum::<f64>() / (outliers.len() * self.sorted.len()) as f64)
    }
}
