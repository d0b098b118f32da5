//! What is learned: the optimum of each loss on Gaussian data, over independent data sets; planted faults must miss it.

use std::{ops::ControlFlow, sync::Arc};

use ergodic::{
    Backend, Error, Result, Schedule, Start,
    energy::{CholeskyGaussian, Energy},
    kernel::{Hmc, Mala},
    random::{Draws, Stream, key},
    train::{
        Adjoints, Block, Contrastive, Jets, Loss, Negatives, Noise, Optimizer, Order, Passes, Trainable, Trainer, Training,
        passes,
    },
};

use crate::common::{Suite, energy_of_inner};

const POINTS: usize = 600;
/// Independent data sets.
const SETS: usize = 12;
const UPDATES: u64 = 300;
const MEAN: [f64; 2] = [0.5, -0.3];
const COVARIANCE: [f64; 4] = [1.0, 0.4, 0.4, 0.5];
/// Standard errors of a figure.
const MOST: f64 = 4.0;

pub(crate) fn add(mut suite: Suite) -> Suite {
    let nce = || Loss::NoiseContrastive { noise: Noise::normal([0.4, 0.0], [1.3, 0.9]).unwrap(), ratio: 4 };
    let levels = |levels: &[f64]| Loss::DenoisingScoreMatching { levels: levels.to_vec() };
    let two = [0.5, 1.0];
    suite = finds(suite, "cd", cd(Negatives::Data), 0.0);
    suite = finds(suite, "persistent cd", cd(persistent()), 0.0);
    suite = finds(suite, "ism", Loss::ImplicitScoreMatching, 0.0);
    suite = finds(suite, "dsm", Loss::denoising(0.4), 0.16);
    suite = finds(suite, "dsm on two levels", levels(&two), compromise(&two));
    suite = finds(suite, "ssm", Loss::SlicedScoreMatching { projections: 2, variance_reduced: false }, 0.0);
    suite = finds(suite, "ssm, variance reduced", Loss::sliced(), 0.0);
    // Also ln Z.
    suite = finds(suite, "nce", nce(), 0.0);
    suite
        .test("a reversed sign is found", move || {
            for (loss, variance) in [
                (cd(Negatives::Data), 0.0),
                (cd(persistent()), 0.0),
                (Loss::ImplicitScoreMatching, 0.0),
                (Loss::denoising(0.4), 0.16),
                (Loss::sliced(), 0.0),
                (nce(), 0.0),
            ] {
                misses(&loss, variance, Fault::Sign);
            }
        })
        .test("a trace divided by the dimension is found", || misses(&Loss::ImplicitScoreMatching, 0.0, Fault::Trace))
        .test("chains that are reset each step are found", || {
            let start = Start::normal([0.0], 2.0);
            misses(&cd(Negatives::Replay { slots: POINTS, renewal: 1.0, start }), 0.0, Fault::None);
        })
        .test("a noise level that is left out is found", move || {
            misses(&Loss::DenoisingScoreMatching { levels: two[..1].to_vec() }, compromise(&two), Fault::None);
        })
        .test("a run that diverges goes back, and ends in an error that says so", diverges)
        .test("what went back goes on from there with half the step", halves)
        .both("chains that no longer move are told of", stuck)
        .test("an energy that goes flat is told of", flat)
        .test("a run is the same twice, and when its parts are", twice)
        .gpu("a run on the GPU is the same twice", |gpu| same_twice(&Backend::gpu_of(gpu)))
}

/// σ̄² of several levels, each weighted by its σ².
fn compromise(levels: &[f64]) -> f64 {
    levels.iter().map(|s| s.powi(4)).sum::<f64>() / levels.iter().map(|s| s * s).sum::<f64>()
}

fn cd(negatives: Negatives) -> Loss {
    Loss::Contrastive(Contrastive::new(Mala::new(0.3), 2).negatives(negatives))
}

fn persistent() -> Negatives {
    Negatives::Persistent { chains: POINTS, start: Start::normal([0.0], 2.0) }
}

/// What is planted into the passes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// The gradient has the other sign.
    Sign,
    /// The adjoints of curvatures are divided by the dimension.
    Trace,
}

/// A Gaussian with faulty passes.
#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn Trainable>,
    fault: Fault,
}

#[derive(Debug)]
struct FaultyPasses {
    inner: Box<dyn Passes>,
    fault: Fault,
}

impl Passes for FaultyPasses {
    fn dim(&self) -> usize {
        self.inner.dim()
    }

    fn set_params(&mut self, params: &[f32]) -> Result<()> {
        self.inner.set_params(params)
    }

    fn energy_and_grad(&mut self, x: &[f32]) -> Result<(Vec<f64>, Vec<f32>)> {
        self.inner.energy_and_grad(x)
    }

    fn jets(&mut self, x: &[f32], v: &[f32], order: Order) -> Result<Jets> {
        self.inner.jets(x, v, order)
    }

    fn param_grad(&mut self, adjoints: &Adjoints) -> Result<Vec<f64>> {
        let mut adjoints = adjoints.clone();
        if self.fault == Fault::Trace {
            adjoints.curvatures.iter_mut().for_each(|a| *a /= 2.0);
        }
        let grad = self.inner.param_grad(&adjoints)?;
        Ok(if self.fault == Fault::Sign { grad.into_iter().map(|g| -g).collect() } else { grad })
    }
}

impl Energy for Faulty {
    energy_of_inner!();

    fn check_gradient(&self) -> bool {
        false
    }
}

impl Trainable for Faulty {
    fn blocks(&self) -> Vec<Block> {
        self.inner.blocks()
    }

    fn with_params(&self, params: &[f32]) -> Result<Arc<dyn Trainable>> {
        self.inner.with_params(params)
    }

    fn jet(&self, params: &[f64], x: &[f64], v: &[f64], order: Order) -> [f64; 3] {
        self.inner.jet(params, x, v, order)
    }

    fn jet_param_grad(&self, params: &[f64], x: &[f64], v: &[f64], adjoints: [f64; 3], grad: &mut [f64]) {
        self.inner.jet_param_grad(params, x, v, adjoints, grad);
    }

    fn own_passes(&self, backend: &Backend) -> Result<Option<Box<dyn Passes>>> {
        Ok(Some(Box::new(FaultyPasses { inner: passes(&self.inner, backend)?, fault: self.fault })))
    }
}

/// Draws of the Gaussian, `[dim][point]`.
fn data(set: usize) -> Vec<f32> {
    let [a, b, _, d] = COVARIANCE;
    let (l00, l10) = (a.sqrt(), b / a.sqrt());
    let l11 = (d - l10 * l10).sqrt();
    let of = |point: usize| {
        let mut z = [0.0; 2];
        Draws::new(key(set as u64, Stream::Data, 0), point as u32, 0).normals(0, &mut z);
        [MEAN[0] + l00 * z[0], MEAN[1] + l10 * z[0] + l11 * z[1]]
    };
    (0..2).flat_map(|i| (0..POINTS).map(move |point| of(point)[i] as f32)).collect()
}

/// Precision of the data with noise of this variance.
fn precision(variance: f64) -> [f64; 4] {
    let [a, b, _, d] = COVARIANCE;
    let (a, d) = (a + variance, d + variance);
    let det = a * d - b * b;
    [d / det, -b / det, -b / det, a / det]
}

/// Standard errors over data sets of mean and precision, [m₀, m₁, Λ₀₀, Λ₀₁, Λ₁₁]. Every loss but noise-contrastive estimation has its
/// optimum at the sample's mean and at Λ = (S + noise)⁻¹ with the sample's covariance S, which is normal about C with
/// cov(Sᵢⱼ, Sₖₗ) = (Cᵢₖ Cⱼₗ + Cᵢₗ Cⱼₖ)/n; dΛ = −Λ dS Λ. (The noise of chains and directions comes on top, and is averaged away; the
/// bias of Λ, 4/n of it, is 0.4 of a standard error of twelve sets.)
fn standard_errors(variance: f64) -> [f64; 5] {
    let [a, b, _, d] = precision(variance);
    let [c00, c01, _, c11] = COVARIANCE;
    // Λ C Λ.
    let middle = |l: [f64; 2], r: [f64; 2]| l[0] * (c00 * r[0] + c01 * r[1]) + l[1] * (c01 * r[0] + c11 * r[1]);
    let rows = [[a, b], [b, d]];
    let variances = [(0, 0), (0, 1), (1, 1)]
        .map(|(i, j)| middle(rows[i], rows[i]) * middle(rows[j], rows[j]) + middle(rows[i], rows[j]).powi(2));
    [c00, c11, variances[0], variances[1], variances[2]].map(|variance| (variance / POINTS as f64).sqrt())
}

fn start() -> CholeskyGaussian {
    CholeskyGaussian::isotropic([0.0, 0.0], 1.2).unwrap()
}

/// The figures that were learned from one data set: mean, precision, and c − ln Z where c is learned.
fn learn(backend: &Backend, loss: &Loss, fault: Fault, set: usize) -> Result<Vec<f64>> {
    let model = Arc::new(Faulty { inner: Arc::new(start()), fault });
    // The normaliser of noise-contrastive estimation has the longest way to go.
    let updates = if matches!(loss, Loss::NoiseContrastive { .. }) { 5 * UPDATES } else { UPDATES };
    let optimizer = Optimizer::adam(Schedule::cosine(0.03, 1e-4, updates));
    let training = Training::new(loss.clone(), optimizer).batch(POINTS).average(0.98).seed(set as u64);
    let mut trainer = Trainer::new(backend, model, training)?;
    trainer.run(&data(set), updates)?;
    let found = start().reparametrised(&trainer.averaged()?.params())?;
    let mut figures = found.mean();
    figures.extend([found.precision()[0], found.precision()[1], found.precision()[3]]);
    figures.extend(trainer.log_normalizer().map(|c| c - found.ln_z()));
    Ok(figures)
}

/// The largest distance from the optimum in standard errors of the mean over data sets: those of theory, and for noise-contrastive
/// estimation those that the sets show.
fn distance(backend: &Backend, loss: &Loss, variance: f64, fault: Fault) -> Result<(f64, String)> {
    let all: Vec<_> = (0..SETS).map(|set| learn(backend, loss, fault, set)).collect::<Result<_>>()?;
    let [a, b, _, d] = precision(variance);
    let expected = [MEAN[0], MEAN[1], a, b, d, 0.0];
    let mut worst = 0.0f64;
    let mut says = String::new();
    for (i, expected) in expected.iter().enumerate().take(all[0].len()) {
        let n = SETS as f64;
        let mean = all.iter().map(|of| of[i]).sum::<f64>() / n;
        let shown = (all.iter().map(|of| (of[i] - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        let is_shown = matches!(loss, Loss::NoiseContrastive { .. });
        let error = if is_shown { shown } else { standard_errors(variance)[i] } / n.sqrt();
        worst = worst.max((mean - expected).abs() / error);
        says += &format!("figure {i}: {mean:.5} ± {error:.5} for {expected:.5}; ");
    }
    Ok((worst, says))
}

/// On the CPU and on the GPU; noise-contrastive estimation takes long.
fn finds(suite: Suite, name: &str, loss: Loss, variance: f64) -> Suite {
    let is_long = matches!(loss, Loss::NoiseContrastive { .. });
    let body = move |backend: &Backend, loss: &Loss| {
        let (worst, says) = distance(backend, loss, variance, Fault::None).unwrap();
        assert!(worst < MOST, "{worst} standard errors: {says}");
    };
    let (name, same) = (format!("{name} finds the optimum"), loss.clone());
    let suite = suite.test(&*name, move || body(&Backend::cpu(), &same));
    let suite = if is_long { suite.long() } else { suite };
    // Mixtures are learned on the GPU by every loss in any case (mixture.rs).
    let on_gpu = matches!(loss, Loss::ImplicitScoreMatching);
    let suite = suite.gpu(&*name, move |gpu| body(&Backend::gpu_of(gpu), &loss));
    if on_gpu { suite } else { suite.long() }
}

fn misses(loss: &Loss, variance: f64, fault: Fault) {
    match distance(&Backend::cpu(), loss, variance, fault) {
        Ok((worst, says)) => assert!(worst.is_nan() || worst > MOST, "{worst} standard errors: {says}"),
        Err(e) => assert!(matches!(e, Error::Diverged { .. }), "{e}"),
    }
}

/// One step so long that parameters explode: they come back, and go on slower.
fn diverges() {
    let spike = Schedule::list([vec![0.1; 10], vec![1e5], vec![0.1]].concat());
    let training = Training::new(Loss::ImplicitScoreMatching, Optimizer::sgd(spike, 0.0)).batch(POINTS);
    let mut trainer = Trainer::new(&Backend::cpu(), Arc::new(start()), training.clone()).unwrap();
    trainer.run(&data(0), 400).unwrap();
    assert_eq!(trainer.rollbacks(), 1);
    let found = start().reparametrised(&trainer.params()).unwrap();
    assert!((found.precision()[0] - precision(0.0)[0]).abs() < 0.3, "{:?}", found.precision());
    let training = Training { most_rollbacks: 0, ..training };
    let mut trainer = Trainer::new(&Backend::cpu(), Arc::new(start()), training).unwrap();
    let error = trainer.run(&data(0), 400).unwrap_err();
    assert!(matches!(error, Error::Diverged { rollbacks: 1, .. }), "{error}");
    assert!(trainer.params().iter().all(|p| p.is_finite()));
    // A gap that runs away: maximum likelihood upside down.
    let contrastive =
        Training { most_gap: 50.0, most_rollbacks: 2, ..Training::new(cd(persistent()), Optimizer::sgd(0.5, 0.0)) };
    let model = Arc::new(Faulty { inner: Arc::new(start()), fault: Fault::Sign });
    let mut trainer = Trainer::new(&Backend::cpu(), model, contrastive).unwrap();
    let error = trainer.run(&data(0), 2_000).unwrap_err();
    assert!(matches!(error, Error::Diverged { rollbacks: 3, .. }), "{error}");
}

/// A first step so long that no number is left, and one after going back from it: half as long as that of a run without the first.
fn halves() {
    let after = |rates: Vec<f64>| {
        let updates = rates.len() as u64;
        let optimizer = Optimizer::sgd(Schedule::list(rates), 0.0);
        let training = Training::new(Loss::ImplicitScoreMatching, optimizer).batch(POINTS);
        let mut trainer = Trainer::new(&Backend::cpu(), Arc::new(start()), training).unwrap();
        trainer.run(&data(0), updates).unwrap();
        (trainer.params(), trainer.rollbacks())
    };
    let (params, rollbacks) = after(vec![1e14, 0.1, 0.1]);
    assert_eq!((params, rollbacks), (after(vec![0.05]).0, 1));
    assert_ne!(after(vec![0.05]).0, after(vec![0.1]).0);
}

/// No proposal of these steps is accepted in a Gaussian so narrow, and none in one that became so; there are enough of them to say so.
fn stuck(backend: Backend) {
    let narrow = || Arc::new(CholeskyGaussian::isotropic([0.0, 0.0], 1e-3).unwrap());
    let replay = Negatives::Replay { slots: POINTS, renewal: 0.1, start: Start::normal([0.0], 2.0) };
    for negatives in [Negatives::Data, persistent(), replay] {
        let training = Training::new(cd(negatives), Optimizer::adam(0.01)).batch(POINTS);
        let mut trainer = Trainer::new(&backend, narrow(), training).unwrap();
        let error = trainer.run(&data(0), 50).unwrap_err();
        let says = error.to_string();
        assert!(matches!(error, Error::Diverged { updates: 11, .. }) && says.contains("not one of 1200 transitions"), "{says}");
    }
    // Fewer may all be rejected by chance.
    let training = Training::new(cd(Negatives::Data), Optimizer::adam(0.01)).batch(POINTS - 120);
    let mut trainer = Trainer::new(&backend, narrow(), training).unwrap();
    assert_eq!(trainer.run(&data(0), 5).unwrap().rollbacks, 0);
    // A model that collapses to a point, far within the largest gap: contrastive divergence upside down, from one narrower than the data.
    for negatives in [Negatives::Data, persistent()] {
        let narrow = CholeskyGaussian::isotropic([0.0, 0.0], 0.4).unwrap();
        let model = Arc::new(Faulty { inner: Arc::new(narrow), fault: Fault::Sign });
        let training = Training::new(cd(negatives), Optimizer::adam(0.03)).batch(POINTS);
        let mut trainer = Trainer::new(&backend, model, training).unwrap();
        let mut most_gap = 0.0f64;
        let result = trainer.run_with(&data(0), 3_000, |update| {
            most_gap = most_gap.max(update.gap.unwrap_or(0.0).abs());
            ControlFlow::Continue(())
        });
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Diverged { .. }) && error.to_string().contains("moved a chain"), "{error}");
        assert!(most_gap < 1e4, "{most_gap}");
    }
}

/// An energy that goes flat has no gap, and its chains move. One does so by contrastive divergence upside down, from a model wider than the
/// data, and one by a regularization that holds all energies at zero.
fn flat() {
    let started = |sd: f64, fault| -> Arc<dyn Trainable> {
        Arc::new(Faulty { inner: Arc::new(CholeskyGaussian::isotropic([0.0, 0.0], sd).unwrap()), fault })
    };
    let none = |loss: Loss| Training { most_rollbacks: 0, ..Training::new(loss, Optimizer::adam(0.03)).batch(POINTS) };
    let new = |model, training| Trainer::new(&Backend::cpu(), model, training).unwrap();
    let says = |error: Error| {
        let text = error.to_string();
        assert!(matches!(error, Error::Diverged { rollbacks: 1, .. }) && text.contains("gone flat"), "{text}");
        text
    };
    let held = Contrastive::new(Mala::new(0.3), 2).energy_regularization(100.0);
    let mut most_gap = 0.0f64;
    let mut upside_down = new(started(1.2, Fault::Sign), none(cd(Negatives::Data)));
    let found = upside_down.run_with(&data(0), 2_000, |update| {
        most_gap = most_gap.max(update.gap.unwrap_or(0.0).abs());
        ControlFlow::Continue(())
    });
    let whole = says(found.unwrap_err());
    assert!(most_gap < 2.0, "{most_gap}");
    says(new(started(1.2, Fault::None), none(Loss::Contrastive(held))).run(&data(0), 2_000).unwrap_err());
    // Also where the run was interrupted.
    let before = upside_down.updates() - 30;
    let mut part = new(started(1.2, Fault::Sign), none(cd(Negatives::Data)));
    part.run(&data(0), before).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    part.save(file.path()).unwrap();
    let training = none(cd(Negatives::Data));
    let mut rest = Trainer::resume(&Backend::cpu(), started(1.2, Fault::Sign), training, file.path()).unwrap();
    assert_eq!(says(rest.run(&data(0), 2_000).unwrap_err()), whole);
    assert_eq!(rest.updates(), upside_down.updates());
    // One that is flat in the beginning is none that went flat, and learns.
    for loss in [cd(Negatives::Data), cd(persistent())] {
        let mut trainer = new(started(20.0, Fault::None), none(loss));
        trainer.run(&data(0), 300).unwrap();
        let found = start().reparametrised(&trainer.params()).unwrap();
        assert!((found.precision()[0] - precision(0.0)[0]).abs() < 0.5, "{:?}", found.precision());
    }
}

fn runs() -> Vec<Loss> {
    let replay = Negatives::Replay { slots: 700, renewal: 0.1, start: Start::normal([0.0], 2.0) };
    let hmc = Contrastive::new(Hmc::new(0.3, 3).jitter(2), 2).negatives(replay);
    let noise = Noise::uniform([-6.0, -6.0], [6.0]).unwrap();
    vec![
        cd(Negatives::Data),
        cd(Negatives::Persistent { chains: 300, start: Start::normal([0.0], 2.0) }),
        Loss::Contrastive(hmc),
        Loss::ImplicitScoreMatching,
        Loss::denoising(0.3),
        Loss::sliced(),
        Loss::NoiseContrastive { noise, ratio: 2 },
    ]
}

pub(crate) fn trainer(backend: &Backend, loss: Loss) -> Trainer {
    let training = Training::new(loss, Optimizer::adam(Schedule::linear(0.05, 0.01, 40)).clip(1.0)).average(0.9).seed(3);
    Trainer::new(backend, Arc::new(start()), training).unwrap()
}

fn same_twice(backend: &Backend) {
    for loss in runs() {
        let (mut one, mut other) = (trainer(backend, loss.clone()), trainer(backend, loss.clone()));
        one.run(&data(0), 30).unwrap();
        other.run(&data(0), 11).unwrap();
        other.run(&data(0), 19).unwrap();
        assert_eq!(one.params(), other.params(), "{loss:?}");
        assert_eq!(one.slots(), other.slots(), "{loss:?}");
        assert!(one.params() != start().params());
    }
}

fn twice() {
    same_twice(&Backend::cpu());
}
