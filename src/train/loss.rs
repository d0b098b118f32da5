//! Losses: from jets to adjoints.

use std::borrow::Cow;

use super::{Adjoints, Noise, Order, Passes, Traces, negative::Contrastive, side_by_side};
use crate::{
    Error, Result,
    error::{points, positive, room},
    importance::log_mean_exp,
    random::{Draws, Stream, key},
};

/// Noise points that estimate a first c.
const WEIGHED: usize = 4096;

/// What is minimised. With s = −∇E the score of the model, n points of a batch, means over them:
///
/// | loss | a point |
/// |---|---|
/// | contrastive divergence | E(x) − E(y), y from chains of the model |
/// | implicit score matching (Hyvärinen 2005) | ½‖∇E‖² − tr ∇²E |
/// | denoising score matching (Vincent 2011) | ½σ² ‖∇E(x + σz) − z/σ‖² |
/// | sliced score matching (Song et al. 2019) | ½(v·∇E)² − vᵀ∇²E v, v of random signs |
/// | variance-reduced | ½‖∇E‖² − vᵀ∇²E v |
/// | noise-contrastive estimation (Gutmann and Hyvärinen 2012) | the logistic loss of −E − c − ln q, data against noise of density q |
///
/// Score matching knows slopes alone: how much of the law lies in each of several modes with nothing between them it cannot tell (Song and
/// Ermon 2019, section 3.2). Nor can chains that do not go from one to another. Noise-contrastive estimation can; but where neither data nor
/// noise are, a model is free.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Loss {
    /// Contrastive divergence, persistent or not, or with a replay buffer.
    Contrastive(Contrastive),
    /// With the exact trace: dim directions a point.
    ImplicitScoreMatching,
    /// Learns the density of data with noise: at the levels σ, each of which gets its share of a batch in turn. On several levels the
    /// one energy is a compromise between them (Li, Chen, Sommer 2019), weighted by σ²: of Gaussian data of covariance C it learns
    /// C + σ̄² I with σ̄² = Σσ⁴/Σσ².
    DenoisingScoreMatching {
        /// σ > 0, at least one.
        levels: Vec<f64>,
    },
    /// Random directions in place of the trace.
    SlicedScoreMatching {
        /// Directions a point; more than there are coordinates cost no more than that many.
        projections: usize,
        /// With ‖∇E‖² in place of its projection.
        variance_reduced: bool,
    },
    /// Learns c = ln ∫ exp(−E) as well, from what importance sampling by the noise takes for it at the start; from 0
    /// where those weights have no finite mean.
    NoiseContrastive {
        /// The noise.
        noise: Noise,
        /// Noise points a data point.
        ratio: usize,
    },
}

/// A loss at a batch.
#[derive(Debug, Clone)]
pub struct LossAt {
    /// L.
    pub loss: f64,
    /// ∂L/∂params.
    pub grad: Vec<f64>,
    /// ∂L/∂c; 0 where c is not learned.
    pub by_log_normalizer: f64,
    /// Mean energy of data less that of the chains.
    pub gap: Option<f64>,
}

/// What a loss is evaluated with.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    /// Data, `[dim][point]`.
    pub x: &'a [f32],
    /// Coordinates of a point.
    pub dim: usize,
    /// Seed of noise and directions.
    pub seed: u64,
    /// The number of the update: random numbers are new in each.
    pub update: u64,
    /// c, where it is learned.
    pub log_normalizer: f64,
    /// Points of the model, `[dim][point]`, where the loss wants some.
    pub negatives: &'a [f32],
}

impl Loss {
    /// Denoising score matching at one level.
    pub fn denoising(sigma: f64) -> Self {
        Self::DenoisingScoreMatching { levels: vec![sigma] }
    }

    /// Variance-reduced sliced score matching along one direction a point.
    pub fn sliced() -> Self {
        Self::SlicedScoreMatching { projections: 1, variance_reduced: true }
    }

    /// Whether c is learned.
    pub(crate) fn has_log_normalizer(&self) -> bool {
        matches!(self, Self::NoiseContrastive { .. })
    }

    pub(crate) fn check(&self, dim: usize) -> Result<()> {
        match self {
            Self::Contrastive(contrastive) => contrastive.check_steps().and_then(|()| contrastive.check(dim)),
            Self::ImplicitScoreMatching => Ok(()),
            Self::DenoisingScoreMatching { levels } if levels.is_empty() => {
                Err(Error::setting("noise levels", "an empty list", "must hold at least one"))
            }
            Self::DenoisingScoreMatching { levels } => levels.iter().try_for_each(|&s| positive("noise level", s).map(drop)),
            Self::SlicedScoreMatching { projections: 0, .. } => Err(Error::setting("projections", 0, "must be at least 1")),
            Self::SlicedScoreMatching { .. } => Ok(()),
            Self::NoiseContrastive { ratio: 0, .. } => {
                Err(Error::setting("noise points a data point", 0, "must be at least 1"))
            }
            Self::NoiseContrastive { noise, .. } if noise.dim() != dim => {
                Err(Error::shape("dimension of the noise", dim, noise.dim()))
            }
            Self::NoiseContrastive { .. } => Ok(()),
        }
    }

    /// The temperature of the law that is learned, exp(−E/T), where it is one.
    pub(crate) fn temperature(&self) -> Option<f64> {
        if let Self::Contrastive(contrastive) = self { contrastive.temperature() } else { Some(1.0) }
    }

    /// Points of the law that is learned: the data, with noise where it is that of noisy ones.
    pub(crate) fn points_of_model<'a>(&self, dim: usize, x: &'a [f32], seed: u64, update: u64) -> Cow<'a, [f32]> {
        let Self::DenoisingScoreMatching { levels } = self else { return Cow::Borrowed(x) };
        // The compromise between several levels. Relative to the largest, no power of one is too large or too small for f64.
        let largest = levels.iter().copied().fold(0.0, f64::max);
        let sum = |power: i32| levels.iter().map(|level| (level / largest).powi(power)).sum::<f64>();
        let sigma = largest * (sum(4) / sum(2)).sqrt();
        let (n, key) = (x.len() / dim, key(seed, Stream::Loss, update));
        let (mut noisy, mut z) = (x.to_vec(), vec![0.0; dim]);
        for point in 0..n {
            Draws::new(key, point as u32, 0).normals(0, &mut z);
            z.iter().enumerate().for_each(|(i, z)| noisy[i * n + point] += (sigma * z) as f32);
        }
        Cow::Owned(noisy)
    }

    /// The loss of an energy that is the same everywhere, and what a Gaussian that fits the data, `[dim][point]`, gains at most. Not of
    /// contrastive divergence, whose loss is a difference that says nothing by itself.
    pub(crate) fn of_flat_energy(&self, dim: usize, data: &[f32]) -> [f64; 2] {
        match self {
            Self::Contrastive(_) => [f64::NAN; 2],
            Self::DenoisingScoreMatching { .. } => [0.5 * dim as f64; 2],
            Self::ImplicitScoreMatching | Self::SlicedScoreMatching { .. } => {
                let n = data.len() / dim;
                let variance = |row: &[f32]| {
                    let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64;
                    row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n as f64
                };
                [0.0, data.chunks(n).map(|row| 0.5 / variance(row)).sum()]
            }
            Self::NoiseContrastive { ratio, .. } => {
                let ratio = *ratio as f64;
                [ratio.ln_1p() + ratio * (1.0 / ratio).ln_1p(); 2]
            }
        }
    }

    /// An estimate of c by importance sampling from the noise: a first value, with which a model is not taken for too dense or too thin
    /// everywhere. 0 where it cannot be told; such a model the first update shows.
    pub(crate) fn log_normalizer_by_noise(&self, passes: &mut dyn Passes, seed: u64) -> Result<f64> {
        let Self::NoiseContrastive { noise, .. } = self else { return Ok(0.0) };
        let key = key(seed, Stream::Base, 0);
        let x = noise_points(noise, WEIGHED, |point| Draws::new(key, point as u32, 0));
        let energies = passes.jets(&x, &[], Order::Value)?.values;
        let log_weights: Vec<_> =
            energies.iter().enumerate().map(|(i, energy)| -energy - noise.ln_q(&column(&x, WEIGHED, i))).collect();
        Ok(log_mean_exp(&log_weights).ok().map(|mean| mean.value).filter(|value| value.is_finite()).unwrap_or(0.0))
    }

    /// That the loss can learn from finite points, `[dim][point]`.
    pub(crate) fn check_points(&self, what: &str, x: &[f32]) -> Result<()> {
        if let Self::NoiseContrastive { noise, .. } = self { noise.check_covers(what, x) } else { Ok(()) }
    }

    /// The loss and its gradient at the parameters that the passes have.
    ///
    /// # Errors
    /// [`Error::Shape`] where the dimension, the data or the negatives do not fit each other, the loss or the passes; [`Error::Setting`] where
    /// a setting of the loss is out of its range, or a number of the data is not finite or outside of the noise's box, with its row (the
    /// point) and column (the coordinate), from 1; [`Error::Limit`] and [`Error::Setting`] where memory does not hold a batch's noise or
    /// projections; those of the passes.
    pub fn at(&self, passes: &mut dyn Passes, at: At<'_>) -> Result<LossAt> {
        points("points of the loss", at.dim, at.x)?;
        self.check(at.dim)?;
        self.check_points("points of the loss", at.x)?;
        if passes.dim() != at.dim {
            return Err(Error::shape("dimension of the points", passes.dim(), at.dim));
        }
        match self {
            Self::Contrastive(contrastive) => contrastive.at(passes, at),
            Self::ImplicitScoreMatching => implicit(passes, at),
            Self::DenoisingScoreMatching { levels } => denoising(passes, at, levels),
            &Self::SlicedScoreMatching { projections, variance_reduced } => sliced(passes, at, projections, variance_reduced),
            Self::NoiseContrastive { noise, ratio } => noise_contrastive(passes, at, noise, *ratio),
        }
    }
}

impl At<'_> {
    pub(crate) fn points(&self) -> usize {
        self.x.len() / self.dim
    }

    /// The random numbers of a point.
    fn draws(&self, point: usize) -> Draws {
        Draws::new(key(self.seed, Stream::Loss, self.update), point as u32, 0)
    }
}

fn plain(loss: f64, grad: Vec<f64>) -> Result<LossAt> {
    Ok(LossAt { loss, grad, by_log_normalizer: 0.0, gap: None })
}

fn implicit(passes: &mut dyn Passes, at: At<'_>) -> Result<LossAt> {
    let (dim, n) = (at.dim, at.points());
    room("directions of a batch", n.saturating_mul(dim), dim.saturating_mul(2 * size_of::<f32>()))?;
    let directions: Vec<f32> = (0..dim).flat_map(|i| (0..dim * n).map(move |p| if p / n == i { 1.0 } else { 0.0 })).collect();
    projected(passes, at, &directions, 1.0 / n as f64)
}

/// ½φ′² − φ″, summed over all points and directions, times a factor.
fn projected(passes: &mut dyn Passes, at: At<'_>, directions: &[f32], factor: f64) -> Result<LossAt> {
    let Traces { slopes, curvatures } = passes.traces(at.x, directions)?;
    let loss = slopes.iter().map(|slope| 0.5 * slope * slope).sum::<f64>() - curvatures.iter().sum::<f64>();
    let adjoints =
        Traces { slopes: slopes.iter().map(|slope| slope * factor).collect(), curvatures: vec![-factor; curvatures.len()] };
    plain(loss * factor, passes.traces_param_grad(&adjoints)?)
}

fn denoising(passes: &mut dyn Passes, at: At<'_>, levels: &[f64]) -> Result<LossAt> {
    let (dim, n) = (at.dim, at.points());
    // Each level has its share of the points, and the next ones in the next update.
    let level = |point: usize| levels[(point as u64).wrapping_add(at.update) as usize % levels.len()];
    let (mut noisy, mut z, mut of_point) = (vec![0f32; dim * n], vec![0.0; dim * n], vec![0.0; dim]);
    for point in 0..n {
        at.draws(point).normals(0, &mut of_point);
        for (i, &normal) in of_point.iter().enumerate() {
            z[i * n + point] = normal;
            noisy[i * n + point] = (f64::from(at.x[i * n + point]) + level(point) * normal) as f32;
        }
    }
    let (_, grads) = passes.energy_and_grad(&noisy)?;
    let residual = |at: usize| f64::from(grads[at]) - z[at] / level(at % n);
    let per = 1.0 / n as f64;
    let loss = (0..dim * n).map(|at| 0.5 * (level(at % n) * residual(at)).powi(2)).sum::<f64>() * per;
    // The residual is the direction, held fixed: ∂/∂θ ½‖r‖² = r·∂∇E/∂θ.
    let direction: Vec<_> = (0..dim * n).map(|at| residual(at) as f32).collect();
    passes.jets(&noisy, &direction, Order::Slope)?;
    let slopes = (0..n).map(|point| level(point).powi(2) * per).collect();
    plain(loss, passes.param_grad(&Adjoints { slopes, ..Adjoints::default() })?)
}

fn sliced(passes: &mut dyn Passes, at: At<'_>, projections: usize, variance_reduced: bool) -> Result<LossAt> {
    let (dim, n) = (at.dim, at.points());
    room("projections of a batch", n.saturating_mul(projections), dim.saturating_mul(2 * size_of::<f32>()))?;
    let directions = random_directions(at, projections);
    let (per, per_random) = (1.0 / n as f64, 1.0 / (n * projections) as f64);
    if !variance_reduced {
        return projected(passes, at, &directions, per_random);
    }
    // ½‖∇E‖² by the slopes along the gradient, held fixed.
    let (_, grads) = passes.energy_and_grad(at.x)?;
    passes.jets(at.x, &grads, Order::Slope)?;
    let mut grad = passes.param_grad(&Adjoints { slopes: vec![per; n], ..Adjoints::default() })?;
    let Traces { slopes, curvatures } = passes.traces(at.x, &directions)?;
    let adjoints = Traces { slopes: vec![0.0; slopes.len()], curvatures: vec![-per_random; n] };
    grad.iter_mut().zip(passes.traces_param_grad(&adjoints)?).for_each(|(sum, of_curvatures)| *sum += of_curvatures);
    let squares = grads.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
    plain(0.5 * squares * per - curvatures.iter().sum::<f64>() * per_random, grad)
}

/// Directions of random signs, `[dim][direction][point]`. The loss knows them by Σ v vᵀ alone; so where there are more of them than
/// coordinates, as many directions as coordinates, which have that same sum, stand for them.
fn random_directions(at: At<'_>, projections: usize) -> Vec<f32> {
    let (dim, n) = (at.dim, at.points());
    let kept = projections.min(dim);
    let mut directions = vec![0.0; dim * kept * n];
    for point in 0..n {
        let draws = at.draws(point);
        let sign = |bit: usize| if draws.bits(bit as u32 / 32)[0] >> (bit % 32) & 1 == 1 { 1.0 } else { -1.0 };
        let of_point = (0..projections).map(|projection| (0..dim).map(|i| sign(projection * dim + i)).collect());
        let of_point = if projections > dim { fewer(dim, of_point) } else { of_point.collect() };
        for (direction, v) in of_point.iter().enumerate() {
            for (i, &v) in v.iter().enumerate() {
                directions[(i * kept + direction) * n + point] = v as f32;
            }
        }
    }
    directions
}

/// `dim` vectors w of which Σ w wᵀ = Σ v vᵀ: the columns of a Cholesky factor of that sum. The sum of a few vectors is singular at times:
/// what such a pivot leaves is rounding, and its column zero.
fn fewer(dim: usize, vectors: impl Iterator<Item = Vec<f64>>) -> Vec<Vec<f64>> {
    let mut rest = vec![vec![0.0; dim]; dim];
    for v in vectors {
        rest.iter_mut().zip(&v).for_each(|(row, vi)| row.iter_mut().zip(&v).for_each(|(sum, vj)| *sum += vi * vj));
    }
    let smallest = 1e-9 * rest.iter().enumerate().map(|(i, row)| row[i]).sum::<f64>();
    let column = |j: usize| {
        if rest[j][j] <= smallest {
            return vec![0.0; dim];
        }
        let root = rest[j][j].sqrt();
        let w: Vec<f64> = rest.iter().enumerate().map(|(i, row)| if i < j { 0.0 } else { row[j] / root }).collect();
        rest.iter_mut().zip(&w).for_each(|(row, wi)| row.iter_mut().zip(&w).for_each(|(left, wk)| *left -= wi * wk));
        w
    };
    (0..dim).map(column).collect()
}

/// Points of the noise, `[dim][point]`, each by its random numbers.
fn noise_points(noise: &Noise, points: usize, draws: impl Fn(usize) -> Draws) -> Vec<f32> {
    let drawn: Vec<_> = (0..points).map(|point| noise.draw(&draws(point))).collect();
    (0..noise.dim()).flat_map(|i| drawn.iter().map(move |y| y[i])).collect()
}

/// One of so many points.
fn column(x: &[f32], points: usize, point: usize) -> Vec<f64> {
    x.iter().skip(point).step_by(points).map(|&x| f64::from(x)).collect()
}

fn noise_contrastive(passes: &mut dyn Passes, at: At<'_>, noise: &Noise, ratio: usize) -> Result<LossAt> {
    let (dim, n) = (at.dim, at.points());
    let noisy = n.saturating_mul(ratio);
    room("noise points of a batch", noisy, dim.saturating_mul(2 * size_of::<f32>()))?;
    let x = side_by_side(dim, &[at.x, &noise_points(noise, noisy, |point| at.draws(point))]);
    let jets = passes.jets(&x, &[], Order::Value)?;
    let (all, per) = (n + noisy, 1.0 / n as f64);
    let (mut loss, mut by_c) = (0.0, 0.0);
    let mut values = Vec::with_capacity(all);
    for (point, energy) in jets.values.iter().enumerate() {
        let logit = -energy - at.log_normalizer - noise.ln_q(&column(&x, all, point)) - (ratio as f64).ln();
        // −ln σ(±logit) = ln(1 + exp(∓logit)); its derivative is what the classifier gets wrong.
        let sign = if point < n { 1.0 } else { -1.0 };
        let wrong = 1.0 / (1.0 + (sign * logit).exp());
        loss += per * ((-sign * logit).max(0.0) + (-logit.abs()).exp().ln_1p());
        values.push(sign * wrong * per);
        by_c += sign * wrong * per;
    }
    let grad = passes.param_grad(&Adjoints { values, ..Adjoints::default() })?;
    Ok(LossAt { loss, grad, by_log_normalizer: by_c, gap: None })
}
