//! A mixture learned from its draws, by every loss, judged by quadrature.

use std::sync::Arc;

use ergodic::{
    Backend, Schedule, Start,
    energy::{Energy, Mixture, SoftmaxMixture},
    kernel::Mala,
    random::{Draws, Stream, key},
    train::{Contrastive, Grid, Loss, Noise, Optimizer, Trainer, Training},
};

use crate::common::Suite;

const POINTS: usize = 4_000;
const UPDATES: u64 = 800;
/// In nats; the parameters alone cost 11 / (2 · 4,000) = 0.0014.
const MOST_KL: f64 = 0.02;

pub(crate) fn add(mut suite: Suite) -> Suite {
    let cd = || Contrastive::new(Mala::new(0.25), 5);
    let noise = Noise::normal([0.0, 0.6], [1.8, 1.3]).unwrap();
    for (name, loss, variance) in [
        ("cd", Loss::Contrastive(cd()), 0.0),
        ("persistent cd", Loss::Contrastive(cd().persistent(500, Start::normal([0.0], 1.5))), 0.0),
        ("ism", Loss::ImplicitScoreMatching, 0.0),
        ("dsm", Loss::denoising(0.2), 0.04),
        ("ssm", Loss::sliced(), 0.0),
        ("nce", Loss::NoiseContrastive { noise, ratio: 2 }, 0.0),
    ] {
        suite = suite.both(format!("{name} learns a mixture to 0.02 nats"), move |backend| {
            let (kl, c) = learn(&backend, &loss, variance);
            assert!(kl < MOST_KL, "{kl} nats");
            // ln ∫ exp(−E) of a mixture to be trained is ln 2π, whatever its parameters.
            if let Some(c) = c {
                assert!((c - std::f64::consts::TAU.ln()).abs() < 0.05, "{c}");
            }
        });
    }
    suite.both("a mixture learned with noise that is not corrected for misses", |backend| {
        let (kl, _) = learn(&backend, &Loss::denoising(0.5), 0.0);
        assert!(kl > MOST_KL, "{kl} nats");
    })
}

const WEIGHTS: [f64; 3] = [0.5, 0.3, 0.2];
const SDS: [f64; 3] = [0.6, 0.5, 0.4];

fn means() -> Vec<Vec<f64>> {
    vec![vec![-1.5, 0.0], vec![1.5, 0.5], vec![0.0, 1.8]]
}

/// KL of the truth and the model, whose variances are less by that of the noise; and c.
fn learn(backend: &Backend, loss: &Loss, variance: f64) -> (f64, Option<f64>) {
    let truth = Mixture::new(&WEIGHTS, &means(), &SDS).unwrap();
    let draws = Noise::mixture(&WEIGHTS, &means(), &SDS).unwrap();
    let all: Vec<_> = (0..POINTS).map(|i| draws.draw(&Draws::new(key(1, Stream::Data, 7), i as u32, 0))).collect();
    let data: Vec<_> = (0..2).flat_map(|i| all.iter().map(move |x| x[i])).collect();
    let begin = [vec![-1.0, -0.3], vec![1.0, 0.0], vec![0.3, 1.2]];
    let start = SoftmaxMixture::of(&Mixture::new(&[1.0; 3], &begin, &[0.8; 3]).unwrap()).unwrap();
    let optimizer = Optimizer::adam(Schedule::cosine(0.02, 1e-4, UPDATES));
    let training = Training::new(loss.clone(), optimizer).batch(500).average(0.98).seed(2);
    let mut trainer = Trainer::new(backend, Arc::new(start.clone()), training).unwrap();
    trainer.run(&data, UPDATES).unwrap();
    let learned = start.reparametrised(&trainer.averaged().unwrap().params()).unwrap().mixture().unwrap();
    let sds: Vec<_> = learned.sds().unwrap().iter().map(|s| (s * s - variance).max(1e-4).sqrt()).collect();
    let model = Mixture::new(learned.weights(), learned.means(), &sds).unwrap();
    assert_eq!(model.dim(), 2);
    let grid = Grid::new([-6.0, -5.0], [6.0, 6.0], 300).unwrap();
    (grid.kl(&truth, &model).unwrap(), trainer.log_normalizer())
}
