//! Deep belief networks: machines stacked so that the hidden units of one are the visible units of the next.
//!
//! p(v, h¹, …, hᴸ) = p(v | h¹) … p(hᴸ⁻² | hᴸ⁻¹) p(hᴸ⁻¹, hᴸ): the last machine is a joint law, those below it only generate. Source:
//! Hinton, Osindero, Teh: A fast learning algorithm for deep belief nets (2006).

use super::{
    Data, Gibbs, Rbm, Reals, States,
    fields::{Bits, Fields, add_normals, draw},
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
    /// [`Error::Shape`] where the rows have not as many units as the visible layer.
    pub fn draw_hidden(&self, visible: &impl Data, seed: u64, layer: u64) -> Result<States> {
        if visible.units() != self.visible {
            return Err(Error::shape("visible units", self.visible, visible.units()));
        }
        let values = visible.rows_of(&(0..visible.count()).collect::<Vec<_>>());
        let mut fields = Vec::new();
        Fields::<f64>::new(self).hidden(&self.scaled_rows(&values), &mut fields);
        draw(of_layer(seed, layer), self.hidden, &mut fields);
        let mut hidden = States::blank(self.hidden, visible.count());
        hidden.set_rows(0, &fields);
        Ok(hidden)
    }

    /// Gaussian visible units drawn given hidden ones.
    ///
    /// # Errors
    /// [`Error::Shape`] where the states have not as many units as the hidden layer; [`Error::Unsupported`] where the visible units are
    /// binary: those are the hidden ones of [`transposed`](Self::transposed).
    pub fn draw_reals(&self, hidden: &States, seed: u64, layer: u64) -> Result<Reals> {
        let Some(sds) = &self.sds else {
            return Err(Error::Unsupported("binary visible units are drawn as the hidden ones of Rbm::transposed".into()));
        };
        if hidden.units() != self.hidden {
            return Err(Error::shape("hidden units", self.hidden, hidden.units()));
        }
        let mut x = Vec::new();
        Fields::<f64>::new(self).visible(&hidden.rows(0..hidden.chains()), &mut x);
        add_normals(of_layer(seed, layer), self.visible, &mut x);
        let values: Vec<_> = x.iter().zip(sds.iter().cycle()).map(|(x, &sd)| (x * f64::from(sd)) as f32).collect();
        Reals::new(values, self.visible)
    }
}

/// The random bits of a layer, counted from the end, where no training comes.
fn of_layer(seed: u64, layer: u64) -> Bits {
    Bits { key: key(seed, Stream::Train, u64::MAX - layer), first_chain: 0, index: 0 }
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
        if layers.iter().skip(1).any(|rbm| rbm.sds().is_some()) {
            return Err(Error::Unsupported("only the lowest machine may have Gaussian visible units".into()));
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
    /// As [`Gibbs::new`] and [`Gibbs::advance`]; [`Error::Unsupported`] where the data are real.
    pub fn sample(&self, backend: &Backend, chains: usize, sweeps: u64, seed: u64) -> Result<States> {
        self.down_to(0, self.top(backend, chains, sweeps, seed)?.visible()?, seed)
    }

    /// The same where the data are real, the lowest machine's visible units being Gaussian.
    ///
    /// # Errors
    /// As [`Gibbs::new`] and [`Gibbs::advance`]; [`Error::Unsupported`] where the data are binary.
    pub fn sample_reals(&self, backend: &Backend, chains: usize, sweeps: u64, seed: u64) -> Result<Reals> {
        let top = self.top(backend, chains, sweeps, seed)?;
        match self.layers.len() {
            1 => top.reals(),
            _ => self.layers[0].draw_reals(&self.down_to(1, top.visible()?, seed)?, seed, 0),
        }
    }

    /// Chains of the last machine.
    fn top(&self, backend: &Backend, chains: usize, sweeps: u64, seed: u64) -> Result<Gibbs> {
        let mut gibbs = Gibbs::new(backend, &self.layers[self.layers.len() - 1], chains, seed)?;
        gibbs.advance(sweeps)?;
        Ok(gibbs)
    }

    /// From the visible units of the last machine to those of `lowest`.
    fn down_to(&self, lowest: usize, mut states: States, seed: u64) -> Result<States> {
        for layer in (lowest..self.layers.len() - 1).rev() {
            states = self.layers[layer].transposed()?.draw_hidden(&states, seed, layer as u64)?;
        }
        Ok(states)
    }
}
