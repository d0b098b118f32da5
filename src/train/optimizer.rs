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

#[cfg(test)]
mod tests {
    use super::*;

    const START: [f64; 2] = [0.5, -1.25];
    const GRADS: [[f64; 2]; 3] = [[0.3, -2.0], [-0.1, 0.7], [4.0, 0.05]];
    const BOUND: f64 = 1e-14;

    /// The largest distance of three steps from what PyTorch 2.15 takes in f64, each printed by
    /// `p = torch.tensor([0.5, -1.25], dtype=torch.float64, requires_grad=True); o = torch.optim.SGD([p], lr=0.1, momentum=0.9)` (or the
    /// optimiser that a test names) and, of each gradient, `p.grad = torch.tensor(g, dtype=torch.float64); o.step(); print(p.tolist())`.
    fn distance(optimizer: &Optimizer, decays: [bool; 2], expected: [[f64; 2]; 3]) -> f64 {
        optimizer.check().unwrap();
        let (mut params, mut memory, mut worst) = (START, Memory::new(2), 0.0f64);
        for (update, (grad, expected)) in GRADS.iter().zip(expected).enumerate() {
            optimizer.step(&mut params, grad, &mut memory, update as u64, 0.5, &decays);
            let apart = params.iter().zip(expected).map(|(p, e)| (p - e).abs()).fold(0.0, f64::max);
            worst = worst.max(apart);
        }
        assert_eq!(memory.steps, 3);
        worst
    }

    /// Half of this rate is 0.1.
    const RATE: f64 = 0.2;

    const SGD: [[f64; 2]; 3] = [[0.47, -1.05], [0.45299999999999996, -0.94], [0.037699999999999886, -0.846]];

    #[test]
    fn sgd_with_momentum_takes_the_steps_of_pytorch() {
        assert!(distance(&Optimizer::sgd(RATE, 0.9), [true; 2], SGD) < BOUND);
        // No momentum, or one of means, as Adam's.
        assert!(distance(&Optimizer::sgd(RATE, 0.0), [true; 2], SGD) > 1e-2);
        assert!(distance(&Optimizer::sgd(RATE * 0.1, 0.9), [true; 2], SGD) > 1e-2);
    }

    #[test]
    fn adam_takes_the_steps_of_pytorch() {
        let usual = [
            [0.4000000033333332, -1.1500000005],
            [0.35997814792808075, -1.1113529954643913],
            [0.293859234843072, -1.0829954574357112],
        ];
        assert!(distance(&Optimizer::adam(RATE), [true; 2], usual) < BOUND);
        // torch.optim.Adam([p], lr=0.1, betas=(0.6, 0.8), eps=0.5): ε is added to the root, not under it.
        let other = [[0.4625, -1.17], [0.4554916773674725, -1.1538232273207008], [0.3881296936074621, -1.1458532368970853]];
        let adam = |beta1, beta2, epsilon| Optimizer::new(Rule::Adam { beta1, beta2, epsilon }, RATE);
        assert!(distance(&adam(0.6, 0.8, 0.5), [true; 2], other) < BOUND);
        for fault in [adam(0.8, 0.6, 0.5), adam(0.6, 0.8, 0.25), adam(0.6, 0.9, 0.5)] {
            assert!(distance(&fault, [true; 2], other) > 1e-3, "{fault:?}");
        }
    }

    /// torch.optim.AdamW([p], lr=0.1, weight_decay=0.3), whose decay does not go through the means; of the second parameter also
    /// torch.optim.Adam without any.
    #[test]
    fn weight_decay_is_decoupled_and_of_those_that_decay() {
        let decayed = [
            [0.3850000033333332, -1.1125000005],
            [0.3334281478280807, -1.0404779954493912],
            [0.25730639030822955, -0.9809061175572296],
        ];
        let of_first =
            [[decayed[0][0], -1.1500000005], [decayed[1][0], -1.1113529954643913], [decayed[2][0], -1.0829954574357112]];
        let decay = |decay| Optimizer::adam(RATE).weight_decay(decay);
        assert!(distance(&decay(0.3), [true; 2], decayed) < BOUND);
        assert!(distance(&decay(0.3), [true, false], of_first) < BOUND);
        assert!(distance(&decay(0.3), [true, false], decayed) > 1e-2);
        assert!(distance(&decay(0.0), [true; 2], decayed) > 1e-2);
    }

    /// torch.nn.utils.clip_grad_norm_([p], 1.0) before each step of SGD. The first and the third gradient are longer than that. It divides by
    /// the norm and 10⁻⁶, so its steps are shorter by as much.
    #[test]
    fn clipping_scales_the_whole_gradient_where_it_is_longer() {
        let clipped = [
            [0.48516596204193524, -1.1511064136129017],
            [0.48181532787967696, -1.132102185864513],
            [0.3788075937143245, -1.1162482829337048],
        ];
        let optimizer = |norm| Optimizer::sgd(RATE, 0.9).clip(norm);
        assert!(distance(&optimizer(1.0), [true; 2], clipped) < 3e-7);
        assert!(distance(&optimizer(0.7), [true; 2], clipped) > 1e-2);
        assert!(distance(&optimizer(5.0), [true; 2], SGD) < BOUND);
        assert!(distance(&optimizer(5.0), [true; 2], clipped) > 1e-2);
    }

    /// torch.optim.Adam with `o.param_groups[0]["lr"]` set to 0.1, 0.05 and 0.0125 before the three steps.
    #[test]
    fn rates_are_those_of_the_update() {
        let expected = [
            [0.4000000033333332, -1.1500000005],
            [0.379989075630707, -1.1306764979821955],
            [0.3717242114950809, -1.1271318057286104],
        ];
        assert!(distance(&Optimizer::adam(Schedule::list([0.2, 0.1, 0.025])), [true; 2], expected) < BOUND);
        assert!(distance(&Optimizer::adam(Schedule::list([0.2, 0.2, 0.1, 0.025])), [true; 2], expected) > 1e-2);
        // A step that is not the first of a memory at the update of another one.
        let (mut params, mut memory) = (START, Memory::new(2));
        Optimizer::sgd(Schedule::list([0.2, 0.1]), 0.0).step(&mut params, &GRADS[0], &mut memory, 1, 0.5, &[false; 2]);
        assert!((params[0] - (0.5 - 0.05 * 0.3)).abs() < BOUND);
    }

    /// The rates that torch.optim.lr_scheduler gives at lr=0.1: CosineAnnealingLR(o, T_max=4, eta_min=0.01), LinearLR(o, 1.0, 0.1, 4) and
    /// ExponentialLR(o, 0.5), each printed before `o.step(); s.step()`.
    #[test]
    fn schedules_are_those_of_pytorch() {
        for (schedule, expected) in [
            (Schedule::cosine(0.1, 0.01, 5), [0.1, 0.08681980515339464, 0.055, 0.023180194846605363, 0.01]),
            (Schedule::linear(0.1, 0.01, 5), [0.1, 0.0775, 0.055, 0.0325, 0.01]),
            (Schedule::geometric(0.1, 0.00625, 5), [0.1, 0.05, 0.025, 0.0125, 0.00625]),
        ] {
            let optimizer = Optimizer::sgd(schedule, 0.0);
            for (update, expected) in expected.into_iter().enumerate() {
                let (mut params, mut memory) = ([0.0], Memory::new(1));
                optimizer.step(&mut params, &[-1.0], &mut memory, update as u64, 1.0, &[false]);
                assert!((params[0] - expected).abs() < BOUND, "{optimizer:?}, {update}: {}", params[0]);
            }
        }
    }

    #[test]
    fn settings_that_are_out_of_range_are_refused() {
        let adam = |beta1, beta2, epsilon| Optimizer::new(Rule::Adam { beta1, beta2, epsilon }, 0.1);
        for bad in [
            Optimizer::sgd(0.0, 0.5),
            Optimizer::sgd(0.1, 1.0),
            Optimizer::sgd(0.1, f64::NAN),
            adam(-0.1, 0.9, 1e-8),
            adam(0.9, 1.0, 1e-8),
            adam(0.9, 0.99, 0.0),
            Optimizer::adam(0.1).clip(0.0),
            Optimizer::adam(0.1).weight_decay(-1.0),
            Optimizer::adam(0.1).weight_decay(f64::INFINITY),
        ] {
            assert!(matches!(bad.check(), Err(Error::Setting { .. })), "{bad:?}");
        }
        adam(0.0, 0.0, 1e-3).clip(1.0).weight_decay(0.1).check().unwrap();
    }
}
