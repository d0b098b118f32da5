//! ln Z by enumeration of the smaller layer.

use rayon::prelude::*;

use super::{Rbm, fields::sum_softplus};
use crate::{Error, Result};

/// Units of a layer that can be enumerated.
pub(crate) const MOST_UNITS: usize = 24;
/// States that one thread goes through by changing a unit at a time.
const BLOCK_UNITS: usize = 10;

impl Rbm {
    /// ln Z = ln Σᵥₕ exp(−E(v, h)), exactly: all states of the smaller layer, the other one summed in closed form. Takes
    /// 2^min(V, H) · max(V, H) exponentials. Gaussian visible units are integrated over, in the units of the data, so that
    /// exp(−F(v)) / Z is their density; then the layer of all states is the hidden one.
    ///
    /// # Errors
    /// [`Error::Limit`] where both layers (with Gaussian units, the hidden one) have more than 24 units.
    pub fn ln_z(&self) -> Result<f64> {
        if self.hidden > self.visible && self.sds.is_none() {
            return self.transposed()?.ln_z();
        }
        if self.hidden > MOST_UNITS {
            return Err(Error::Limit {
                what: "units of the smaller layer".into(),
                asked: self.hidden as u64,
                allowed: MOST_UNITS as u64,
                limit: "enumeration".into(),
            });
        }
        let inner = self.hidden.min(BLOCK_UNITS);
        let columns: Vec<Vec<f64>> = (0..self.hidden)
            .map(|j| {
                let column: Vec<_> = self.weights.iter().skip(j).step_by(self.hidden).map(|&w| f64::from(w)).collect();
                // What turning hidden unit j on adds to the visible fields.
                match &self.sds {
                    None => column,
                    Some(sds) => column.iter().zip(sds).map(|(w, &sd)| w * f64::from(sd)).collect(),
                }
            })
            .collect();
        let blocks: Vec<_> =
            (0..1usize << (self.hidden - inner)).into_par_iter().map(|block| self.block(block, inner, &columns)).collect();
        Ok(log_sum_exp(&blocks))
    }

    /// ln Σᵥ exp(−E) but for bᵀh, from the visible units' fields.
    fn sum_over_visible(&self, fields: &[f64]) -> f64 {
        let Some(sds) = &self.sds else { return sum_softplus(fields.iter().copied()) };
        // ∫ exp(−(v−a)²/2σ² + v y/σ) dv with y = (Wh)ᵢ = (field − a)/σ: √(2π) σ exp(y²/2 + a y/σ).
        let unit = |((&x, &a), &sd): ((&f64, &f32), &f32)| {
            let (a, sd) = (f64::from(a), f64::from(sd));
            let y = (x - a) / sd;
            0.5 * std::f64::consts::TAU.ln() + sd.ln() + y * (0.5 * y + a / sd)
        };
        fields.iter().zip(&self.visible_bias).zip(sds).map(unit).sum()
    }

    /// The logarithm of the part of Z with the hidden units above `inner` set to the bits of `block`: the others go through a Gray
    /// code, so that each state differs from the last in one unit.
    fn block(&self, block: usize, inner: usize, columns: &[Vec<f64>]) -> f64 {
        let mut h = vec![0.0; self.hidden];
        h[inner..].iter_mut().enumerate().for_each(|(bit, h)| *h = (block >> bit & 1) as f64);
        let mut fields = self.visible_fields(&h);
        let mut on: f64 = self.hidden_bias.iter().zip(&h).map(|(&b, h)| f64::from(b) * h).sum();
        let mut terms = Vec::with_capacity(1 << inner);
        for count in 1..=1usize << inner {
            terms.push(on + self.sum_over_visible(&fields));
            let unit = count.trailing_zeros() as usize;
            if unit < inner {
                let sign = 1.0 - 2.0 * h[unit];
                h[unit] = 1.0 - h[unit];
                on += sign * f64::from(self.hidden_bias[unit]);
                fields.iter_mut().zip(&columns[unit]).for_each(|(x, w)| *x += sign * w);
            }
        }
        log_sum_exp(&terms)
    }
}

/// ln Σ exp(x).
pub(crate) fn log_sum_exp(terms: &[f64]) -> f64 {
    let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY { most } else { most + terms.iter().map(|x| (x - most).exp()).sum::<f64>().ln() }
}
