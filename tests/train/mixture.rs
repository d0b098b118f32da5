//! A mixture learned from its draws, by every loss, judged by quadrature.

use std::sync::Arc;

use ergodic::{
    Backend, Schedule, Start,
    energy::{Energy, Mixture, SoftmaxMixture},
    kernel::{Independence, Mala},
    random::{Draws, Stream, key},
    train::{Contrastive, Data, Grid, Loss, Noise, Optimizer, Toy, Trainer, Training},
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
    suite
        .both("a mixture learned with noise that is not corrected for misses", |backend| {
            let (kl, _) = learn(&backend, &Loss::denoising(0.5), 0.0);
            assert!(kl > MOST_KL, "{kl} nats");
        })
        .both("noise-contrastive estimation begins with ln Z as the noise weighs it", |backend| {
            let training = Training::new(contrastive_noise(), Optimizer::adam(0.01));
            let trainer = Trainer::new(&backend, Arc::new(spare_components()), training).unwrap();
            let c = trainer.log_normalizer().unwrap();
            assert!((c - std::f64::consts::TAU.ln()).abs() < 0.1, "{c}");
        })
        .gpu("noise-contrastive estimation with components to spare finds eight Gaussians", |gpu| {
            let kl = learn_eight(&Backend::gpu_of(gpu), contrastive_noise());
            assert!(kl < MOST_KL, "{kl} nats");
        })
        .test("persistent chains that go from mode to mode find eight Gaussians", || {
            let anywhere = Contrastive::new(Independence::new([0.0], [1.7]), 20);
            let kl = learn_eight(&Backend::cpu(), Loss::Contrastive(anywhere.persistent(512, Start::normal([0.0], 1.5))));
            assert!(kl < MOST_KL, "{kl} nats");
            let staying = Contrastive::new(Mala::new(0.01), 20);
            let kl = learn_eight(&Backend::cpu(), Loss::Contrastive(staying.persistent(512, Start::normal([0.0], 1.5))));
            assert!(kl > MOST_KL, "{kl} nats");
        })
        .long()
}

/// Noise around the first components of [`spare_components`], and a third of it wide.
fn contrastive_noise() -> Loss {
    let start = spare_components().mixture().unwrap();
    let (mut weights, mut means, mut sds) = (vec![2.0 / 24.0; 24], start.means().to_vec(), vec![0.3; 24]);
    weights.push(1.0);
    means.push(vec![0.0; 2]);
    sds.push(1.7);
    Loss::NoiseContrastive { noise: Noise::mixture(&weights, &means, &sds).unwrap(), ratio: 4 }
}

/// Three times as many as there are modes, at data points.
fn spare_components() -> SoftmaxMixture {
    let data = eight();
    let n = data.count();
    let means: Vec<_> = (0..24).map(|j| vec![f64::from(data.points()[j]), f64::from(data.points()[n + j])]).collect();
    SoftmaxMixture::of(&Mixture::new(&[1.0; 24], &means, &[0.5; 24]).unwrap()).unwrap()
}

fn eight() -> Data {
    Toy::EightGaussians.draw(10_000, 7).unwrap()
}

/// KL of the law and the model, whose own ln Z counts: mass where neither data nor noise are is not on the grid.
fn learn_eight(backend: &Backend, loss: Loss) -> f64 {
    let updates = 1_000;
    let training = Training::new(loss, Optimizer::adam(Schedule::cosine(0.05, 5e-4, updates))).batch(512).average(0.99).seed(7);
    let mut trainer = Trainer::new(backend, Arc::new(spare_components()), training).unwrap();
    trainer.run(eight().points(), updates).unwrap();
    let model = trainer.averaged().unwrap();
    let grid = Grid::new([-4.0; 2], [4.0; 2], 300).unwrap();
    grid.kl_of_toy(Toy::EightGaussians, &*model).unwrap() + std::f64::consts::TAU.ln() - grid.ln_z(&*model).unwrap()
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
    assert_eq!(trainer.rollbacks(), 0);
    let learned = start.reparametrised(&trainer.averaged().unwrap().params()).unwrap().mixture().unwrap();
    let sds: Vec<_> = learned.sds().unwrap().iter().map(|s| (s * s - variance).max(1e-4).sqrt()).collect();
    let model = Mixture::new(learned.weights(), learned.means(), &sds).unwrap();
    assert_eq!(model.dim(), 2);
    let grid = Grid::new([-6.0, -5.0], [6.0, 6.0], 300).unwrap();
    (grid.kl(&truth, &model).unwrap(), trainer.log_normalizer())
}
