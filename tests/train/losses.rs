//! Losses and their gradients against formulas that are written out anew, with their differences, for every energy.

use std::sync::Arc;

use ergodic::{
    Error,
    energy::{Mixture, SoftmaxMixture},
    kernel::Mala,
    random::{Draws, Stream, key},
    train::{At, Contrastive, Loss, Noise, Order, PointPasses, Trainable},
};

use crate::{
    common::{Suite, cases::trainable},
    jets::{difference, params_of, point},
};

const POINTS: usize = 12;
const SEED: u64 = 11;
const UPDATE: u64 = 5;
const LOG_NORMALIZER: f64 = 0.7;
/// Relative, of the largest component.
const BOUND: f64 = 1e-5;

pub(crate) fn losses(dim: usize) -> Vec<(&'static str, Loss)> {
    let contrastive = Contrastive::new(Mala::new(0.1), 1).energy_regularization(0.3);
    let sliced = |projections, variance_reduced| Loss::SlicedScoreMatching { projections, variance_reduced };
    let mixture = Noise::mixture(&[1.0, 2.0], &[vec![-1.0; dim], vec![1.0; dim]], &[1.5, 2.0]).unwrap();
    vec![
        ("cd", Loss::Contrastive(contrastive)),
        ("ism", Loss::ImplicitScoreMatching),
        ("dsm", Loss::denoising(0.3)),
        ("dsm on levels", Loss::DenoisingScoreMatching { levels: vec![0.2, 0.5, 1.0] }),
        ("ssm", sliced(3, false)),
        ("ssm, variance reduced", sliced(2, true)),
        ("ssm, more directions than coordinates", sliced(7, false)),
        ("the same, variance reduced", sliced(7, true)),
        ("nce", Loss::NoiseContrastive { noise: Noise::normal(vec![0.2; dim], [1.5]).unwrap(), ratio: 2 }),
        ("nce, mixture", Loss::NoiseContrastive { noise: mixture, ratio: 1 }),
        ("nce, box", Loss::NoiseContrastive { noise: Noise::uniform(vec![-5.0; dim], [5.0]).unwrap(), ratio: 3 }),
    ]
}

pub(crate) fn add(mut suite: Suite) -> Suite {
    for (name, energy) in trainable() {
        for (of, loss) in losses(energy.dim()) {
            let energy = energy.clone();
            suite = suite.test(format!("{name}: {of} and its gradient"), move || check(&energy, &loss, 1.0));
        }
    }
    suite = suite.test("points and settings that a loss cannot have are refused", refused);
    suite.test("a gradient that is wrong by a thousandth is found", || {
        let energy = trainable().swap_remove(4).1;
        for (name, loss) in losses(energy.dim()) {
            let (energy, loss) = (energy.clone(), loss.clone());
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&energy, &loss, 1.001))).is_err(), "{name}");
        }
    })
}

fn check(energy: &Arc<dyn Trainable>, loss: &Loss, fault: f64) {
    let dim = energy.dim();
    let rows =
        |from: usize| -> Vec<f32> { (0..dim).flat_map(|k| (0..POINTS).map(move |i| point(dim, i + from)[k] as f32)).collect() };
    let (x, negatives) = (rows(0), rows(40));
    let mut passes = PointPasses::new(energy.clone());
    let at = At { x: &x, dim, seed: SEED, update: UPDATE, log_normalizer: LOG_NORMALIZER, negatives: &negatives };
    let found = loss.at(&mut passes, at).unwrap();
    let params = params_of(&**energy);
    let reference = |params: &[f64], c: f64| formula(&**energy, loss, params, &x, &negatives, c);
    let expected = reference(&params, LOG_NORMALIZER);
    assert!((found.loss - expected).abs() < BOUND * expected.abs().max(1.0), "{} is not {expected}", found.loss);
    let scale = found.grad.iter().fold(1e-3, |most: f64, g| most.max(g.abs()));
    for (i, g) in found.grad.iter().enumerate() {
        let moved = |h: f64| {
            let mut params = params.clone();
            params[i] += h;
            reference(&params, LOG_NORMALIZER)
        };
        let expected = difference(moved, 1e-3);
        assert!((fault * g - expected).abs() < BOUND * scale, "parameter {i}: {g} is not {expected}");
    }
    let by_c = difference(|h| reference(&params, LOG_NORMALIZER + h), 1e-3);
    assert!((found.by_log_normalizer - by_c).abs() < BOUND, "{} is not {by_c}", found.by_log_normalizer);
}

/// The loss, point by point, from the jets.
fn formula(energy: &dyn Trainable, loss: &Loss, params: &[f64], x: &[f32], negatives: &[f32], c: f64) -> f64 {
    let dim = energy.dim();
    let at = |rows: &[f32], p: usize| (0..dim).map(|i| f64::from(rows[i * POINTS + p])).collect::<Vec<_>>();
    let value = |x: &[f64]| energy.jet(params, x, &[], Order::Value)[0];
    let basis = |i: usize| (0..dim).map(|k| f64::from(u8::from(k == i))).collect::<Vec<_>>();
    let grad = |x: &[f64]| (0..dim).map(|i| energy.jet(params, x, &basis(i), Order::Slope)[1]).collect::<Vec<_>>();
    let draws = |p: usize| Draws::new(key(SEED, Stream::Loss, UPDATE), p as u32, 0);
    let mean = |f: &dyn Fn(usize) -> f64| (0..POINTS).map(f).sum::<f64>() / POINTS as f64;
    match loss {
        Loss::Contrastive(_) => {
            let of = |rows: &[f32], sign: f64| mean(&|p| sign * value(&at(rows, p)) + 0.3 * value(&at(rows, p)).powi(2));
            of(x, 1.0) + of(negatives, -1.0)
        }
        Loss::ImplicitScoreMatching => mean(&|p| {
            let jet = |i| energy.jet(params, &at(x, p), &basis(i), Order::Curvature);
            (0..dim).map(|i| 0.5 * jet(i)[1].powi(2) - jet(i)[2]).sum()
        }),
        Loss::DenoisingScoreMatching { levels } => mean(&|p| {
            let sigma = levels[(p + UPDATE as usize) % levels.len()];
            let mut z = vec![0.0; dim];
            draws(p).normals(0, &mut z);
            let noisy: Vec<_> = at(x, p).iter().zip(&z).map(|(x, z)| f64::from((x + sigma * z) as f32)).collect();
            grad(&noisy).iter().zip(&z).map(|(g, z)| 0.5 * sigma * sigma * (g - z / sigma).powi(2)).sum()
        }),
        &Loss::SlicedScoreMatching { projections, variance_reduced } => {
            let bit = |p: usize, k: usize| draws(p).bits(k as u32 / 32)[0] >> (k % 32) & 1;
            let sign = |p: usize, k: usize| if bit(p, k) == 1 { 1.0 } else { -1.0 };
            let of = |p: usize, projection: usize| {
                let v: Vec<f64> = (0..dim).map(|i| sign(p, projection * dim + i)).collect();
                let [_, slope, curvature] = energy.jet(params, &at(x, p), &v, Order::Curvature);
                let squared = if variance_reduced { grad(&at(x, p)).iter().map(|g| g * g).sum() } else { slope * slope };
                0.5 * squared - curvature
            };
            mean(&|p| (0..projections).map(|projection| of(p, projection)).sum::<f64>() / projections as f64)
        }
        Loss::NoiseContrastive { noise, ratio } => {
            let logit = |x: &[f64]| -value(x) - c - noise.ln_density(x).unwrap() - (*ratio as f64).ln();
            let of_noise = |p: usize| (1.0 + logit(&drawn(noise_of(loss), dim, &draws(p))).exp()).ln();
            mean(&|p| (1.0 + (-logit(&at(x, p))).exp()).ln()) + (0..POINTS * ratio).map(of_noise).sum::<f64>() / POINTS as f64
        }
        other => panic!("no formula for {other:?}"),
    }
}

/// What a loss cannot be evaluated at is refused, whatever the loss.
fn refused() {
    let model = Arc::new(SoftmaxMixture::of(&Mixture::ring(3, 2.0, 0.5).unwrap()).unwrap());
    let mut passes = PointPasses::new(model);
    let good = At { x: &[0.0, 1.0, 2.0, 3.0], dim: 2, seed: 1, update: 0, log_normalizer: 0.0, negatives: &[0.5; 2] };
    for (name, loss) in losses(2) {
        let mut refused = |at: At<'_>, what: &str| {
            let error = loss.at(&mut passes, at).expect_err(&format!("{name}: {what}"));
            assert!(matches!(error, Error::Shape { .. } | Error::Setting { .. }), "{name}: {error}");
        };
        refused(At { x: &[], ..good }, "no data");
        refused(At { x: &[0.0; 3], ..good }, "half a point");
        refused(At { x: &[0.0, f32::NAN], ..good }, "NaN");
        refused(At { dim: 0, ..good }, "no coordinates");
        refused(At { dim: 1, ..good }, "points of one coordinate");
        refused(At { dim: 4, ..good }, "points of four coordinates");
        if name.contains("cd") {
            refused(At { negatives: &[], ..good }, "no negatives");
            refused(At { negatives: &[0.0; 3], ..good }, "half a negative");
        }
        loss.at(&mut passes, good).unwrap();
    }
    let nothing = [
        Loss::DenoisingScoreMatching { levels: vec![] },
        Loss::denoising(0.0),
        Loss::SlicedScoreMatching { projections: 0, variance_reduced: false },
        Loss::NoiseContrastive { noise: Noise::normal([0.0; 2], [1.0]).unwrap(), ratio: 0 },
        Loss::NoiseContrastive { noise: Noise::normal([0.0; 3], [1.0]).unwrap(), ratio: 1 },
    ];
    for loss in nothing {
        assert!(loss.at(&mut passes, good).is_err(), "{loss:?}");
    }
    // Where there is no noise nothing is learned.
    let boxed = Loss::NoiseContrastive { noise: Noise::uniform([-1.0; 2], [2.5, 3.0]).unwrap(), ratio: 1 };
    boxed.at(&mut passes, good).unwrap();
    let says = boxed.at(&mut passes, At { x: &[0.0, 2.6, 2.0, 3.0], ..good }).unwrap_err().to_string();
    assert!(says.contains("row 2, column 1 (counted from 1) = 2.6") && says.contains("box of the noise"), "{says}");
    // What is drawn lies in the box, also where its bounds are no numbers of f32: 0.1 is below the nearest one.
    let narrow = Noise::uniform([0.099_999_9], [0.1]).unwrap();
    for i in 0..1_000 {
        let drawn = narrow.draw(&Draws::new(key(1, Stream::Data, 0), i, 0));
        assert!(narrow.ln_density(&[drawn[0].into()]).unwrap().is_finite(), "{drawn:?}");
    }
    for noise in [Noise::normal([0.0; 2], [1.0]).unwrap(), Noise::uniform([-1.0; 2], [1.0]).unwrap()] {
        assert!(noise.ln_density(&[0.0; 2]).unwrap().is_finite());
        for x in [&[][..], &[0.0], &[0.0; 3]] {
            assert!(matches!(noise.ln_density(x), Err(Error::Shape { expected: 2, .. })), "{x:?}");
        }
        for x in [[f64::NAN, 0.0], [0.0, f64::INFINITY]] {
            assert!(matches!(noise.ln_density(&x), Err(Error::Setting { .. })), "{x:?}");
        }
    }
}

fn noise_of(loss: &Loss) -> &Noise {
    match loss {
        Loss::NoiseContrastive { noise, .. } => noise,
        other => panic!("{other:?} has no noise"),
    }
}

fn drawn(noise: &Noise, dim: usize, draws: &Draws) -> Vec<f64> {
    let y = noise.draw(draws);
    assert_eq!(y.len(), dim);
    y.into_iter().map(f64::from).collect()
}
