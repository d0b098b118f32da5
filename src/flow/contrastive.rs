//! Flow-contrastive estimation: an energy and its normaliser learned against a flow that learns to look like the data.

use std::sync::Arc;

use super::{Flow, Training, adam::Adam, likelihood::diverged};
use crate::{
    Backend, Error, Result, Schedule,
    error::{finite, positive},
    rbm::{sigmoid, softplus},
    train::{Adjoints, Order, Passes, Trainable, passes},
};

/// What the flow that serves as noise learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowGoal {
    /// Nothing: noise-contrastive estimation with the flow as it is (Gutmann and Hyvärinen 2012).
    Fixed,
    /// To make the contest hard, as in the source. Begin near the data, by [`Likelihood`](super::Likelihood): a flow that starts far
    /// off, or learns faster than the energy, may settle on a part of the data.
    Contest,
    /// To be likely on the data.
    Likelihood,
}

/// How to train an energy against a flow. [`Default`]: as [`Training`]'s, with the energy at 0.003 as well.
#[derive(Debug, Clone, PartialEq)]
pub struct Contrast {
    /// Batches, seed, and the flow's rate.
    pub training: Training,
    /// The energy's learning rate as a function of the update.
    pub energy_rate: Schedule,
    /// What moves the flow.
    pub flow_goal: FlowGoal,
}

impl Default for Contrast {
    fn default() -> Self {
        Self { training: Training::default(), energy_rate: 0.003.into(), flow_goal: FlowGoal::Contest }
    }
}

/// Flow-contrastive estimation (Gao et al. 2020).
///
/// The model is p(x) = exp(−E(x) − c), with c learned, and the value of the contest
///
/// V = ⟨log p/(p + q)⟩ over data + ⟨log q/(p + q)⟩ over the flow q.
///
/// The energy and c go up V, which is noise-contrastive estimation; its optimum is p = density of the data and c = ln Z. The flow goes
/// down V, so that the contest stays hard: the first mean has ∂V/∂α = −⟨q/(p + q) ∂log q/∂α⟩, and the second goes through
/// x = f(z). At the optimum both are the density of the data and V = −2 ln 2.
#[derive(Debug)]
pub struct Contrastive {
    pub(super) settings: Contrast,
    pub(super) energy: Arc<dyn Trainable>,
    passes: Box<dyn Passes>,
    /// The energy's parameters, and c.
    pub(super) params: Vec<f32>,
    pub(super) energy_adam: Adam,
    pub(super) flow: Flow,
    pub(super) flow_adam: Adam,
    pub(super) updates: u64,
}

/// What an update saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contest {
    /// V.
    pub value: f64,
    /// Share of the points, of data and of the flow, that p/(p + q) > ½ tells rightly.
    pub accuracy: f64,
}

impl Contrastive {
    /// Starts to train an energy, with c = `log_normalizer` to begin with, against a flow.
    ///
    /// # Errors
    /// [`Error::Shape`] where their dimensions differ; [`Error::Setting`] where a setting is outside of its range; errors of the
    /// device.
    pub fn new(
        backend: &Backend,
        energy: Arc<dyn Trainable>,
        log_normalizer: f64,
        flow: Flow,
        settings: Contrast,
    ) -> Result<Self> {
        settings.training.check()?;
        settings.energy_rate.validate("energy's learning rate", positive)?;
        if energy.dim() != flow.dim() {
            return Err(Error::shape("coordinates of the flow", energy.dim(), flow.dim()));
        }
        let mut params = energy.params();
        params.push(finite("log-normaliser", log_normalizer)? as f32);
        let passes = passes(&energy, backend)?;
        let (energy_adam, flow_adam) = (Adam::new(params.len()), Adam::new(flow.params().len()));
        Ok(Self { settings, energy, passes, params, energy_adam, flow, flow_adam, updates: 0 })
    }

    /// The energy as it is now.
    ///
    /// # Errors
    /// None that its own parameters could cause.
    pub fn energy(&self) -> Result<Arc<dyn Trainable>> {
        self.energy.with_params(&self.params[..self.params.len() - 1])
    }

    /// c, the learned ln Z.
    pub fn log_normalizer(&self) -> f64 {
        f64::from(self.params[self.params.len() - 1])
    }

    /// The flow as it is now.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Updates so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Updates by batches of the data, `[dim][point]`, and as many draws of the flow; the means of what they saw.
    ///
    /// # Errors
    /// [`Error::Shape`] where the data do not fit or there are none; [`Error::Setting`] where a point is not finite, or where
    /// parameters would leave the finite range (the state is then that before this update); errors of the device.
    pub fn advance(&mut self, data: &[f32], updates: u64) -> Result<Contest> {
        let mut sum = Contest { value: 0.0, accuracy: 0.0 };
        for _ in 0..updates {
            let seen = self.update(data)?;
            sum = Contest { value: sum.value + seen.value, accuracy: sum.accuracy + seen.accuracy };
        }
        let n = updates.max(1) as f64;
        Ok(Contest { value: sum.value / n, accuracy: sum.accuracy / n })
    }

    fn update(&mut self, data: &[f32]) -> Result<Contest> {
        let (settings, dim) = (&self.settings, self.flow.dim());
        let count = settings.training.batch;
        let data = settings.training.draw(dim, data, self.updates)?;
        let wide: Vec<_> = data.iter().copied().map(f64::from).collect();
        let of_data = self.flow.inverse_pass(&wide)?;
        let drawn = self.flow.forward_pass(&self.flow.base(count, settings.training.seed, self.updates))?;
        let draws: Vec<_> = drawn.mapped.positions.iter().map(|&x| x as f32).collect();

        let (own, c) = self.params.split_at(self.params.len() - 1);
        self.passes.set_params(own)?;
        let goal = settings.flow_goal;
        let pulls = if goal == FlowGoal::Contest { self.passes.energy_and_grad(&draws)?.1 } else { Vec::new() };
        let both: Vec<_> = data.chunks(count).zip(draws.chunks(count)).flat_map(|(a, b)| a.iter().chain(b)).copied().collect();
        let energies = self.passes.jets(&both, &[], Order::Value)?.values;
        // log q/p of each point: first of data, then of draws.
        let densities = of_data.log_densities().into_iter().chain(drawn.log_densities());
        let ratios: Vec<_> = energies.iter().zip(densities).map(|(e, q)| q + e + f64::from(c[0])).collect();
        let (on_data, on_draws) = ratios.split_at(count);
        let n = count as f64;
        let value = -on_data.iter().map(|&u| softplus(u)).chain(on_draws.iter().map(|&u| softplus(-u))).sum::<f64>() / n;
        let told = on_data.iter().filter(|&&u| u < 0.0).count() + on_draws.iter().filter(|&&u| u > 0.0).count();

        // Of −V by E + c: q/(p + q) on data, −p/(p + q) on draws.
        let of_data_energy = on_data.iter().map(|&u| sigmoid(u) / n);
        let values: Vec<_> = of_data_energy.chain(on_draws.iter().map(|&u| -sigmoid(-u) / n)).collect();
        let of_constant = values.iter().sum();
        let mut grad = self.passes.param_grad(&Adjoints { values, ..Default::default() })?;
        grad.push(of_constant);
        let mut energy_adam = self.energy_adam.clone();
        let rate = settings.energy_rate.at(self.updates);
        let params = energy_adam.step(&self.params, &grad, rate, self.updates).filter(|_| f64::is_finite(value));
        let params = params.ok_or_else(|| diverged("energy's learning rate", &settings.energy_rate, self.updates))?;

        if goal != FlowGoal::Fixed {
            let mut grad = if goal == FlowGoal::Likelihood {
                of_data.reverse_density(&vec![-n.recip(); count])?.params
            } else {
                // Of V by log q on data.
                let weights: Vec<_> = on_data.iter().map(|&u| -sigmoid(u) / n).collect();
                of_data.reverse_density(&weights)?.params
            };
            if goal == FlowGoal::Contest {
                // Of V through x = f(z) on draws.
                let shares: Vec<_> = on_draws.iter().map(|&u| sigmoid(-u) / n).collect();
                let by_x: Vec<_> = pulls.iter().enumerate().map(|(i, &g)| shares[i % count] * f64::from(g)).collect();
                let by_log_det: Vec<_> = shares.iter().map(|share| -share).collect();
                grad.iter_mut().zip(drawn.reverse(&by_x, &by_log_det)?.params).for_each(|(sum, g)| *sum += g);
            }
            let mut flow_adam = self.flow_adam.clone();
            let moved = flow_adam.step(self.flow.params(), &grad, settings.training.rate.at(self.updates), self.updates);
            let moved = moved.ok_or_else(|| diverged("learning rate", &settings.training.rate, self.updates))?;
            self.flow.set_params(&moved)?;
            self.flow_adam = flow_adam;
        }
        (self.params, self.energy_adam) = (params, energy_adam);
        self.updates += 1;
        Ok(Contest { value, accuracy: told as f64 / (2.0 * n) })
    }
}
