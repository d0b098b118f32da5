//! The gradient of the log-likelihood against enumeration, checkpoints, and damaged files.

use std::path::PathBuf;

use ergodic::{
    Error,
    rbm::{Data, Negative, Rbm, Reals, States, Trainer, Training},
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::{common::Suite, machine, units};

pub(crate) const IMAGES: usize = 20_000;

pub(crate) fn add(suite: Suite) -> Suite {
    suite
        .test("CD and PCD converge to the exact gradient as k grows; a wrong bias is found", || {
            let (rbm, data) = (machine(5, 4, 1.0, 3), images());
            let exact = gradient(&rbm, &data);
            let error = |rbm: &Rbm, negative| distance(&one_step(rbm, &data, plain(negative)), &exact);
            let contrastive = |sweeps| error(&rbm, Negative::Contrastive { sweeps });
            let persistent = |sweeps| error(&rbm, Negative::Persistent { sweeps, chains: IMAGES });
            // A mean of 20,000 units has a standard error of at most 0.0035; the largest of 29.
            let noise = 5.5 * 0.0036;
            assert!(contrastive(1) > 2.0 * noise, "{}", contrastive(1));
            assert!(contrastive(1) > contrastive(4));
            assert!(contrastive(60) < noise, "{}", contrastive(60));
            assert!(persistent(1) > persistent(60) && persistent(60) < noise, "{}", persistent(60));
            let mut b = rbm.hidden_bias().to_vec();
            b[0] += 0.5;
            let faulty = Rbm::new(rbm.weights(), rbm.visible_bias(), b).unwrap();
            assert!(error(&faulty, Negative::Contrastive { sweeps: 60 }) > noise);
        })
        .test("the centred step is the plain one in centred units", || {
            let (rbm, data) = (machine(5, 4, 1.0, 3), images());
            let negative = Negative::Contrastive { sweeps: 2 };
            let plain_step = one_step(&rbm, &data, plain(negative));
            let centred = one_step(&rbm, &data, Training { centred: true, ..plain(negative) });
            let v = data.means();
            let rows: Vec<_> = (0..data.chains()).map(|image| rbm.hidden_means(&data.row(image))).collect();
            let h: Vec<_> = (0..4).map(|j| rows.iter().map(|row| row[j]).sum::<f64>() / rows.len() as f64).collect();
            let (w, a, b) = (&plain_step[..20], &plain_step[20..25], &plain_step[25..]);
            let weights: Vec<_> = (0..20).map(|k| w[k] - v[k / 4] * b[k % 4] - a[k / 4] * h[k % 4]).collect();
            let mut expected = weights.clone();
            expected.extend((0..5).map(|i| a[i] - (0..4).map(|j| weights[4 * i + j] * h[j]).sum::<f64>()));
            expected.extend((0..4).map(|j| b[j] - (0..5).map(|i| v[i] * weights[4 * i + j]).sum::<f64>()));
            assert!(distance(&centred, &expected) < 1e-5, "{}", distance(&centred, &expected));
            assert!(distance(&centred, &plain_step) > 1e-2);
        })
        .test("sparsity and weight decay pull as their formulas say", || {
            let (rbm, data) = (machine(5, 4, 1.0, 3), images());
            let negative = Negative::Contrastive { sweeps: 1 };
            let step = |decay, sparsity| one_step(&rbm, &data, Training { weight_decay: decay, sparsity, ..plain(negative) });
            let (bare, decayed, sparse) = (step(0.0, None), step(0.25, None), step(0.0, Some((0.1, 2.0))));
            for (k, &w) in rbm.weights().iter().enumerate() {
                assert!((bare[k] - decayed[k] - 0.25 * f64::from(w)).abs() < 1e-5);
            }
            let rows: Vec<_> = (0..data.chains()).map(|image| rbm.hidden_means(&data.row(image))).collect();
            for j in 0..4 {
                let mean = rows.iter().map(|row| row[j]).sum::<f64>() / rows.len() as f64;
                assert!((sparse[25 + j] - bare[25 + j] - 2.0 * (0.1 - mean)).abs() < 1e-4);
            }
        })
        .test("pseudo-likelihood against the conditionals by energy", || {
            let rbm = machine(6, 4, 1.0, 3);
            for state in 0..64 {
                let v = units(state, 6);
                let of_unit = |i: usize| {
                    let mut flipped = v.clone();
                    flipped[i] = 1.0 - flipped[i];
                    -((rbm.free_energy(&v) - rbm.free_energy(&flipped)).exp().ln_1p())
                };
                assert!((rbm.pseudo_likelihood(&v).unwrap() - (0..6).map(of_unit).sum::<f64>()).abs() < 1e-10);
            }
        })
        .test("a resumed run equals one in one go, bit for bit", resumed)
        .test("damaged files are errors that name the file", damaged)
        .test("files are those of the crate safetensors", as_others_write)
        .test("grey images train a machine as probabilities; other values are refused", || {
            let rbm = machine(5, 4, 1.0, 3);
            let mut trainer = Trainer::new(rbm.clone(), plain(Negative::Contrastive { sweeps: 1 })).unwrap();
            trainer.epoch(&Reals::new([0.0, 0.25, 0.5, 0.75, 1.0], 5).unwrap()).unwrap();
            assert_ne!(trainer.rbm(), &rbm);
            let before = trainer.rbm().clone();
            let error = trainer.epoch(&Reals::new([0.0, 0.25, 0.5, 0.75, 1.5], 5).unwrap()).unwrap_err();
            assert!(error.to_string().contains("row 1, column 5 (counted from 1)"), "{error}");
            assert_eq!((trainer.rbm(), trainer.epochs()), (&before, 1));
        })
        .test("training that diverges is an error, and the state stays", || {
            let settings = Training { rate: 1e14.into(), momentum: 0.9, ..plain(Negative::Contrastive { sweeps: 1 }) };
            let mut trainer =
                Trainer::new(machine(5, 4, 1.0, 3), Training { batch: 10, weight_decay: 1e14, ..settings }).unwrap();
            let before = trainer.rbm().clone();
            assert!(matches!(trainer.epoch(&images()), Err(Error::Setting { .. })));
            assert_eq!((trainer.rbm(), trainer.epochs()), (&before, 0));
        })
}

/// Images that the machine does not fit: two patterns and their neighbours.
pub(crate) fn images() -> States {
    let mut images = States::zeros(5, IMAGES).unwrap();
    for image in 0..IMAGES {
        let pattern = if image % 3 == 0 { 0b10110 } else { 0b01011 };
        let flipped = if image % 4 == 0 { 1 << (image / 4 % 5) } else { 0 };
        (0..5).for_each(|unit| images.set(unit, image, (pattern ^ flipped) >> unit & 1 == 1));
    }
    images
}

pub(crate) fn plain(negative: Negative) -> Training {
    Training {
        negative,
        batch: IMAGES,
        rate: 1.0.into(),
        momentum: 0.0,
        weight_decay: 0.0,
        sparsity: None,
        centred: false,
        seed: 9,
    }
}

/// What one update at rate 1 adds to W, a, b.
pub(crate) fn one_step(rbm: &Rbm, data: &impl Data, settings: Training) -> Vec<f64> {
    let mut trainer = Trainer::new(rbm.clone(), settings).unwrap();
    trainer.epoch(data).unwrap();
    params(trainer.rbm()).iter().zip(params(rbm)).map(|(&new, old)| f64::from(new) - f64::from(old)).collect()
}

pub(crate) fn params(rbm: &Rbm) -> Vec<f32> {
    [rbm.weights(), rbm.visible_bias(), rbm.hidden_bias()].concat()
}

pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn gradient(rbm: &Rbm, data: &States) -> Vec<f64> {
    gradient_of(rbm, data, 4)
}

/// The gradient of the mean log-likelihood by central differences of −F(v) − ln Z, ln Z by enumeration, of a machine of five visible units.
pub(crate) fn gradient_of(rbm: &Rbm, data: &States, hidden: usize) -> Vec<f64> {
    // 20,000 images are of at most 32 kinds.
    let mut counts = [0.0; 32];
    for image in 0..data.chains() {
        counts[(0..5).map(|unit| usize::from(data.get(unit, image)) << unit).sum::<usize>()] += 1.0 / data.chains() as f64;
    }
    let (a, b) = (5 * hidden, 5 * hidden + 5);
    differences(&params(rbm), |params| {
        let rbm = Rbm::new(&params[..a], &params[a..b], &params[b..]).unwrap();
        counts.iter().enumerate().map(|(state, n)| -n * rbm.free_energy(&units(state, 5))).sum::<f64>() - rbm.ln_z().unwrap()
    })
}

/// Central differences.
pub(crate) fn differences(params: &[f32], f: impl Fn(&[f32]) -> f64) -> Vec<f64> {
    let at = |k: usize, by: f32| {
        let mut moved = params.to_vec();
        moved[k] += by;
        (f64::from(moved[k]), f(&moved))
    };
    (0..params.len())
        .map(|k| {
            let ((x_low, low), (x_high, high)) = (at(k, -1e-3), at(k, 1e-3));
            (high - low) / (x_high - x_low)
        })
        .collect()
}

pub(crate) fn file(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ergodic-rbm-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

fn resumed() {
    let data = images().select(&(0..130).collect::<Vec<_>>());
    let tempered = Negative::Tempered { sweeps: 1, chains: 7, levels: 3 };
    for negative in [Negative::Contrastive { sweeps: 2 }, Negative::Persistent { sweeps: 1, chains: 33 }, tempered] {
        let settings = Training { negative, batch: 20, rate: ergodic::Schedule::linear(0.1, 0.01, 6), ..Training::default() };
        let new = || Trainer::new(machine(5, 4, 0.1, 3), settings.clone()).unwrap();
        let (mut whole, mut first) = (new(), new());
        (0..6).for_each(|_| assert!(whole.epoch(&data).is_ok()));
        (0..2).for_each(|_| assert!(first.epoch(&data).is_ok()));
        let path = file("resumed.safetensors");
        first.save(&path).unwrap();
        let mut second = Trainer::resume(&path, settings.clone()).unwrap();
        assert_eq!(second.rbm(), first.rbm());
        assert_eq!(&Rbm::load(&path).unwrap(), first.rbm());
        (0..4).for_each(|_| assert!(second.epoch(&data).is_ok()));
        assert_eq!((second.rbm(), second.epochs()), (whole.rbm(), 6));
        assert_ne!(second.rbm(), first.rbm());
    }
}

fn damaged() {
    let settings = Training { negative: Negative::Persistent { sweeps: 1, chains: 4 }, ..Training::default() };
    let trainer = Trainer::new(machine(5, 4, 0.1, 3), settings.clone()).unwrap();
    let path = file("whole.safetensors");
    trainer.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let damaged = file("damaged.safetensors");
    let resume = |bytes: &[u8]| {
        std::fs::write(&damaged, bytes).unwrap();
        Trainer::resume(&damaged, settings.clone())
    };
    assert!(resume(&bytes).is_ok());
    for length in 0..bytes.len() {
        let error = resume(&bytes[..length]).unwrap_err();
        assert!(matches!(error, Error::Format { .. }) && error.to_string().contains("damaged.safetensors"), "{error}");
    }
    // A flipped bit of the header is an error or changes a name or number that is not read; never a panic.
    for bit in (0..8 * 400.min(bytes.len())).step_by(7) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _ = resume(&flipped);
    }
    for (name, other) in [
        ("negative", Training { negative: Negative::Persistent { sweeps: 1, chains: 5 }, ..settings.clone() }),
        ("negative", Training { negative: Negative::Persistent { sweeps: 2, chains: 4 }, ..settings.clone() }),
        ("batch", Training { batch: 7, ..settings.clone() }),
        ("rate", Training { rate: 0.01.into(), ..settings.clone() }),
        ("momentum", Training { momentum: 0.9, ..settings.clone() }),
        ("weight_decay", Training { weight_decay: 0.1, ..settings.clone() }),
        ("sparsity", Training { sparsity: Some((0.1, 0.1)), ..settings.clone() }),
        ("centred", Training { centred: false, ..settings.clone() }),
        ("seed", Training { seed: 9, ..settings.clone() }),
    ] {
        let refused = Trainer::resume(&path, other).unwrap_err();
        assert!(matches!(refused, Error::Format { .. }), "{refused}");
        assert!(refused.to_string().contains(&format!("another run: {name} is")), "{refused}");
    }
    transposed(&damaged);
    machine(5, 4, 0.1, 3).save(&damaged).unwrap();
    assert!(Trainer::resume(&damaged, Training::default()).unwrap_err().to_string().contains("no checkpoint"));
    assert!(matches!(Rbm::load(file("missing")), Err(Error::File { .. })));
    let nowhere = file("nowhere").join("a.safetensors");
    for result in [trainer.save(&nowhere), trainer.rbm().save(&nowhere)] {
        assert!(matches!(&result, Err(Error::Write { path, .. }) if *path == nowhere), "{result:?}");
    }
}

/// The bytes are those of the crate safetensors, and a number that is not finite is refused in f32 and f64.
fn as_others_write() {
    let path = file("others.safetensors");
    machine(5, 4, 0.1, 3).save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    assert_eq!(safetensors::serialize(tensors, None).unwrap(), bytes);
    let ones = [1.0f64; 4].map(f64::to_le_bytes).concat();
    for (last, is_finite) in [(2.0, true), (f64::NAN, false), (1e300, false)] {
        let w = [&ones[..24], &last.to_le_bytes()].concat();
        let view = |shape: &[usize], bytes| TensorView::new(Dtype::F64, shape.into(), bytes).unwrap();
        let tensors = [("W", view(&[2, 2], &w)), ("a", view(&[2], &ones[..16])), ("b", view(&[2], &ones[..16]))];
        std::fs::write(&path, safetensors::serialize(tensors, None).unwrap()).unwrap();
        match Rbm::load(&path) {
            Ok(rbm) => assert!(is_finite && rbm.weights() == [1.0, 1.0, 1.0, 2.0]),
            Err(e) => assert!(!is_finite && matches!(e, Error::Format { .. }) && e.to_string().contains("`W`"), "{e}"),
        }
    }
}

/// A file whose W lies the other way round says so.
fn transposed(path: &std::path::Path) {
    let zeros = [0u8; 80];
    let view = |shape: Vec<usize>| {
        let bytes = &zeros[..4 * shape.iter().product::<usize>()];
        TensorView::new(Dtype::F32, shape, bytes).unwrap()
    };
    let tensors = [("W", view(vec![4, 5])), ("a", view(vec![5])), ("b", view(vec![4]))];
    std::fs::write(path, safetensors::serialize(tensors, None).unwrap()).unwrap();
    let error = Rbm::load(path).unwrap_err().to_string();
    assert!(error.contains("W.T"), "{error}");
}
