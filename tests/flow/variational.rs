//! Variational training: an energy whose Z is known and which a flow can be exactly, a mixture, and the entropy left out.

use std::{f64::consts::TAU, sync::Arc};

use ergodic::{
    Error, Schedule,
    energy::{Energy, Gaussian, Mixture, Params, WgslEnergy},
    flow::{Flow, Training, Variational},
    train::Optimizer,
};

use super::{common::Suite, common::stats, likelihood::is_another_run};

pub(super) fn add(suite: Suite) -> Suite {
    suite
        .test("a Gaussian: F comes to −ln Z and the flow to the Gaussian", || {
            let settings = Training { batch: 512, optimizer: Optimizer::adam(Schedule::cosine(0.02, 1e-4, 1_500)), seed: 2 };
            let mut trainer = Variational::new(target(), Flow::new(2, 2, 2, 1).unwrap(), settings).unwrap();
            trainer.advance(1_500).unwrap();
            let free_energy = trainer.advance(10).unwrap();
            println!("F = {free_energy:.5}, −ln Z = {:.5}", -ln_z());
            // At the optimum F is −ln Z in every draw, not only on average.
            assert!((free_energy + ln_z()).abs() < 0.005, "F = {free_energy}, −ln Z = {}", -ln_z());
            is_target(trainer.flow()).unwrap();
        })
        .test("the same by the passes alone", || is_target(&descended(1.0)).unwrap())
        .test("planted: the entropy left out is found", || {
            is_target(&descended(0.0)).unwrap_err();
        })
        .test("planted: the entropy's sign is found", || {
            is_target(&descended(-1.0)).unwrap_err();
        })
        .test("a mixture: F near −ln Z = 0, weights and means of both modes", mixture)
        .test("resumed equals uninterrupted, by free energy", || {
            let settings = Training { batch: 50, optimizer: Optimizer::adam(Schedule::cosine(0.02, 1e-3, 40)), seed: 3 };
            let start = || Variational::new(target(), Flow::new(2, 4, 4, 1).unwrap(), settings.clone()).unwrap();
            let (mut whole, mut half) = (start(), start());
            whole.advance(40).unwrap();
            half.advance(20).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("flow.safetensors");
            half.save(&path).unwrap();
            is_another_run("seed", Variational::resume(&path, target(), Training { seed: 99, ..settings.clone() }));
            let narrow = Gaussian::diagonal(MEAN, &[0.5, 0.5]).unwrap();
            is_another_run("energy's parameters", Variational::resume(&path, narrow, settings.clone()));
            let mut half = Variational::resume(&path, target(), settings.clone()).unwrap();
            half.advance(20).unwrap();
            assert_eq!(half.flow(), whole.flow());
        })
        .test("a flow and an energy that do not fit are refused", || {
            let flow = || Flow::new(3, 2, 2, 1).unwrap();
            assert!(matches!(Variational::new(target(), flow(), Training::default()), Err(Error::Shape { .. })));
            let text = include_str!("../own_energy/valley.wgsl");
            let own = WgslEnergy::from_text("valley", 2, [1.0], text).unwrap();
            let refused = Variational::new(own, Flow::new(2, 2, 2, 1).unwrap(), Training::default());
            assert!(matches!(refused, Err(Error::Unsupported(_))));
        })
}

const COVARIANCE: [f64; 4] = [2.0, 0.9, 0.9, 0.7];
const MEAN: [f64; 2] = [1.0, -0.5];

fn target() -> Gaussian {
    Gaussian::full(MEAN, &COVARIANCE).unwrap()
}

/// ln √det 2πC.
fn ln_z() -> f64 {
    TAU.ln() + 0.5 * (COVARIANCE[0] * COVARIANCE[3] - COVARIANCE[1] * COVARIANCE[2]).ln()
}

/// Whether the free energy is −ln Z, and mean and covariance of 10⁵ draws are the target's within 0.02.
fn is_target(flow: &Flow) -> Result<(), String> {
    let count = 100_000;
    let drawn = flow.sample(count, 9, 0).unwrap();
    let (target, values) = (target(), target().params());
    let point = |p: usize| [drawn.positions[p], drawn.positions[count + p]];
    let energy = |p: usize| target.energy(Params::new(&values), &point(p));
    let free_energy = (0..count).map(|p| energy(p) + drawn.log_densities[p]).sum::<f64>() / count as f64;
    let mean = |f: &dyn Fn([f64; 2]) -> f64| (0..count).map(|p| f(point(p))).sum::<f64>() / count as f64;
    let moments = [
        (free_energy, -ln_z()),
        (mean(&|x| x[0]), MEAN[0]),
        (mean(&|x| x[1]), MEAN[1]),
        (mean(&|x| (x[0] - MEAN[0]).powi(2)), COVARIANCE[0]),
        (mean(&|x| (x[0] - MEAN[0]) * (x[1] - MEAN[1])), COVARIANCE[1]),
        (mean(&|x| (x[1] - MEAN[1]).powi(2)), COVARIANCE[3]),
    ];
    // Four standard errors of the second moment of x₀, 4 · 2√2/√10⁵ = 0.036, the largest of the six.
    match moments.iter().find(|(found, expected)| (found - expected).abs().is_nan() || (found - expected).abs() > 0.036) {
        None => Ok(()),
        Some((found, expected)) => Err(format!("{found} for {expected}")),
    }
}

/// Descends ⟨E⟩ − weight · H by the passes alone, 1,000 steps with momentum.
fn descended(entropy: f64) -> Flow {
    let (target, values) = (target(), target().params());
    let (count, mut flow) = (256, Flow::new(2, 2, 2, 1).unwrap());
    let mut step = vec![0.0; flow.params().len()];
    for update in 0..1_500u64 {
        let pass = flow.forward_pass(&flow.base(count, 8, update).unwrap()).unwrap();
        let mut by_x = vec![0.0; 2 * count];
        for p in 0..count {
            let (x, mut grad) = ([pass.mapped.positions[p], pass.mapped.positions[count + p]], [0.0; 2]);
            target.energy_and_grad(Params::new(&values), &x, &mut grad);
            (by_x[p], by_x[count + p]) = (grad[0] / count as f64, grad[1] / count as f64);
        }
        let grad = pass.reverse(&by_x, &vec![-entropy / count as f64; count]).unwrap().params;
        let length = grad.iter().map(|g| g * g).sum::<f64>().sqrt().max(1.0);
        let rate = 0.02 * (1.0 - update as f64 / 1_500.0);
        step.iter_mut().zip(&grad).for_each(|(step, g)| *step = 0.9 * *step + rate * g / length);
        let params: Vec<_> = flow.params().iter().zip(&step).map(|(p, step)| p - *step as f32).collect();
        flow.set_params(&params).unwrap();
    }
    flow
}

/// A flow that is one piece cannot be two modes exactly; between them it leaves a bridge.
fn mixture() {
    let target = Mixture::new(&[0.7, 0.3], &[vec![-1.2, 0.0], vec![1.2, 1.0]], &[0.6, 0.5]).unwrap();
    let settings = Training { batch: 512, optimizer: Optimizer::adam(Schedule::cosine(0.01, 1e-4, 2_000)), seed: 2 };
    let mut trainer = Variational::new(Arc::new(target), Flow::new(2, 8, 16, 1).unwrap(), settings).unwrap();
    trainer.advance(2_000).unwrap();
    let free_energy = trainer.advance(20).unwrap();
    // The mixture's energy leaves out the constant (2π)^(dim/2): ln Z = ln 2π.
    println!("F + ln Z = {:.4}", free_energy + TAU.ln());
    assert!((-0.01..0.03).contains(&(free_energy + TAU.ln())), "F + ln Z = {}", free_energy + TAU.ln());
    let count = 100_000;
    let drawn = trainer.flow().sample(count, 9, 0).unwrap();
    let right =
        (0..count).filter(|&p| 2.4 * drawn.positions[p] + drawn.positions[count + p] > 0.5).count() as f64 / count as f64;
    // The line in the middle between the means; what each mode leaves on the other side, by its distance 1.3 from it.
    let over = |sd: f64| stats::normal_cdf(-1.3, 0.0, sd);
    let expected = 0.3 * (1.0 - over(0.5)) + 0.7 * over(0.6);
    assert!((right - expected).abs() < 0.02, "the right mode's share is {right}, not {expected}");
}
