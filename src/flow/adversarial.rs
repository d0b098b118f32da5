//! Adversarial training: an energy learns from data against a flow's draws, and the flow follows the energy.

use std::sync::Arc;

use super::{Flow, Training, adam::Adam, likelihood::diverged, variational::descend};
use crate::{
    Backend, Error, Result, Schedule,
    error::positive,
    train::{Adjoints, Order, Passes, Trainable, passes},
};

/// How to train an energy against a flow that follows it. [`Default`]: as [`Training`]'s, with the energy at 0.001 and the flow
/// moved twice an update.
#[derive(Debug, Clone, PartialEq)]
pub struct Adversary {
    /// Batches, seed, and the flow's rate as a function of the flow's own updates.
    pub training: Training,
    /// The energy's learning rate as a function of the update.
    pub energy_rate: Schedule,
    /// Updates of the flow for each one of the energy.
    pub flow_updates: u64,
}

impl Default for Adversary {
    fn default() -> Self {
        Self { training: Training::default(), energy_rate: 0.001.into(), flow_updates: 2 }
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
    pub(super) energy: Arc<dyn Trainable>,
    passes: Box<dyn Passes>,
    pub(super) params: Vec<f32>,
    pub(super) energy_adam: Adam,
    pub(super) flow: Flow,
    pub(super) flow_adam: Adam,
    pub(super) updates: u64,
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
        settings.training.check()?;
        settings.energy_rate.validate("energy's learning rate", positive)?;
        if settings.flow_updates == 0 {
            return Err(Error::setting("flow updates", 0, "must be at least 1"));
        }
        if energy.dim() != flow.dim() {
            return Err(Error::shape("coordinates of the flow", energy.dim(), flow.dim()));
        }
        let (params, passes) = (energy.params(), passes(&energy, backend)?);
        let (energy_adam, flow_adam) = (Adam::new(params.len()), Adam::new(flow.params().len()));
        Ok(Self { settings, energy, passes, params, energy_adam, flow, flow_adam, updates: 0 })
    }

    /// The energy as it is now.
    ///
    /// # Errors
    /// None that its own parameters could cause.
    pub fn energy(&self) -> Result<Arc<dyn Trainable>> {
        self.energy.with_params(&self.params)
    }

    /// The flow as it is now.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Updates of the energy so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Updates by batches of the data, `[dim][point]`, and as many draws of the flow; the means of what they saw.
    ///
    /// # Errors
    /// As [`Contrastive::advance`](super::Contrastive::advance).
    pub fn advance(&mut self, data: &[f32], updates: u64) -> Result<Phases> {
        let mut sum = Phases { gap: 0.0, free_energy: 0.0 };
        for _ in 0..updates {
            let seen = self.update(data)?;
            sum = Phases { gap: sum.gap + seen.gap, free_energy: sum.free_energy + seen.free_energy };
        }
        let n = updates.max(1) as f64;
        Ok(Phases { gap: sum.gap / n, free_energy: sum.free_energy / n })
    }

    fn update(&mut self, data: &[f32]) -> Result<Phases> {
        let Adversary { training, energy_rate, flow_updates } = &self.settings;
        let count = training.batch;
        let data = training.draw(self.flow.dim(), data, self.updates)?;
        self.passes.set_params(&self.params)?;
        let (mut flow, mut flow_adam) = (self.flow.clone(), self.flow_adam.clone());
        let mut free_energy = 0.0;
        for step in self.updates * flow_updates..(self.updates + 1) * flow_updates {
            let pass = flow.forward_pass(&flow.base(count, training.seed, 2 * step))?;
            let draws: Vec<_> = pass.mapped.positions.iter().map(|&x| x as f32).collect();
            let (energies, pulls) = self.passes.energy_and_grad(&draws)?;
            let pulls: Vec<_> = pulls.into_iter().map(f64::from).collect();
            let (seen, moved, adam) = descend(&pass, &energies, &pulls, &flow_adam, training, step)?;
            flow.set_params(&moved)?;
            (flow_adam, free_energy) = (adam, free_energy + seen / *flow_updates as f64);
        }
        // The energy sees other draws than those that the flow was moved by.
        let draws = flow.sample(count, training.seed, 2 * self.updates * flow_updates + 1).positions;
        let draws: Vec<_> = draws.into_iter().map(|x| x as f32).collect();
        let both: Vec<_> = data.chunks(count).zip(draws.chunks(count)).flat_map(|(a, b)| a.iter().chain(b)).copied().collect();
        let energies = self.passes.jets(&both, &[], Order::Value)?.values;
        let weights: Vec<_> = (0..2 * count).map(|i| if i < count { 1.0 } else { -1.0 } / count as f64).collect();
        let gap = energies.iter().zip(&weights).map(|(e, w)| w * e).sum::<f64>();
        let grad = self.passes.param_grad(&Adjoints { values: weights, ..Default::default() })?;
        let mut energy_adam = self.energy_adam.clone();
        let moved =
            energy_adam.step(&self.params, &grad, energy_rate.at(self.updates), self.updates).filter(|_| gap.is_finite());
        let params = moved.ok_or_else(|| diverged("energy's learning rate", energy_rate, self.updates))?;
        (self.params, self.energy_adam, self.flow, self.flow_adam) = (params, energy_adam, flow, flow_adam);
        self.updates += 1;
        Ok(Phases { gap, free_energy })
    }
}
