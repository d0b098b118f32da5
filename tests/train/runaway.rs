//! Losses that stay finite while the model is worth nothing any more: they are told of, and honest training is left alone.

use std::sync::Arc;

use ergodic::{
    Backend, Error,
    energy::{CholeskyGaussian, Mixture, SoftmaxMixture},
    net::{Activation, Mlp},
    random::{Draws, Stream, key},
    train::{Loss, Noise, Optimizer, Toy, Trainable, Trainer, Training},
};

use crate::common::Suite;

const POINTS: usize = 640;

pub(crate) fn add(suite: Suite) -> Suite {
    suite
        .test("rates that are far too large go back, and end in an error or in a model", wild)
        .test("what ran away is told of in the same update after a resumption", resumed)
        .test("honest training does not go back: noisy, of any scale, from a bad start", honest)
}

fn losses() -> Vec<Loss> {
    let noise = Noise::normal([0.0, 0.0], [2.0]).unwrap();
    let nce = Loss::NoiseContrastive { noise, ratio: 4 };
    vec![Loss::ImplicitScoreMatching, Loss::denoising(0.3), Loss::sliced(), nce]
}

fn gaussian(mean: f64, sd: f64) -> Arc<dyn Trainable> {
    Arc::new(CholeskyGaussian::isotropic([mean, mean], sd).unwrap())
}

fn models() -> Vec<Arc<dyn Trainable>> {
    let network = Mlp::new(2, &[12, 12], Activation::Silu, 1).unwrap().confined(0.5).unwrap();
    vec![gaussian(0.0, 1.0), Arc::new(SoftmaxMixture::of(&Mixture::ring(8, 1.0, 0.5).unwrap()).unwrap()), Arc::new(network)]
}

fn trainer(model: &Arc<dyn Trainable>, loss: &Loss, rate: f64, batch: usize) -> Trainer {
    let training = Training::new(loss.clone(), Optimizer::adam(rate)).batch(batch).seed(5);
    Trainer::new(&Backend::cpu(), model.clone(), Training { most_rollbacks: 0, ..training }).unwrap()
}

fn wild() {
    let data = Toy::Moons.draw(POINTS, 1).unwrap();
    for model in models() {
        for loss in losses() {
            let what = format!("{}, {loss:?}", model.name());
            // At this rate nothing overflows.
            let error = trainer(&model, &loss, 10.0, 64).run(data.points(), 400).unwrap_err();
            let says = error.to_string();
            assert!(matches!(error, Error::Diverged { rollbacks: 1, .. }), "{what}: {says}");
            assert!(says.contains("than a flat one") || says.contains("gone flat"), "{what}: {says}");
            // With smaller and smaller steps training comes to a model, or gives up.
            let training = Training::new(loss.clone(), Optimizer::adam(1e3)).batch(64).seed(5);
            let mut trainer = Trainer::new(&Backend::cpu(), model.clone(), training).unwrap();
            let mut losses = Vec::new();
            let end = trainer.run_with(data.points(), 600, |update| {
                losses.push(update.loss);
                std::ops::ControlFlow::Continue(())
            });
            let late = losses.iter().rev().take(20).sum::<f64>() / 20.0;
            match end {
                Err(Error::Diverged { rollbacks: 11, .. }) => {}
                Ok(_) => {
                    assert!(trainer.rollbacks() > 0 && late < losses[0].abs() + 1.0, "{what}: from {} to {late}", losses[0])
                }
                other => panic!("{what}: {other:?}"),
            }
        }
    }
}

/// Data that are suddenly a hundred times as wide: each loss is too large, but none by itself too large by far.
fn resumed() {
    let (data, file) = (Toy::Moons.draw(POINTS, 1).unwrap(), tempfile::NamedTempFile::new().unwrap());
    let wide: Vec<_> = data.points().iter().map(|x| 100.0 * x).collect();
    let model = gaussian(0.0, 1.0);
    let begun = |loss: &Loss| {
        let mut trainer = trainer(&model, loss, 1e-4, 64);
        trainer.run(data.points(), 45).unwrap();
        trainer
    };
    let fails = |mut trainer: Trainer| {
        let error = trainer.run(&wide, 400).unwrap_err().to_string();
        assert!(error.contains("15 of the last 20 losses are above"), "{error}");
        (error, trainer.updates(), trainer.params())
    };
    for loss in losses() {
        let whole = fails(begun(&loss));
        assert_eq!(whole.1, 61, "{loss:?}");
        // The first of the losses, and most of those that are too large, are before the interruption.
        let mut first = begun(&loss);
        first.run(&wide, 12).unwrap();
        first.save(file.path()).unwrap();
        let training = Training::new(loss, Optimizer::adam(1e-4)).batch(64).seed(5);
        let training = Training { most_rollbacks: 0, ..training };
        assert_eq!(fails(Trainer::resume(&Backend::cpu(), model.clone(), training, file.path()).unwrap()), whole);
    }
}

fn honest() {
    let moons = Toy::Moons.draw(POINTS, 1).unwrap();
    let good = |model: &Arc<dyn Trainable>, loss: &Loss, rate: f64, batch: usize, data: &[f32]| {
        let mut trainer = trainer(model, loss, rate, batch);
        trainer.run(data, 300).unwrap_or_else(|e| panic!("{}, {loss:?}, {rate}, {batch}: {e}", model.name()));
    };
    for model in models() {
        for loss in losses() {
            for (rate, batch) in [(0.003, 4), (0.02, 32), (0.1, 640)] {
                good(&model, &loss, rate, batch, moons.points());
            }
        }
    }
    let levels = |levels: &[f64]| Loss::DenoisingScoreMatching { levels: levels.to_vec() };
    // Noise much wider than the data: a model that fits is as good as flat where they are.
    for loss in [levels(&[20.0]), levels(&[0.01, 0.1, 1.0, 20.0])] {
        good(&gaussian(0.0, 1.0), &loss, 0.05, 64, moons.points());
    }
    // Starts that are much worse than none.
    for loss in losses() {
        for start in [gaussian(3.0, 0.2), gaussian(0.0, 30.0)] {
            good(&start, &loss, 0.02, 64, moons.points());
        }
    }
    // Of any scale.
    for scale in [1e-3, 1e3] {
        let scaled: Vec<_> = moons.points().iter().map(|x| scale * x).collect();
        let start = gaussian(0.0, f64::from(scale));
        good(&start, &Loss::ImplicitScoreMatching, 0.02 * f64::from(scale.min(1.0)), 64, &scaled);
    }
    // Tails of the law of Student with two degrees of freedom: single batches far off.
    let draw = |p: usize| {
        let (draws, mut z) = (Draws::new(key(3, Stream::Data, 99), p as u32, 0), [0.0; 4]);
        draws.normals(0, &mut z);
        let chi = ((z[2] * z[2] + z[3] * z[3]) / 2.0).sqrt();
        [z[0] / chi, z[1] / chi]
    };
    let tails: Vec<_> = (0..2).flat_map(|i| (0..POINTS).map(move |p| draw(p)[i] as f32)).collect();
    for loss in losses() {
        good(&gaussian(0.0, 1.0), &loss, 0.02, 16, &tails);
    }
}
