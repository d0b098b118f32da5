//! Training by contrastive divergence and persistent contrastive divergence.
//!
//! The gradient of the mean log-likelihood is ⟨v hᵀ⟩ over data less ⟨v hᵀ⟩ over the machine. The second mean is estimated by chains
//! that start at the data (Hinton 2002) or that go on from update to update (Tieleman 2008).

use std::time::{Duration, Instant};

use nalgebra::{DMatrixView, DMatrixViewMut};
use rayon::prelude::*;

use super::{
    Rbm, States,
    fields::{Bits, Fields, draw},
    gibbs::coins,
    transpose,
};
use crate::{
    Error, Result, Schedule,
    error::{finite, positive},
    random::{Epochs, Stream, key, normal_pair, threefry},
};

/// Rows that one thread draws together; even, since neighbouring chains share random blocks.
const BATCH: usize = 50;

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
}

/// How to train. [`Default`]: PCD-1 with 100 chains, batches of 100, rate 0.05, centred.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// Which chains estimate the machine's side.
    pub negative: Negative,
    /// Images an update.
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
    /// Persistent chains, `[chain][visible]`.
    pub(crate) chains: Vec<f32>,
    pub(crate) epochs: u64,
    /// Half sweeps drawn so far: they number the random blocks.
    pub(crate) drawn: u64,
}

impl Rbm {
    /// A machine to train on data with these means: visible biases ln(p / (1 − p)), with p bent away from 0 and 1 by one part in a
    /// hundred, and weights N(0, spread²).
    ///
    /// # Errors
    /// As [`Rbm::new`].
    pub fn for_data(means: &[f64], hidden: usize, spread: f64, seed: u64) -> Result<Self> {
        let bias: Vec<_> = means.iter().map(|mean| 0.01 + 0.98 * mean).map(|p| (p / (1.0 - p)).ln() as f32).collect();
        let key = key(seed, Stream::Start, 1);
        let normals = (0..means.len().saturating_mul(hidden)).map(|i| normal_pair(threefry(key, [0, i as u32]))[0]);
        Self::new(normals.map(|z| (spread * z) as f32).collect::<Vec<_>>(), bias, vec![0.0; hidden])
    }
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
        let chains = match settings.negative {
            Negative::Persistent { chains, .. } => coins(rbm.visible, chains, settings.seed).rows(0..chains),
            Negative::Contrastive { .. } => Vec::new(),
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

    /// Goes once through the data, in an order of its own each epoch; the last batch may be smaller.
    ///
    /// # Errors
    /// [`Error::Shape`] where the data have not as many units as the machine; [`Error::Setting`] where there are none, or where the
    /// parameters left the finite range (the state is then that before this epoch).
    pub fn epoch(&mut self, data: &States) -> Result<Epoch> {
        let begun = Instant::now();
        if data.units() != self.rbm.visible {
            return Err(Error::shape("visible units of the data", self.rbm.visible, data.units()));
        }
        if data.chains() == 0 {
            return Err(Error::setting("images", 0, "must be at least 1"));
        }
        let before = self.clone();
        let means: Vec<_> = data.means().into_iter().map(|mean| mean as f32).collect();
        let order = shuffled(data.chains(), self.settings.seed, self.epochs);
        let mut updates = 0;
        for batch in order.chunks(self.settings.batch) {
            let rows: Vec<f32> = data.select(batch).rows(0..batch.len());
            self.update(&rows, &means);
            updates += 1;
        }
        let params = [&self.rbm.weights, &self.rbm.visible_bias, &self.rbm.hidden_bias];
        if params.into_iter().flatten().any(|p| !p.is_finite()) {
            let rate = self.settings.rate.at(self.epochs);
            *self = before;
            return Err(Error::setting("rate", rate, format!("training diverged in epoch {}; lower it", self.epochs)));
        }
        self.epochs += 1;
        Ok(Epoch { epochs: self.epochs, updates, time: begun.elapsed() })
    }

    /// One step along the gradient estimated from a batch, `[image][visible]`.
    fn update(&mut self, data: &[f32], data_means: &[f32]) {
        let settings = &self.settings;
        let fields = Fields::new(&self.rbm);
        let sampler = Sampler { fields: &fields, rbm: &self.rbm, seed: settings.seed };
        let (sweeps, model) = match settings.negative {
            Negative::Contrastive { sweeps } => (sweeps, sampler.after(data, sweeps, self.drawn)),
            Negative::Persistent { sweeps, .. } => (sweeps, sampler.after(&self.chains, sweeps, self.drawn)),
        };
        let (on_data, on_model) = rayon::join(|| sampler.statistics(data), || sampler.statistics(&model));
        self.drawn += 2 * sweeps;
        if matches!(settings.negative, Negative::Persistent { .. }) {
            self.chains = model;
        }
        let difference = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>();
        let mut grad = Step {
            weights: difference(&on_data.vh, &on_model.vh),
            visible_bias: difference(&on_data.v, &on_model.v),
            hidden_bias: difference(&on_data.h, &on_model.h),
        };
        if settings.centred {
            centre(&mut grad, data_means, &on_data.h);
        }
        if let Some((target, strength)) = settings.sparsity {
            let pull: Vec<_> = on_data.h.iter().map(|q| (strength * (target - f64::from(*q))) as f32).collect();
            grad.hidden_bias.iter_mut().zip(&pull).for_each(|(g, p)| *g += p);
            for (row, v) in grad.weights.chunks_exact_mut(self.rbm.hidden).zip(&on_data.v) {
                row.iter_mut().zip(&pull).for_each(|(g, p)| *g += v * p);
            }
        }
        let (rate, momentum) = (settings.rate.at(self.epochs) as f32, settings.momentum as f32);
        let decay = settings.weight_decay as f32;
        let go = |params: &mut [f32], step: &mut [f32], grad: &[f32], decay: f32| {
            for ((param, step), grad) in params.iter_mut().zip(step).zip(grad) {
                *step = momentum * *step + rate * (grad - decay * *param);
                *param += *step;
            }
        };
        go(&mut self.rbm.weights, &mut self.step.weights, &grad.weights, decay);
        go(&mut self.rbm.visible_bias, &mut self.step.visible_bias, &grad.visible_bias, 0.0);
        go(&mut self.rbm.hidden_bias, &mut self.step.hidden_bias, &grad.hidden_bias, 0.0);
    }
}

fn check(settings: &Training) -> Result<()> {
    let (sweeps, chains) = match settings.negative {
        Negative::Contrastive { sweeps } => (sweeps, 1),
        Negative::Persistent { sweeps, chains } => (sweeps, chains),
    };
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

/// Numbers below n in random order (Fisher and Yates).
pub(crate) fn shuffled(n: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let key = key(seed, Stream::Shuffle, epoch);
    let mut order: Vec<_> = (0..n).collect();
    for i in (1..n).rev() {
        let word = u64::from(threefry(key, [i as u32, 0])[0]);
        order.swap(i, ((word * (i as u64 + 1)) >> 32) as usize);
    }
    order
}

/// Means over rows: of v hᵀ, v and h, with the hidden units' means in place of samples.
struct Statistics {
    vh: Vec<f32>,
    v: Vec<f32>,
    h: Vec<f32>,
}

struct Sampler<'a> {
    fields: &'a Fields<f32>,
    rbm: &'a Rbm,
    seed: u64,
}

impl Sampler<'_> {
    /// Rows after so many sweeps.
    fn after(&self, rows: &[f32], sweeps: u64, drawn: u64) -> Vec<f32> {
        let (visible, hidden) = (self.rbm.visible, self.rbm.hidden);
        let slots = visible.max(hidden) as u32;
        let epochs = Epochs::new(slots);
        let of_half = |half: u64, first_chain: u32| Bits {
            key: key(self.seed, Stream::Train, epochs.epoch(half)),
            first_chain,
            index: epochs.step_in_epoch(half) * slots,
        };
        let run = |(batch, rows): (usize, &[f32])| {
            let (mut v, mut h) = (rows.to_vec(), Vec::new());
            let first_chain = (batch * BATCH) as u32;
            for half in (drawn..drawn + 2 * sweeps).step_by(2) {
                self.fields.hidden(&v, &mut h);
                draw(of_half(half, first_chain), hidden, &mut h);
                self.fields.visible(&h, &mut v);
                draw(of_half(half + 1, first_chain), visible, &mut v);
            }
            v
        };
        let batches: Vec<_> = rows.par_chunks(BATCH * visible).enumerate().map(run).collect();
        batches.concat()
    }

    fn statistics(&self, v: &[f32]) -> Statistics {
        let (visible, hidden) = (self.rbm.visible, self.rbm.hidden);
        let rows = v.len() / visible;
        let mut h = Vec::new();
        self.fields.hidden(v, &mut h);
        h.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
        let mut vh = vec![0.0; visible * hidden];
        let columns = transpose(v, visible);
        // Matrices by columns: h [hidden × rows], columns [rows × visible], vh [hidden × visible].
        let (h_matrix, v_matrix) =
            (DMatrixView::from_slice(&h, hidden, rows), DMatrixView::from_slice(&columns, rows, visible));
        DMatrixViewMut::from_slice(&mut vh, hidden, visible).gemm(1.0 / rows as f32, &h_matrix, &v_matrix, 0.0);
        let mean = |values: &[f32], width: usize| -> Vec<f32> {
            let mut sums = vec![0.0; width];
            values.chunks_exact(width).for_each(|row| sums.iter_mut().zip(row).for_each(|(s, &x)| *s += f64::from(x)));
            sums.into_iter().map(|s: f64| (s / rows as f64) as f32).collect()
        };
        Statistics { vh, v: mean(v, visible), h: mean(&h, hidden) }
    }
}
