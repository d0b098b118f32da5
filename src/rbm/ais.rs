//! ln Z by annealed importance sampling, forwards from a machine without weights and backwards from the machine itself.
//!
//! Source: Neal: Annealed importance sampling (2001); Salakhutdinov and Murray: On the quantitative analysis of deep belief networks
//! (2008); backwards: Burda, Grosse, Salakhutdinov: Accurate and conservative estimates of MRF log-likelihood (2015).

use std::ops::Range;

use rayon::prelude::*;

use super::{
    Gibbs, Rbm,
    fields::{Bits, Fields, draw, sum_softplus},
    gibbs::{Layer, epochs},
    softplus,
};
use crate::{
    Backend, Error, LogMean, Result,
    error::{countable, cut, room},
    log_mean_exp,
    random::{Stream, key},
};

/// Chains that one thread anneals together.
const BATCH: usize = 32;

/// What annealing found.
#[derive(Debug, Clone)]
pub struct LnZ {
    /// Forwards: too low in the mean (Jensen), less so with more chains and temperatures.
    pub forward: LogMean,
    /// Backwards, from states of the machine: too high in the mean where those states are exact draws of it.
    pub reverse: Option<LogMean>,
    /// Log weights of the forward chains, whose mean exponential is Z.
    pub log_weights: Vec<f64>,
}

impl LnZ {
    /// [low, high]: forwards less three errors; the higher of forwards and backwards plus three errors.
    pub fn bracket(&self) -> [f64; 2] {
        let high = |e: LogMean| e.value + 3.0 * e.error;
        [self.forward.value - 3.0 * self.forward.error, high(self.forward).max(self.reverse.map_or(f64::NEG_INFINITY, high))]
    }
}

/// Annealed importance sampling. The law at inverse temperature β is p(v, h) ∝ exp(((1−β) a₀ + βa)ᵀv + β (bᵀh + vᵀWh)): at 0 the
/// visible units are independent with biases a₀, at 1 it is the machine's. Gaussian visible units have −(v/σ)²/2 besides, and a/σ and
/// v/σ in place of a and v.
///
/// ```
/// # use ergodic::rbm::{Ais, Rbm};
/// let rbm = Rbm::new([1.0, -1.0, 0.5, 2.0], [0.0, -0.5], [0.1, 0.0])?;
/// let found = Ais::new(500, 100).run(&rbm, 7)?;
/// assert!((found.forward.value - rbm.ln_z()?).abs() < 4.0 * found.forward.error);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Ais {
    betas: Vec<f64>,
    chains: usize,
    base_means: Vec<f64>,
    reverse_sweeps: Option<u64>,
}

impl Ais {
    /// `chains` chains through evenly spaced inverse temperatures in so many steps.
    pub fn new(temperatures: usize, chains: usize) -> Self {
        let temperatures = cut(temperatures as u64);
        Self::with_betas((0..=temperatures).map(|k| k as f64 / temperatures as f64), chains)
    }

    /// Chains through these inverse temperatures, from 0 to 1.
    pub fn with_betas(betas: impl IntoIterator<Item = f64>, chains: usize) -> Self {
        Self { betas: betas.into_iter().collect(), chains, base_means: Vec::new(), reverse_sweeps: None }
    }

    /// Starts from the base-rate model: visible units that are on as often as these means say (those of the training data), bent
    /// away from 0 and 1 by one part in a hundred; or Gaussian ones with these means. Without, they are fair coins, or N(0, σ²).
    #[must_use]
    pub fn base_rates(mut self, means: &[f64]) -> Self {
        self.base_means = means.to_vec();
        self
    }

    /// Estimates backwards too, with as many chains: they start where the forward ones ended, after so many sweeps more. The
    /// estimate is as good as those states are draws of the machine.
    #[must_use]
    pub fn reverse(mut self, sweeps: u64) -> Self {
        self.reverse_sweeps = Some(sweeps);
        self
    }

    /// Runs it, in f32 with weights summed in f64, on all cores.
    ///
    /// # Errors
    /// [`Error::Setting`] where there are fewer than two chains, or the inverse temperatures do not rise from 0 to 1;
    /// [`Error::Limit`] of more than 2²⁴ of these; [`Error::Shape`] where there is not one base rate a visible unit.
    pub fn run(&self, rbm: &Rbm, seed: u64) -> Result<LnZ> {
        countable("inverse temperatures", self.betas.len())?;
        let rising = self.betas.windows(2).all(|pair| pair[0] < pair[1]);
        if !(rising && self.betas.first() == Some(&0.0) && self.betas.last() == Some(&1.0)) {
            return Err(Error::setting("inverse temperatures", self.betas.len(), "must rise from 0 to 1, in one step or more"));
        }
        if self.chains < 2 || self.chains > 1 << 31 {
            return Err(Error::setting("chains", self.chains, "must be at least 2, for an error bar, and at most 2³¹"));
        }
        room("chains", self.chains, rbm.bytes_a_chain() + size_of::<f64>())?;
        let base = if self.base_means.is_empty() { vec![0.0; rbm.visible] } else { rbm.base(&self.base_means)? };
        let path = Path::new(rbm, base, &self.betas, seed);
        let (weights, last) = path.all(Stream::Anneal, self.chains, |chain, bits| {
            let mut v = path.base_fields(chain.len());
            path.fields.draw_visible(bits, &mut v);
            v
        });
        // Of the base, less what the path leaves out of the machine's energy.
        let ln_z_base = rbm.hidden as f64 * std::f64::consts::LN_2 + path.ln_z_of_visible();
        let log_weights: Vec<_> = weights.into_iter().map(|w| ln_z_base + w).collect();
        let reverse = self.reverse_sweeps.map(|sweeps| {
            let mut chains = Gibbs::from_layer(&Backend::cpu(), rbm, last, seed)?;
            chains.advance(sweeps)?;
            let start = chains.visible_layer()?;
            let back: Vec<_> = self.betas.iter().rev().copied().collect();
            let start = |chains: Range<usize>, _| start.rows(chains).into_iter().map(|x| x as f32).collect();
            let (weights, _) = Path { betas: &back, ..path.clone() }.all(Stream::Reverse, self.chains, start);
            let back: Vec<_> = weights.into_iter().map(|w| w - ln_z_base).collect();
            let mean = log_mean_exp(&back)?;
            Ok(LogMean { value: -mean.value, ..mean })
        });
        Ok(LnZ { forward: log_mean_exp(&log_weights)?, reverse: reverse.transpose()?, log_weights })
    }
}

impl Rbm {
    /// The visible units' biases, in units of σ, of a machine without weights with these means.
    pub(crate) fn base(&self, means: &[f64]) -> Result<Vec<f64>> {
        if means.len() != self.visible {
            return Err(Error::shape("base rates", self.visible, means.len()));
        }
        let base = match self.sds {
            None => means.iter().map(|mean| 0.01 + 0.98 * mean).map(|p| (p / (1.0 - p)).ln()).collect(),
            Some(_) => self.scaled(means),
        };
        match base.iter().position(|a| !a.is_finite()) {
            None => Ok(base),
            Some(i) => Err(Error::setting(format!("base rate {i}"), means[i], "must be finite, of binary units in [0, 1]")),
        }
    }
}

/// The path between the base and the machine.
#[derive(Debug, Clone)]
struct Path<'a> {
    fields: Fields<'a, f32>,
    rbm: &'a Rbm,
    base: Vec<f64>,
    /// What β = 1 has and β = 0 has not: a − a₀.
    tilts: Vec<f64>,
    betas: &'a [f64],
    seed: u64,
}

impl<'a> Path<'a> {
    fn new(rbm: &'a Rbm, base: Vec<f64>, betas: &'a [f64], seed: u64) -> Self {
        let fields = Fields::of(rbm);
        let tilts = fields.visible_bias().iter().zip(&base).map(|(&a, base)| f64::from(a) - base).collect();
        Self { fields, rbm, base, tilts, betas, seed }
    }

    /// ln Σᵥ exp(a₀ᵀv); with Gaussian units ln ∫ exp(Σ a₀v/σ − (v/σ)²/2 − (a/σ)²/2) dv, the last term being what the path leaves out.
    fn ln_z_of_visible(&self) -> f64 {
        let Some(sds) = &self.rbm.sds else { return self.base.iter().map(|&a| softplus(a)).sum() };
        let unit = |((base, &a), &sd): ((&f64, &f32), &f32)| {
            0.5 * (std::f64::consts::TAU.ln() + base * base - f64::from(a).powi(2)) + f64::from(sd).ln()
        };
        self.base.iter().zip(self.fields.visible_bias()).zip(sds).map(unit).sum()
    }

    fn base_fields(&self, chains: usize) -> Vec<f32> {
        (0..chains).flat_map(|_| self.base.iter().map(|&a| a as f32)).collect()
    }

    /// Log weights and last visible states of all chains.
    fn all(&self, stream: Stream, chains: usize, start: impl Fn(Range<usize>, Bits) -> Vec<f32> + Sync) -> (Vec<f64>, Layer) {
        let batch = |first: usize| {
            let chains = first..(first + BATCH).min(chains);
            let bits = Bits { key: key(self.seed, stream, u64::MAX), first_chain: first as u32, index: 0 };
            self.anneal(stream, first as u32, start(chains, bits))
        };
        let batches: Vec<_> = (0..chains).step_by(BATCH).collect();
        let annealed: Vec<_> = batches.par_iter().map(|&first| batch(first)).collect();
        let mut last = Layer::zeros(self.rbm, chains);
        let mut weights = Vec::with_capacity(chains);
        for (&first, (w, v)) in batches.iter().zip(&annealed) {
            last.set_rows(first, &v.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
            weights.extend_from_slice(w);
        }
        (weights, last)
    }

    /// Anneals chains from visible states `v`, `[chain][visible]`, along the inverse temperatures.
    fn anneal(&self, stream: Stream, first_chain: u32, mut v: Vec<f32>) -> (Vec<f64>, Vec<f32>) {
        let (visible, hidden) = (self.rbm.visible, self.rbm.hidden);
        let (slots, epochs) = ((visible + hidden) as u32, epochs(visible + hidden));
        let mut weights = vec![0.0; v.len() / visible];
        let mut h = Vec::new();
        for (step, pair) in self.betas.windows(2).enumerate() {
            let (from, to) = (pair[0], pair[1]);
            self.fields.hidden(&v, &mut h);
            for ((weight, v), x) in weights.iter_mut().zip(v.chunks_exact(visible)).zip(h.chunks_exact(hidden)) {
                let tilt: f64 = self.tilts.iter().zip(v).map(|(tilt, &v)| tilt * f64::from(v)).sum();
                let free = |beta: f64| sum_softplus(x.iter().map(|&x| beta * f64::from(x)));
                *weight += (to - from) * tilt + free(to) - free(from);
            }
            let index = epochs.step_in_epoch(step as u64) * slots;
            let bits = Bits { key: key(self.seed, stream, epochs.epoch(step as u64)), first_chain, index };
            let beta = to as f32;
            h.iter_mut().for_each(|x| *x *= beta);
            draw(bits, hidden, &mut h);
            self.fields.visible(&h, &mut v);
            for row in v.chunks_exact_mut(visible) {
                row.iter_mut().zip(&self.base).for_each(|(x, &base)| *x = beta * *x + (1.0 - beta) * base as f32);
            }
            self.fields.draw_visible(Bits { index: index + hidden as u32, ..bits }, &mut v);
        }
        (weights, v)
    }
}
