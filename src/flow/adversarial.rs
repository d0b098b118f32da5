//! Adversarial training: an energy learns from data against a flow's draws, and the flow follows the energy.

use std::sync::Arc;

use super::{
    Flow, Training,
    descent::means,
    pair::{Pair, narrow, wide},
    variational::descend,
};
use crate::{
    Backend, Error, Result,
    error::points,
    train::{Optimizer, Trainable},
};

/// How to train an energy against a flow that follows it. [`Default`]: as [`Training`]'s, with the energy at 0.001 and the flow
/// moved twice an update.
#[derive(Debug, Clone, PartialEq)]
pub struct Adversary {
    /// Batches, seed, and what moves the flow.
    pub training: Training,
    /// What moves the energy.
    pub energy_optimizer: Optimizer,
    /// Updates of the flow for each one of the energy.
    pub flow_updates: u64,
}

impl Default for Adversary {
    fn default() -> Self {
        Self { training: Training::default(), energy_optimizer: Optimizer::adam(0.001), flow_updates: 2 }
    }
}

/// Maximum likelihood with a flow q in place of chains (Kim and Bengio 2016; Dai et al. 2019): since ln Z = max over q of
/// H(q) − ⟨E⟩ over q, the likelihood is
///
/// −⟨E⟩ over data − ln Z = min over q of ⟨E⟩ over q − ⟨E⟩ over data − H(q).
///
/// The energy goes down ⟨E⟩ over data − ⟨E⟩ over q, with the flow's draws as the negative phase; the flow goes down its free energy
/// F = ⟨E⟩ − H(q), as in [`Variational`](super::Variational). −F estimates ln Z from below.
#[derive(Debug)]
pub struct Adversarial {
    pub(super) settings: Adversary,
    pub(super) pair: Pair,
}

/// What an update saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phases {
    /// ⟨E⟩ over data less ⟨E⟩ over the flow.
    pub gap: f64,
    /// F = ⟨E + log q⟩ over the flow.
    pub free_energy: f64,
}

impl Adversarial {
    /// Starts to train an energy and a flow.
    ///
    /// # Errors
    /// [`Error::Shape`] where their dimensions differ; [`Error::Setting`] where a setting is outside of its range; errors of the
    /// device.
    pub fn new(backend: &Backend, energy: Arc<dyn Trainable>, flow: Flow, settings: Adversary) -> Result<Self> {
        if settings.flow_updates == 0 {
            return Err(Error::setting("flow updates", 0, "must be at least 1"));
        }
        let pair = Pair::new(backend, energy, &[], &settings.energy_optimizer, flow, &settings.training)?;
        Ok(Self { settings, pair })
    }

    /// The energy as it is now.
    ///
    /// # Errors
    /// None that its own parameters could cause.
    pub fn energy(&self) -> Result<Arc<dyn Trainable>> {
        self.pair.energy()
    }

    /// The flow as it is now.
    pub fn flow(&self) -> &Flow {
        &self.pair.flow
    }

    /// Updates of the energy so far.
    pub fn updates(&self) -> u64 {
        self.pair.updates()
    }

    /// Updates by batches of the data, `[dim][point]`, and as many draws of the flow; the means of what they saw.
    ///
    /// # Errors
    /// As [`Contrastive::advance`](super::Contrastive::advance).
    pub fn advance(&mut self, data: &[f32], updates: u64) -> Result<Phases> {
        points("data", self.pair.flow.dim(), data)?;
        let [gap, free_energy] = means(updates, || self.update(data))?;
        Ok(Phases { gap, free_energy })
    }

    fn update(&mut self, data: &[f32]) -> Result<[f64; 2]> {
        let (Adversary { training, flow_updates, .. }, pair) = (&self.settings, &mut self.pair);
        let (count, seed) = (training.batch, training.seed);
        let data = training.draw(pair.flow.dim(), data, pair.updates());
        pair.set_params()?;
        let (mut flow, mut flow_descent) = (pair.flow.clone(), pair.flow_descent.clone());
        let mut free_energy = 0.0;
        for step in pair.updates() * flow_updates..(pair.updates() + 1) * flow_updates {
            let pass = flow.forward_in_training(&flow.base(count, seed, 2 * step)?)?;
            let (energies, pulls) = pair.passes.energy_and_grad(&narrow(&pass.mapped.positions))?;
            let (seen, moved, descent) = descend(&pass, &energies, &wide(&pulls), &flow_descent)?;
            flow.set_params(&moved)?;
            (flow_descent, free_energy) = (descent, free_energy + seen / *flow_updates as f64);
        }
        // The energy sees other draws than those that the flow was moved by.
        let draws = flow.sample(count, seed, 2 * pair.updates() * flow_updates + 1)?.positions;
        let energies = pair.energies(&[&data, &narrow(&draws)])?;
        let weights: Vec<_> = (0..2 * count).map(|i| if i < count { 1.0 } else { -1.0 } / count as f64).collect();
        let gap = energies.iter().zip(&weights).map(|(e, w)| w * e).sum::<f64>();
        let (params, energy_descent) = pair.step_energy(gap, weights, &[])?;
        (pair.params, pair.energy_descent, pair.flow, pair.flow_descent) = (params, energy_descent, flow, flow_descent);
        Ok([gap, free_energy])
    }
}
