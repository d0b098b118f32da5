//! The optimum of each loss on Gaussian data, over independent data sets; planted faults must miss it.

use std::sync::Arc;

use ergodic::{
    Backend, Result, Schedule, Start,
    energy::{CholeskyGaussian, Energy},
    kernel::Mala,
    random::{Draws, Stream, key},
    train::{
        Adjoints, Contrastive, Jets, Loss, Negatives, Noise, Optimizer, Order, Passes, Trainable, Trainer, Training, passes,
    },
};
use nalgebra::{DMatrix, DVector};

use crate::common::{Suite, energy_of_inner, trainable_of_inner};

pub(crate) const POINTS: usize = 600;
/// Independent data sets, and points of each.
type Size = (usize, usize);
const MANY: Size = (12, POINTS);
/// A planted fault is far off.
const FEW: Size = (4, POINTS);
/// Software Vulkan takes large batches in less time than many.
const LARGE: Size = (1, 16 * POINTS);
const UPDATES: u64 = 300;
const MEAN: [f64; 2] = [0.5, -0.3];
const COVARIANCE: [f64; 4] = [1.0, 0.4, 0.4, 0.5];
/// Standard errors of a figure.
const MOST: f64 = 4.0;
/// α of energy regularization.
const ALPHA: f64 = 0.05;
/// Noise points a point.
const RATIO: usize = 4;
const LEVELS: [f64; 2] = [0.5, 1.0];

/// A loss, and its optimum on Gaussian data of mean m and covariance C: the mean m and the precision a (C + s² I)⁻¹.
#[derive(Debug, Clone)]
struct Case {
    loss: Loss,
    /// s².
    variance: f64,
    /// a.
    factor: f64,
}

impl Case {
    fn of(loss: Loss) -> Self {
        Self { loss, variance: 0.0, factor: 1.0 }
    }

    fn noise(self, variance: f64) -> Self {
        Self { variance, ..self }
    }

    fn factor(self, factor: f64) -> Self {
        Self { factor, ..self }
    }
}

pub(crate) fn add(mut suite: Suite) -> Suite {
    for (case, on_gpu) in cases(POINTS).into_iter().zip(cases(LARGE.1)) {
        suite = finds(suite, case, on_gpu);
    }
    suite
        .test("a reversed sign is found", || {
            for case in LOSSES {
                misses(&Backend::cpu(), case, Fault::Sign);
            }
        })
        .gpu("a reversed sign is found", |gpu| misses(&Backend::gpu_of(gpu), "ism", Fault::Sign))
        .test("a trace divided by the dimension is found", || misses(&Backend::cpu(), "ism", Fault::Trace))
        .test("chains that are reset each step are found", || {
            misses(&Backend::cpu(), "persistent cd", Fault::Forgets);
            misses(&Backend::cpu(), "a replay buffer that is seldom renewed", Fault::Forgets);
            let negatives = Negatives::Replay { slots: POINTS, renewal: 1.0, start: Start::normal([0.0], 2.0) };
            misses_with(cd(negatives), "a replay buffer that is seldom renewed");
        })
        .test("energy regularization of the other sign, or none, is found", || {
            misses(&Backend::cpu(), "energy regularization", Fault::Regularization);
            misses_with(cd(persistent(POINTS)), "energy regularization");
        })
        .test("a noise level that is left out is found", || {
            misses_with(Loss::DenoisingScoreMatching { levels: LEVELS[..1].to_vec() }, "dsm on two levels");
        })
        .test("a learned normaliser that goes the other way is found", || {
            let found = distances(&Backend::cpu(), &named("nce"), Fault::Normalizer, FEW).unwrap();
            assert!(found[5].0 > MOST, "{found:?}");
        })
}

/// What a GPU is tested on without `--long`, and a reversed sign is planted into.
const LOSSES: [&str; 6] = ["cd", "persistent cd", "ism", "dsm", "ssm, variance reduced", "nce"];

/// Every loss for data sets of so many points; noise-contrastive estimation learns ln Z as well.
fn cases(points: usize) -> Vec<(&'static str, Case)> {
    let noise_contrastive = Loss::NoiseContrastive { noise: noise(), ratio: RATIO };
    let levels = Loss::DenoisingScoreMatching { levels: LEVELS.to_vec() };
    vec![
        ("cd", Case::of(cd(Negatives::Data))),
        ("persistent cd", Case::of(cd(persistent(points)))),
        ("ism", Case::of(Loss::ImplicitScoreMatching)),
        ("dsm", Case::of(Loss::denoising(0.4)).noise(0.16)),
        ("dsm on two levels", Case::of(levels).noise(compromise(&LEVELS))),
        ("ssm", Case::of(Loss::SlicedScoreMatching { projections: 2, variance_reduced: false })),
        ("ssm, variance reduced", Case::of(Loss::sliced())),
        ("nce", Case::of(noise_contrastive)),
        ("a replay buffer that is seldom renewed", Case::of(cd(replay(points)))),
        ("energy regularization", regularized(points)),
    ]
}

fn named(name: &str) -> Case {
    cases(POINTS).into_iter().find(|case| case.0 == name).unwrap().1
}

/// σ̄² of several levels, each weighted by its σ².
fn compromise(levels: &[f64]) -> f64 {
    levels.iter().map(|s| s.powi(4)).sum::<f64>() / levels.iter().map(|s| s * s).sum::<f64>()
}

fn noise() -> Noise {
    Noise::normal([0.4, 0.0], [1.3, 0.9]).unwrap()
}

pub(crate) fn cd(negatives: Negatives) -> Loss {
    Loss::Contrastive(Contrastive::new(Mala::new(0.3), 2).negatives(negatives))
}

pub(crate) fn persistent(chains: usize) -> Negatives {
    Negatives::Persistent { chains, start: Start::normal([0.0], 2.0) }
}

/// More slots than go on in an update. A slot that begins anew is back at the model's law after a few updates; by them the variance of all
/// is wrong by 0.005 of its own, a third of a standard error.
fn replay(points: usize) -> Negatives {
    Negatives::Replay { slots: points + points / 2, renewal: 0.005, start: Start::normal([0.0], 2.0) }
}

/// Where the gradient of the loss is zero, with chains of the model's own law: ⟨(1 + 2αE) zzᵀ⟩ of the data is ⟨(1 − 2αE) zzᵀ⟩ of the model,
/// z being Lᵀ(x − m) and E = ½ |z|². The latter is (1 − α(d + 2)) I; the former, where the data's z has the covariance M, is
/// M + α (tr M M + 2 M²). So M is a I with κa² + a − 1 + κ = 0, κ = α(d + 2).
fn regularized(points: usize) -> Case {
    let kappa = ALPHA * 4.0;
    let factor = ((1.0 + 4.0 * kappa * (1.0 - kappa)).sqrt() - 1.0) / (2.0 * kappa);
    let contrastive = Contrastive::new(Mala::new(0.3), 2).negatives(persistent(points)).energy_regularization(ALPHA);
    Case::of(Loss::Contrastive(contrastive)).factor(factor)
}

/// What is planted into a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    /// The gradient in the energy's parameters has the other sign.
    Sign,
    /// The adjoints of curvatures are divided by the dimension.
    Trace,
    /// What energy regularization adds to the adjoints has the other sign.
    Regularization,
    /// Slots are set to the same draws of a start before each update.
    Forgets,
    /// The gradient in c has the other sign.
    Normalizer,
}

/// A Gaussian with faulty passes.
#[derive(Debug)]
pub(crate) struct Faulty {
    inner: Arc<dyn Trainable>,
    fault: Fault,
}

impl Faulty {
    pub(crate) fn new(inner: CholeskyGaussian, fault: Fault) -> Self {
        Self { inner: Arc::new(inner), fault }
    }
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
        if self.fault == Fault::Regularization {
            // Without it, ±1 over the points of the data and as many chains.
            let n = adjoints.values.len() / 2;
            let plain = |at: usize| if at < n { 1.0 } else { -1.0 } / n as f64;
            adjoints.values.iter_mut().enumerate().for_each(|(at, value)| *value = 2.0 * plain(at) - *value);
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
    trainable_of_inner!();

    fn own_passes(&self, backend: &Backend) -> Result<Option<Box<dyn Passes>>> {
        Ok(Some(Box::new(FaultyPasses { inner: passes(&self.inner, backend)?, fault: self.fault })))
    }
}

/// Draws of the Gaussian, `[dim][point]`.
pub(crate) fn data(set: usize, points: usize) -> Vec<f32> {
    let [a, b, _, d] = COVARIANCE;
    let (l00, l10) = (a.sqrt(), b / a.sqrt());
    let l11 = (d - l10 * l10).sqrt();
    let of = |point: usize| {
        let mut z = [0.0; 2];
        Draws::new(key(set as u64, Stream::Data, 0), point as u32, 0).normals(0, &mut z);
        [MEAN[0] + l00 * z[0], MEAN[1] + l10 * z[0] + l11 * z[1]]
    };
    (0..2).flat_map(|i| (0..points).map(move |point| of(point)[i] as f32)).collect()
}

/// Precision of the data with noise of this variance.
pub(crate) fn precision(variance: f64) -> [f64; 4] {
    let [a, b, _, d] = COVARIANCE;
    let (a, d) = (a + variance, d + variance);
    let det = a * d - b * b;
    [d / det, -b / det, -b / det, a / det]
}

/// Standard errors over data sets of mean and precision, [m₀, m₁, Λ₀₀, Λ₀₁, Λ₁₁]. Every loss but noise-contrastive estimation and energy
/// regularization has its optimum at the sample's mean and at Λ = (S + noise)⁻¹ with the sample's covariance S, which is normal about C
/// with cov(Sᵢⱼ, Sₖₗ) = (Cᵢₖ Cⱼₗ + Cᵢₗ Cⱼₖ)/n; dΛ = −Λ dS Λ. (The noise of chains and directions comes on top, and is averaged away; the
/// bias of Λ, 4/n of it, is 0.4 of a standard error of twelve sets.) Those of energy regularization are 0.4 % and 0.6 % larger.
fn standard_errors(case: &Case, points: usize) -> Vec<f64> {
    if matches!(case.loss, Loss::NoiseContrastive { .. }) {
        return errors_by_contrast(points);
    }
    let [a, b, _, d] = precision(case.variance).map(|of| case.factor * of);
    let rows = [[a, b], [b, d]];
    let [c00, c01, _, c11] = COVARIANCE;
    // Λ C Λ / a.
    let middle = |l: [f64; 2], r: [f64; 2]| (l[0] * (c00 * r[0] + c01 * r[1]) + l[1] * (c01 * r[0] + c11 * r[1])) / case.factor;
    let variances = [(0, 0), (0, 1), (1, 1)]
        .map(|(i, j)| middle(rows[i], rows[i]) * middle(rows[j], rows[j]) + middle(rows[i], rows[j]).powi(2));
    [c00, c11, variances[0], variances[1], variances[2]].map(|variance| (variance / points as f64).sqrt()).to_vec()
}

/// The same of noise-contrastive estimation, and of c − ln Z, by a sum over a grid: with p the law of the data, q that of the noise, ν noise
/// points a point, w = νq / (p + νq) and g the gradient of ln p in the figures, −1 in the last, the estimate varies by I⁻¹ V I⁻¹ / n,
/// I = ⟨w g gᵀ⟩ and V the covariance of w g, over the data. (The noise is new in each update, and averaged away; fixed noise would add to
/// V.)
fn errors_by_contrast(points: usize) -> Vec<f64> {
    let [a, b, _, d] = precision(0.0);
    let [c00, c01, _, c11] = COVARIANCE;
    let ln_z = 0.5 * (c00 * c11 - c01 * c01).ln() + std::f64::consts::TAU.ln();
    let (cells, half) = (200, 6.0);
    let (mut information, mut square, mut mean) = (DMatrix::zeros(6, 6), DMatrix::zeros(6, 6), DVector::zeros(6));
    for cell in 0..cells * cells {
        let at = |k: usize| half * (2.0 * (k as f64 + 0.5) / cells as f64 - 1.0);
        let (u, v) = (at(cell % cells), at(cell / cells));
        let p = (-0.5 * (a * u * u + 2.0 * b * u * v + d * v * v) - ln_z).exp();
        let q = noise().ln_density(&[MEAN[0] + u, MEAN[1] + v]).unwrap().exp();
        let w = RATIO as f64 * q / (p + RATIO as f64 * q);
        let g = [a * u + b * v, b * u + d * v, 0.5 * (c00 - u * u), c01 - u * v, 0.5 * (c11 - v * v), -1.0];
        let g = DVector::from_row_slice(&g);
        let weight = p * (2.0 * half / cells as f64).powi(2);
        information += &g * g.transpose() * (weight * w);
        square += &g * g.transpose() * (weight * w * w);
        mean += g * (weight * w);
    }
    let inverse = information.try_inverse().unwrap();
    let variance = &inverse * (square - &mean * mean.transpose()) * &inverse / points as f64;
    variance.diagonal().iter().map(|variance| variance.sqrt()).collect()
}

pub(crate) fn start() -> CholeskyGaussian {
    CholeskyGaussian::isotropic([0.0, 0.0], 1.2).unwrap()
}

/// Runs all updates, with what is planted between them.
fn run(trainer: &mut Trainer, data: &[f32], updates: u64, fault: Fault) -> Result<()> {
    if !matches!(fault, Fault::Forgets | Fault::Normalizer) {
        return trainer.run(data, updates).map(drop);
    }
    for _ in 0..updates {
        let c = trainer.carried().0.last().copied();
        trainer.run(data, 1)?;
        let (params, slots) = trainer.carried();
        match fault {
            Fault::Forgets => {
                let start = Draws::new(key(1, Stream::Start, 0), 0, 0);
                let mut begun = vec![0.0; slots.len()];
                start.normals(0, &mut begun);
                slots.iter_mut().zip(begun).for_each(|(slot, z)| *slot = 2.0 * z as f32);
            }
            // Steps are odd in the gradients of their parameter: without clipping, those of −g are the same the other way.
            _ => params.iter_mut().last().zip(c).into_iter().for_each(|(now, before)| *now = 2.0 * before - *now),
        }
    }
    Ok(())
}

/// The figures that were learned from one data set: mean, precision, and c − ln Z where c is learned.
fn learn(backend: &Backend, loss: &Loss, fault: Fault, set: usize, points: usize) -> Result<Vec<f64>> {
    let model = Arc::new(Faulty::new(start(), fault));
    // The normaliser of noise-contrastive estimation has the longest way to go.
    let updates = if matches!(loss, Loss::NoiseContrastive { .. }) { 2 * UPDATES } else { UPDATES };
    let optimizer = Optimizer::adam(Schedule::cosine(0.03, 1e-4, updates));
    let training = Training::new(loss.clone(), optimizer).batch(points).average(0.98).seed(set as u64);
    let mut trainer = Trainer::new(backend, model, training)?;
    run(&mut trainer, &data(set, points), updates, fault)?;
    let found = start().reparametrised(&trainer.averaged()?.params())?;
    let mut figures = found.mean();
    figures.extend([found.precision()[0], found.precision()[1], found.precision()[3]]);
    figures.extend(trainer.log_normalizer().map(|c| c - found.ln_z()));
    Ok(figures)
}

/// Of each figure its distance from the optimum, in standard errors of the mean over data sets, and what that is made of.
fn distances(backend: &Backend, case: &Case, fault: Fault, (sets, points): Size) -> Result<Vec<(f64, String)>> {
    let all: Vec<_> = (0..sets).map(|set| learn(backend, &case.loss, fault, set, points)).collect::<Result<_>>()?;
    let [a, b, _, d] = precision(case.variance).map(|of| case.factor * of);
    let errors = standard_errors(case, points);
    assert_eq!(all[0].len(), errors.len());
    let of = |(i, expected): (usize, f64)| {
        let mean = all.iter().map(|of| of[i]).sum::<f64>() / sets as f64;
        let error = errors[i] / (sets as f64).sqrt();
        ((mean - expected).abs() / error, format!("figure {i}: {mean:.5} ± {error:.5} for {expected:.5}"))
    };
    Ok([MEAN[0], MEAN[1], a, b, d, 0.0].into_iter().take(errors.len()).enumerate().map(of).collect())
}

/// On the CPU and on the GPU; what the GPU takes long for, or does as other losses do, with `--long`.
fn finds(suite: Suite, (name, case): (&str, Case), (_, large): (&str, Case)) -> Suite {
    let body = |backend: &Backend, case: &Case, size| {
        let found = distances(backend, case, Fault::None, size).unwrap();
        assert!(found.iter().all(|(distance, _)| *distance < MOST), "{found:?}");
    };
    let (of, same) = (format!("{name} finds the optimum"), case.clone());
    let suite = suite.test(&*of, move || body(&Backend::cpu(), &same, MANY));
    let suite = suite.gpu(&*of, move |gpu| body(&Backend::gpu_of(gpu), &large, LARGE));
    let suite = if LOSSES.contains(&name) { suite } else { suite.long() };
    suite.gpu(format!("{of} over many data sets"), move |gpu| body(&Backend::gpu_of(gpu), &case, MANY)).long()
}

/// Training must end elsewhere; an error, also that of a run that diverges, is none of what is planted here.
fn misses(backend: &Backend, name: &str, fault: Fault) {
    ends_elsewhere(backend, &named(name), fault);
}

/// The same with another loss in place of the one that the optimum is of.
fn misses_with(loss: Loss, name: &str) {
    ends_elsewhere(&Backend::cpu(), &Case { loss, ..named(name) }, Fault::None);
}

fn ends_elsewhere(backend: &Backend, case: &Case, fault: Fault) {
    let found = distances(backend, case, fault, FEW).unwrap();
    assert!(found.iter().any(|(distance, _)| *distance > MOST), "{found:?}");
}
