//! Flow-contrastive estimation beside noise-contrastive estimation with a fixed Gaussian: a network learns the pinwheel.

use std::{f64::consts::TAU, sync::Arc, time::Instant};

use ergodic::{
    Backend, Schedule,
    flow::{Contrast, Contrastive, Flow, FlowGoal, Likelihood, Training},
    net::{Activation, Mlp},
    train::{Optimizer, Toy},
};

use super::{
    common::Suite,
    data::{cells, divergence, energies, ln_z, points},
};

const BATCH: usize = 128;

pub(super) fn add(suite: Suite) -> Suite {
    suite.test(
        "a network that corrects a flow beats one that corrects a fixed Gaussian; planted: the log-determinant's sign",
        || {
            // By updates of the network, of which the second has a sixth. By the clock a fixed Gaussian wins where they are cheap.
            let data = Toy::Pinwheel.draw(50_000, 3).unwrap();
            let begun = Instant::now();
            let fixed = corrected(data.points(), gaussian(), 900);
            let of_fixed = begun.elapsed();
            let begun = Instant::now();
            let learned = corrected(data.points(), likely(data.points(), 6_000), 150);
            println!(
                "{:.1} s against a fixed Gaussian, {:.1} s against a flow",
                of_fixed.as_secs_f64(),
                begun.elapsed().as_secs_f64()
            );

            let log_p = cells(|x, y| Toy::Pinwheel.ln_density([x, y]).unwrap());
            let [fixed_kl, kl] = [&fixed, &learned].map(|trainer| divergence(&log_p, &energies(&*trainer.model().unwrap())));
            println!("KL(data || model) {kl:.4} and {fixed_kl:.4}");
            assert!(kl < 0.6 * fixed_kl, "KL(data ‖ model) {kl} against a flow, {fixed_kl} against a fixed Gaussian");
            let truth = ln_z(&energies(&*learned.model().unwrap()));
            assert!((learned.log_normalizer() - truth).abs() < 0.05, "c = {}, ln Z = {truth}", learned.log_normalizer());

            // By the passes: the same; with the log-determinant's sign in the flow's density reversed, worse than against the Gaussian.
            assert!((divergence(&log_p, &model(&learned, 1.0)) - kl).abs() < 1e-6);
            let wrong = divergence(&log_p, &model(&learned, -1.0));
            assert!(wrong > fixed_kl, "KL(data ‖ model) {wrong} with the wrong sign");
        },
    )
}

/// A network of 2-64-64-1 that corrects a flow, against which it was trained.
fn corrected(data: &[f32], flow: Flow, updates: u64) -> Contrastive {
    let network = Arc::new(Mlp::new(2, &[64, 64], Activation::Silu, 3).unwrap());
    let settings = Contrast {
        training: Training { batch: BATCH, seed: 2, ..Default::default() },
        energy_optimizer: Optimizer::adam(Schedule::cosine(0.04, 4e-4, updates)),
        flow_goal: FlowGoal::Fixed,
        cover: None,
        correction: true,
        alternate: None,
    };
    let mut trainer = Contrastive::new(&Backend::cpu(), network, 0.0, flow, settings).unwrap();
    trainer.advance(data, updates).unwrap();
    trainer
}

/// A flow trained by likelihood.
fn likely(data: &[f32], updates: u64) -> Flow {
    let optimizer = Optimizer::adam(Schedule::cosine(0.01, 1e-4, updates)).clip(1.0);
    let mut trainer = Likelihood::new(Flow::new(2, 20, 16, 1).unwrap(), Training { batch: BATCH, optimizer, seed: 2 }).unwrap();
    trainer.advance(data, updates).unwrap();
    trainer.flow().clone()
}

/// N(0, 1.5²) in both coordinates, which are the pinwheel's mean and standard deviation.
fn gaussian() -> Flow {
    super::contrastive::noise()
}

/// The energies of a model in all cells, with the log-determinant of what it corrects times `sign`.
fn model(trainer: &Contrastive, sign: f64) -> Vec<f64> {
    let of_base = trainer.flow().inverse(&points()).unwrap();
    let count = of_base.log_dets.len();
    let square = |p: usize| of_base.positions[p].powi(2) + of_base.positions[count + p].powi(2);
    let log_q = (0..count).map(|p| -TAU.ln() - 0.5 * square(p) + sign * of_base.log_dets[p]);
    energies(&*trainer.energy().unwrap()).into_iter().zip(log_q).map(|(e, q)| e - q).collect()
}
