//! Negative samples: points of the model, from chains of the engine.

use std::sync::Arc;

use super::{
    Adjoints, Order, Passes, Trainable, check_points,
    loss::{At, LossAt},
    side_by_side,
};
use crate::{
    Backend, Error, Result, Schedule, Start,
    chains::Chains,
    error::{finite, room},
    kernel::Kernel,
    net::{Langevin, Walk},
    random::{Draws, Stream, key, shuffled},
};

/// So many transitions in an update without one that moves a chain are no chance: where a hundredth of them are accepted, that has a
/// probability of 4·10⁻⁵.
const LEAST_TRANSITIONS: u64 = 1000;

/// The most transitions an update: nothing can stop one, and as many more gain nothing that chains which go on would not.
const MOST_STEPS: u64 = 100_000;

/// Which chains estimate the model's side of the gradient.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Negatives {
    /// CD-k: a chain a data point, which starts there (Hinton 2002).
    Data,
    /// Persistent CD: slots that go on from update to update and are never restarted (Tieleman 2008).
    Persistent {
        /// Number of chains.
        chains: usize,
        /// Where they start.
        start: Start,
    },
    /// A replay buffer (Du and Mordatch 2019): as many of its slots as a batch has points go on in each update, and each of them begins
    /// anew with some probability.
    Replay {
        /// Size of the buffer.
        slots: usize,
        /// Probability in [0, 1] of a new beginning.
        renewal: f64,
        /// Where slots begin.
        start: Start,
    },
}

/// Contrastive divergence: mean E(data) − mean E(chains) + α (mean E² of both).
#[derive(Debug, Clone)]
pub struct Contrastive {
    kernel: Arc<dyn Kernel>,
    steps: u64,
    negatives: Negatives,
    energy_regularization: f64,
}

impl Contrastive {
    /// With `steps` transitions of any kernel an update, at most 100,000, from the data.
    pub fn new(kernel: impl Kernel + 'static, steps: u64) -> Self {
        Self { kernel: Arc::new(kernel), steps, negatives: Negatives::Data, energy_regularization: 0.0 }
    }

    /// From elsewhere.
    pub fn negatives(self, negatives: Negatives) -> Self {
        Self { negatives, ..self }
    }

    /// Persistent chains.
    pub fn persistent(self, chains: usize, start: Start) -> Self {
        self.negatives(Negatives::Persistent { chains, start })
    }

    /// α ≥ 0, which keeps energies near zero; 0 unless said.
    pub fn energy_regularization(self, strength: f64) -> Self {
        Self { energy_regularization: strength, ..self }
    }

    /// The temperature of the chains, where it is one.
    pub(crate) fn temperature(&self) -> Option<f64> {
        match self.kernel.temperature() {
            None => Some(1.0),
            Some(Schedule::Constant(temperature)) => Some(*temperature),
            Some(_) => None,
        }
    }

    /// That an update ends in some time.
    pub(crate) fn check_steps(&self) -> Result<()> {
        if self.steps <= MOST_STEPS {
            return Ok(());
        }
        let why = format!(
            "must be at most {MOST_STEPS} an update, which cannot be stopped before its end; chains that go on from update to update \
             (Contrastive::persistent) need few"
        );
        Err(Error::setting("steps of contrastive divergence", self.steps, why))
    }

    pub(crate) fn check(&self, dim: usize) -> Result<()> {
        if self.steps == 0 {
            return Err(Error::setting("steps of contrastive divergence", 0, "must be at least 1"));
        }
        if self.kernel.adaptive().is_some() {
            let why = "a kernel that adapts cannot follow an energy in training; give it a step size";
            return Err(Error::Unsupported(format!("{}: {why}", self.kernel.name())));
        }
        let alpha = self.energy_regularization;
        if finite("energy regularization", alpha)? < 0.0 {
            return Err(Error::setting("energy regularization", alpha, "must be at least 0"));
        }
        match self.negatives {
            Negatives::Persistent { chains: 0, .. } => Err(Error::setting("chains", 0, "must be at least 1")),
            Negatives::Replay { slots: 0, .. } => Err(Error::setting("slots of the replay buffer", 0, "must be at least 1")),
            Negatives::Replay { renewal, .. } if !(0.0..=1.0).contains(&renewal) => {
                Err(Error::setting("renewal", renewal, "must be a probability"))
            }
            Negatives::Persistent { chains, .. } => room("chains", chains, dim.saturating_mul(size_of::<f32>())),
            Negatives::Replay { slots, .. } => {
                room("slots of the replay buffer", slots, dim.saturating_mul(size_of::<f32>()) + size_of::<usize>())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn at(&self, passes: &mut dyn Passes, at: At<'_>) -> Result<LossAt> {
        // What the chains found may be of any size: training goes back from that by itself.
        let (n, m) = (at.points(), check_points(at.dim, at.negatives, &[], Order::Value)?);
        let jets = passes.jets(&side_by_side(at.dim, &[at.x, at.negatives]), &[], Order::Value)?;
        let (of_data, of_model) = jets.values.split_at(n);
        let mean = |values: &[f64], f: fn(f64) -> f64| values.iter().map(|&e| f(e)).sum::<f64>() / values.len() as f64;
        let gap = mean(of_data, |e| e) - mean(of_model, |e| e);
        let alpha = self.energy_regularization;
        let loss = gap + alpha * (mean(of_data, |e| e * e) + mean(of_model, |e| e * e));
        let data = of_data.iter().map(|e| (1.0 + 2.0 * alpha * e) / n as f64);
        let values = data.chain(of_model.iter().map(|e| (-1.0 + 2.0 * alpha * e) / m as f64)).collect();
        let grad = passes.param_grad(&Adjoints { values, ..Adjoints::default() })?;
        Ok(LossAt { loss, grad, by_log_normalizer: 0.0, gap: Some(gap) })
    }
}

/// What the chains of contrastive divergence have done since a trainer was made.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Walks {
    /// Chains that run in each update.
    pub chains: usize,
    /// Transitions of each.
    pub steps: u64,
    /// Mean probability of acceptance; 1 of unadjusted kernels.
    pub acceptance: f64,
    /// Transitions that failed, and unadjusted chains that stopped, over all chains and updates.
    pub failures: u64,
}

/// What moves the chains.
#[derive(Debug)]
enum Mover {
    Engine(Box<dyn Chains>),
    /// A network's own, of so many chains; those that stopped, in all.
    Layers {
        langevin: Box<Langevin>,
        walk: Walk,
        chains: usize,
        stopped: u64,
    },
}

impl Mover {
    fn new(
        backend: &Backend,
        contrastive: &Contrastive,
        target: &Arc<dyn Trainable>,
        chains: usize,
        seed: u64,
        first_step: u64,
    ) -> Result<Self> {
        if let (Some([step_size, temperature]), Some(langevin)) = (contrastive.kernel.langevin(), target.own_langevin(backend))
        {
            let walk = Walk { step_size, temperature, steps: contrastive.steps, seed, first_step, first_chain: 0 };
            return Ok(Self::Layers { langevin: Box::new(langevin), walk, chains, stopped: 0 });
        }
        let chains = backend
            .chains_of(target.clone(), contrastive.kernel.clone())
            .count(chains)
            .seed(seed)
            .start(Start::point([0.0]))
            .first_step(first_step)
            .build()?;
        Ok(Self::Engine(chains))
    }

    fn count(&self) -> usize {
        match self {
            Self::Engine(chains) => chains.count(),
            Self::Layers { chains, .. } => *chains,
        }
    }

    /// Steps done, those before this mover included.
    fn steps(&self) -> u64 {
        match self {
            Self::Engine(chains) => chains.steps(),
            Self::Layers { walk, .. } => walk.first_step,
        }
    }

    fn run(&mut self, params: &[f32], from: &[f32], steps: u64) -> Result<Vec<f32>> {
        match self {
            Self::Engine(chains) => {
                chains.restart(params, from)?;
                chains.advance(steps)?;
                chains.positions()
            }
            Self::Layers { langevin, walk, stopped, .. } => {
                langevin.set_params(params)?;
                let walked = langevin.run(from, *walk)?;
                walk.first_step += steps;
                *stopped += walked.stopped as u64;
                Ok(walked.positions)
            }
        }
    }
}

/// Where chains of a model stand after so many transitions of a kernel from points, both `[dim][chain]`. A network takes the steps of
/// [`Ula`](crate::kernel::Ula) through its layers for all chains at once, which is much faster there than chains of the engine.
///
/// # Errors
/// [`Error::Shape`] where the points are no multiple of the dimension; [`Error::Unsupported`] for a kernel that adapts; as
/// [`Setup::build`](crate::chains::Setup::build); errors of the device.
pub fn walk(
    backend: &Backend,
    model: &Arc<dyn Trainable>,
    kernel: impl Kernel + 'static,
    steps: u64,
    seed: u64,
    from: &[f32],
) -> Result<Vec<f32>> {
    let chains = check_points(model.dim(), from, &[], Order::Value)?;
    let contrastive = Contrastive::new(kernel, steps);
    contrastive.check(model.dim())?;
    Mover::new(backend, &contrastive, model, chains, seed, 0)?.run(&model.params(), from, steps)
}

/// The chains of a training run, and the slots that they go on from.
#[derive(Debug)]
pub(crate) struct Sampler {
    contrastive: Contrastive,
    mover: Mover,
    dim: usize,
    seed: u64,
    /// `[dim][slot]`; none where chains start at data.
    pub(crate) slots: Vec<f32>,
    /// Whether the last draw left every chain where it was.
    still: bool,
}

impl Sampler {
    /// Chains for batches of so many points, which have done `steps` steps before.
    pub(crate) fn new(
        backend: &Backend,
        contrastive: &Contrastive,
        target: &Arc<dyn Trainable>,
        batch: usize,
        seed: u64,
        steps: u64,
    ) -> Result<Self> {
        let dim = target.dim();
        let (count, slots) = match &contrastive.negatives {
            Negatives::Data => (batch, Vec::new()),
            Negatives::Persistent { chains, start } => (*chains, start.positions(dim, 0, *chains, 1, seed)?),
            Negatives::Replay { slots, start, .. } => (batch, start.positions(dim, 0, *slots, 1, seed)?),
        };
        let mover = Mover::new(backend, contrastive, target, count, seed, steps)?;
        Ok(Self { contrastive: contrastive.clone(), mover, dim, seed, slots, still: false })
    }

    /// Chains, where their number is that of a batch's points.
    pub(crate) fn points(&self) -> Option<usize> {
        (!matches!(self.contrastive.negatives, Negatives::Persistent { .. })).then(|| self.mover.count())
    }

    /// Transitions of the last draw, where they were enough to say so and not one of them moved a chain: what was drawn says nothing of the
    /// model then.
    pub(crate) fn stuck(&self) -> Option<u64> {
        let transitions = self.mover.count() as u64 * self.contrastive.steps;
        (self.still && transitions >= LEAST_TRANSITIONS).then_some(transitions)
    }

    fn run(&mut self, params: &[f32], from: &[f32]) -> Result<Vec<f32>> {
        let there = self.mover.run(params, from, self.contrastive.steps)?;
        self.still = there == from;
        Ok(there)
    }

    /// Steps that the chains have done.
    pub(crate) fn steps(&self) -> u64 {
        self.mover.steps()
    }

    pub(crate) fn walks(&self) -> Walks {
        let (acceptance, failures) = match &self.mover {
            Mover::Engine(chains) => {
                let report = chains.report();
                (report.mean_acceptance.unwrap_or(1.0), report.failures.iter().map(|row| row.count).sum())
            }
            Mover::Layers { stopped, .. } => (1.0, *stopped),
        };
        Walks { chains: self.mover.count(), steps: self.steps(), acceptance, failures }
    }

    /// Points of the model with these parameters, `[dim][chain]`, in the update of this number; the slots go on.
    pub(crate) fn draw(&mut self, params: &[f32], x: &[f32], update: u64) -> Result<Vec<f32>> {
        let dim = self.dim;
        match &self.contrastive.negatives {
            Negatives::Data => self.run(params, x),
            Negatives::Persistent { .. } => {
                self.slots = self.run(params, &self.slots.clone())?;
                Ok(self.slots.clone())
            }
            &Negatives::Replay { slots, renewal, ref start } => {
                let (n, key) = (self.mover.count(), key(self.seed, Stream::Replay, update));
                let seed = u64::from(key[0]) | u64::from(key[1]) << 32;
                let new = start.positions(dim, 0, n, 1, seed)?;
                let draws = |i: usize| Draws::new(key, i as u32, 0);
                // No slot twice, unless there are fewer of them than chains.
                let chosen: Vec<_> = shuffled(slots, seed, 0).into_iter().cycle().take(n).collect();
                let begins: Vec<_> = (0..n).map(|i| draws(i).uniform(0) < renewal).collect();
                let from = |at: usize| if begins[at % n] { new[at] } else { self.slots[at / n * slots + chosen[at % n]] };
                let from: Vec<_> = (0..dim * n).map(from).collect();
                let there = self.run(params, &from)?;
                for (at, &x) in there.iter().enumerate() {
                    self.slots[at / n * slots + chosen[at % n]] = x;
                }
                Ok(there)
            }
        }
    }
}
