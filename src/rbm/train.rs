//! Training by contrastive divergence and persistent contrastive divergence.
//!
//! The gradient of the mean log-likelihood is ⟨v hᵀ⟩ over data less ⟨v hᵀ⟩ over the machine. The second mean is estimated by chains
//! that start at the data (Hinton 2002), that go on from update to update (Tieleman 2008), or that do so with exchanges between
//! temperatures (Desjardins et al. 2010).

use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::{
    Data, Rbm,
    fields::Fields,
    sampler::{Differences, Numbering, Rows},
    tempered::{self, Ladder},
};
use crate::{
    Error, Result, Schedule,
    error::{countable, finite, place, positive},
    random::{Stream, key, normal_pair, shuffled, threefry},
};

/// Parameters that one thread steps at a time.
const CHUNK: usize = 1 << 14;

/// Which chains estimate the machine's side of the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Negative {
    /// CD-k: from the data of the batch, k sweeps.
    Contrastive {
        /// k.
        sweeps: u64,
    },
    /// PCD-k: chains that are never restarted, k sweeps an update.
    Persistent {
        /// k.
        sweeps: u64,
        /// Number of chains.
        chains: usize,
    },
    /// PCD-k with parallel tempering: as persistent, but every chain is the coldest of a ladder ([`Tempered`](super::Tempered)), from the
    /// base rates of the data to the machine.
    Tempered {
        /// k.
        sweeps: u64,
        /// Number of chains.
        chains: usize,
        /// Levels of each, 2 or more.
        levels: usize,
    },
}

impl Negative {
    fn sweeps(self) -> u64 {
        match self {
            Self::Contrastive { sweeps } | Self::Persistent { sweeps, .. } | Self::Tempered { sweeps, .. } => sweeps,
        }
    }

    /// Chains, and levels of each, that go on from update to update.
    pub(crate) fn persistent(self) -> [usize; 2] {
        match self {
            Self::Contrastive { .. } => [0, 1],
            Self::Persistent { chains, .. } => [chains, 1],
            Self::Tempered { chains, levels, .. } => [chains, levels],
        }
    }
}

/// How to train. [`Default`]: PCD-1 with 100 chains, batches of 100, rate 0.05, centred.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// Which chains estimate the machine's side.
    pub negative: Negative,
    /// Rows of data an update.
    pub batch: usize,
    /// Learning rate as a function of the epoch.
    pub rate: Schedule,
    /// Part of the last step that the next one takes along, in [0, 1).
    pub momentum: f64,
    /// Pulls weights to zero: the gradient less this times W.
    pub weight_decay: f64,
    /// Pulls the mean of every hidden unit to a target: (target, strength). The gradient of the cross entropy.
    pub sparsity: Option<(f64, f64)>,
    /// Centres the statistics at their means over the data (Montavon and Müller 2012), which makes training insensitive to
    /// exchanging 0 and 1.
    pub centred: bool,
    /// Seed of all random numbers.
    pub seed: u64,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            negative: Negative::Persistent { sweeps: 1, chains: 100 },
            batch: 100,
            rate: 0.05.into(),
            momentum: 0.5,
            weight_decay: 1e-4,
            sparsity: None,
            centred: true,
            seed: 1,
        }
    }
}

/// What an epoch did.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Epoch {
    /// Epochs so far.
    pub epochs: u64,
    /// Updates of this epoch.
    pub updates: u64,
    /// Time of this epoch.
    pub time: Duration,
}

/// The parameters' last step, as the parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) weights: Vec<f32>,
    pub(crate) visible_bias: Vec<f32>,
    pub(crate) hidden_bias: Vec<f32>,
}

/// A machine in training. What follows depends on this state, the settings and the data alone, bit for bit.
#[derive(Debug, Clone)]
pub struct Trainer {
    pub(crate) settings: Training,
    pub(crate) rbm: Rbm,
    pub(crate) step: Step,
    /// Persistent chains, `[chain][level][visible]`, in units of σ.
    pub(crate) chains: Vec<f32>,
    pub(crate) epochs: u64,
    /// Half sweeps drawn so far: they number the random blocks.
    pub(crate) drawn: u64,
}

impl Rbm {
    /// A machine to train on binary data with these means: visible biases ln(p / (1 − p)), with p bent away from 0 and 1 by one part in a
    /// hundred, and weights N(0, spread²).
    ///
    /// # Errors
    /// As [`Rbm::new`]; [`Error::Limit`] of more than 2²⁴ weights.
    pub fn for_data(means: &[f64], hidden: usize, spread: f64, seed: u64) -> Result<Self> {
        countable("weights", means.len().max(1).saturating_mul(hidden))?;
        let bias: Vec<_> = means.iter().map(|mean| 0.01 + 0.98 * mean).map(|p| (p / (1.0 - p)).ln() as f32).collect();
        Self::new(normals(means.len() * hidden, spread, seed), bias, vec![0.0; hidden])
    }

    /// A machine to train on real data with these means and whose units have these standard deviations given the hidden ones: visible
    /// biases are the means, weights N(0, spread²).
    ///
    /// # Errors
    /// As [`Rbm::gaussian`]; [`Error::Limit`] of more than 2²⁴ weights.
    pub fn for_reals(means: &[f64], sds: &[f64], hidden: usize, spread: f64, seed: u64) -> Result<Self> {
        countable("weights", means.len().max(1).saturating_mul(hidden))?;
        let cast = |values: &[f64]| values.iter().map(|&x| x as f32).collect::<Vec<_>>();
        let weights = normals(means.len() * hidden, spread, seed);
        Self::gaussian(weights, cast(means), vec![0.0; hidden], cast(sds))
    }
}

fn normals(n: usize, spread: f64, seed: u64) -> Vec<f32> {
    let key = key(seed, Stream::Start, 1);
    (0..n).map(|i| (spread * normal_pair(threefry(key, [0, i as u32]))[0]) as f32).collect()
}

impl Trainer {
    /// Starts to train a machine.
    ///
    /// # Errors
    /// [`Error::Setting`] where a setting is outside of its range.
    pub fn new(rbm: Rbm, settings: Training) -> Result<Self> {
        check(&settings)?;
        let step = Step {
            weights: vec![0.0; rbm.weights.len()],
            visible_bias: vec![0.0; rbm.visible],
            hidden_bias: vec![0.0; rbm.hidden],
        };
        let chains = match settings.negative.persistent() {
            [0, _] => Vec::new(),
            [chains, levels] => tempered::start(&rbm, chains, levels, settings.seed)?,
        };
        Ok(Self { settings, rbm, step, chains, epochs: 0, drawn: 0 })
    }

    /// The machine as it is now.
    pub fn rbm(&self) -> &Rbm {
        &self.rbm
    }

    /// Epochs so far.
    pub fn epochs(&self) -> u64 {
        self.epochs
    }

    /// Goes once through the data, in an order of its own each epoch; the last batch may be smaller. Real data may train binary visible
    /// units where they are probabilities, in [0, 1]. Biases of Gaussian visible units step in units of σ, so that data train alike in
    /// whatever units they are measured.
    ///
    /// # Errors
    /// [`Error::Shape`] where the data have not as many units as the machine; [`Error::Setting`] where there are none, where values do not
    /// suit binary units, or where the parameters left the finite range (the state is then that before this epoch).
    pub fn epoch(&mut self, data: &impl Data) -> Result<Epoch> {
        let begun = Instant::now();
        if data.units() != self.rbm.visible {
            return Err(Error::shape("visible units of the data", self.rbm.visible, data.units()));
        }
        if data.count() == 0 {
            return Err(Error::setting("rows of data", 0, "must be at least 1"));
        }
        let before = self.clone();
        let means = data.means();
        let ladder = match self.settings.negative {
            Negative::Tempered { levels, .. } => Some(Ladder::new(&self.rbm, &means, levels)?),
            _ => None,
        };
        let means: Vec<f32> = self.rbm.scaled(&means).into_iter().map(|mean| mean as f32).collect();
        let order = shuffled(data.count(), self.settings.seed, self.epochs);
        // Within the pool from here on: a call from outside would wake it anew for every product.
        let updated = rayon::scope(|_| {
            let mut updates = 0;
            for batch in order.chunks(self.settings.batch) {
                let mut rows = data.rows_of(batch);
                self.suit(&mut rows, batch)?;
                self.update(rows, &means, ladder.as_ref());
                updates += 1;
            }
            Ok(updates)
        });
        let updates = match updated {
            Ok(updates) => updates,
            Err(error) => {
                *self = before;
                return Err(error);
            }
        };
        let params = [&self.rbm.weights, &self.rbm.visible_bias, &self.rbm.hidden_bias];
        if params.into_iter().flatten().any(|p| !p.is_finite()) {
            let rate = self.settings.rate.at(self.epochs);
            *self = before;
            return Err(Error::setting("rate", rate, format!("training diverged in epoch {}; lower it", self.epochs)));
        }
        self.epochs += 1;
        Ok(Epoch { epochs: self.epochs, updates, time: begun.elapsed() })
    }

    /// Rows of data in the machine's own units.
    fn suit(&self, rows: &mut [f32], numbers: &[usize]) -> Result<()> {
        if let Some(sds) = &self.rbm.sds {
            rows.iter_mut().zip(sds.iter().cycle()).for_each(|(v, sd)| *v /= sd);
        } else if let Some(i) = rows.iter().position(|v| !(0.0..=1.0).contains(v)) {
            let (row, column) = (numbers[i / self.rbm.visible], i % self.rbm.visible);
            return Err(Error::setting(place(row, column), rows[i], "must be in [0, 1] for a binary unit"));
        }
        Ok(())
    }

    /// One step along the gradient estimated from a batch, `[row][visible]`.
    fn update(&mut self, data: Vec<f32>, data_means: &[f32], ladder: Option<&Ladder>) {
        let settings = &self.settings;
        let units = [self.rbm.visible, self.rbm.hidden];
        let numbering = Numbering::new(settings.seed, units);
        let sweeps = settings.negative.sweeps();
        let fields = Fields::of(&self.rbm);
        let data = Rows::new(&fields, data);
        let model = match ladder {
            None if self.chains.is_empty() => data.after(&fields, sweeps, numbering, self.drawn),
            None => Rows::new(&fields, std::mem::take(&mut self.chains)).after(&fields, sweeps, numbering, self.drawn),
            Some(ladder) => {
                ladder.advance(&fields, &mut self.chains, sweeps, numbering, self.drawn);
                Rows::new(&fields, ladder.coldest(&self.chains, units[0]))
            }
        };
        self.drawn += sweeps * if ladder.is_some() { 3 } else { 2 };
        if let Negative::Persistent { .. } = settings.negative {
            self.chains.clone_from(&model.v);
        }
        let Differences { of: mut grad, v, h } = Differences::new(data, model, units);
        if settings.centred {
            centre(&mut grad, data_means, &h);
        }
        if let Some((target, strength)) = settings.sparsity {
            let pull: Vec<_> = h.iter().map(|q| (strength * (target - f64::from(*q))) as f32).collect();
            grad.hidden_bias.iter_mut().zip(&pull).for_each(|(g, p)| *g += p);
            for (row, v) in grad.weights.chunks_exact_mut(self.rbm.hidden).zip(&v) {
                row.iter_mut().zip(&pull).for_each(|(g, p)| *g += v * p);
            }
        }
        if let Some(sds) = &self.rbm.sds {
            grad.visible_bias.iter_mut().zip(sds).for_each(|(g, sd)| *g *= sd);
        }
        let (rate, momentum) = (settings.rate.at(self.epochs) as f32, settings.momentum as f32);
        let go = |params: &mut [f32], step: &mut [f32], grad: &[f32], decay: f32| {
            let chunks = params.par_chunks_mut(CHUNK).zip(step.par_chunks_mut(CHUNK)).zip(grad.par_chunks(CHUNK));
            chunks.for_each(|((params, step), grad)| {
                for ((param, step), grad) in params.iter_mut().zip(step).zip(grad) {
                    *step = momentum * *step + rate * (grad - decay * *param);
                    *param += *step;
                }
            });
        };
        go(&mut self.rbm.weights, &mut self.step.weights, &grad.weights, settings.weight_decay as f32);
        go(&mut self.rbm.visible_bias, &mut self.step.visible_bias, &grad.visible_bias, 0.0);
        go(&mut self.rbm.hidden_bias, &mut self.step.hidden_bias, &grad.hidden_bias, 0.0);
    }
}

fn check(settings: &Training) -> Result<()> {
    let (sweeps, [chains, levels]) = (settings.negative.sweeps(), settings.negative.persistent());
    let chains = if let Negative::Contrastive { .. } = settings.negative { 1 } else { chains };
    if let Negative::Tempered { .. } = settings.negative
        && levels < 2
    {
        return Err(Error::setting("levels", levels, "must be at least 2"));
    }
    for (name, value) in [("sweeps", sweeps), ("chains", chains as u64), ("batch", settings.batch as u64)] {
        if value == 0 {
            return Err(Error::setting(name, 0, "must be at least 1"));
        }
    }
    positive("rate", settings.rate.at(0))?;
    for (name, value, most) in [("momentum", settings.momentum, 1.0), ("weight decay", settings.weight_decay, 1e15)] {
        if !(0.0..most).contains(&finite(name, value)?) {
            return Err(Error::setting(name, value, format!("must be at least 0 and below {most}")));
        }
    }
    match settings.sparsity {
        Some((target, strength)) if !((0.0..=1.0).contains(&target) && (0.0..1e15).contains(&strength)) => Err(Error::setting(
            "sparsity",
            format!("{target}, {strength}"),
            "wants a target in [0, 1] and a strength of 0 or above",
        )),
        _ => Ok(()),
    }
}

/// The gradient for v − μ and h − λ in place of v and h, in the parameters of the plain machine.
fn centre(grad: &mut Step, v: &[f32], h: &[f32]) {
    // ⟨(v−μ)(h−λ)ᵀ⟩ of data less that of the machine; the terms in μλᵀ cancel.
    let (visible_bias, hidden_bias) = (grad.visible_bias.clone(), grad.hidden_bias.clone());
    for ((row, mu), by_v) in grad.weights.chunks_exact_mut(h.len()).zip(v).zip(&visible_bias) {
        for ((g, lambda), by_h) in row.iter_mut().zip(h).zip(&hidden_bias) {
            *g -= mu * by_h + by_v * lambda;
        }
    }
    for ((row, mu), by_v) in grad.weights.chunks_exact(h.len()).zip(v).zip(&mut grad.visible_bias) {
        *by_v -= row.iter().zip(h).map(|(g, lambda)| g * lambda).sum::<f32>();
        grad.hidden_bias.iter_mut().zip(row).for_each(|(by_h, g)| *by_h -= mu * g);
    }
}
