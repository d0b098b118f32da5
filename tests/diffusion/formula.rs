//! The samplers as their papers write them, in x and in f64, apart from the library's coordinates; and the law of what they draw in
//! one dimension, without drawing.

use std::sync::Arc;

use ergodic::{
    Start,
    diffusion::NoiseSchedule,
    kernel::{Kernel, ProbabilityFlow, Reverse, Variance},
};

/// ε(x, t), the best prediction of the noise.
pub(crate) type Noise<'a> = &'a dyn Fn(f64, usize) -> f64;

/// x′ = mean + sd z.
type Mean = Arc<dyn Fn(Noise<'_>, usize, usize, f64) -> f64 + Send + Sync>;
type Sd = Arc<dyn Fn(usize, usize) -> f64 + Send + Sync>;

/// A sampler: the kernel, and the papers' formulas of a step from t to a step before it.
#[derive(Clone)]
pub(crate) struct Sampler {
    pub(crate) name: &'static str,
    pub(crate) kernel: Arc<dyn Kernel>,
    pub(crate) start: Start,
    times: Vec<usize>,
    mean: Mean,
    sd: Sd,
}

fn ancestral(schedule: &NoiseSchedule, name: &'static str, variance: Variance) -> Sampler {
    let kernel = Reverse::ancestral(schedule, variance);
    let (a, b) = (schedule.clone(), schedule.clone());
    Sampler {
        name,
        start: kernel.start(),
        kernel: Arc::new(kernel),
        times: (0..=schedule.steps()).rev().collect(),
        mean: Arc::new(move |noise, t, _, x| {
            (x - a.beta(t) / (1.0 - a.alpha_bar(t)).sqrt() * noise(x, t)) / (1.0 - a.beta(t)).sqrt()
        }),
        sd: Arc::new(move |t, before| match (before, variance) {
            (0, _) => 0.0,
            (_, Variance::Beta) => b.beta(t).sqrt(),
            (_, Variance::Posterior) => b.posterior_variance(t).sqrt(),
        }),
    }
}

fn ddim(schedule: &NoiseSchedule, name: &'static str, steps: usize, eta: f64) -> Sampler {
    let kernel = Reverse::ddim(schedule, steps, eta).unwrap();
    let every = schedule.steps() / steps;
    let a = schedule.clone();
    let sd = move |t: usize, before: usize| {
        let (now, next) = (a.alpha_bar(t), a.alpha_bar(before));
        eta * ((1.0 - next) / (1.0 - now) * (1.0 - now / next)).sqrt()
    };
    let (a, of_step) = (schedule.clone(), sd.clone());
    Sampler {
        name,
        start: kernel.start(),
        kernel: Arc::new(kernel),
        times: (0..=steps).rev().map(|i| i * every).collect(),
        mean: Arc::new(move |noise, t, before, x| {
            let (now, next) = (a.alpha_bar(t), a.alpha_bar(before));
            let epsilon = noise(x, t);
            let data = (x - (1.0 - now).sqrt() * epsilon) / now.sqrt();
            next.sqrt() * data + (1.0 - next - of_step(t, before).powi(2)).max(0.0).sqrt() * epsilon
        }),
        sd: Arc::new(sd),
    }
}

fn flow(schedule: &NoiseSchedule, name: &'static str, steps: usize) -> Sampler {
    let kernel = ProbabilityFlow::new(schedule, steps).unwrap();
    let every = schedule.steps() / steps;
    let a = schedule.clone();
    Sampler {
        name,
        start: kernel.start(),
        kernel: Arc::new(kernel),
        times: (0..=steps).rev().map(|i| i * every).collect(),
        mean: Arc::new(move |noise, t, before, x| {
            // dy/dσ = ε, y = x/√ᾱ; at σ = 0 the noise is not seen, and its best prediction is zero.
            let (now, next) = (a.alpha_bar(t), a.alpha_bar(before));
            let step = (1.0 / next - 1.0).sqrt() - (1.0 / now - 1.0).sqrt();
            let slope = noise(x, t);
            let euler = x / now.sqrt() + step * slope;
            let at_end = if before == 0 { 0.0 } else { noise(euler * next.sqrt(), before) };
            next.sqrt() * (x / now.sqrt() + 0.5 * step * (slope + at_end))
        }),
        sd: Arc::new(|_, _| 0.0),
    }
}

/// Every sampler of a schedule, whose number of steps is a multiple of ten.
pub(crate) fn samplers(schedule: &NoiseSchedule) -> Vec<Sampler> {
    let tenth = schedule.steps() / 10;
    vec![
        ancestral(schedule, "ancestral sampling with beta", Variance::Beta),
        ancestral(schedule, "ancestral sampling with the posterior variance", Variance::Posterior),
        ddim(schedule, "ddim(0) in a tenth of the steps", tenth, 0.0),
        ddim(schedule, "ddim(0.5) in a tenth of the steps", tenth, 0.5),
        ddim(schedule, "ddim(1)", schedule.steps(), 1.0),
        flow(schedule, "the probability flow in a tenth of the steps", tenth),
    ]
}

/// A mixture of normals of equal width on a line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) weights: Vec<f64>,
    pub(crate) means: Vec<f64>,
    pub(crate) sd: f64,
}

impl Line {
    /// ε(x, t) = √(1 − ᾱ) Σ rⱼ (x − √ᾱ mⱼ)/(ᾱ s² + 1 − ᾱ).
    pub(crate) fn noise(&self, schedule: &NoiseSchedule, x: f64, t: usize) -> f64 {
        let kept = schedule.alpha_bar(t);
        let variance = kept * self.sd * self.sd + 1.0 - kept;
        let away = |j: usize| x - kept.sqrt() * self.means[j];
        let log = |j: usize| self.weights[j].ln() - 0.5 * away(j).powi(2) / variance;
        let top = (0..self.means.len()).map(log).fold(f64::NEG_INFINITY, f64::max);
        let (mut sum, mut pull) = (0.0, 0.0);
        for j in 0..self.means.len() {
            let weight = (log(j) - top).exp();
            sum += weight;
            pull += weight * away(j) / variance;
        }
        (1.0 - kept).sqrt() * pull / sum
    }
}

/// Half the width of the grid on which densities of x_t stand.
const REACH: f64 = 9.0;

impl Sampler {
    pub(crate) fn steps(&self) -> u64 {
        self.times.len() as u64 - 1
    }

    /// Mean and variance of what is drawn for normal data: the recursion of an affine map.
    pub(crate) fn of_gaussian(&self, schedule: &NoiseSchedule, mean: f64, sd: f64) -> (f64, f64) {
        let data = Line { weights: vec![1.0], means: vec![mean], sd };
        let noise = |x: f64, t: usize| data.noise(schedule, x, t);
        let step = |(m, v): (f64, f64), pair: &[usize]| {
            let at = |x: f64| (self.mean)(&noise, pair[0], pair[1], x);
            let slope = at(1.0) - at(0.0);
            (at(m), slope * slope * v + (self.sd)(pair[0], pair[1]).powi(2))
        };
        self.times.windows(2).fold((0.0, 1.0), step)
    }

    /// The distribution function of what is drawn for data on a line, as a table of (x, F): the density of each x_t on a grid that
    /// resolves the noise of its steps, by the trapezoid rule, which is spectrally accurate for what is smoothed by a Gaussian;
    /// steps without noise carry quantiles.
    pub(crate) fn law(&self, schedule: &NoiseSchedule, data: &Line) -> Vec<(f64, f64)> {
        let noise = |x: f64, t: usize| data.noise(schedule, x, t);
        let pairs: Vec<_> = self.times.windows(2).collect();
        let sd = |k: usize| pairs.get(k).map_or(0.0, |pair| (self.sd)(pair[0], pair[1]));
        // Of a step's grid: a third of the least noise before and after.
        let spacing = |k: usize| [sd(k), sd(k + 1)].into_iter().filter(|&s| s > 0.0).fold(0.1, f64::min) / 3.0;
        let grid = |h: f64| (0..=(2.0 * REACH / h) as usize).map(move |i| i as f64 * h - REACH);
        let mut h = sd(0).max(0.003) / 3.0;
        let mut density: Vec<(f64, f64)> = grid(h).map(|x| (x, normal(x))).collect();
        let mut k = 0;
        while k < pairs.len() && sd(k) > 0.0 {
            let (s, next) = (sd(k), spacing(k));
            let mut moved: Vec<(f64, f64)> = grid(next).map(|x| (x, 0.0)).collect();
            for (x, p) in density.iter().filter(|(_, p)| *p > 1e-30) {
                let mean = (self.mean)(&noise, pairs[k][0], pairs[k][1], *x);
                let most = moved.len() as f64;
                let at = |v: f64| ((v + REACH) / next).clamp(0.0, most) as usize;
                for (to, sum) in &mut moved[at(mean - 9.0 * s)..at(mean + 9.0 * s)] {
                    *sum += h * p * normal((*to - mean) / s) / s;
                }
            }
            (density, h, k) = (moved, next, k + 1);
        }
        // Steps without noise at the end: the quantiles move.
        let mut below = 0.0;
        let mut table: Vec<(f64, f64)> = Vec::with_capacity(density.len());
        for w in density.windows(3) {
            // The trapezoid rule up to here, and its error h²p′/12.
            below += 0.5 * h * (w[0].1 + w[1].1);
            let carry = |x: f64, pair: &&[usize]| (self.mean)(&noise, pair[0], pair[1], x);
            table.push((pairs[k..].iter().fold(w[1].0, carry), below - h * (w[2].1 - w[0].1) / 24.0));
        }
        assert!(pairs.get(k).is_none() || (k..pairs.len()).all(|k| sd(k) == 0.0), "noise after a step without");
        assert!((below - 1.0).abs() < 1e-8, "the law of {} sums to {below}", self.name);
        assert!(table.windows(2).all(|w| w[0].0 <= w[1].0), "the flow of {} is not monotone", self.name);
        table
    }
}

fn normal(x: f64) -> f64 {
    (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()
}

/// F(x) by a table of (x, F).
pub(crate) fn cdf(table: &[(f64, f64)], x: f64) -> f64 {
    let above = table.partition_point(|row| row.0 <= x);
    if above == 0 || above == table.len() {
        return if above == 0 { 0.0 } else { 1.0 };
    }
    let ((x0, f0), (x1, f1)) = (table[above - 1], table[above]);
    f0 + (f1 - f0) * (x - x0) / (x1 - x0)
}
