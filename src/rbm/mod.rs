//! Restricted Boltzmann machines: two layers of units, sampled by alternating blocks.
//!
//! E(v, h) = −aᵀv − bᵀh − vᵀWh with v in {0, 1}^V and h in {0, 1}^H. For real data, visible units are Gaussian:
//! E(v, h) = Σᵢ (vᵢ − aᵢ)² / (2σᵢ²) − bᵀh − (v/σ)ᵀWh ([`Rbm::gaussian`]). Given one layer, the units of the other are independent, so
//! a whole layer is drawn at once ([`Gibbs`]). Source: Smolensky 1986; Hinton: A practical guide to training restricted Boltzmann
//! machines (2010).

mod ais;
mod data;
mod dbn;
mod exact;
mod fields;
mod file;
mod gibbs;
mod gpu;
mod idx;
mod input;
mod monitor;
mod npy;
mod sampler;
mod states;
mod tempered;
mod train;

pub use ais::{Ais, LnZ};
pub use data::{Data, Reals};
pub use dbn::Dbn;
pub use gibbs::Gibbs;
pub use idx::Idx;
pub use monitor::Monitor;
pub use states::States;
pub use tempered::Tempered;
pub use train::{Epoch, Negative, Trainer, Training};

use crate::{
    Error, Result,
    error::{all_finite, positive},
};

/// A machine with binary hidden units, and visible units that are binary or Gaussian. Parameters are f32, as the GPU reads them; formulas
/// are evaluated in f64.
#[derive(Debug, Clone, PartialEq)]
pub struct Rbm {
    visible: usize,
    hidden: usize,
    weights: Vec<f32>,
    visible_bias: Vec<f32>,
    hidden_bias: Vec<f32>,
    /// σ, where visible units are Gaussian.
    sds: Option<Vec<f32>>,
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
            all_finite(values, |at| format!("{name}[{at}]"))?;
        }
        Ok(Self { visible, hidden, weights, visible_bias, hidden_bias, sds: None })
    }

    /// A machine whose visible units are real, with standard deviations σ: E(v, h) = Σᵢ (vᵢ − aᵢ)² / (2σᵢ²) − bᵀh − (v/σ)ᵀWh, so that
    /// vᵢ given h is N(aᵢ + σᵢ (Wh)ᵢ, σᵢ²).
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Shape`] where there is not one σ a visible unit, [`Error::Setting`] where one is not above 0.
    pub fn gaussian(
        weights: impl Into<Vec<f32>>,
        visible_bias: impl Into<Vec<f32>>,
        hidden_bias: impl Into<Vec<f32>>,
        sds: impl Into<Vec<f32>>,
    ) -> Result<Self> {
        let (rbm, sds) = (Self::new(weights, visible_bias, hidden_bias)?, sds.into());
        if sds.len() != rbm.visible {
            return Err(Error::shape("standard deviations of visible units", rbm.visible, sds.len()));
        }
        for (i, &sd) in sds.iter().enumerate() {
            positive(&format!("sd[{i}]"), f64::from(sd))?;
        }
        Ok(Self { sds: Some(sds), ..rbm })
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

    /// σ of Gaussian visible units; nothing where they are binary.
    pub fn sds(&self) -> Option<&[f32]> {
        self.sds.as_deref()
    }

    /// The machine with its layers exchanged: Wᵀ, b, a.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the visible units are Gaussian: hidden units are binary.
    pub fn transposed(&self) -> Result<Self> {
        if self.sds.is_some() {
            return Err(Error::Unsupported(
                "layers can be exchanged where both are binary; these visible units are Gaussian".into(),
            ));
        }
        Ok(Self {
            visible: self.hidden,
            hidden: self.visible,
            weights: transpose(&self.weights, self.hidden),
            visible_bias: self.hidden_bias.clone(),
            hidden_bias: self.visible_bias.clone(),
            sds: None,
        })
    }

    /// v/σ: visible values in the units in which the layers meet. Binary ones are as they are.
    fn scaled(&self, v: &[f64]) -> Vec<f64> {
        match &self.sds {
            None => v.to_vec(),
            Some(sds) => v.iter().zip(sds).map(|(v, &sd)| v / f64::from(sd)).collect(),
        }
    }

    /// The same of rows, `[row][visible]`.
    fn scaled_rows<T: fields::Real>(&self, rows: &[f32]) -> Vec<T> {
        match &self.sds {
            None => rows.iter().map(|&v| T::of(f64::from(v))).collect(),
            Some(sds) => rows.iter().zip(sds.iter().cycle()).map(|(&v, &sd)| T::of(f64::from(v) / f64::from(sd))).collect(),
        }
    }

    /// The part of the energy that is the visible units' alone: −aᵀv, or Σᵢ (vᵢ − aᵢ)² / (2σᵢ²).
    fn visible_energy(&self, v: &[f64]) -> f64 {
        let pairs = v.iter().zip(&self.visible_bias);
        match &self.sds {
            None => -pairs.map(|(v, &a)| f64::from(a) * v).sum::<f64>(),
            Some(sds) => pairs.zip(sds).map(|((v, &a), &sd)| 0.5 * ((v - f64::from(a)) / f64::from(sd)).powi(2)).sum(),
        }
    }

    /// b + Wᵀv, or b + Wᵀ(v/σ): what the hidden units see. `v` may hold probabilities.
    ///
    /// # Panics
    /// Where `v` has not as many values as there are visible units; so do all formulas below.
    pub fn hidden_fields(&self, v: &[f64]) -> Vec<f64> {
        assert_eq!(v.len(), self.visible, "visible units");
        let mut fields: Vec<_> = self.hidden_bias.iter().map(|&b| f64::from(b)).collect();
        for (row, v) in self.weights.chunks_exact(self.hidden).zip(self.scaled(v)).filter(|(_, v)| *v != 0.0) {
            fields.iter_mut().zip(row).for_each(|(x, &w)| *x += v * f64::from(w));
        }
        fields
    }

    /// a + Wh, or a + σ Wh: what the visible units see.
    pub fn visible_fields(&self, h: &[f64]) -> Vec<f64> {
        assert_eq!(h.len(), self.hidden, "hidden units");
        let product = |row: &[f32]| row.iter().zip(h).map(|(&w, h)| f64::from(w) * h).sum::<f64>();
        let rows = self.visible_bias.iter().zip(self.weights.chunks_exact(self.hidden));
        match &self.sds {
            None => rows.map(|(&a, row)| f64::from(a) + product(row)).collect(),
            Some(sds) => rows.zip(sds).map(|((&a, row), &sd)| f64::from(a) + f64::from(sd) * product(row)).collect(),
        }
    }

    /// p(hⱼ = 1 | v) = 1 / (1 + exp(−xⱼ)), x the [hidden fields](Self::hidden_fields).
    pub fn hidden_means(&self, v: &[f64]) -> Vec<f64> {
        self.hidden_fields(v).into_iter().map(sigmoid).collect()
    }

    /// The mean of each visible unit given h: 1 / (1 + exp(−xᵢ)), x the [visible fields](Self::visible_fields), or, where they are
    /// Gaussian, xᵢ itself.
    pub fn visible_means(&self, h: &[f64]) -> Vec<f64> {
        let fields = self.visible_fields(h);
        if self.sds.is_some() { fields } else { fields.into_iter().map(sigmoid).collect() }
    }

    /// E(v, h) = −aᵀv − bᵀh − vᵀWh, or Σᵢ (vᵢ − aᵢ)² / (2σᵢ²) − bᵀh − (v/σ)ᵀWh.
    pub fn energy(&self, v: &[f64], h: &[f64]) -> f64 {
        assert_eq!(h.len(), self.hidden, "hidden units");
        self.visible_energy(v) - self.hidden_fields(v).iter().zip(h).map(|(x, h)| x * h).sum::<f64>()
    }

    /// F(v) = −ln Σₕ exp(−E(v, h)), so that p(v) = exp(−F(v)) / Z: −aᵀv, or Σᵢ (vᵢ − aᵢ)² / (2σᵢ²), less Σⱼ ln(1 + exp(xⱼ)), x the
    /// [hidden fields](Self::hidden_fields).
    pub fn free_energy(&self, v: &[f64]) -> f64 {
        self.visible_energy(v) - self.hidden_fields(v).into_iter().map(softplus).sum::<f64>()
    }
}

/// The transpose of rows of `width` values.
pub(crate) fn transpose<T: Copy>(rows: &[T], width: usize) -> Vec<T> {
    (0..width).flat_map(|column| rows.iter().skip(column).step_by(width).copied()).collect()
}
