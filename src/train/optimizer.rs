//! Optimisers, on the host in f64.

use crate::{
    Error, Result, Schedule,
    error::{finite, positive},
};

/// How a gradient becomes a step.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Rule {
    /// m ← μm + g, θ ← θ − ηm.
    Sgd {
        /// μ in [0, 1).
        momentum: f64,
    },
    /// Adam (Kingma and Ba 2015): m and v are means of g and g², each corrected for its beginning at zero; θ ← θ − ηm/(√v + ε).
    Adam {
        /// Decay of the mean of g, in [0, 1).
        beta1: f64,
        /// Decay of the mean of g², in [0, 1).
        beta2: f64,
        /// ε > 0.
        epsilon: f64,
    },
}

/// An optimiser: rule, learning rate η as a function of the update, and what goes with them.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimizer {
    rule: Rule,
    rate: Schedule,
    weight_decay: f64,
    clip: Option<f64>,
}

/// What an optimiser remembers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Memory {
    pub(crate) first: Vec<f64>,
    pub(crate) second: Vec<f64>,
    /// Steps taken, which Adam's corrections count.
    pub(crate) steps: u64,
}

impl Memory {
    pub(crate) fn new(params: usize) -> Self {
        Self { first: vec![0.0; params], second: vec![0.0; params], steps: 0 }
    }
}

impl Optimizer {
    /// Adam with β = (0.9, 0.999), ε = 1e-8.
    pub fn adam(rate: impl Into<Schedule>) -> Self {
        Self::new(Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }, rate)
    }

    /// Stochastic gradient descent with momentum.
    pub fn sgd(rate: impl Into<Schedule>, momentum: f64) -> Self {
        Self::new(Rule::Sgd { momentum }, rate)
    }

    /// Any rule.
    pub fn new(rule: Rule, rate: impl Into<Schedule>) -> Self {
        Self { rule, rate: rate.into(), weight_decay: 0.0, clip: None }
    }

    /// Decoupled weight decay (Loshchilov and Hutter 2019): θ ← θ − ηλθ beside each step, of blocks that decay; 0 unless said.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// Scales a gradient down to this Euclidean norm where it is longer; not done unless said.
    pub fn clip(self, norm: f64) -> Self {
        Self { clip: Some(norm), ..self }
    }

    /// The learning rate as a function of the update.
    pub fn rate(&self) -> &Schedule {
        &self.rate
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.rate.validate("learning rate", positive)?;
        let share = |name: &str, value: f64| match value {
            v if (0.0..1.0).contains(&v) => Ok(()),
            v => Err(Error::setting(name, v, "must be at least 0 and below 1")),
        };
        match self.rule {
            Rule::Sgd { momentum } => share("momentum", momentum)?,
            Rule::Adam { beta1, beta2, epsilon } => {
                share("beta1", beta1)?;
                share("beta2", beta2)?;
                positive("epsilon", epsilon)?;
            }
        }
        if let Some(norm) = self.clip {
            positive("norm of a clipped gradient", norm)?;
        }
        match finite("weight decay", self.weight_decay)? {
            decay if decay < 0.0 => Err(Error::setting("weight decay", decay, "must be at least 0")),
            _ => Ok(()),
        }
    }

    /// One more step down a gradient, of parameters that do not decay.
    pub(crate) fn descend(&self, params: &mut [f64], grad: &[f64], memory: &mut Memory) {
        self.step(params, grad, memory, memory.steps, 1.0, &vec![false; params.len()]);
    }

    /// Moves params along the gradient at the rate of this update times `scale`. `decays` says which parameters decay.
    pub(crate) fn step(&self, params: &mut [f64], grad: &[f64], memory: &mut Memory, update: u64, scale: f64, decays: &[bool]) {
        let norm = grad.iter().map(|g| g * g).sum::<f64>().sqrt();
        let shrink = self.clip.map_or(1.0, |most| if norm > most { most / norm } else { 1.0 });
        let rate = self.rate.at(update) * scale;
        memory.steps += 1;
        let of_past = |beta: f64| 1.0 - beta.powf(memory.steps as f64);
        let all = params.iter_mut().zip(grad).zip(&mut memory.first).zip(&mut memory.second).zip(decays);
        for ((((param, g), first), second), &decays) in all {
            let g = g * shrink;
            let step = match self.rule {
                Rule::Sgd { momentum } => {
                    *first = momentum * *first + g;
                    *first
                }
                Rule::Adam { beta1, beta2, epsilon } => {
                    *first = beta1 * *first + (1.0 - beta1) * g;
                    *second = beta2 * *second + (1.0 - beta2) * g * g;
                    (*first / of_past(beta1)) / ((*second / of_past(beta2)).sqrt() + epsilon)
                }
            };
            let decay = if decays { self.weight_decay * *param } else { 0.0 };
            *param -= rate * (step + decay);
        }
    }
}
