//! Maximum likelihood: the closed form for Gaussian data, moons beside a mixture fitted by EM, files.

use ergodic::{
    Error, Result, Schedule,
    flow::{Flow, Likelihood, Training},
    train::{Optimizer, Toy},
};

use super::{common::Suite, em::Fitted, passes::gaussian_flow};

pub(super) fn add(suite: Suite) -> Suite {
    suite
        .test("Gaussian data: the closed form of maximum likelihood", || {
            let (data, highest) = gaussian_data();
            let settings = Training { batch: 1_024, optimizer: Optimizer::adam(Schedule::cosine(0.02, 1e-4, 800)), seed: 2 };
            let mut trainer = Likelihood::new(Flow::new(2, 2, 2, 1).unwrap(), settings).unwrap();
            trainer.advance(&data, 800).unwrap();
            let reached = mean_density(trainer.flow(), &data);
            // Two hidden units may bend a Gaussian by a part of the data's own chance.
            assert!((reached - highest).abs() < 0.005, "mean log-density {reached}, at the closed form {highest}");
        })
        .test("moons: within 0.05 nats of 16 Gaussians fitted by EM", || {
            let (train, fresh) = (moons(16_384, 1), moons(16_384, 2));
            let mixture = Fitted::best_of(&train, 16, 100, 3).mean_density(&fresh);
            let settings = Training { batch: 512, optimizer: Optimizer::adam(Schedule::cosine(0.01, 1e-5, 2_000)), seed: 1 };
            let mut trainer = Likelihood::new(Flow::new(2, 8, 32, 1).unwrap(), settings).unwrap();
            trainer.advance(&train, 2_000).unwrap();
            let flow = mean_density(trainer.flow(), &fresh);
            println!("held-out mean log-density: flow {flow:.4}, mixture of 16 {mixture:.4}");
            assert!(flow > mixture - 0.05, "held-out mean log-density {flow}, that of the mixture {mixture}");
        })
        .test("planted: the log-determinant's sign in training is found", || {
            let data = moons(2_048, 1);
            let right = descended(&data, 1.0);
            let wrong = descended(&data, -1.0);
            assert!(right > -1.6, "mean log-density {right}");
            assert!(wrong < -3.0, "mean log-density {wrong} with the wrong sign");
        })
        .test("resumed equals uninterrupted", resumed)
        .test("bad training is refused", refused)
}

fn moons(count: usize, seed: u64) -> Vec<f32> {
    Toy::Moons.draw(count, seed).unwrap().points().to_vec()
}

pub(super) fn mean_density(flow: &Flow, data: &[f32]) -> f64 {
    let x: Vec<_> = data.iter().copied().map(f64::from).collect();
    let densities = flow.log_density(&x).unwrap();
    densities.iter().sum::<f64>() / densities.len() as f64
}

/// Draws of a correlated Gaussian, and the mean log-density at their own mean and covariance.
pub(super) fn gaussian_data() -> (Vec<f32>, f64) {
    let count = 8_192;
    let data: Vec<f32> = gaussian_flow().sample(count, 4, 0).unwrap().positions.into_iter().map(|x| x as f32).collect();
    let mean = |f: &dyn Fn(f64, f64) -> f64| {
        (0..count).map(|p| f(f64::from(data[p]), f64::from(data[count + p]))).sum::<f64>() / count as f64
    };
    let (a, b) = (mean(&|x, _| x), mean(&|_, y| y));
    let xx = mean(&|x, _| (x - a).powi(2));
    let (xy, yy) = (mean(&|x, y| (x - a) * (y - b)), mean(&|_, y| (y - b).powi(2)));
    (data, -1.0 - std::f64::consts::TAU.ln() - 0.5 * (xx * yy - xy * xy).ln())
}

/// Plain gradient descent by the passes, with the log-determinant's derivative times `sign`; the mean log-density.
fn descended(data: &[f32], sign: f64) -> f64 {
    let x: Vec<_> = data.iter().copied().map(f64::from).collect();
    let count = x.len() / 2;
    let mut flow = Flow::new(2, 4, 8, 1).unwrap();
    for _ in 0..400 {
        let pass = flow.inverse_pass(&x).unwrap();
        let by_z: Vec<_> = pass.mapped.positions.iter().map(|z| -z / count as f64).collect();
        let grad = pass.reverse(&by_z, &vec![sign / count as f64; count]).unwrap().params;
        let length = grad.iter().map(|g| g * g).sum::<f64>().sqrt().max(1.0);
        let params: Vec<_> = flow.params().iter().zip(&grad).map(|(p, g)| p + (0.1 * g / length) as f32).collect();
        flow.set_params(&params).unwrap();
    }
    mean_density(&flow, data)
}

fn resumed() {
    let data = moons(1_000, 1);
    let settings = Training { batch: 100, optimizer: Optimizer::adam(Schedule::cosine(0.01, 1e-3, 40)), seed: 3 };
    let start = || Likelihood::new(Flow::new(2, 4, 8, 1).unwrap(), settings.clone()).unwrap();
    let mut whole = start();
    whole.advance(&data, 40).unwrap();
    let mut half = start();
    half.advance(&data, 20).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flow.safetensors");
    half.save(&path).unwrap();
    let mut half = Likelihood::resume(&path, settings.clone()).unwrap();
    half.advance(&data, 20).unwrap();
    assert_eq!(half, whole);
    for (name, other) in [
        ("batch", Training { batch: 99, ..settings.clone() }),
        ("optimizer", Training { optimizer: Optimizer::adam(0.01), ..settings.clone() }),
        ("seed", Training { seed: 4, ..settings.clone() }),
    ] {
        is_another_run(name, Likelihood::resume(&path, other));
    }
    // Another kind of file, a damaged one, none.
    assert!(matches!(Flow::load(&path), Err(Error::Format { .. })));
    whole.flow().save(&path).unwrap();
    assert_eq!(&Flow::load(&path).unwrap(), whole.flow());
    assert!(matches!(Likelihood::resume(&path, settings.clone()), Err(Error::Format { .. })));
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(Flow::load(&path), Err(Error::Format { .. })));
    assert!(matches!(Flow::load(folder.path().join("none")), Err(Error::File { .. })));
    assert!(matches!(half.save(folder.path().join("nowhere").join("a")), Err(Error::Write { .. })));
}

/// A file is refused for this setting.
pub(super) fn is_another_run<T: std::fmt::Debug>(setting: &str, resumed: Result<T>) {
    let refused = resumed.unwrap_err();
    assert!(matches!(refused, Error::Format { .. }), "{refused}");
    assert!(refused.to_string().contains(&format!("another run: {setting} is")), "{refused}");
}

fn refused() {
    let flow = || Flow::new(2, 2, 4, 1).unwrap();
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let refused = Likelihood::new(flow(), Training { optimizer: Optimizer::adam(bad), ..Default::default() });
        assert!(matches!(refused, Err(Error::Setting { .. })), "{bad}");
    }
    assert!(matches!(Likelihood::new(flow(), Training { batch: 0, ..Default::default() }), Err(Error::Setting { .. })));
    let refused = Likelihood::new(flow(), Training { batch: usize::MAX, ..Default::default() });
    assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
    let mut trainer = Likelihood::new(flow(), Training::default()).unwrap();
    let before = trainer.clone();
    for data in [vec![], vec![0.0; 3]] {
        assert!(matches!(trainer.advance(&data, 1), Err(Error::Shape { .. })));
    }
    let refused = trainer.advance(&[1.0, 2.0, f32::NAN, 0.0], 1).unwrap_err();
    assert!(refused.to_string().contains("data, row 1, column 2 (counted from 1) = NaN"), "{refused}");
    assert_eq!(trainer, before);
    // A number that the batch of an update need not hold.
    let mut few = Likelihood::new(flow(), Training { batch: 1, ..Default::default() }).unwrap();
    let mut data = vec![0.0; 2_000];
    data[1_234] = f32::INFINITY;
    let refused = few.advance(&data, 1).unwrap_err().to_string();
    assert!(refused.contains("data, row 235, column 2 (counted from 1) = inf"), "{refused}");
    // A rate that throws log q out of the finite range leaves the parameters that were before.
    let deep = Flow::new(2, 30, 4, 1).unwrap();
    let mut trainer = Likelihood::new(deep, Training { optimizer: Optimizer::adam(1e14), batch: 8, seed: 1 }).unwrap();
    let refused = (0..10).find_map(|_| {
        let before = trainer.clone();
        let refused = trainer.advance(&[1.0, 2.0, 3.0, 4.0], 1).err()?;
        assert_eq!(trainer, before);
        Some(refused)
    });
    assert!(refused.unwrap().to_string().contains("diverged"));
}
