//! How training goes, without ln Z: free-energy gap, reconstruction error, pseudo-likelihood.

use rayon::prelude::*;

use super::{Data, Rbm, sigmoid, softplus};

/// Figures of a machine in training.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Monitor {
    /// Mean free energy of held-out rows less that of training rows: grows when the machine learns them by heart.
    pub free_energy_gap: f64,
    /// Mean of (v − E(v | E(h | v)))² over units of held-out rows.
    pub reconstruction_error: f64,
    /// Mean of Σᵢ ln p(vᵢ | the others) over held-out rows, in nats; nothing where visible units are Gaussian.
    pub pseudo_likelihood: Option<f64>,
}

impl Rbm {
    /// Figures on training and held-out rows.
    ///
    /// # Panics
    /// Where the rows have not as many units as the machine.
    pub fn monitor(&self, train: &impl Data, held_out: &impl Data) -> Monitor {
        Monitor {
            free_energy_gap: self.mean_negative_free_energy(train) - self.mean_negative_free_energy(held_out),
            reconstruction_error: mean(held_out, |v| {
                let back = self.visible_means(&self.hidden_means(v));
                v.iter().zip(back).map(|(v, p)| (v - p).powi(2)).sum::<f64>() / self.visible as f64
            }),
            pseudo_likelihood: self.sds.is_none().then(|| mean(held_out, |v| self.pseudo_likelihood(v).unwrap_or(f64::NAN))),
        }
    }

    /// The mean of −F(v) over rows: less ln Z it is their mean log-likelihood.
    ///
    /// # Panics
    /// Where the rows have not as many units as the machine.
    pub fn mean_negative_free_energy(&self, data: &impl Data) -> f64 {
        mean(data, |v| -self.free_energy(v))
    }

    /// Σᵢ ln p(vᵢ | the other units) = Σᵢ ln σ(F(v with unit i flipped) − F(v)); nothing where visible units are Gaussian.
    ///
    /// # Panics
    /// Where `v` has not as many values as there are visible units.
    pub fn pseudo_likelihood(&self, v: &[f64]) -> Option<f64> {
        if self.sds.is_some() {
            return None;
        }
        let fields = self.hidden_fields(v);
        let here: f64 = fields.iter().copied().map(softplus).sum();
        let of_unit = |((row, &a), &v): ((&[f32], &f32), &f64)| {
            let sign = 1.0 - 2.0 * v;
            let there: f64 = fields.iter().zip(row).map(|(x, &w)| softplus(x + sign * f64::from(w))).sum();
            let more_energy = here - there - sign * f64::from(a);
            sigmoid(more_energy).ln()
        };
        Some(self.weights.chunks_exact(self.hidden).zip(&self.visible_bias).zip(v).map(of_unit).sum())
    }
}

fn mean(data: &impl Data, f: impl Fn(&[f64]) -> f64 + Sync) -> f64 {
    let values: Vec<_> = (0..data.count()).into_par_iter().map(|row| f(&data.row(row))).collect();
    values.iter().sum::<f64>() / data.count() as f64
}
