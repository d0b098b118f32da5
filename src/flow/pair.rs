//! An energy and a flow that learn together: what flow-contrastive and adversarial training share.

use std::sync::Arc;

use super::{Flow, Training, descent::Descent};
use crate::{
    Backend, Error, Result,
    train::{Adjoints, Optimizer, Order, Passes, Trainable, passes, side_by_side},
};

/// An energy and a flow in training.
#[derive(Debug)]
pub(super) struct Pair {
    energy: Arc<dyn Trainable>,
    pub(super) passes: Box<dyn Passes>,
    /// The energy's parameters, then those that are learned beside them.
    pub(super) params: Vec<f32>,
    pub(super) energy_descent: Descent,
    pub(super) flow: Flow,
    pub(super) flow_descent: Descent,
    /// The flow that the energy corrects, where it does.
    pub(super) base: Option<Flow>,
}

impl Pair {
    /// Starts to train an energy, and what is learned beside its parameters, with a flow.
    ///
    /// # Errors
    /// [`Error::Shape`] where the dimensions differ; [`Error::Setting`] where a setting is outside of its range; errors of the device.
    pub(super) fn new(
        backend: &Backend,
        energy: Arc<dyn Trainable>,
        beside: &[f32],
        energy_optimizer: &Optimizer,
        flow: Flow,
        training: &Training,
    ) -> Result<Self> {
        let flow_descent = training.descent(&flow)?;
        if energy.dim() != flow.dim() {
            return Err(Error::shape("coordinates of the flow", energy.dim(), flow.dim()));
        }
        let params = [&energy.params(), beside].concat();
        let energy_descent = Descent::new("energy's learning rate", energy_optimizer, params.len())?;
        Ok(Self { passes: passes(&energy, backend)?, energy, params, energy_descent, flow, flow_descent, base: None })
    }

    /// The energy's name.
    pub(super) fn name(&self) -> String {
        self.energy.name()
    }

    /// The energy's own parameters.
    pub(super) fn own(&self) -> &[f32] {
        &self.params[..self.energy.params().len()]
    }

    /// Updates of the energy so far.
    pub(super) fn updates(&self) -> u64 {
        self.energy_descent.memory.steps
    }

    /// The energy as it is now.
    ///
    /// # Errors
    /// None that its own parameters could cause.
    pub(super) fn energy(&self) -> Result<Arc<dyn Trainable>> {
        self.energy.with_params(self.own())
    }

    /// Gives the parameters as they are now to the passes.
    ///
    /// # Errors
    /// Errors of the device.
    pub(super) fn set_params(&mut self) -> Result<()> {
        let own = self.energy.params().len();
        self.passes.set_params(&self.params[..own])
    }

    /// E of all points, from parts `[dim][point]` each, with the parameters that were set.
    ///
    /// # Errors
    /// Errors of the device.
    pub(super) fn energies(&mut self, parts: &[&[f32]]) -> Result<Vec<f64>> {
        Ok(self.passes.jets(&side_by_side(self.flow.dim(), parts), &[], Order::Value)?.values)
    }

    /// The energy's parameters one step on, from the objective, its derivatives by the last [`energies`](Self::energies), and those
    /// by what is learned beside.
    ///
    /// # Errors
    /// As [`Descent::step`]; errors of the device.
    pub(super) fn step_energy(&mut self, objective: f64, values: Vec<f64>, beside: &[f64]) -> Result<(Vec<f32>, Descent)> {
        let mut grad = self.passes.param_grad(&Adjoints { values, ..Default::default() })?;
        grad.extend(beside);
        self.energy_descent.step(&self.params, objective, &grad)
    }
}

/// Rounded to f32, as energies take positions.
pub(super) fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

/// As the flow takes positions.
pub(super) fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}
