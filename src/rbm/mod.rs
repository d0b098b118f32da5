//! Restricted Boltzmann machines: two layers of binary units, sampled by alternating blocks.
//!
//! E(v, h) = −aᵀv − bᵀh − vᵀWh with v in {0, 1}^V and h in {0, 1}^H. Given one layer, the units of the other are independent, so a
//! whole layer is drawn at once ([`Gibbs`]). Source: Smolensky 1986; Hinton: A practical guide to training restricted Boltzmann
//! machines (2010).

mod ais;
mod dbn;
mod exact;
mod fields;
mod file;
mod gibbs;
mod gpu;
mod idx;
mod monitor;
mod states;
mod train;

pub use ais::{Ais, Estimate, LnZ};
pub use dbn::Dbn;
pub use gibbs::Gibbs;
pub(crate) use gpu::{canary, pipeline};
pub use idx::Idx;
pub use monitor::Monitor;
pub use states::States;
pub(crate) use train::shuffled;
pub use train::{Epoch, Negative, Trainer, Training};

use crate::{Error, Result, error::finite};

/// A Bernoulli–Bernoulli machine. Parameters are f32, as the GPU reads them; formulas are evaluated in f64.
#[derive(Debug, Clone, PartialEq)]
pub struct Rbm {
    visible: usize,
    hidden: usize,
    weights: Vec<f32>,
    visible_bias: Vec<f32>,
    hidden_bias: Vec<f32>,
}

/// ln(1 + eˣ) without overflow.
pub(crate) fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// 1 / (1 + e⁻ˣ).
pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Rbm {
    /// A machine of weights W, `[visible][hidden]`, visible biases a and hidden biases b.
    ///
    /// # Errors
    /// [`Error::Setting`] where a layer is empty or a parameter is not finite; [`Error::Shape`] where W does not fit a and b.
    pub fn new(
        weights: impl Into<Vec<f32>>,
        visible_bias: impl Into<Vec<f32>>,
        hidden_bias: impl Into<Vec<f32>>,
    ) -> Result<Self> {
        let (weights, visible_bias, hidden_bias) = (weights.into(), visible_bias.into(), hidden_bias.into());
        let (visible, hidden) = (visible_bias.len(), hidden_bias.len());
        for (name, units) in [("visible units", visible), ("hidden units", hidden)] {
            if units == 0 {
                return Err(Error::setting(name, 0, "must be at least 1"));
            }
        }
        let Some(count) = visible.checked_mul(hidden).filter(|&n| n <= u32::MAX as usize) else {
            return Err(Error::Limit {
                what: "weights".into(),
                asked: visible as u64,
                allowed: u64::from(u32::MAX) / hidden as u64,
                limit: "32-bit indices".into(),
            });
        };
        if weights.len() != count {
            return Err(Error::shape("weights ([visible][hidden])", count, weights.len()));
        }
        for (name, values) in [("W", &weights), ("a", &visible_bias), ("b", &hidden_bias)] {
            for (i, &value) in values.iter().enumerate() {
                finite(&format!("{name}[{i}]"), f64::from(value))?;
            }
        }
        Ok(Self { visible, hidden, weights, visible_bias, hidden_bias })
    }

    /// Number of visible units.
    pub fn visible(&self) -> usize {
        self.visible
    }

    /// Number of hidden units.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// W, `[visible][hidden]`.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// a.
    pub fn visible_bias(&self) -> &[f32] {
        &self.visible_bias
    }

    /// b.
    pub fn hidden_bias(&self) -> &[f32] {
        &self.hidden_bias
    }

    /// The machine with its layers exchanged: Wᵀ, b, a.
    pub fn transposed(&self) -> Self {
        Self {
            visible: self.hidden,
            hidden: self.visible,
            weights: transpose(&self.weights, self.hidden),
            visible_bias: self.hidden_bias.clone(),
            hidden_bias: self.visible_bias.clone(),
        }
    }

    /// b + Wᵀv: what the hidden units see. `v` may hold probabilities.
    ///
    /// # Panics
    /// Where `v` has not as many values as there are visible units; so do all formulas below.
    pub fn hidden_fields(&self, v: &[f64]) -> Vec<f64> {
        assert_eq!(v.len(), self.visible, "visible units");
        let mut fields: Vec<_> = self.hidden_bias.iter().map(|&b| f64::from(b)).collect();
        for (row, &v) in self.weights.chunks_exact(self.hidden).zip(v).filter(|(_, v)| **v != 0.0) {
            fields.iter_mut().zip(row).for_each(|(x, &w)| *x += v * f64::from(w));
        }
        fields
    }

    /// a + Wh: what the visible units see.
    pub fn visible_fields(&self, h: &[f64]) -> Vec<f64> {
        assert_eq!(h.len(), self.hidden, "hidden units");
        let product = |row: &[f32]| row.iter().zip(h).map(|(&w, h)| f64::from(w) * h).sum::<f64>();
        self.visible_bias
            .iter()
            .zip(self.weights.chunks_exact(self.hidden))
            .map(|(&a, row)| f64::from(a) + product(row))
            .collect()
    }

    /// p(hⱼ = 1 | v) = σ(bⱼ + Σᵢ vᵢ Wᵢⱼ).
    pub fn hidden_means(&self, v: &[f64]) -> Vec<f64> {
        self.hidden_fields(v).into_iter().map(sigmoid).collect()
    }

    /// p(vᵢ = 1 | h) = σ(aᵢ + Σⱼ Wᵢⱼ hⱼ).
    pub fn visible_means(&self, h: &[f64]) -> Vec<f64> {
        self.visible_fields(h).into_iter().map(sigmoid).collect()
    }

    /// E(v, h) = −aᵀv − bᵀh − vᵀWh.
    pub fn energy(&self, v: &[f64], h: &[f64]) -> f64 {
        let hidden: f64 = self.hidden_fields(v).iter().zip(h).map(|(x, h)| x * h).sum();
        -self.visible_bias.iter().zip(v).map(|(&a, v)| f64::from(a) * v).sum::<f64>() - hidden
    }

    /// F(v) = −ln Σₕ exp(−E(v, h)) = −aᵀv − Σⱼ ln(1 + exp(bⱼ + Σᵢ vᵢ Wᵢⱼ)), so that p(v) = exp(−F(v)) / Z.
    pub fn free_energy(&self, v: &[f64]) -> f64 {
        let hidden: f64 = self.hidden_fields(v).into_iter().map(softplus).sum();
        -self.visible_bias.iter().zip(v).map(|(&a, v)| f64::from(a) * v).sum::<f64>() - hidden
    }
}

/// The transpose of rows of `width` values.
pub(crate) fn transpose<T: Copy>(rows: &[T], width: usize) -> Vec<T> {
    (0..width).flat_map(|column| rows.iter().skip(column).step_by(width).copied()).collect()
}
