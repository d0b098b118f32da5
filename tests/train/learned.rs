//! Runs: those that diverge, stand still or go flat, and those that are the same twice.

use std::{ops::ControlFlow, sync::Arc};

use ergodic::{
    Backend, Error, Schedule, Start,
    energy::{CholeskyGaussian, Energy},
    kernel::{Hmc, Mala},
    train::{Contrastive, Loss, Negatives, Noise, Optimizer, Trainable, Trainer, Training},
};

use crate::{
    common::Suite,
    optimum::{Fault, Faulty, POINTS, cd, data, persistent, precision, start},
};

pub(crate) fn add(suite: Suite) -> Suite {
    suite
        .test("a run that diverges goes back, and ends in an error that says so", diverges)
        .test("what went back goes on from there with half the step", halves)
        .both("chains that no longer move are told of", stuck)
        .test("an energy that goes flat is told of", flat)
        .test("a run is the same twice, and when its parts are", twice)
        .gpu("a run on the GPU is the same twice", |gpu| same_twice(&Backend::gpu_of(gpu)))
}

/// One step so long that parameters explode: they come back, and go on slower.
fn diverges() {
    let spike = Schedule::list([vec![0.1; 10], vec![1e5], vec![0.1]].concat());
    let training = Training::new(Loss::ImplicitScoreMatching, Optimizer::sgd(spike, 0.0)).batch(POINTS);
    let mut trainer = Trainer::new(&Backend::cpu(), Arc::new(start()), training.clone()).unwrap();
    trainer.run(&data(0, POINTS), 400).unwrap();
    assert_eq!(trainer.rollbacks(), 1);
    let found = start().reparametrised(&trainer.params()).unwrap();
    assert!((found.precision()[0] - precision(0.0)[0]).abs() < 0.3, "{:?}", found.precision());
    let training = Training { most_rollbacks: 0, ..training };
    let mut trainer = Trainer::new(&Backend::cpu(), Arc::new(start()), training).unwrap();
    let error = trainer.run(&data(0, POINTS), 400).unwrap_err();
    assert!(matches!(error, Error::Diverged { rollbacks: 1, .. }), "{error}");
    assert!(trainer.params().iter().all(|p| p.is_finite()));
    // A gap that runs away: maximum likelihood upside down.
    let contrastive =
        Training { most_gap: 50.0, most_rollbacks: 2, ..Training::new(cd(persistent(POINTS)), Optimizer::sgd(0.5, 0.0)) };
    let model = Arc::new(Faulty::new(start(), Fault::Sign));
    let mut trainer = Trainer::new(&Backend::cpu(), model, contrastive).unwrap();
    let error = trainer.run(&data(0, POINTS), 2_000).unwrap_err();
    assert!(matches!(error, Error::Diverged { rollbacks: 3, .. }), "{error}");
}

/// A first step so long that no number is left, and one after going back from it: half as long as that of a run without the first.
fn halves() {
    let after = |rates: Vec<f64>| {
        let updates = rates.len() as u64;
        let optimizer = Optimizer::sgd(Schedule::list(rates), 0.0);
        let training = Training::new(Loss::ImplicitScoreMatching, optimizer).batch(POINTS);
        let mut trainer = Trainer::new(&Backend::cpu(), Arc::new(start()), training).unwrap();
        trainer.run(&data(0, POINTS), updates).unwrap();
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
    for negatives in [Negatives::Data, persistent(POINTS), replay] {
        let training = Training::new(cd(negatives), Optimizer::adam(0.01)).batch(POINTS);
        let mut trainer = Trainer::new(&backend, narrow(), training).unwrap();
        let error = trainer.run(&data(0, POINTS), 50).unwrap_err();
        let says = error.to_string();
        assert!(matches!(error, Error::Diverged { updates: 11, .. }) && says.contains("not one of 1200 transitions"), "{says}");
    }
    // Fewer may all be rejected by chance.
    let training = Training::new(cd(Negatives::Data), Optimizer::adam(0.01)).batch(POINTS - 120);
    let mut trainer = Trainer::new(&backend, narrow(), training).unwrap();
    assert_eq!(trainer.run(&data(0, POINTS), 5).unwrap().rollbacks, 0);
    // A model that collapses to a point, far within the largest gap: contrastive divergence upside down, from one narrower than the data.
    for negatives in [Negatives::Data, persistent(POINTS)] {
        let narrow = CholeskyGaussian::isotropic([0.0, 0.0], 0.4).unwrap();
        let model = Arc::new(Faulty::new(narrow, Fault::Sign));
        let training = Training::new(cd(negatives), Optimizer::adam(0.03)).batch(POINTS);
        let mut trainer = Trainer::new(&backend, model, training).unwrap();
        let mut most_gap = 0.0f64;
        let result = trainer.run_with(&data(0, POINTS), 3_000, |update| {
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
        Arc::new(Faulty::new(CholeskyGaussian::isotropic([0.0, 0.0], sd).unwrap(), fault))
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
    let found = upside_down.run_with(&data(0, POINTS), 2_000, |update| {
        most_gap = most_gap.max(update.gap.unwrap_or(0.0).abs());
        ControlFlow::Continue(())
    });
    let whole = says(found.unwrap_err());
    assert!(most_gap < 2.0, "{most_gap}");
    says(new(started(1.2, Fault::None), none(Loss::Contrastive(held))).run(&data(0, POINTS), 2_000).unwrap_err());
    // Also where the run was interrupted.
    let before = upside_down.updates() - 30;
    let mut part = new(started(1.2, Fault::Sign), none(cd(Negatives::Data)));
    part.run(&data(0, POINTS), before).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    part.save(file.path()).unwrap();
    let training = none(cd(Negatives::Data));
    let mut rest = Trainer::resume(&Backend::cpu(), started(1.2, Fault::Sign), training, file.path()).unwrap();
    assert_eq!(says(rest.run(&data(0, POINTS), 2_000).unwrap_err()), whole);
    assert_eq!(rest.updates(), upside_down.updates());
    // One that is flat in the beginning is none that went flat, and learns.
    for loss in [cd(Negatives::Data), cd(persistent(POINTS))] {
        let mut trainer = new(started(20.0, Fault::None), none(loss));
        trainer.run(&data(0, POINTS), 300).unwrap();
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
        one.run(&data(0, POINTS), 30).unwrap();
        other.run(&data(0, POINTS), 11).unwrap();
        other.run(&data(0, POINTS), 19).unwrap();
        assert_eq!(one.params(), other.params(), "{loss:?}");
        assert_eq!(one.slots(), other.slots(), "{loss:?}");
        assert!(one.params() != start().params());
    }
}

fn twice() {
    same_twice(&Backend::cpu());
}
