//! The moons learned by a network of two layers of 128, by one loss after another, as the example `train --energy mlp` does.

use std::sync::Arc;

use ergodic::{
    Backend, Schedule,
    kernel::Ula,
    net::{Activation, Mlp},
    train::{Contrastive, Data, Grid, Loss, Noise, Optimizer, Toy, Trainer, Training},
};

use crate::common::Suite;

const UPDATES: u64 = 4_000;
const SEED: u64 = 0;
/// KL of the data and the model above that of the best loss, in nats.
const MOST: f64 = 0.05;

pub(crate) fn add(suite: Suite) -> Suite {
    suite
        .test("the moons are learned by every loss to 0.05 nats of the best", || {
            let data = Toy::Moons.draw(12_000, SEED).unwrap().split(10_000).unwrap().0;
            let losses = [
                ("ism", Loss::ImplicitScoreMatching),
                ("ssm", Loss::sliced()),
                ("dsm", Loss::denoising(0.05)),
                ("cd", Loss::Contrastive(Contrastive::new(Ula::new(0.002), 20))),
                ("nce", Loss::NoiseContrastive { noise: noise(&data), ratio: 4 }),
            ];
            let found: Vec<_> = losses.into_iter().map(|(name, loss)| (name, kl(&data, loss))).collect();
            let best = found.iter().fold(f64::INFINITY, |best, (_, kl)| best.min(*kl));
            assert!(found.iter().all(|(_, kl)| *kl <= best + MOST), "{found:?}");
            // Noise that is not small beside that of the moons, 0.1, misses.
            let blurred = kl(&data, Loss::denoising(0.1));
            assert!(blurred > best + MOST, "{blurred} by other noise; {found:?}");
        })
        .long()
}

/// KL of the law of the data and the model that is learned, by quadrature.
fn kl(data: &Data, loss: Loss) -> f64 {
    let optimizer = Optimizer::adam(Schedule::cosine(2e-3, 5e-5, UPDATES)).clip(10.0);
    let training = Training::new(loss, optimizer).batch(512).average(0.99).seed(SEED);
    let network = Mlp::new(2, &[128, 128], Activation::Silu, SEED).unwrap().confined(0.5).unwrap();
    // Without a GPU the layers run on threads.
    let mut trainer = Trainer::new(&Backend::cpu(), Arc::new(network), training).unwrap();
    trainer.run(data.points(), UPDATES).unwrap();
    assert_eq!(trainer.rollbacks(), 0);
    let grid = Grid::new([-4.2, -4.2], [4.2], 300).unwrap();
    grid.kl(&Toy::Moons.law().unwrap(), &*trainer.averaged().unwrap()).unwrap()
}

/// Two thirds of it close to the data.
fn noise(data: &Data) -> Noise {
    let mut means: Vec<_> = (0..24).map(|j| vec![data.points()[j].into(), data.points()[data.count() + j].into()]).collect();
    let (mut weights, mut sds) = (vec![2.0 / 24.0; 24], vec![0.3; 24]);
    means.push(vec![0.0; 2]);
    weights.push(1.0);
    sds.push(0.4 * 4.2);
    Noise::mixture(&weights, &means, &sds).unwrap()
}
