//! Machines with Gaussian visible units: formulas against quadrature and enumeration, chains against their exact law, samplers and
//! machines with planted faults, ln Z, training, files.

use ergodic::{
    Backend, Error,
    rbm::{Ais, Data, Dbn, Gibbs, Negative, Rbm, Reals, States, Trainer, Training},
};

use crate::{
    common::{
        Suite,
        stats::{LEVEL, ks, normal_cdf},
    },
    gibbs::{p_value, tally_of},
    machine, train, units,
};

const CHAINS: usize = 1 << 16;

/// A machine whose σ differ.
fn gaussian(visible: usize, hidden: usize, spread: f64, seed: u64) -> Rbm {
    let rbm = machine(visible, hidden, spread, seed);
    let sds: Vec<_> = (0..visible).map(|i| 0.5 + 0.4 * i as f32).collect();
    Rbm::gaussian(rbm.weights(), rbm.visible_bias(), rbm.hidden_bias(), sds).unwrap()
}

pub(crate) fn add(suite: Suite) -> Suite {
    suite
        .test("Gaussian: energy, free energy and conditionals agree", formulas)
        .test("Gaussian: ln Z against quadrature in one and two dimensions", quadrature)
        .both("Gaussian: hidden units, visible units and visible given hidden follow their laws", |backend| {
            for (visible, hidden) in [(1, 1), (3, 5), (5, 4)] {
                let rbm = gaussian(visible, hidden, 0.7, 11);
                let (what, p) = least(&rbm, &backend, &rbm);
                assert!(p >= LEVEL, "{visible} x {hidden}, {what}: p = {p:.3e}");
            }
        })
        .both("Gaussian, planted: σ 5 % off, a bias left out, its sign, σ ignored, are found", |backend| {
            let rbm = gaussian(3, 4, 0.7, 11);
            let (w, a, b, sds) = (rbm.weights(), rbm.visible_bias(), rbm.hidden_bias(), rbm.sds().unwrap());
            let wide: Vec<_> = sds.iter().map(|sd| 1.05 * sd).collect();
            let (mut no_a, mut minus_b) = (a.to_vec(), b.to_vec());
            no_a[0] = 0.0;
            minus_b[0] *= -1.0;
            let faulty = [
                Rbm::gaussian(w, a, b, wide),
                Rbm::gaussian(w, no_a, b, sds),
                Rbm::gaussian(w, a, minus_b, sds),
                Rbm::gaussian(w, a, b, [1.0; 3]),
            ];
            for faulty in faulty {
                let (what, p) = least(&rbm, &backend, &faulty.unwrap());
                assert!(p < LEVEL, "{what}: p = {p:.3e}");
            }
        })
        .test("Gaussian, planted: visible means in place of draws are found", || {
            let rbm = gaussian(3, 4, 0.7, 11);
            let (_, h) = chains(&Backend::cpu(), &rbm);
            let rows: Vec<_> = (0..CHAINS).flat_map(|chain| rbm.visible_means(&h.row(chain))).map(|v| v as f32).collect();
            assert!(tests(&rbm, &Reals::new(rows, 3).unwrap(), &h).into_iter().any(|(_, p)| p < LEVEL));
        })
        .gpu("Gaussian: one sweep differs from the twin by rounding", |gpu| {
            let rbm = gaussian(40, 33, 0.3, 2);
            let run = |backend: &Backend| {
                let mut chains = Gibbs::new(backend, &rbm, 1_001, 9).unwrap();
                chains.advance(1).unwrap();
                (chains.reals().unwrap(), chains.hidden().unwrap())
            };
            let (on_gpu, on_cpu) = (run(&Backend::gpu_of(gpu)), run(&Backend::cpu()));
            let mut apart = 0;
            for chain in 0..1_001 {
                if on_gpu.1.row(chain) != on_cpu.1.row(chain) {
                    apart += 1;
                    continue;
                }
                for (a, b) in on_gpu.0.row(chain).iter().zip(on_cpu.0.row(chain)) {
                    assert!((a - b).abs() < 2e-5 * (1.0 + b.abs()) * 16.0, "chain {chain}: {a} and {b}");
                }
            }
            // Of 33,033 draws, each apart with a probability of about 1e-6.
            assert!(apart < 4, "{apart} chains differ");
        })
        .both("Gaussian: chains are the same however many and however cut; clamped units keep their values", |backend| {
            let rbm = gaussian(7, 33, 0.3, 2);
            let run = |chains: usize, calls: &[u64]| {
                let mut chains = Gibbs::new(&backend, &rbm, chains, 9).unwrap();
                calls.iter().for_each(|&sweeps| chains.advance(sweeps).unwrap());
                chains
            };
            let few: Vec<_> = (0..33).collect();
            let all = run(200, &[7]).reals().unwrap();
            assert_eq!(run(200, &[1, 4, 2]).reals().unwrap(), all);
            assert_eq!(run(33, &[7]).reals().unwrap().select(&few), all.select(&few));
            let mut chains = run(200, &[7]);
            chains.clamp(&(0..7).map(|unit| unit % 2 == 0).collect::<Vec<_>>()).unwrap();
            chains.advance(3).unwrap();
            let after = chains.reals().unwrap();
            for (before, after) in all.values().chunks(7).zip(after.values().chunks(7)) {
                assert!((0..7).all(|unit| (before[unit] == after[unit]) == (unit % 2 == 0)), "{before:?} {after:?}");
            }
        })
        .test("Gaussian: AIS within three errors of ln Z, both ways", || {
            let rbm = gaussian(12, 16, 0.3, 31);
            let found = Ais::new(1_000, 100).base_rates(&[0.2; 12]).reverse(200).run(&rbm, 5).unwrap();
            let exact = rbm.ln_z().unwrap();
            for estimate in [found.forward, found.reverse.unwrap()] {
                let z = (estimate.value - exact) / estimate.error;
                assert!(z.abs() < 3.0 && estimate.error < 0.3, "{estimate:?} for {exact}: {z} errors off");
            }
        })
        .test("Gaussian: CD converges to the exact gradient as k grows; a wrong bias is found", gradient)
        .test("Gaussian: a machine learns the law of real data", learns)
        .test("Gaussian: files and checkpoints give the same bits; wrong σ are refused", files)
        .test("Gaussian: a deep belief network draws real data from its law", deep)
        .both("Gaussian: the wrong kind of units is a typed error", |backend| {
            let (real, binary) = (gaussian(3, 2, 0.5, 1), machine(3, 2, 0.5, 1));
            let chains = |rbm| Gibbs::new(&backend, rbm, 4, 1).unwrap();
            assert!(matches!(chains(&real).visible(), Err(Error::Unsupported(_))));
            assert!(matches!(chains(&binary).reals(), Err(Error::Unsupported(_))));
            let rows = Reals::new([0.0, 1.0, 0.5], 3).unwrap();
            assert!(matches!(Gibbs::start(&backend, &binary, &rows, 1), Err(Error::Setting { .. })));
            assert!(Gibbs::start(&backend, &real, &rows, 1).is_ok());
            assert!(matches!(real.transposed(), Err(Error::Unsupported(_))));
            assert!(matches!(Dbn::new([machine(3, 3, 0.5, 1), real]), Err(Error::Unsupported(_))));
        })
}

fn formulas() {
    let rbm = gaussian(3, 5, 0.8, 3);
    let v = [0.3, -1.2, 2.5];
    let weight = |h: usize| (-rbm.energy(&v, &units(h, 5))).exp();
    let sum: f64 = (0..32).map(weight).sum();
    assert!((rbm.free_energy(&v) + sum.ln()).abs() < 1e-12);
    for (j, mean) in rbm.hidden_means(&v).into_iter().enumerate() {
        let on: f64 = (0..32).filter(|h| h >> j & 1 == 1).map(weight).sum();
        assert!((mean - on / sum).abs() < 1e-12);
    }
    // As a function of v the energy is Σ (v − mean)² / 2σ² and a constant.
    for state in 0..32 {
        let h = units(state, 5);
        let mean = rbm.visible_means(&h);
        let parabola: f64 =
            v.iter().zip(&mean).zip(rbm.sds().unwrap()).map(|((v, m), &sd)| 0.5 * ((v - m) / f64::from(sd)).powi(2)).sum();
        assert!((rbm.energy(&v, &h) - rbm.energy(&mean, &h) - parabola).abs() < 1e-10);
    }
}

/// The trapezoidal rule is exact to rounding for functions like these.
fn quadrature() {
    let grid: Vec<_> = (-400..=400).map(|i| f64::from(i) * 0.05).collect();
    let rbm = gaussian(1, 6, 0.8, 5);
    let sum: f64 = grid.iter().map(|&x| (-rbm.free_energy(&[x])).exp() * 0.05).sum();
    assert!((rbm.ln_z().unwrap() - sum.ln()).abs() < 1e-10, "{} for {}", rbm.ln_z().unwrap(), sum.ln());
    let rbm = gaussian(2, 3, 0.8, 5);
    let rows = grid.iter().flat_map(|&x| grid.iter().map(move |&y| [x, y]));
    let sum: f64 = rows.map(|v| (-rbm.free_energy(&v)).exp() * 0.0025).sum();
    assert!((rbm.ln_z().unwrap() - sum.ln()).abs() < 1e-10, "{} for {}", rbm.ln_z().unwrap(), sum.ln());
}

/// p(h), by the height and the width of exp(−E) over v.
fn law_of_hidden(rbm: &Rbm) -> Vec<f64> {
    let log = |state: usize| {
        let h = units(state, rbm.hidden());
        -rbm.energy(&rbm.visible_means(&h), &h)
    };
    let logs: Vec<_> = (0..1 << rbm.hidden()).map(log).collect();
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logs.iter().map(|l| (l - most).exp()).sum();
    logs.iter().map(|l| (l - most).exp() / sum).collect()
}

fn chains(backend: &Backend, rbm: &Rbm) -> (Reals, States) {
    let mut chains = Gibbs::new(backend, rbm, CHAINS, 3).unwrap();
    chains.advance(60).unwrap();
    (chains.reals().unwrap(), chains.hidden().unwrap())
}

/// The smallest p-value of chains of one machine for the law of another.
fn least(law: &Rbm, backend: &Backend, of: &Rbm) -> (String, f64) {
    let (v, h) = chains(backend, of);
    crate::common::stats::smallest(tests(law, &v, &h))
}

fn tests(rbm: &Rbm, v: &Reals, h: &States) -> Vec<(String, f64)> {
    let law = law_of_hidden(rbm);
    let means: Vec<_> = (0..law.len()).map(|state| rbm.visible_means(&units(state, rbm.hidden()))).collect();
    let mut tests = vec![("hidden units".into(), p_value(&law, &tally_of(h)))];
    for (unit, &sd) in rbm.sds().unwrap().iter().enumerate() {
        let sd = f64::from(sd);
        let column: Vec<_> = (0..CHAINS).map(|chain| v.row(chain)[unit]).collect();
        let cdf = |x: f64| law.iter().zip(&means).map(|(p, mean)| p * normal_cdf(x, mean[unit], sd)).sum::<f64>();
        tests.push((format!("visible unit {unit}"), ks(&column, cdf)));
        let rest: Vec<_> = column.iter().enumerate().map(|(c, v)| (v - rbm.visible_means(&h.row(c))[unit]) / sd).collect();
        tests.push((format!("visible unit {unit} given the hidden ones"), ks(&rest, |z| normal_cdf(z, 0.0, 1.0))));
    }
    tests
}

/// Real rows that the machine does not fit.
fn data() -> Reals {
    let (v, _) = chains(&Backend::cpu(), &gaussian(3, 2, 1.0, 8));
    v.select(&(0..20_000).collect::<Vec<_>>())
}

fn gradient() {
    let (rbm, data) = (gaussian(3, 4, 0.5, 3), data());
    let sds = rbm.sds().unwrap().to_vec();
    let likelihood = |params: &[f32]| {
        let rbm = Rbm::gaussian(&params[..12], &params[12..15], &params[15..], sds.as_slice()).unwrap();
        rbm.mean_negative_free_energy(&data) - rbm.ln_z().unwrap()
    };
    let mut exact = train::differences(&train::params(&rbm), likelihood);
    // Steps of a are taken in units of σ.
    exact[12..15].iter_mut().zip(&sds).for_each(|(g, &sd)| *g *= f64::from(sd).powi(2));
    let step = |rbm: &Rbm, negative| train::one_step(rbm, &data, train::plain(negative));
    // Per entry, in standard errors of 20,000 chains: |v/σ| ≤ 4 or so has a spread of at most 2.
    let noise = 5.5 * 2.0 / 20_000f64.sqrt();
    let miss = |found: Vec<f64>| train::distance(&found, &exact);
    let contrastive = |sweeps| miss(step(&rbm, Negative::Contrastive { sweeps }));
    assert!(contrastive(1) > noise && contrastive(60) < noise, "{} then {}", contrastive(1), contrastive(60));
    let persistent = miss(step(&rbm, Negative::Persistent { sweeps: 60, chains: 20_000 }));
    assert!(persistent < noise, "{persistent}");
    let tempered = miss(step(&rbm, Negative::Tempered { sweeps: 60, chains: 20_000, levels: 3 }));
    assert!(tempered < noise, "{tempered}");
    let mut b = rbm.hidden_bias().to_vec();
    b[0] += 0.8;
    let faulty = Rbm::gaussian(rbm.weights(), rbm.visible_bias(), b, sds.as_slice()).unwrap();
    assert!(miss(step(&faulty, Negative::Contrastive { sweeps: 60 })) > noise);
}

/// Data of two clusters: the likelihood rises to within a little of that of the machine that made them.
fn learns() {
    let truth = Rbm::gaussian([4.0, -4.0], [0.0, 1.0], [-13.3], [0.5, 1.5]).unwrap();
    let mut chains = Gibbs::new(&Backend::cpu(), &truth, 4_000, 3).unwrap();
    chains.advance(50).unwrap();
    let data = chains.reals().unwrap();
    let likelihood = |rbm: &Rbm| rbm.mean_negative_free_energy(&data) - rbm.ln_z().unwrap();
    let start = Rbm::for_reals(&data.means(), &[0.5, 1.5], 1, 0.1, 1).unwrap();
    let settings = Training { weight_decay: 0.0, rate: 0.05.into(), ..Training::default() };
    let mut trainer = Trainer::new(start, settings).unwrap();
    let before = likelihood(trainer.rbm());
    (0..40).for_each(|_| assert!(trainer.epoch(&data).is_ok()));
    let (after, best) = (likelihood(trainer.rbm()), likelihood(&truth));
    assert!(before < best - 0.3 && after > best - 0.02, "{before} to {after}, best {best}");
}

fn files() {
    let path = train::file("gaussian.safetensors");
    let rbm = gaussian(3, 4, 0.5, 3);
    rbm.save(&path).unwrap();
    assert_eq!(Rbm::load(&path).unwrap(), rbm);
    let data = data().select(&(0..130).collect::<Vec<_>>());
    let negative = Negative::Tempered { sweeps: 1, chains: 5, levels: 3 };
    let settings = Training { negative, batch: 20, ..Training::default() };
    let (mut whole, mut first) =
        (Trainer::new(rbm.clone(), settings.clone()).unwrap(), Trainer::new(rbm, settings.clone()).unwrap());
    (0..4).for_each(|_| assert!(whole.epoch(&data).is_ok()));
    (0..2).for_each(|_| assert!(first.epoch(&data).is_ok()));
    first.save(&path).unwrap();
    let mut second = Trainer::resume(&path, settings).unwrap();
    (0..2).for_each(|_| assert!(second.epoch(&data).is_ok()));
    assert_eq!(second.rbm(), whole.rbm());
    for sds in [vec![1.0, 1.0], vec![1.0, 0.0, 1.0], vec![1.0, f32::NAN, 1.0]] {
        assert!(Rbm::gaussian([0.0; 6], [0.0; 3], [0.0; 2], sds).is_err());
    }
}

fn deep() {
    let (below, top) = (gaussian(2, 4, 0.8, 4), machine(4, 3, 0.8, 5));
    let found = Dbn::new([below.clone(), top.clone()]).unwrap().sample_reals(&Backend::cpu(), CHAINS, 60, 3).unwrap();
    let ln_z = top.ln_z().unwrap();
    for (unit, &sd) in below.sds().unwrap().iter().enumerate() {
        let column: Vec<_> = (0..CHAINS).map(|chain| found.row(chain)[unit]).collect();
        let states: Vec<_> = (0..16).map(|h| units(h, 4)).collect();
        let cdf = |x: f64| -> f64 {
            let of =
                |h: &Vec<f64>| (-top.free_energy(h) - ln_z).exp() * normal_cdf(x, below.visible_means(h)[unit], f64::from(sd));
            states.iter().map(of).sum()
        };
        let p = ks(&column, cdf);
        assert!(p >= LEVEL, "unit {unit}: p = {p:.3e}");
    }
    let alone = Dbn::new([below.clone()]).unwrap().sample_reals(&Backend::cpu(), 10, 5, 3).unwrap();
    assert_eq!((alone.units(), alone.count()), (2, 10));
    assert!(matches!(Dbn::new([top]).unwrap().sample_reals(&Backend::cpu(), 4, 1, 1), Err(Error::Unsupported(_))));
}
