//! Training, update by update.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Loss, Passes, Trainable, Training, Update, Walks,
    flatness::Flatness,
    loss::{At, LossAt},
    negative::Sampler,
    optimizer::Memory,
    passes,
    runaway::Runaway,
};
use crate::{Backend, Error, Result, error::points, random::shuffled};

/// Updates between two states that a run may go back to.
const GOOD_EVERY: u64 = 20;

/// What an update changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    /// The parameters, and c where it is learned.
    pub(crate) params: Vec<f64>,
    pub(crate) memory: Memory,
    pub(crate) average: Vec<f64>,
    /// Of the chains, `[dim][slot]`.
    pub(crate) slots: Vec<f32>,
}

/// An energy in training. What follows depends on its state, the settings and the data alone, bit for bit on one device.
///
/// ```
/// # use std::sync::Arc;
/// # use ergodic::{Backend, energy::CholeskyGaussian, train::{Loss, Optimizer, Trainer, Training}};
/// let data: Vec<f32> = (0..1000).map(|i| (i % 7) as f32).collect();          // [dim][point], here of one dimension
/// let model = Arc::new(CholeskyGaussian::isotropic([0.0], 1.0)?);
/// let training = Training::new(Loss::ImplicitScoreMatching, Optimizer::adam(0.05)).batch(1000);
/// let mut trainer = Trainer::new(&Backend::cpu(), model, training)?;
/// trainer.run(&data, 2_000)?;
/// assert!((trainer.params()[0] - 3.0).abs() < 0.02);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug)]
pub struct Trainer {
    pub(crate) backend: Backend,
    pub(crate) target: Arc<dyn Trainable>,
    pub(crate) training: Training,
    passes: Box<dyn Passes>,
    sampler: Option<Sampler>,
    decays: Vec<bool>,
    pub(crate) state: State,
    /// Two states to go back to, the older first.
    pub(crate) good: [State; 2],
    pub(crate) updates: u64,
    pub(crate) rollbacks: u32,
    pub(crate) flatness: Flatness,
    pub(crate) runaway: Runaway,
    /// Steps that the chains had done when the trainer was saved, or made.
    pub(crate) chain_steps: u64,
    /// The order of the data in an epoch.
    order: Option<(u64, Vec<usize>)>,
}

impl Trainer {
    /// Starts to train an energy from its parameters.
    ///
    /// # Errors
    /// [`Error::Setting`] and [`Error::Shape`] where a setting is out of its range; [`Error::Unsupported`] for a kernel that adapts; errors
    /// of the device.
    pub fn new(backend: &Backend, target: Arc<dyn Trainable>, training: Training) -> Result<Self> {
        training.check(target.dim())?;
        let mut params: Vec<_> = target.params().iter().map(|&p| f64::from(p)).collect();
        let mut decays: Vec<_> = target.blocks().iter().flat_map(|block| vec![block.decays; block.count()]).collect();
        let mut passes = passes(&target, backend)?;
        if training.loss.has_log_normalizer() {
            passes.set_params(&target.params())?;
            params.push(training.loss.log_normalizer_by_noise(&mut *passes, training.seed)?);
            decays.push(false);
        }
        let average = training.average.map_or(Vec::new(), |_| params.clone());
        let state = State { memory: Memory::new(params.len()), params, average, slots: Vec::new() };
        Ok(Self {
            backend: backend.clone(),
            passes,
            sampler: None,
            decays,
            good: [state.clone(), state.clone()],
            state,
            updates: 0,
            rollbacks: 0,
            flatness: Flatness::default(),
            runaway: Runaway::default(),
            chain_steps: 0,
            order: None,
            target,
            training,
        })
    }

    /// The parameters now, of the energy alone.
    pub fn params(&self) -> Vec<f32> {
        self.energy_params(&self.state.params)
    }

    /// The energy with the parameters now.
    ///
    /// # Errors
    /// As [`Trainable::with_params`].
    pub fn model(&self) -> Result<Arc<dyn Trainable>> {
        self.target.with_params(&self.params())
    }

    /// The energy with the moving average of the parameters; with those now where none was asked for.
    ///
    /// # Errors
    /// As [`Trainable::with_params`].
    pub fn averaged(&self) -> Result<Arc<dyn Trainable>> {
        let all = if self.state.average.is_empty() { &self.state.params } else { &self.state.average };
        self.target.with_params(&self.energy_params(all))
    }

    /// c of noise-contrastive estimation, which estimates ln ∫ exp(−E): of the averaged parameters where there is an average.
    pub fn log_normalizer(&self) -> Option<f64> {
        let all = if self.state.average.is_empty() { &self.state.params } else { &self.state.average };
        all.last().copied().filter(|_| self.training.loss.has_log_normalizer())
    }

    /// Updates so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Times that training has gone back to good parameters; each halved the learning rate.
    pub fn rollbacks(&self) -> u32 {
        self.rollbacks
    }

    /// What the chains of contrastive divergence have done; none before the first update and with other losses.
    pub fn walks(&self) -> Option<Walks> {
        self.sampler.as_ref().map(Sampler::walks)
    }

    /// The points that the chains go on from, `[dim][slot]`; empty where they start at data.
    pub fn slots(&self) -> &[f32] {
        &self.state.slots
    }

    /// What one update leaves to the next, to be changed in between: the parameters, with c where it is learned, and the slots. For tests
    /// that plant a fault.
    #[doc(hidden)]
    pub fn carried(&mut self) -> (&mut [f64], &mut [f32]) {
        (&mut self.state.params, &mut self.state.slots)
    }

    /// Runs updates on data, `[dim][point]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the data are no multiple of the dimension; [`Error::Setting`] where a number is not finite or outside of the
    /// noise's box, with its row (the point) and column (the coordinate), from 1; [`Error::Diverged`] where training has gone back to good
    /// parameters too often (the state is then a good one); errors of the device.
    pub fn run(&mut self, data: &[f32], updates: u64) -> Result<Update> {
        self.run_with(data, updates, |_| ControlFlow::Continue(()))
    }

    /// As [`run`](Self::run), telling the caller of each update; `ControlFlow::Break` ends the call after it.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_with(
        &mut self,
        data: &[f32],
        updates: u64,
        mut on_update: impl FnMut(Update) -> ControlFlow<()>,
    ) -> Result<Update> {
        let begun = Instant::now();
        points("data", self.target.dim(), data)?;
        self.training.loss.check_points("data", data)?;
        let mut last = Update {
            updates: self.updates,
            loss: f64::NAN,
            gap: None,
            grad_norm: f64::NAN,
            rollbacks: self.rollbacks,
            elapsed: Duration::ZERO,
        };
        let goal = self.updates.saturating_add(updates);
        while self.updates < goal {
            let x = self.batch(data);
            let found = self.update(&x, data)?;
            last = match found {
                Ok((at, grad_norm)) => Update { loss: at.loss, gap: at.gap, grad_norm, ..last },
                Err(why) => {
                    self.roll_back(why)?;
                    Update { loss: f64::NAN, gap: None, grad_norm: f64::NAN, ..last }
                }
            };
            last = Update { updates: self.updates, rollbacks: self.rollbacks, elapsed: begun.elapsed(), ..last };
            if on_update(last).is_break() {
                break;
            }
        }
        Ok(last)
    }

    fn energy_params(&self, all: &[f64]) -> Vec<f32> {
        all[..self.target.params().len()].iter().map(|&p| p as f32).collect()
    }

    /// The points of the update in hand: each epoch goes through the data in an order of its own, and leaves a rest out.
    fn batch(&mut self, data: &[f32]) -> Vec<f32> {
        let n = data.len() / self.target.dim();
        let batch = self.training.batch.min(n);
        if batch == n {
            return data.to_vec();
        }
        let per_epoch = (n / batch) as u64;
        let epoch = self.updates / per_epoch;
        if self.order.as_ref().is_none_or(|(of, order)| *of != epoch || order.len() != n) {
            self.order = Some((epoch, shuffled(n, self.training.seed, epoch)));
        }
        let first = (self.updates % per_epoch) as usize * batch;
        let order = self.order.as_ref().map_or(&[][..], |(_, order)| &order[first..first + batch]);
        data.chunks(n).flat_map(|row| order.iter().map(|&point| row[point])).collect()
    }

    /// One update, by a batch of the data. The inner error says why it ran away: the state is to be rolled back.
    fn update(&mut self, x: &[f32], data: &[f32]) -> Result<Result<(LossAt, f64), String>> {
        let params = self.params();
        self.passes.set_params(&params)?;
        let negatives = match self.negatives(&params, x) {
            Ok(negatives) => negatives,
            Err(Error::Start { chain, why, .. }) => return Ok(Err(format!("chain {chain}: {why}"))),
            Err(e) => return Err(e),
        };
        if let Some(transitions) = self.sampler.as_ref().and_then(Sampler::stuck) {
            return Ok(Err(format!("not one of {transitions} transitions moved a chain; the kernel's steps may be too large")));
        }
        if let Some(why) = self.flat(x)? {
            return Ok(Err(why));
        }
        let at = At {
            x,
            dim: self.target.dim(),
            seed: self.training.seed,
            update: self.updates,
            log_normalizer: self.state.params.last().copied().unwrap_or(0.0),
            negatives: &negatives,
        };
        let mut found = self.training.loss.at(&mut *self.passes, at)?;
        let mut grad = std::mem::take(&mut found.grad);
        grad.resize(self.state.params.len(), found.by_log_normalizer);
        let norm = grad.iter().map(|g| g * g).sum::<f64>().sqrt();
        if !found.loss.is_finite() || !norm.is_finite() {
            return Ok(Err(format!("the loss is {:?} and the norm of its gradient {norm:?}", found.loss)));
        }
        if self.updates.is_multiple_of(GOOD_EVERY)
            && let Some(why) = self.runaway.look(GOOD_EVERY / 2)
        {
            return Ok(Err(why));
        }
        if !matches!(self.training.loss, Loss::Contrastive(_))
            && let Some(why) = self.runaway.count(found.loss, || self.training.loss.of_flat_energy(self.target.dim(), data))
        {
            return Ok(Err(why));
        }
        if found.gap.is_some_and(|gap| gap.abs() > self.training.most_gap) {
            let gap = found.gap.unwrap_or_default();
            return Ok(Err(format!("the mean energy of data less that of chains is {gap:?}")));
        }
        if self.updates.is_multiple_of(GOOD_EVERY) {
            self.good.swap(0, 1);
            self.good[1] = self.state.clone();
        }
        let scale = 0.5f64.powi(self.rollbacks as i32);
        let State { params, memory, average, .. } = &mut self.state;
        self.training.optimizer.step(params, &grad, memory, self.updates, scale, &self.decays);
        if params.iter().any(|p| !(*p as f32).is_finite()) {
            return Ok(Err("a parameter is no longer finite".into()));
        }
        if let Some(decay) = self.training.average {
            // Corrected for its beginning: the mean of what there is so far.
            let keep = decay.min(memory.steps as f64 / (memory.steps as f64 + 10.0));
            average.iter_mut().zip(&*params).for_each(|(a, p)| *a = keep * *a + (1.0 - keep) * p);
        }
        self.updates += 1;
        Ok(Ok((found, norm)))
    }

    /// Now and then: whether the energy has lost its shape.
    fn flat(&mut self, x: &[f32]) -> Result<Option<String>> {
        let (loss, dim) = (&self.training.loss, self.target.dim());
        match loss.temperature() {
            Some(temperature) if self.updates.is_multiple_of(GOOD_EVERY) => {
                let of_model = loss.points_of_model(dim, x, self.training.seed, self.updates);
                self.flatness.check(&mut *self.passes, dim, &of_model, temperature)
            }
            _ => Ok(None),
        }
    }

    /// Points of the model, where the loss wants some.
    fn negatives(&mut self, params: &[f32], x: &[f32]) -> Result<Vec<f32>> {
        let Loss::Contrastive(contrastive) = &self.training.loss else { return Ok(Vec::new()) };
        let batch = x.len() / self.target.dim();
        let count = self.sampler.as_ref().map_or(batch, |sampler| sampler.points().unwrap_or(batch));
        if self.sampler.is_none() || count != batch {
            let seed = self.training.seed;
            let sampler = Sampler::new(&self.backend, contrastive, &self.target, batch, seed, self.chain_steps)?;
            if self.state.slots.is_empty() {
                self.state.slots = sampler.slots.clone();
                self.good.iter_mut().for_each(|good| good.slots = sampler.slots.clone());
            }
            self.sampler = Some(sampler);
        }
        let Some(sampler) = &mut self.sampler else { return Ok(Vec::new()) };
        sampler.slots.clone_from(&self.state.slots);
        let drawn = sampler.draw(params, x, self.updates)?;
        self.state.slots.clone_from(&sampler.slots);
        self.chain_steps = sampler.steps();
        Ok(drawn)
    }

    /// Back to parameters of 20 to 40 updates ago, with half the learning rate from now on. Random numbers are new ones.
    fn roll_back(&mut self, why: String) -> Result<()> {
        self.state = self.good[0].clone();
        self.good[1] = self.good[0].clone();
        self.runaway.forget();
        self.updates += 1;
        self.rollbacks += 1;
        log::warn!("training goes back: {why}");
        if self.rollbacks > self.training.most_rollbacks {
            return Err(Error::Diverged { updates: self.updates, rollbacks: self.rollbacks, why });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{energy::CholeskyGaussian, train::Optimizer};

    /// The parameters after each of 30 updates, from the beginning on, and their average of this decay.
    fn run(decay: f64) -> (Vec<Vec<f64>>, Vec<f64>) {
        let data: Vec<_> = (0..40).map(|i| (i % 7) as f32).collect();
        let training = Training::new(Loss::ImplicitScoreMatching, Optimizer::adam(0.05)).average(decay);
        let model = Arc::new(CholeskyGaussian::isotropic([0.0], 1.0).unwrap());
        let mut trainer = Trainer::new(&Backend::cpu(), model, training).unwrap();
        let mut params = vec![trainer.state.params.clone()];
        for _ in 0..30 {
            trainer.run(&data, 1).unwrap();
            params.push(trainer.state.params.clone());
        }
        (params, trainer.state.average)
    }

    /// Σ wⱼ θⱼ, with wⱼ = (1 − kⱼ) Πᵢ kᵢ over the updates i after j, the beginning having the rest of the weight.
    fn weighted(params: &[Vec<f64>], keep: impl Fn(usize) -> f64) -> Vec<f64> {
        let last = params.len() - 1;
        let weight = |j: usize| {
            let own = if j == 0 { 1.0 } else { 1.0 - keep(j) };
            own * (j + 1..=last).map(&keep).product::<f64>()
        };
        assert!(((0..=last).map(weight).sum::<f64>() - 1.0).abs() < 1e-12);
        (0..params[0].len()).map(|i| (0..=last).map(|j| weight(j) * params[j][i]).sum()).collect()
    }

    fn apart(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    /// Of a decay of ½ from the tenth update on, and of one that 30 updates do not come to.
    #[test]
    fn the_moving_average_forgets_the_beginning() {
        for decay in [0.5, 0.99] {
            let (params, found) = run(decay);
            assert!(apart(&params[0], &params[30]) > 0.5);
            let expected = weighted(&params, |update| decay.min(update as f64 / (update as f64 + 10.0)));
            assert!(apart(&found, &expected) < 1e-12, "{found:?} is not {expected:?}");
            // One of the decay alone, which holds on to the beginning, and one an update late.
            assert!(decay < 0.9 || apart(&found, &weighted(&params, |_| decay)) > 0.1);
            assert!(apart(&found, &weighted(&params[..30], |update| decay.min(update as f64 / (update as f64 + 10.0)))) > 1e-3);
        }
    }
}
