//! Networks that predict noise: both forms of them, and what training makes of them.

use std::sync::Arc;

use ergodic::{
    Backend, Chains, Error, Start,
    diffusion::{NoiseNetwork, NoiseSchedule, Sampler, Trainer, Training, log_likelihood},
    energy::{Compose as _, Energy, Gaussian, Params},
    kernel::{Annealed, Mala, Reverse, Ula, Variance},
    net::Activation,
    random::{Draws, Stream, key},
};

use crate::{
    common::{Suite, twin_energy::agree},
    likelihood::off,
};

fn networks() -> Vec<(&'static str, Arc<dyn Energy>)> {
    vec![
        ("score", Arc::new(NoiseNetwork::new(2, &[16, 16], Activation::Silu, 5).unwrap())),
        ("energy", Arc::new(NoiseNetwork::energy(2, &[16, 16], Activation::Silu, 5).unwrap())),
        ("score_5", Arc::new(NoiseNetwork::new(5, &[7], Activation::Tanh, 6).unwrap())),
        ("energy_5", Arc::new(NoiseNetwork::energy(5, &[7, 130], Activation::Softplus, 6).unwrap())),
        ("score_1", Arc::new(NoiseNetwork::new(1, &[8], Activation::Silu, 7).unwrap())),
    ]
}

/// Advances chains and their twin to each number of steps, and holds their positions together.
fn keep_together(chains: &mut dyn Chains, sampler: &mut Sampler, steps: impl IntoIterator<Item = u64>, on_gpu: bool) {
    for step in steps {
        chains.advance(step - chains.steps()).unwrap();
        sampler.advance(step - sampler.steps());
        let (found, expected) = (sampler.positions(), chains.positions().unwrap());
        let size = expected.iter().fold(1.0f32, |top, x| top.max(x.abs()));
        let bound = if on_gpu { 1e-4 } else { 1e-6 } * size;
        let miss = found.iter().zip(&expected).fold(0.0f32, |top, (a, b)| top.max((a - b).abs()));
        assert!(miss <= bound, "after {step} steps: {miss:e} of {size:e}");
    }
}

pub(crate) fn add(mut suite: Suite) -> Suite {
    for (name, network) in networks() {
        let on_cpu = network.clone();
        suite = suite
            .test(format!("the Laplacian of a noise network: {name}"), move || {
                for noise_variance in [0.01, 1.0, 1e4] {
                    let miss = off(&*on_cpu, noise_variance, |params, x| on_cpu.laplacian(params, x).unwrap());
                    assert!(miss < 1e-5, "at σ² = {noise_variance}: {miss:e}");
                }
            })
            .gpu(format!("both forms of a noise network: {name}"), move |gpu| {
                for noise_level in [0.05, 1.0, 30.0] {
                    agree(&gpu, &network, &network, noise_level).unwrap();
                }
            });
    }
    suite
        .test("the gradient of an energy is that of its energy", || {
            let network = &networks()[1].1;
            let values = network.params();
            for noise_variance in [0.01, 1.0, 100.0] {
                let params = Params::new(&values).at_noise(noise_variance);
                let (x, h) = ([0.4, -0.9], 1e-5);
                let mut grad = [0.0; 2];
                network.energy_and_grad(params, &x, &mut grad);
                for i in 0..2 {
                    let at = |by: f64| {
                        let mut there = x;
                        there[i] += by;
                        network.energy(params, &there)
                    };
                    let difference = (at(h) - at(-h)) / (2.0 * h);
                    assert!((grad[i] - difference).abs() < 1e-6 * (1.0 + difference.abs()), "{} not {difference}", grad[i]);
                }
            }
        })
        .test("a score runs under kernels with noise levels alone", || {
            let score = || NoiseNetwork::new(2, &[8], Activation::Silu, 1).unwrap();
            let backend = Backend::cpu();
            for refused in [backend.chains(score(), Ula::new(0.1)).build(), backend.chains(score(), Mala::new(0.1)).build()] {
                assert!(matches!(refused, Err(Error::Unsupported(_))), "{refused:?}");
            }
            let annealed = Annealed::geometric(1.0, 0.1, 3, 2, 0.01);
            assert!(backend.chains(score(), annealed).count(4).build().is_ok());
        })
        .test("training on normal data finds the best prediction", || recovers(8, 3 * STEPS))
        .test("two dozen long trainings on normal data find the best prediction", || recovers(24, 12 * STEPS))
        .long()
        .both("a planted fault is found: data of another width", |backend| {
            let network = trained(&backend, NoiseNetwork::new(2, &[32], Activation::Silu, 1).unwrap(), 1, 1.15);
            let worst =
                LEVELS.into_iter().flat_map(|sigma| misses(&network, sigma)).fold(0.0, |top: f64, miss| top.max(miss.abs()));
            assert!(worst > 4.0 * MOST_ERROR, "not found: {worst}");
        })
        .both("training as a score or an energy finds the best prediction", |backend| {
            for network in
                [NoiseNetwork::new(2, &[32], Activation::Silu, 1), NoiseNetwork::energy(2, &[32, 32], Activation::Silu, 1)]
            {
                let network = trained(&backend, network.unwrap(), 1, 1.0);
                for sigma in LEVELS {
                    let z = off_the_optimum(&network, sigma);
                    assert!(z < 4.0, "{} at σ = {sigma}: {z} standard errors above the least loss", network.name());
                }
            }
        })
        .both("resumed equals uninterrupted", |backend| {
            let data = data(200, 1.0, 9);
            for network in [NoiseNetwork::new(2, &[8], Activation::Silu, 1), NoiseNetwork::energy(2, &[8], Activation::Silu, 1)]
            {
                let new = || Trainer::new(&backend, network.as_ref().unwrap().clone(), LEVELS, Training::default()).unwrap();
                let mut whole = new();
                whole.train(&data, 30).unwrap();
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("training.safetensors");
                let mut part = new();
                part.train(&data, 11).unwrap();
                part.save(&path).unwrap();
                let mut resumed = new().resume(&path).unwrap();
                let loss = resumed.train(&data, 19).unwrap();
                assert_eq!(loss, part.train(&data, 19).unwrap());
                assert_eq!(resumed.steps(), 30);
                assert_eq!(resumed.network().unwrap().params(), whole.network().unwrap().params());
                // Other settings, each by its name; damage, and another network.
                for (name, levels, change) in [
                    ("noise levels", &LEVELS[1..], (|_| ()) as fn(&mut Training)),
                    ("batch", &LEVELS[..], |s| s.batch = 7),
                    ("rate", &LEVELS[..], |s| s.rate = 0.001.into()),
                    ("average", &LEVELS[..], |s| s.average = 0.5),
                    ("seed", &LEVELS[..], |s| s.seed = 2),
                ] {
                    let mut settings = Training::default();
                    change(&mut settings);
                    let other = Trainer::new(&backend, network.as_ref().unwrap().clone(), levels, settings).unwrap();
                    let refused = other.resume(&path).unwrap_err();
                    assert!(matches!(refused, Error::Format { .. }), "{refused}");
                    assert!(refused.to_string().contains(&format!("another run: {name} is")), "{refused}");
                }
                let other = NoiseNetwork::new(2, &[9], Activation::Silu, 1).unwrap();
                let other = Trainer::new(&backend, other, LEVELS, Training::default()).unwrap().resume(&path);
                assert!(matches!(other, Err(Error::Format { .. })), "{other:?}");
                let mut bytes = std::fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::write(&path, bytes).unwrap();
                assert!(matches!(new().resume(&path), Err(Error::Format { .. })));
                assert!(matches!(new().resume(folder.path().join("none")), Err(Error::File { .. })));
                assert!(matches!(part.save(folder.path().join("nowhere").join("a")), Err(Error::Write { .. })));
            }
        })
        .test("what a network cannot be is refused", || {
            let network = || NoiseNetwork::new(2, &[8], Activation::Silu, 1).unwrap();
            let new = |levels: &[f64], settings| Trainer::new(&Backend::cpu(), network(), levels, settings);
            let with = |change: fn(&mut Training)| {
                let mut settings = Training::default();
                change(&mut settings);
                settings
            };
            for refused in [
                new(&[], Training::default()),
                new(&[1.0, 0.0], Training::default()),
                new(&[1.0], with(|s| s.batch = 0)),
                new(&[1.0], with(|s| s.rate = (-1.0).into())),
                new(&[1.0], with(|s| s.average = 1.0)),
            ] {
                assert!(matches!(refused, Err(Error::Setting { .. })), "{refused:?}");
            }
            let refused = new(&[1.0], with(|s| s.batch = usize::MAX));
            assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
            for dim in [usize::MAX, usize::MAX / 2] {
                for refused in [
                    NoiseNetwork::new(dim, &[8], Activation::Silu, 1),
                    NoiseNetwork::energy(dim, &[8], Activation::Silu, 1),
                    NoiseNetwork::new(2, &[dim], Activation::Silu, 1),
                    NoiseNetwork::new(2, &[8, dim, dim], Activation::Silu, 1),
                ] {
                    assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
                }
            }
            for refused in [
                NoiseNetwork::new(0, &[8], Activation::Silu, 1),
                NoiseNetwork::new(2, &[], Activation::Silu, 1),
                NoiseNetwork::energy(1, &[8], Activation::Silu, 1),
            ] {
                assert!(matches!(refused, Err(Error::Setting { .. })), "{refused:?}");
            }
            let mut trainer = new(&[1.0], Training::default()).unwrap();
            assert!(matches!(trainer.train(&[1.0; 3], 1), Err(Error::Shape { .. })));
            for bad in [f32::NAN, f32::INFINITY] {
                let refused = trainer.train(&[0.0, 0.0, 0.0, 0.0, bad, 0.0], 1).unwrap_err().to_string();
                assert!(refused.contains("data, row 2, column 2 (counted from 1)"), "{refused}");
            }
            let kernel = Reverse::ddim(&NoiseSchedule::cosine(10).unwrap(), 10, 0.0).unwrap();
            let sampler = |points| Sampler::new(network(), kernel.clone(), points, 1);
            assert!(matches!(sampler(0), Err(Error::Setting { .. })));
            for points in [usize::MAX, usize::MAX / 2, 1 << 32] {
                assert!(matches!(sampler(points), Err(Error::Limit { .. })));
            }
            // Steps after the last change nothing, however many.
            let (mut all, mut more) = (sampler(3).unwrap(), sampler(3).unwrap());
            all.advance(10);
            more.advance(4);
            more.advance(u64::MAX);
            assert_eq!((more.positions(), more.steps()), (all.positions(), u64::MAX));
            assert!(matches!(network().with_params(&[0.0]), Err(Error::Shape { .. })));
            let mut wild = new(&[1.0], with(|s| s.rate = 1e14.into())).unwrap();
            let diverged = wild.train(&[1.0; 4], 100);
            assert!(matches!(diverged, Err(Error::Setting { .. })), "{diverged:?}");
            assert_eq!(wild.steps(), 0);
        })
        .gpu("a batch larger than the buffers is taken in parts, with the same bits twice", |gpu| {
            let data = data(200, 1.0, 9);
            let steps = |backend: &Backend, network: &NoiseNetwork| {
                let settings = Training { batch: 5_000, ..Training::default() };
                let mut trainer = Trainer::new(backend, network.clone(), LEVELS, settings).unwrap();
                (trainer.train(&data, 3).unwrap(), trainer.network().unwrap().params())
            };
            for network in [
                NoiseNetwork::new(2, &[8, 40], Activation::Silu, 1).unwrap(),
                NoiseNetwork::energy(2, &[8, 40], Activation::Silu, 1).unwrap(),
            ] {
                let on_gpu = Backend::gpu_of(gpu.clone());
                let (loss, params) = steps(&on_gpu, &network);
                assert_eq!(steps(&on_gpu, &network), (loss, params.clone()));
                let (expected, on_cpu) = steps(&Backend::cpu(), &network);
                assert!((loss / expected - 1.0).abs() < 1e-5, "{loss}, not {expected}");
                let miss = params.iter().zip(&on_cpu).fold(0.0f32, |top, (a, b)| top.max((a - b).abs()));
                assert!(miss < 1e-4, "{miss}");
            }
        })
        .both("a trained network draws its data", |backend| {
            // Coarse: the law of the samples is the network's, not the data's.
            let schedule = NoiseSchedule::linear(100, 1e-3, 0.2).unwrap();
            let network = NoiseNetwork::new(2, &[32], Activation::Silu, 1).unwrap();
            let settings = Training { batch: 256, rate: 0.005.into(), ..Training::default() };
            let mut trainer = Trainer::new(&Backend::cpu(), network, schedule.noise_levels(), settings).unwrap();
            trainer.train(&data(10_000, 1.0, 9), 1500).unwrap();
            let network = trainer.network().unwrap();
            let kernel = Reverse::ancestral(&schedule, Variance::Posterior);
            let (start, steps) = (kernel.start(), kernel.steps());
            let chains = if backend.gpu().is_some() { 16_384 } else { 2_048 };
            let mut run = backend.chains(network.clone(), kernel).count(chains).start(start).build().unwrap();
            run.advance(steps).unwrap();
            assert_eq!(run.report().failed_transitions(), 0);
            for (i, row) in run.positions().unwrap().chunks(chains).enumerate() {
                let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / chains as f64;
                let sd = (row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / chains as f64).sqrt();
                assert!((mean - MEANS[i]).abs() < 0.05 && (sd / SDS[i] - 1.0).abs() < 0.1, "x[{i}]: {mean}, {sd}");
            }
            // Its log-likelihoods are those of a density, whatever it has learned: it sums to one.
            let side = 40;
            let at = |i: usize, k: usize| (MEANS[i] + SDS[i] * (10.0 * (k as f64 + 0.5) / side as f64 - 5.0)) as f32;
            let grid: Vec<f32> =
                (0..2).flat_map(|i| (0..side * side).map(move |k| at(i, if i == 0 { k / side } else { k % side }))).collect();
            let sum: f64 = log_likelihood(&network, &schedule, 50, &grid).unwrap().iter().map(|l| l.exp()).sum();
            let whole = sum * SDS[0] * SDS[1] * (10.0 / side as f64).powi(2);
            assert!((whole - 1.0).abs() < 0.01, "the density sums to {whole}");
        })
        .both("the layers at once draw what chains draw", |backend| {
            let schedule = NoiseSchedule::cosine(30).unwrap();
            for network in [
                NoiseNetwork::new(3, &[16, 9], Activation::Silu, 4).unwrap(),
                NoiseNetwork::energy(3, &[16, 9], Activation::Silu, 4).unwrap(),
            ] {
                for kernel in [Reverse::ancestral(&schedule, Variance::Beta), Reverse::ddim(&schedule, 7, 0.3).unwrap()] {
                    let steps = kernel.steps();
                    let setup = backend.chains(network.clone(), kernel.clone()).count(300).seed(3).start(kernel.start());
                    let mut chains = setup.build().unwrap();
                    let mut sampler = Sampler::new(network.clone(), kernel, 300, 3).unwrap();
                    keep_together(&mut *chains, &mut sampler, [0, 2, steps, steps + 2], backend.gpu().is_some());
                }
            }
        })
        .both("the layers at once take the annealed steps that chains take", |backend| {
            for network in [
                NoiseNetwork::new(3, &[16, 9], Activation::Silu, 4).unwrap(),
                NoiseNetwork::energy(3, &[16, 9], Activation::Silu, 4).unwrap(),
            ] {
                let (kernel, start) = (Annealed::geometric(4.0, 0.5, 5, 3, 0.02), Start::normal([1.0, -1.0, 0.5], 4.0));
                let setup = backend.chains(network.clone(), kernel.clone()).count(300).seed(3).start(start.clone());
                let mut chains = setup.build().unwrap();
                let mut sampler = Sampler::annealed(network, kernel, &start, 300, 3).unwrap();
                keep_together(&mut *chains, &mut sampler, [0, 2, 15], backend.gpu().is_some());
            }
            let network = || NoiseNetwork::energy(2, &[8], Activation::Silu, 1).unwrap();
            let annealed = |levels: Vec<f64>| Annealed::new(levels, 2, 0.01);
            for (kernel, start, points) in [
                (annealed(vec![1.0, 2.0]), Start::normal([0.0], 1.0), 3),
                (annealed(vec![]), Start::normal([0.0], 1.0), 3),
                (annealed(vec![2.0, 1.0]), Start::normal([0.0], -1.0), 3),
                (annealed(vec![2.0, 1.0]), Start::normal([0.0; 3], 1.0), 3),
                (annealed(vec![2.0, 1.0]), Start::normal([0.0], 1.0), 0),
            ] {
                assert!(Sampler::annealed(network(), kernel, &start, points, 1).is_err());
            }
        })
        .both("a network that knows noise levels alone is refused where there is none, also as a part", |backend| {
            let network = || NoiseNetwork::energy(2, &[8], Activation::Silu, 1).unwrap();
            let refused = |energy: Arc<dyn Energy>| {
                let built = backend.chains_of(energy, Arc::new(Mala::new(0.1))).count(8).build();
                assert!(matches!(built, Err(Error::Unsupported(_))), "{built:?}");
            };
            refused(Arc::new(network()));
            refused(Arc::new(network().plus(Gaussian::standard(2)).unwrap()));
            refused(Arc::new(network().scaled(0.5).unwrap()));
        })
        .test("annealed Langevin draws from a network trained at its levels", || {
            let annealed = Annealed::geometric(3.0, 0.1, 8, 60, 2e-3);
            let levels: Vec<f64> = (0..8).map(|i| 3.0 * (0.1f64 / 3.0).powf(f64::from(i) / 7.0)).collect();
            for network in
                [NoiseNetwork::new(2, &[32], Activation::Silu, 1), NoiseNetwork::energy(2, &[32], Activation::Silu, 1)]
            {
                let settings = Training { batch: 256, rate: 0.005.into(), ..Training::default() };
                let mut trainer = Trainer::new(&Backend::cpu(), network.unwrap(), levels.clone(), settings).unwrap();
                trainer.train(&data(10_000, 1.0, 9), 1500).unwrap();
                let chains = 2_048;
                let setup = Backend::cpu().chains(trainer.network().unwrap(), annealed.clone()).count(chains);
                let mut run = setup.start(Start::normal([0.0], 3.0)).build().unwrap();
                run.advance(annealed.steps()).unwrap();
                for (i, row) in run.positions().unwrap().chunks(chains).enumerate() {
                    let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / chains as f64;
                    let sd = (row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / chains as f64).sqrt();
                    let expected = SDS[i].hypot(0.1);
                    assert!((mean - MEANS[i]).abs() < 0.1 && (sd / expected - 1.0).abs() < 0.15, "x[{i}]: {mean}, {sd}");
                }
            }
        })
}

const MEANS: [f64; 2] = [0.5, -0.3];
const SDS: [f64; 2] = [0.6, 1.1];
const LEVELS: [f64; 3] = [0.3, 1.0, 3.0];

/// Normal data, `[dim][point]`, their widths times a factor.
fn data(count: usize, wider: f64, seed: u64) -> Vec<f32> {
    let key = key(seed, Stream::Check, 0);
    let at = |i: usize, point: usize| MEANS[i] + wider * SDS[i] * Draws::new(key, point as u32, 0).normal(i);
    (0..2 * count).map(|k| at(k / count, k % count) as f32).collect()
}

/// Steps of a training.
const STEPS: u64 = 1500;

fn trained(backend: &Backend, network: NoiseNetwork, seed: u64, wider: f64) -> NoiseNetwork {
    trained_for(STEPS, backend, network, seed, wider)
}

fn trained_for(steps: u64, backend: &Backend, network: NoiseNetwork, seed: u64, wider: f64) -> NoiseNetwork {
    let rate = ergodic::Schedule::cosine(0.03, 1e-5, steps);
    let settings = Training { batch: 256, rate, seed, ..Training::default() };
    let mut trainer = Trainer::new(backend, network, LEVELS, settings).unwrap();
    trainer.train(&data(100_000, wider, seed), steps).unwrap();
    trainer.network().unwrap()
}

/// ε at y = m + s u + σ z, for fresh (u, z), with z.
fn predictions(network: &NoiseNetwork, sigma: f64, count: usize) -> Vec<([f64; 2], [f64; 2], [f64; 2])> {
    let values = network.params();
    let params = Params::new(&values).at_noise(sigma * sigma);
    let key = key(10, Stream::Check, sigma.to_bits());
    let one = |point: usize| {
        let mut draws = [0.0; 4];
        Draws::new(key, point as u32, 0).normals(0, &mut draws);
        let y = [0, 1].map(|i| MEANS[i] + SDS[i] * draws[i] + sigma * draws[2 + i]);
        let mut grad = [0.0; 2];
        network.energy_and_grad(params, &y, &mut grad);
        (y, grad.map(|g| sigma * g), [draws[2], draws[3]])
    };
    (0..count).map(one).collect()
}

/// How many standard errors the mean loss on fresh points is above the least there is, that of E[z | y] = σ (y − m)/(s² + σ²):
/// Σᵢ sᵢ²/(sᵢ² + σ²).
fn off_the_optimum(network: &NoiseNetwork, sigma: f64) -> f64 {
    let losses: Vec<f64> = predictions(network, sigma, 20_000)
        .iter()
        .map(|(_, found, z)| found.iter().zip(z).map(|(found, z)| (found - z).powi(2)).sum())
        .collect();
    let n = losses.len() as f64;
    let mean = losses.iter().sum::<f64>() / n;
    let error = (losses.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / (n * (n - 1.0))).sqrt();
    let least: f64 = SDS.iter().map(|s| s * s / (s * s + sigma * sigma)).sum();
    (mean - least) / error
}

/// How far ε is from E[z | y] = σ (y − m)/(s² + σ²): by least squares over fresh points, along each coordinate its slope, relatively,
/// and its value at y = m.
fn misses(network: &NoiseNetwork, sigma: f64) -> [f64; 4] {
    let points = predictions(network, sigma, 5_000);
    let n = points.len() as f64;
    let along = |i: usize| {
        let mean_y = points.iter().map(|p| p.0[i]).sum::<f64>() / n;
        let mean_noise = points.iter().map(|p| p.1[i]).sum::<f64>() / n;
        let covariance = points.iter().map(|p| (p.0[i] - mean_y) * (p.1[i] - mean_noise)).sum::<f64>();
        let slope = covariance / points.iter().map(|p| (p.0[i] - mean_y).powi(2)).sum::<f64>();
        [slope * (SDS[i].powi(2) + sigma * sigma) / sigma - 1.0, mean_noise + slope * (MEANS[i] - mean_y)]
    };
    let ([a, b], [c, d]) = (along(0), along(1));
    [a, b, c, d]
}

/// The standard error that the mean over the trainings may have at most, so that the comparison says something.
const MOST_ERROR: f64 = 0.01;

/// Over trainings with seeds and data of their own, the mean miss is within four standard errors of zero, and the loss within four of the
/// least. A training is so long that what is left of its start (at 1,500 steps 0.6 % of a slope, at 3,000 0.4 %, whatever the width)
/// is less than that.
fn recovers(trainings: u64, steps: u64) {
    let network = |seed: u64| {
        let network = NoiseNetwork::new(2, &[32], Activation::Silu, seed).unwrap();
        trained_for(steps, &Backend::cpu(), network, seed, 1.0)
    };
    let networks: Vec<_> = (1..=trainings).map(network).collect();
    for sigma in LEVELS {
        let found: Vec<_> = networks.iter().map(|network| misses(network, sigma)).collect();
        for network in &networks {
            let z = off_the_optimum(network, sigma);
            assert!(z < 4.0, "at σ = {sigma}: {z} standard errors above the least loss");
        }
        for what in 0..4 {
            let n = found.len() as f64;
            let mean = found.iter().map(|of| of[what]).sum::<f64>() / n;
            let error = (found.iter().map(|of| (of[what] - mean).powi(2)).sum::<f64>() / (n * (n - 1.0))).sqrt();
            println!("σ = {sigma}, {}: {mean:.5} ± {error:.5}", ["slope", "centre"][what % 2]);
            assert!(mean.abs() < 4.0 * error && error < MOST_ERROR, "σ = {sigma}, {what}: {mean} ± {error}");
        }
    }
}
