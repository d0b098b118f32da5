//! Deep belief networks: machines stacked so that the hidden units of one are the visible units of the next.
//!
//! p(v, h¹, …, hᴸ) = p(v | h¹) … p(hᴸ⁻² | hᴸ⁻¹) p(hᴸ⁻¹, hᴸ): the last machine is a joint law, those below it only generate. Source:
//! Hinton, Osindero, Teh: A fast learning algorithm for deep belief nets (2006).

use super::{
    Gibbs, Rbm, States,
    fields::{Bits, Fields, draw},
};
use crate::{
    Backend, Error, Result,
    random::{Stream, key},
};

/// A stack of machines, from the data up.
///
/// Training is greedy: train a machine, draw its hidden units given the data ([`Rbm::draw_hidden`]), train the next one on them.
#[derive(Debug, Clone, PartialEq)]
pub struct Dbn {
    layers: Vec<Rbm>,
}

impl Rbm {
    /// Hidden units drawn given visible ones. Draws of different `layer`s, or seeds, are independent.
    ///
    /// # Errors
    /// [`Error::Shape`] where the states have not as many units as the visible layer.
    pub fn draw_hidden(&self, visible: &States, seed: u64, layer: u64) -> Result<States> {
        if visible.units() != self.visible {
            return Err(Error::shape("visible units", self.visible, visible.units()));
        }
        let mut fields = Vec::new();
        Fields::<f64>::new(self).hidden(&visible.rows(0..visible.chains()), &mut fields);
        // Counted from the end, where no training comes.
        let key = key(seed, Stream::Train, u64::MAX - layer);
        draw(Bits { key, first_chain: 0, index: 0 }, self.hidden, &mut fields);
        let mut hidden = States::zeros(self.hidden, visible.chains());
        hidden.set_rows(0, &fields);
        Ok(hidden)
    }
}

impl Dbn {
    /// A stack of trained machines, the one on the data first.
    ///
    /// # Errors
    /// [`Error::Setting`] without machines; [`Error::Shape`] where the visible units of one are not the hidden ones of that below.
    pub fn new(layers: impl Into<Vec<Rbm>>) -> Result<Self> {
        let layers = layers.into();
        if layers.is_empty() {
            return Err(Error::setting("layers", 0, "must be at least 1"));
        }
        for (i, pair) in layers.windows(2).enumerate() {
            if pair[1].visible() != pair[0].hidden() {
                return Err(Error::shape(format!("visible units of layer {}", i + 1), pair[0].hidden(), pair[1].visible()));
            }
        }
        Ok(Self { layers })
    }

    /// The machines, from the data up.
    pub fn layers(&self) -> &[Rbm] {
        &self.layers
    }

    /// Means of the units of the topmost layer, each layer given the means of the one below: features for a classifier.
    ///
    /// # Panics
    /// Where `v` has not as many values as the data have units.
    pub fn features(&self, v: &[f64]) -> Vec<f64> {
        self.layers.iter().fold(v.to_vec(), |means, rbm| rbm.hidden_means(&means))
    }

    /// Up by means, and down again: what the network makes of `v`.
    ///
    /// # Panics
    /// As [`features`](Self::features).
    pub fn reconstruct(&self, v: &[f64]) -> Vec<f64> {
        self.layers.iter().rev().fold(self.features(v), |means, rbm| rbm.visible_means(&means))
    }

    /// Data drawn from the network: chains of the last machine after so many sweeps, then once down through the others.
    ///
    /// # Errors
    /// As [`Gibbs::new`] and [`Gibbs::advance`].
    pub fn sample(&self, backend: &Backend, chains: usize, sweeps: u64, seed: u64) -> Result<States> {
        let (top, below) = self.layers.split_last().ok_or_else(|| Error::setting("layers", 0, "must be at least 1"))?;
        let mut gibbs = Gibbs::new(backend, top, chains, seed)?;
        gibbs.advance(sweeps)?;
        let mut states = gibbs.visible()?;
        for (layer, rbm) in below.iter().enumerate().rev() {
            states = rbm.transposed().draw_hidden(&states, seed, layer as u64)?;
        }
        Ok(states)
    }
}
