//! Flow-contrastive estimation: an energy and its normaliser learned against a flow that learns to look like the data.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Flow, Pass, Training,
    descent::means,
    pair::{Pair, wide},
    view::{Seen, View, log_densities},
};
use crate::{
    Backend, Error, Result,
    energy::{Energy, Sum},
    error::{finite, points},
    rbm::{sigmoid, softplus},
    train::{Noise, Optimizer, Trainable},
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
    /// Batches, seed, and what moves the flow.
    pub training: Training,
    /// What moves the energy and c.
    pub energy_optimizer: Optimizer,
    /// What the flow learns.
    pub flow_goal: FlowGoal,
    /// A broad law g and its share ε of the noise, q = (1 − ε) f + ε g for a flow f: where the flow has no draws, nothing else would
    /// hold the energy. None is q = f.
    pub cover: Option<(f64, Noise)>,
    /// Whether the energy corrects the flow q₀ as it begins (Deng et al. 2020): p = q₀(x) exp(−E(x) − c). What the flow knows is then
    /// not learned again, and where q₀ has no mass the model has none.
    pub correction: bool,
    /// Whose turn it is: below this [`accuracy`](Contest::accuracy), in (½, 1), an update moves the energy and c alone, from there on the
    /// flow alone, so that neither runs away from the other. None moves both in every update.
    pub alternate: Option<f64>,
}

impl Default for Contrast {
    fn default() -> Self {
        Self {
            training: Training::default(),
            energy_optimizer: Optimizer::adam(0.003),
            flow_goal: FlowGoal::Contest,
            cover: None,
            correction: false,
            alternate: None,
        }
    }
}

/// Flow-contrastive estimation (Gao et al. 2020).
///
/// The model is p(x) = exp(−E(x) − c), with c learned (or q₀ times that, see [`correction`](Contrast::correction)), and the value of
/// the contest
///
/// V = ⟨log p/(p + q)⟩ over data + ⟨log q/(p + q)⟩ over the noise q.
///
/// The energy and c go up V, which is noise-contrastive estimation; its optimum is p = density of the data and c = ln Z, whatever the
/// noise. That is the flow, or the flow and a [`cover`](Contrast::cover). A flow whose goal is the contest goes down the V of the flow
/// alone, so that the contest stays hard: the first mean has ∂V/∂α = −⟨q/(p + q) ∂log q/∂α⟩, and the second goes through x = f(z). At
/// the optimum both are the density of the data and V = −2 ln 2.
#[derive(Debug)]
pub struct Contrastive {
    pub(super) settings: Contrast,
    pub(super) pair: Pair,
    /// Of the batch's noise, the points of the cover.
    covering: usize,
}

/// Updates that a flow that stays is asked for at once: enough to keep threads busy, and a few hundred kilobytes.
const AHEAD: u64 = 16;

/// What an update saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contest {
    /// V.
    pub value: f64,
    /// Share of the points, of data and of noise, that p/(p + q) > ½ tells rightly.
    pub accuracy: f64,
}

impl Contrastive {
    /// Starts to train an energy, with c = `log_normalizer` to begin with, against a flow.
    ///
    /// # Errors
    /// [`Error::Shape`] where dimensions differ; [`Error::Setting`] where a setting is outside of its range; errors of the device.
    pub fn new(
        backend: &Backend,
        energy: Arc<dyn Trainable>,
        log_normalizer: f64,
        flow: Flow,
        settings: Contrast,
    ) -> Result<Self> {
        let c = finite("log-normaliser", log_normalizer)? as f32;
        if let Some(accuracy) = settings.alternate {
            if !(accuracy > 0.5 && accuracy < 1.0) {
                return Err(Error::setting("accuracy from which the flow moves", accuracy, "must be above 0.5 and below 1"));
            }
            if settings.flow_goal == FlowGoal::Fixed {
                return Err(Error::setting("alternate", accuracy, "is for a flow that learns; this one is fixed"));
            }
        }
        let mut pair = Pair::new(backend, energy, &[c], &settings.energy_optimizer, flow, &settings.training)?;
        let covering = match &settings.cover {
            None => 0,
            Some((_, noise)) if noise.dim() != pair.flow.dim() => {
                return Err(Error::shape("coordinates of the cover", pair.flow.dim(), noise.dim()));
            }
            Some((share, _)) => {
                let batch = settings.training.batch;
                let points = (share * batch as f64).round();
                if !(points >= 1.0 && points < batch as f64) {
                    let must = format!("must give some of a batch's {batch} points to the cover, and some to the flow");
                    return Err(Error::setting("share of the cover", *share, must));
                }
                points as usize
            }
        };
        pair.base = settings.correction.then(|| pair.flow.clone());
        Ok(Self { settings, pair, covering })
    }

    /// The energy as it is now; what it corrects is left out.
    ///
    /// # Errors
    /// None that its own parameters could cause.
    pub fn energy(&self) -> Result<Arc<dyn Trainable>> {
        self.pair.energy()
    }

    /// The energy of the model: E, or E − log q₀ where it corrects the flow.
    ///
    /// # Errors
    /// None that its own parameters could cause.
    pub fn model(&self) -> Result<Arc<dyn Energy>> {
        let energy: Arc<dyn Energy> = self.energy()?;
        Ok(match &self.pair.base {
            None => energy,
            Some(base) => Arc::new(Sum::new(vec![energy, Arc::new(base.clone())])?),
        })
    }

    /// c, the learned ln Z of the [`model`](Self::model).
    pub fn log_normalizer(&self) -> f64 {
        self.pair.params.last().map_or(0.0, |&c| c.into())
    }

    /// The flow as it is now.
    pub fn flow(&self) -> &Flow {
        &self.pair.flow
    }

    /// Updates so far.
    pub fn updates(&self) -> u64 {
        // Taking turns, each moves one of the two.
        let alone = self.settings.alternate.map_or(0, |_| self.pair.flow_descent.memory.steps);
        self.pair.updates() + alone
    }

    /// Updates by batches of the data, `[dim][point]`, and as many points of noise; the means of what they saw.
    ///
    /// # Errors
    /// [`Error::Shape`] where the data do not fit or there are none; [`Error::Setting`] where a number is not finite, with its row (the
    /// point) and column (the coordinate), from 1, or where parameters would leave the finite range (the state is then that before this
    /// update); errors of the device.
    pub fn advance(&mut self, data: &[f32], updates: u64) -> Result<Contest> {
        points("data", self.pair.flow.dim(), data)?;
        // Within the pool, where work is handed round at once; from outside, each of an update's passes would wait for threads to wake.
        let [value, accuracy] = rayon::scope(|_| {
            let (until, mut ahead) = (self.updates() + updates, VecDeque::new());
            means(updates, || {
                let seen = match ahead.pop_front() {
                    Some(seen) => seen,
                    None => {
                        let (seen, others) = self.look(data, until)?;
                        ahead = others;
                        seen
                    }
                };
                self.update(&seen)
            })
        })?;
        Ok(Contest { value, accuracy })
    }

    /// What the update that comes is to see and, where the flow stays, what several after it are, up to that one.
    fn look(&self, data: &[f32], until: u64) -> Result<(Seen, VecDeque<Seen>)> {
        let now = self.updates();
        let most = if self.settings.flow_goal == FlowGoal::Fixed { AHEAD } else { 1 };
        let view = View { settings: &self.settings, flow: &self.pair.flow, covering: self.covering };
        view.look(data, now, until.min(now + most))
    }

    fn update(&mut self, Seen { data, draws, cover, log_flow, log_noise }: &Seen) -> Result<[f64; 2]> {
        let count = self.settings.training.batch;
        self.pair.set_params()?;
        let goal = self.settings.flow_goal;
        let mut energies = self.pair.energies(&[data, draws, cover])?;
        if let Some(base) = &self.pair.base {
            // A flow that stays is q₀ still.
            let densities = match goal {
                FlowGoal::Fixed => log_flow.clone(),
                _ => log_densities(base, &[data, draws, cover]),
            };
            energies.iter_mut().zip(densities).for_each(|(e, q)| *e -= q);
        }
        let c = self.log_normalizer();
        let ratios = |log_q: &[f64]| energies.iter().zip(log_q).map(|(e, q)| q + e + c).collect::<Vec<_>>();
        let of_noise = ratios(log_noise);
        let (on_data, on_noise) = of_noise.split_at(count);
        let n = count as f64;
        let value = -on_data.iter().map(|&u| softplus(u)).chain(on_noise.iter().map(|&u| softplus(-u))).sum::<f64>() / n;
        let told = on_data.iter().filter(|&&u| u < 0.0).count() + on_noise.iter().filter(|&&u| u > 0.0).count();

        let accuracy = told as f64 / (2.0 * n);
        let of_the_flow = self.settings.alternate.map(|from| accuracy >= from);

        let energy = if of_the_flow == Some(true) {
            None
        } else {
            // Of −V by E + c: q/(p + q) on data, −p/(p + q) on noise.
            let of_data_energy = on_data.iter().map(|&u| sigmoid(u) / n);
            let values: Vec<_> = of_data_energy.chain(on_noise.iter().map(|&u| -sigmoid(-u) / n)).collect();
            let of_constant = values.iter().sum();
            Some(self.pair.step_energy(value, values, &[of_constant])?)
        };
        if goal != FlowGoal::Fixed && of_the_flow != Some(false) {
            let (flow, seed) = (self.pair.flow.clone(), self.settings.training.seed);
            let of_data = flow.inverse_in_training(&wide(data))?;
            let grad = match goal {
                FlowGoal::Contest => {
                    let drawn = flow.forward_in_training(&flow.base(count - self.covering, seed, self.updates())?)?;
                    contest(&of_data, &drawn, &ratios(log_flow), &self.pulls(draws)?)?
                }
                _ => of_data.reverse_density(&vec![-n.recip(); count])?.params,
            };
            let (moved, descent) = self.pair.flow_descent.step(flow.params(), value, &grad)?;
            self.pair.flow.set_params(&moved)?;
            self.pair.flow_descent = descent;
        }
        if let Some((params, energy_descent)) = energy {
            (self.pair.params, self.pair.energy_descent) = (params, energy_descent);
        }
        Ok([value, accuracy])
    }

    /// ∇(−log p) on draws, `[dim][point]`, with the parameters that were set. The passes forget what they were asked before.
    fn pulls(&mut self, draws: &[f32]) -> Result<Vec<f64>> {
        let mut pulls = wide(&self.pair.passes.energy_and_grad(draws)?.1);
        if let Some(base) = &self.pair.base {
            let weights = vec![1.0; draws.len() / base.dim()];
            let grads = base.inverse_pass(&wide(draws))?.reverse_density(&weights)?.positions;
            pulls.iter_mut().zip(grads).for_each(|(pull, g)| *pull -= g);
        }
        Ok(pulls)
    }
}

/// The gradient of V by the flow's parameters, from log f/p on data and on draws, and ∇(−log p) on draws.
fn contest(of_data: &Pass<'_>, drawn: &Pass<'_>, ratios: &[f64], pulls: &[f64]) -> Result<Vec<f64>> {
    let (n, m) = (of_data.mapped.log_dets.len(), drawn.mapped.log_dets.len());
    // By log f on data.
    let weights: Vec<_> = ratios[..n].iter().map(|&u| -sigmoid(u) / n as f64).collect();
    let mut grad = of_data.reverse_density(&weights)?.params;
    // Through x = f(z) on draws.
    let shares: Vec<_> = ratios[n..n + m].iter().map(|&u| sigmoid(-u) / m as f64).collect();
    let by_x: Vec<_> = pulls.iter().enumerate().map(|(i, g)| shares[i % m] * g).collect();
    let by_log_det: Vec<_> = shares.iter().map(|share| -share).collect();
    grad.iter_mut().zip(drawn.reverse(&by_x, &by_log_det)?.params).for_each(|(sum, g)| *sum += g);
    Ok(grad)
}
