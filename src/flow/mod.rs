//! Normalising flows of affine coupling layers: exact draws, exact densities, and hand-written gradients of both.
//!
//! A flow carries z ~ N(0, I) to x = f(z), layer by layer. A layer keeps every second coordinate, a, and moves the others, b, by
//! b ← b·exp(s(a)) + t(a), which is undone as easily as it is done; its log-determinant is Σ s. The layers take turns with
//! the coordinates they keep. So log q(x) = log N(z; 0, I) − Σ s, exactly.
//!
//! s and t come from a perceptron of the layer's own, with one hidden layer of u(t) = t/√(1 + t²) and a linear part beside it:
//! (r, t) = W₂ u(W₁ a + b₁) + A a + b₂, and s = 2 u(r/2), so that a layer scales by at most e^±2. u stands for tanh, which WGSL
//! grants no better than 10⁻⁵; it is a square root and a division, and takes the same values on every device to an f32's rounding.
//! The linear part makes every Gaussian of the plane exactly reachable with two layers.
//!
//! Source: Dinh, Sohl-Dickstein and Bengio: Density estimation using Real NVP (2017).

mod adversarial;
mod contrastive;
mod coupling;
mod descent;
mod energy;
mod file;
mod likelihood;
mod pair;
mod pass;
mod proposal;
mod variational;
mod view;

pub use adversarial::{Adversarial, Adversary, Phases};
pub use contrastive::{Contest, Contrast, Contrastive, FlowGoal};
pub use likelihood::{Likelihood, Training};
pub use pass::{Grads, Mapped, Pass};
pub use proposal::Proposal;
pub use variational::Variational;

use crate::{
    Error, Result,
    error::{all_finite, at_least_two, positive, room},
    net::Real,
    random::{Draws, Epochs, Stream, key, normal_pair, normal_slots, threefry},
};
use coupling::Layer;

/// The starting weights of the hidden units have this spread, so that their bends lie where the data are.
const SPREAD: f64 = 1.5;

/// A normalising flow. Parameters are f32, as the GPU reads them; passes are in f64, those of training in f32.
///
/// ```
/// # use ergodic::flow::Flow;
/// let flow = Flow::new(2, 6, 16, 1)?;
/// let drawn = flow.sample(1_000, 7, 0)?;
/// let density = flow.log_density(&drawn.positions)?;
/// assert!((density[3] - drawn.log_densities[3]).abs() < 1e-9);
/// assert!(Flow::new(1, 6, 16, 1).is_err());
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    dim: usize,
    hidden: usize,
    layers: Vec<Layer>,
    params: Vec<f32>,
}

/// Exact draws of a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// `[dim][point]`.
    pub positions: Vec<f64>,
    /// log q of each.
    pub log_densities: Vec<f64>,
}

impl Flow {
    /// Of `dim` ≥ 2 coordinates and `layers` ≥ 2 layers with `hidden` ≥ 1 units each. It begins as N(0, I): the hidden units are
    /// drawn with this seed, and what follows them is zero.
    ///
    /// # Errors
    /// [`Error::Setting`] where a number is out of range.
    pub fn new(dim: usize, layers: usize, hidden: usize, seed: u64) -> Result<Self> {
        let layers = shape(dim, layers, hidden)?;
        let mut params = vec![0.0; layers.iter().map(Layer::params).sum()];
        for (l, layer) in layers.iter().enumerate() {
            let key = key(seed, Stream::Flow, u64::MAX - l as u64);
            let normal = |i: usize| normal_pair(threefry(key, [0, i as u32]))[0];
            let weights = hidden * layer.kept.len();
            let scale = SPREAD / (layer.kept.len() as f64).sqrt();
            for (i, value) in params[layer.at..layer.at + weights + hidden].iter_mut().enumerate() {
                *value = (if i < weights { scale } else { SPREAD } * normal(i)) as f32;
            }
        }
        Ok(Self { dim, hidden, layers, params })
    }

    /// N(m, diag s²), one number a coordinate, as a flow of two layers of one hidden unit. A layer scales by less than e^±2, and so must s.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Shape`] where there are not as many s as m; [`Error::Setting`] where one is out of range.
    pub fn normal(mean: impl Into<Vec<f64>>, sds: impl Into<Vec<f64>>) -> Result<Self> {
        let (mean, sds) = (mean.into(), sds.into());
        let mut flow = Self::new(mean.len(), 2, 1, 0)?;
        if sds.len() != mean.len() {
            return Err(Error::shape("standard deviations of the flow", mean.len(), sds.len()));
        }
        let mut params = flow.params.clone();
        for layer in &flow.layers {
            let moved = layer.moved.len();
            let constants = layer.at + layer.params() - 2 * moved;
            for (k, &i) in layer.moved.iter().enumerate() {
                let part = positive("standard deviation of the flow", sds[i])?.ln() / coupling::MOST_LOG_SCALE;
                if part.abs() >= 1.0 {
                    return Err(Error::setting("standard deviation of the flow", sds[i], "must be within e^-2 and e^2"));
                }
                let log_scale = coupling::MOST_LOG_SCALE * part / (1.0 - part * part).sqrt();
                (params[constants + k], params[constants + moved + k]) = (log_scale as f32, mean[i] as f32);
            }
        }
        flow.set_params(&params)?;
        Ok(flow)
    }

    /// A flow with given parameters, in the order of [`params`](Self::params).
    ///
    /// # Errors
    /// [`Error::Setting`] where a number is out of range or a parameter not finite; [`Error::Shape`] where there are more or fewer
    /// parameters than the layers have.
    pub fn from_params(dim: usize, layers: usize, hidden: usize, params: impl Into<Vec<f32>>) -> Result<Self> {
        let layers = shape(dim, layers, hidden)?;
        let count = layers.iter().map(Layer::params).sum();
        let mut flow = Self { dim, hidden, layers, params: vec![0.0; count] };
        flow.set_params(&params.into())?;
        Ok(flow)
    }

    /// Number of coordinates.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Hidden units a layer.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// All parameters: layer after layer W₁ `[hidden][kept]`, b₁, W₂ `[2 moved][hidden]`, A `[2 moved][kept]`, b₂, the log-scales'
    /// rows before the shifts'. Layer l keeps the coordinates i with i + l even.
    pub fn params(&self) -> &[f32] {
        &self.params
    }

    /// Replaces all parameters.
    ///
    /// # Errors
    /// [`Error::Shape`] where their number differs; [`Error::Setting`] where one is not finite. The flow is then as it was.
    pub fn set_params(&mut self, params: &[f32]) -> Result<()> {
        if params.len() != self.params.len() {
            return Err(Error::shape("parameters of the flow", self.params.len(), params.len()));
        }
        all_finite(params, |at| format!("parameter {at} of the flow"))?;
        self.params.copy_from_slice(params);
        Ok(())
    }

    /// z ~ N(0, I), `[dim][point]`: of points 0 to `count` − 1 in this step. Another step gives independent ones.
    ///
    /// # Errors
    /// [`Error::Limit`] beyond 2³² − 1 points; [`Error::Setting`] where memory does not hold them.
    pub fn base(&self, count: usize, seed: u64, step: u64) -> Result<Vec<f64>> {
        // Base and positions, in blocks and whole.
        room("points of the flow", count, self.dim.saturating_mul(4 * size_of::<f64>()))?;
        let slots = normal_slots(self.dim);
        let epochs = Epochs::new(slots);
        let key = key(seed, Stream::Flow, epochs.epoch(step));
        let mut base = vec![0.0; self.dim * count];
        let mut z = vec![0.0; self.dim];
        for point in 0..count {
            Draws::new(key, point as u32, epochs.step_in_epoch(step) * slots).normals(0, &mut z);
            z.iter().enumerate().for_each(|(i, &z)| base[i * count + point] = z);
        }
        Ok(base)
    }

    /// Exact draws, x = f(z) of [`base`](Self::base), with their log-densities.
    ///
    /// # Errors
    /// As [`base`](Self::base).
    pub fn sample(&self, count: usize, seed: u64, step: u64) -> Result<Drawn> {
        self.sample_in::<f64>(count, seed, step)
    }

    /// [`sample`](Self::sample), in numbers of a kind.
    fn sample_in<T: Real>(&self, count: usize, seed: u64, step: u64) -> Result<Drawn> {
        let base = self.base(count, seed, step)?;
        let mapped = self.map_in::<T>(&base, pass::Direction::Forward);
        let log_densities = pass::standard_normal(&base, count).zip(&mapped.log_dets).map(|(n, log_det)| n - log_det).collect();
        Ok(Drawn { positions: mapped.positions, log_densities })
    }
}

/// The layers of a flow, checked.
fn shape(dim: usize, layers: usize, hidden: usize) -> Result<Vec<Layer>> {
    at_least_two("dimension of the flow", dim)?;
    if layers < 2 {
        return Err(Error::setting(
            "layers of the flow",
            layers,
            "must be at least 2, for each leaves coordinates as they are",
        ));
    }
    if hidden == 0 {
        return Err(Error::setting("hidden units of the flow", hidden, "must be at least 1"));
    }
    let doubled = dim.saturating_mul(2);
    let widest = doubled.saturating_add(2).saturating_mul(hidden).saturating_add(doubled.saturating_mul(dim));
    room("parameters of the flow", widest.saturating_mul(layers), size_of::<f32>())?;
    room("layers of the flow", layers, size_of::<Layer>() + dim * size_of::<usize>())?;
    let mut at = 0;
    let layer = |l: usize| {
        let (kept, moved) = (0..dim).partition(|i| (i + l).is_multiple_of(2));
        let layer = Layer { kept, moved, hidden, at };
        at += layer.params();
        layer
    };
    Ok((0..layers).map(layer).collect())
}
