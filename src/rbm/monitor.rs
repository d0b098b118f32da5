//! How training goes, without ln Z: free-energy gap, reconstruction error, pseudo-likelihood.

use rayon::prelude::*;

use super::{Rbm, States, sigmoid, softplus};

/// Figures of a machine in training.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Monitor {
    /// Mean free energy of held-out images less that of training images: grows when the machine learns them by heart.
    pub free_energy_gap: f64,
    /// Mean of (v − E(v | E(h | v)))² over pixels of held-out images.
    pub reconstruction_error: f64,
    /// Mean of Σᵢ ln p(vᵢ | the others) over held-out images, in nats.
    pub pseudo_likelihood: f64,
}

impl Rbm {
    /// Figures on training and held-out images.
    ///
    /// # Panics
    /// Where the images have not as many units as the machine.
    pub fn monitor(&self, train: &States, held_out: &States) -> Monitor {
        let mean = |images: &States, f: &(dyn Fn(&[f64]) -> f64 + Sync)| {
            let values: Vec<_> = (0..images.chains()).into_par_iter().map(|image| f(&images.row(image))).collect();
            values.iter().sum::<f64>() / images.chains() as f64
        };
        let free_energy = |v: &[f64]| self.free_energy(v);
        Monitor {
            free_energy_gap: mean(held_out, &free_energy) - mean(train, &free_energy),
            reconstruction_error: mean(held_out, &|v| {
                let back = self.visible_means(&self.hidden_means(v));
                v.iter().zip(back).map(|(v, p)| (v - p).powi(2)).sum::<f64>() / self.visible as f64
            }),
            pseudo_likelihood: mean(held_out, &|v| self.pseudo_likelihood(v)),
        }
    }

    /// The mean of −F(v) over images: less ln Z it is their mean log-likelihood.
    ///
    /// # Panics
    /// Where the images have not as many units as the machine.
    pub fn mean_negative_free_energy(&self, images: &States) -> f64 {
        let values: Vec<_> = (0..images.chains()).into_par_iter().map(|image| -self.free_energy(&images.row(image))).collect();
        values.iter().sum::<f64>() / images.chains() as f64
    }

    /// Σᵢ ln p(vᵢ | the other units) = Σᵢ ln σ(F(v with unit i flipped) − F(v)).
    ///
    /// # Panics
    /// Where `v` has not as many values as there are visible units.
    pub fn pseudo_likelihood(&self, v: &[f64]) -> f64 {
        let fields = self.hidden_fields(v);
        let here: f64 = fields.iter().copied().map(softplus).sum();
        let of_unit = |((row, &a), &v): ((&[f32], &f32), &f64)| {
            let sign = 1.0 - 2.0 * v;
            let there: f64 = fields.iter().zip(row).map(|(x, &w)| softplus(x + sign * f64::from(w))).sum();
            let more_energy = here - there - sign * f64::from(a);
            sigmoid(more_energy).ln()
        };
        self.weights.chunks_exact(self.hidden).zip(&self.visible_bias).zip(v).map(of_unit).sum()
    }
}
