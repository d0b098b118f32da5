//! Data sets, files of data with faults, standardisation; and files of training.

use std::{path::PathBuf, sync::Arc};

use ergodic::{
    Backend, Error, Schedule, Start,
    energy::{CholeskyGaussian, Energy, Mixture, Params},
    kernel::{Mala, Ula},
    net::{Activation, Mlp},
    train::{Contrastive, Data, Loss, Negatives, Noise, Optimizer, Standard, Toy, Trainable, Trainer, Training, load},
};
use npyz::WriterBuilder;
use safetensors::SafeTensors;

use crate::common::{
    Suite,
    stats::{accept, p_of_z, smallest, z_of_count},
};

pub(crate) fn add(suite: Suite) -> Suite {
    suite
        .test("data sets are those of their description", sets)
        .test("data sets have the law that is told of them, and not another", laws)
        .test("densities with a formula are those of the points", || {
            for toy in [Toy::Pinwheel, Toy::Checkerboard] {
                has_density(toy, |x| toy.ln_density(x).unwrap()).unwrap();
            }
            assert_eq!(Toy::Moons.ln_density([0.0; 2]), None);
            assert!([Toy::Pinwheel, Toy::Checkerboard].iter().all(|toy| toy.ln_density([f64::NAN, 0.0]).unwrap().is_nan()));
        })
        .test("planted: a pinwheel that turns the other way is found", || {
            has_density(Toy::Pinwheel, |[x, y]| Toy::Pinwheel.ln_density([x, -y]).unwrap()).unwrap_err();
        })
        .test("CSV files: rows and columns of faults are named", csv_files)
        .test("npy files in both orders and types", npy_files)
        .test("standardised data come back", standardized)
        .test("points that a standard does not fit are refused", standard_of_others)
        .both("a resumed run equals one in one go, bit for bit", resumed)
        .test("training that cannot be is refused, and points by row and column", refused)
        .test("damaged files of training are errors that name the file", damaged)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn write(folder: &tempfile::TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn sets() {
    for toy in Toy::ALL {
        let data = toy.draw(4_000, 3).unwrap();
        assert_eq!((data.dim(), data.count()), (2, 4_000));
        let first = toy.draw(10, 3).unwrap();
        assert_eq!(first.points()[..10], data.points()[..10]);
        assert_ne!(toy.draw(10, 4).unwrap(), first);
        let mean = |i: usize| data.points()[i * 4_000..][..4_000].iter().map(|&x| f64::from(x)).sum::<f64>() / 4_000.0;
        let most = data.points().iter().fold(0f32, |most, x| most.max(x.abs()));
        assert!(mean(0).abs() < 1.0 && mean(1).abs() < 1.0 && most < 8.0 && most > 1.0, "{toy:?}: {most}");
    }
    // On the board: in black squares alone. On the rings: near a circle of radius 1 or 2.
    let board = Toy::Checkerboard.draw(1_000, 1).unwrap();
    let rings = Toy::Rings.draw(1_000, 1).unwrap();
    let at = |data: &Data, p: usize| [0, 1].map(|i| f64::from(data.points()[i * 1_000 + p]));
    for p in 0..1_000 {
        let [x, y] = at(&board, p);
        assert_eq!((x.floor() + y.floor()).rem_euclid(2.0), 0.0, "{x}, {y}");
        let [x, y] = at(&rings, p);
        let r = x.hypot(y);
        assert!((r - 1.0).abs().min((r - 2.0).abs()) < 0.45, "{r}");
    }
    assert!(matches!(Toy::Moons.draw(0, 1), Err(Error::Setting { .. })));
    assert!(matches!(Toy::Moons.draw(usize::MAX, 1), Err(Error::Limit { .. })));
}

/// The least p of the counts of draws in the cells of a board under a law, by quadrature.
fn worst_cell(toy: Toy, law: &Mixture) -> (String, f64) {
    const SIDE: usize = 12;
    const FINE: usize = 12 * SIDE;
    const HALF: f64 = 6.0;
    let n = 50_000;
    let cell = |x: f64| (((x + HALF) / (2.0 * HALF) * SIDE as f64) as usize).min(SIDE - 1);
    let (mut counts, mut parts) = (vec![0u64; SIDE * SIDE], vec![0.0; SIDE * SIDE]);
    let draws = toy.draw(n, 17).unwrap();
    for p in 0..n {
        let [x, y] = [0, 1].map(|i| f64::from(draws.points()[i * n + p]));
        counts[cell(y) * SIDE + cell(x)] += 1;
    }
    let (params, middle) = (law.params(), |i: usize| HALF * ((2 * i + 1) as f64 / FINE as f64 - 1.0));
    for k in 0..FINE * FINE {
        let at = [middle(k % FINE), middle(k / FINE)];
        parts[cell(at[1]) * SIDE + cell(at[0])] += (-law.energy(Params::new(&params), &at)).exp();
    }
    let all: f64 = parts.iter().sum();
    let of_cell = |(i, (&count, part)): (usize, (&u64, &f64))| {
        (format!("{toy:?}, cell {i}"), p_of_z(z_of_count(count, n as u64, part / all)))
    };
    // A cell with few is not near a normal law.
    smallest(counts.iter().zip(&parts).enumerate().filter(|(_, (_, part))| *part / all > 1e-3).map(of_cell))
}

fn laws() {
    for toy in Toy::ALL {
        let Some(law) = toy.law() else { continue };
        let (what, p) = worst_cell(toy, &law);
        accept(&what, p);
        let other = if toy == Toy::Rings { Toy::Moons } else { Toy::Rings };
        let (_, p) = worst_cell(toy, &other.law().unwrap());
        assert!(p < 1e-12, "{toy:?} passes for another: {p}");
    }
}

/// The mass is one within 10⁻⁴ on a grid, and the mean of −ln p over points the entropy within four standard errors.
fn has_density(toy: Toy, ln_p: impl Fn([f64; 2]) -> f64) -> Result<(), String> {
    let (cells, side, points) = (600, 12.0 / 600.0, 50_000);
    let middle = |i: usize| -6.0 + side * (i as f64 + 0.5);
    let logs: Vec<_> = (0..cells * cells).map(|k| ln_p([middle(k % cells), middle(k / cells)])).collect();
    let mass = logs.iter().map(|l| l.exp()).sum::<f64>() * side * side;
    let entropy = logs.iter().filter(|l| **l > -700.0).map(|l| -l.exp() * l).sum::<f64>() * side * side;
    let data = toy.draw(points, 1).unwrap();
    let (xs, ys) = data.points().split_at(points);
    let values: Vec<_> = xs.iter().zip(ys).map(|(&x, &y)| -ln_p([x.into(), y.into()])).collect();
    let mean = values.iter().sum::<f64>() / points as f64;
    let sd = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / points as f64).sqrt();
    let error = 4.0 * sd / (points as f64).sqrt() + 1e-6;
    if (mass - 1.0).abs() < 1e-4 && (mean - entropy).abs() < error {
        Ok(())
    } else {
        Err(format!("{toy:?}: ∫ p = {mass}; mean of −ln p {mean}, entropy {entropy}"))
    }
}

fn csv_files() {
    let folder = folder();
    let path = write(&folder, "good.csv", "x, y\n1, 2\n3.5,-4e1\n");
    let data = Data::from_csv(&path).unwrap();
    assert_eq!((data.dim(), data.points()), (2, &[1.0, 3.5, 2.0, -40.0][..]));
    assert_eq!(Data::from_csv(write(&folder, "bare.csv", "1\n2\n")).unwrap().points(), [1.0, 2.0]);
    for (name, text, says) in [
        ("ragged.csv", "1,2\n3\n", "1 fields in row 2 (counted from 1)"),
        ("nan.csv", "a,b\n1,2\n3,NaN\n", "`NaN` in row 3, column 2 (counted from 1)"),
        ("word.csv", "1,2\n3,four\n", "`four` in row 2, column 2"),
        ("large.csv", "1,1e300\n", "`1e300` in row 1, column 2"),
        ("hole.csv", "1,2\n,3\n", "`` in row 2, column 1"),
        ("empty.csv", "", "no rows"),
        ("header.csv", "a,b\n", "no rows"),
    ] {
        let error = Data::from_csv(write(&folder, name, text)).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Format { .. }) && text.contains(says) && text.contains(name), "{text}");
    }
    assert!(matches!(Data::from_csv(folder.path().join("missing")), Err(Error::File { .. })));
    let error = Data::new(2, [0.0, 1.0, f32::NAN, 2.0]).unwrap_err().to_string();
    assert!(error.contains("row 1, column 2 (counted from 1)"), "{error}");
    assert!(matches!(Data::new(2, [0.0]), Err(Error::Shape { .. })));
    assert!(matches!(Data::new(2, []), Err(Error::Setting { .. })));
}

fn npy<T: npyz::AutoSerialize + Clone>(
    folder: &tempfile::TempDir,
    name: &str,
    shape: &[u64],
    order: npyz::Order,
    values: &[T],
) -> PathBuf {
    let mut bytes = Vec::new();
    {
        let mut writer =
            npyz::WriteOptions::new().default_dtype().shape(shape).order(order).writer(&mut bytes).begin_nd().unwrap();
        writer.extend(values.iter().cloned()).unwrap();
        writer.finish().unwrap();
    }
    write(folder, name, bytes)
}

fn npy_files() {
    let folder = folder();
    let by_point = [1.0, 10.0, 2.0, 20.0, 3.0, 30.0];
    let expected = [1.0, 2.0, 3.0, 10.0, 20.0, 30.0];
    let narrow = by_point.map(|x| x as f32);
    let good = [
        npy(&folder, "c.npy", &[3, 2], npyz::Order::C, &by_point),
        npy(&folder, "f.npy", &[3, 2], npyz::Order::Fortran, &expected.map(f64::from)),
        npy(&folder, "f32.npy", &[3, 2], npyz::Order::C, &narrow),
    ];
    for path in good {
        let data = Data::from_npy(&path).unwrap();
        assert_eq!((data.dim(), data.points()), (2, &expected[..]), "{}", path.display());
    }
    assert_eq!(Data::from_npy(npy(&folder, "line.npy", &[6], npyz::Order::C, &by_point)).unwrap().dim(), 1);
    macro_rules! integers {
        ($($number:ty),*) => {$(
            let name = format!("{}.npy", stringify!($number));
            let path = npy(&folder, &name, &[3, 2], npyz::Order::C, &by_point.map(|x| x as $number));
            assert_eq!(Data::from_npy(path).unwrap().points(), expected, "{name}");
        )*};
    }
    integers!(i8, i16, i32, i64, u8, u16, u32, u64);
    let negative = npy(&folder, "negative.npy", &[2], npyz::Order::C, &[-1i8, -128]);
    assert_eq!(Data::from_npy(negative).unwrap().points(), [-1.0, -128.0]);
    let mut with_nan = by_point;
    with_nan[3] = f64::NAN;
    for (path, says) in [
        (npy(&folder, "nan.npy", &[3, 2], npyz::Order::C, &with_nan), "row 2, column 2 (counted from 1)"),
        (npy(&folder, "cube.npy", &[1, 3, 2], npyz::Order::C, &by_point), "[1, 3, 2]"),
        (npy(&folder, "bool.npy", &[6], npyz::Order::C, &[true; 6]), "cannot be read as numbers (it holds"),
        (write(&folder, "text.npy", "no array"), "no .npy file"),
    ] {
        let error = Data::from_npy(path).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

fn standardized() {
    let data = Toy::Pinwheel.draw(500, 2).unwrap();
    let (standard, how) = data.standardized().unwrap();
    for row in standard.points().chunks(500) {
        let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / 500.0;
        let square = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 500.0;
        assert!(mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-6);
    }
    how.undo(standard.points()).unwrap().iter().zip(data.points()).for_each(|(a, b)| assert!((a - b).abs() < 1e-5));
    let constant = Data::new(2, [1.0, 2.0, 5.0, 5.0]).unwrap();
    assert!(constant.standardized().unwrap_err().to_string().contains("column 2 (counted from 1)"));
    let (one, two) = data.split(100).unwrap();
    assert_eq!((one.count(), two.count(), two.points()[0]), (100, 400, data.points()[100]));
    assert!(data.split(500).is_err());
}

fn standard_of_others() {
    let standard = Standard { mean: vec![0.0, 1.0], sd: vec![1.0, 2.0] };
    assert_eq!(standard.apply(&[1.0, 3.0]).unwrap(), [1.0, 1.0]);
    for points in [&[][..], &[0.0; 3], &[0.0, f32::NAN]] {
        assert!(standard.apply(points).is_err() && standard.undo(points).is_err(), "{points:?}");
    }
    for (mean, sd) in [(vec![], vec![]), (vec![0.0; 2], vec![1.0]), (vec![0.0], vec![0.0]), (vec![f64::NAN], vec![1.0])] {
        let wrong = Standard { mean, sd };
        assert!(wrong.apply(&[1.0, 3.0]).is_err(), "{wrong:?}");
    }
}

fn start() -> Arc<CholeskyGaussian> {
    Arc::new(CholeskyGaussian::isotropic([0.0, 0.0], 1.2).unwrap())
}

fn trainings() -> Vec<Training> {
    let cd = || Contrastive::new(Mala::new(0.3), 2);
    let noise = Noise::normal([0.0, 0.0], [3.0]).unwrap();
    [
        Loss::Contrastive(cd()),
        Loss::Contrastive(cd().persistent(64, Start::normal([0.0], 1.0))),
        Loss::denoising(0.2),
        Loss::NoiseContrastive { noise, ratio: 1 },
        Loss::Contrastive(cd().negatives(Negatives::Replay { slots: 150, renewal: 0.1, start: Start::normal([0.0], 1.0) })),
    ]
    .into_iter()
    .map(|loss| Training::new(loss, Optimizer::adam(0.02)).batch(100).average(0.9).seed(5))
    .collect()
}

/// What is resumed in the middle ends as what was never interrupted; gives the rollbacks on the way.
fn resumes(backend: &Backend, model: &Arc<dyn Trainable>, training: &Training) -> u32 {
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    let data = Toy::Moons.draw(330, 1).unwrap();
    let mut whole = Trainer::new(backend, model.clone(), training.clone()).unwrap();
    whole.run(data.points(), 60).unwrap();
    for before in [25, 50] {
        let mut first = Trainer::new(backend, model.clone(), training.clone()).unwrap();
        first.run(data.points(), before).unwrap();
        first.save(&path).unwrap();
        let mut second = Trainer::resume(backend, model.clone(), training.clone(), &path).unwrap();
        assert_eq!((second.params(), second.updates()), (first.params(), before));
        second.run(data.points(), 60 - before).unwrap();
        assert_eq!(second.params(), whole.params(), "{:?}", training.loss);
        assert_eq!(second.averaged().unwrap().params(), whole.averaged().unwrap().params());
        assert_eq!((second.slots(), second.log_normalizer()), (whole.slots(), whole.log_normalizer()));
        assert_eq!(second.rollbacks(), whole.rollbacks());
        assert_ne!(second.params(), first.params());
        assert_eq!(load(&**model, &path).unwrap().params(), first.params());
    }
    whole.rollbacks()
}

fn resumed(backend: Backend) {
    let model: Arc<dyn Trainable> = start();
    for training in trainings() {
        assert_eq!(resumes(&backend, &model, &training), 0);
        // Also where it goes back, after the first of the saved states and before the second, to one that was stored.
        let rates = Schedule::list([vec![0.02; 45], vec![1e14], vec![0.02]].concat());
        assert!(resumes(&backend, &model, &Training { optimizer: Optimizer::adam(rates), ..training }) > 0);
    }
    // A network's chains, which go through its layers.
    let network: Arc<dyn Trainable> = Arc::new(Mlp::new(2, &[12, 12], Activation::Silu, 1).unwrap().confined(0.5).unwrap());
    let chains = Contrastive::new(Ula::new(0.01), 3).persistent(64, Start::normal([0.0], 1.0));
    for loss in [Loss::Contrastive(chains), Loss::sliced()] {
        assert_eq!(resumes(&backend, &network, &Training::new(loss, Optimizer::adam(0.01)).batch(100).average(0.9)), 0);
    }
}

fn damaged() {
    let folder = folder();
    let training = trainings().swap_remove(1);
    let mut trainer = Trainer::new(&Backend::cpu(), start(), training.clone()).unwrap();
    trainer.run(Toy::Moons.draw(200, 1).unwrap().points(), 3).unwrap();
    let path = folder.path().join("run.safetensors");
    trainer.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let resume = |bytes: &[u8]| {
        let path = write(&folder, "damaged.safetensors", bytes);
        Trainer::resume(&Backend::cpu(), start(), training.clone(), path)
    };
    assert!(resume(&bytes).is_ok());
    for length in (0..bytes.len()).step_by(13) {
        let error = resume(&bytes[..length]).unwrap_err();
        assert!(matches!(error, Error::Format { .. }) && error.to_string().contains("damaged.safetensors"), "{error}");
    }
    for bit in (0..8 * 2_000.min(bytes.len())).step_by(31) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _ = resume(&flipped);
    }
    // The layout is that of the crate safetensors; the first number is of `good.0.average`.
    let again = safetensors::serialize(SafeTensors::deserialize(&bytes).unwrap().tensors(), None).unwrap();
    let data = |bytes: &[u8]| bytes[8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize..].to_vec();
    assert_eq!(data(&again), data(&bytes));
    let (mut infinite, at) = (bytes.clone(), bytes.len() - data(&bytes).len());
    infinite[at..at + 8].copy_from_slice(&f64::INFINITY.to_le_bytes());
    let error = resume(&infinite).unwrap_err().to_string();
    assert!(error.contains("`good.0.average` that is not finite"), "{error}");
    let nowhere = folder.path().join("nowhere").join("run.safetensors");
    assert!(matches!(trainer.save(&nowhere), Err(Error::Write { path, .. }) if path == nowhere));
    // Of another energy, and of another loss.
    let other = Arc::new(CholeskyGaussian::isotropic([0.0; 3], 1.0).unwrap());
    assert!(matches!(Trainer::resume(&Backend::cpu(), other.clone(), training.clone(), &path), Err(Error::Format { .. })));
    assert!(matches!(Trainer::resume(&Backend::cpu(), start(), trainings().swap_remove(3), &path), Err(Error::Format { .. })));
    assert!(matches!(load(&*other, &path), Err(Error::Format { .. })));
    // With other settings, each by its name.
    for (name, change) in [
        ("loss", (|t| t.loss = Loss::ImplicitScoreMatching) as fn(&mut Training)),
        ("optimizer", |t| t.optimizer = Optimizer::adam(0.9)),
        ("batch", |t| t.batch = 9),
        ("average", |t| t.average = t.average.map(|decay| 0.5 * decay)),
        ("most_gap", |t| t.most_gap = 9.0),
        ("most_rollbacks", |t| t.most_rollbacks = 99),
        ("seed", |t| t.seed = 99),
    ] {
        let mut other = training.clone();
        change(&mut other);
        let refused = Trainer::resume(&Backend::cpu(), start(), other, &path).unwrap_err();
        assert!(matches!(refused, Error::Format { .. }), "{refused}");
        assert!(refused.to_string().contains(&format!("another run: {name} is")), "{refused}");
    }
}

/// Losses too large for any memory; data with a number that is not finite.
fn refused() {
    let noise = Noise::normal([0.0; 2], [1.0]).unwrap();
    let mala = || Contrastive::new(Mala::new(0.1), 1);
    let start = Start::point([0.0]);
    let replay = Negatives::Replay { slots: usize::MAX, renewal: 0.1, start: start.clone() };
    let run = |loss: Loss, data: &[f32]| {
        let target = Arc::new(CholeskyGaussian::isotropic([0.0; 2], 1.0).unwrap());
        Trainer::new(&Backend::cpu(), target, Training::new(loss, Optimizer::adam(0.01)))?.run(data, 1)
    };
    for loss in [
        Loss::Contrastive(mala().persistent(usize::MAX, start)),
        Loss::Contrastive(mala().negatives(replay)),
        Loss::SlicedScoreMatching { projections: usize::MAX, variance_reduced: false },
        Loss::SlicedScoreMatching { projections: usize::MAX, variance_reduced: true },
        Loss::NoiseContrastive { noise: noise.clone(), ratio: usize::MAX },
    ] {
        let refused = run(loss, &[0.0; 4]);
        assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
    }
    let like = |points: &[f32], dim| Noise::like(points, dim).unwrap_err();
    // An update that nobody could stop.
    for steps in [100_001, u64::MAX] {
        let refused = run(Loss::Contrastive(Contrastive::new(Mala::new(0.1), steps)), &[0.0; 4]).unwrap_err();
        let says = refused.to_string();
        assert!(
            matches!(refused, Error::Setting { .. }) && says.contains(&format!("= {steps}: must be at most 100000")),
            "{says}"
        );
    }
    // Numbers in few digits.
    let says = run(Loss::denoising(1e-300), &[0.0; 4]).unwrap_err().to_string();
    assert!(says.contains("noise level = 1e-300: "), "{says}");
    let says = like(&[1e-30, 1e-30, 0.0, 1.0], 2).to_string();
    assert!(says.len() < 200, "{says}");
    let refused = run(Loss::ImplicitScoreMatching, &[0.0, 0.0, 0.0, 0.0, f32::INFINITY, 0.0]).unwrap_err().to_string();
    assert!(refused.contains("data, row 2, column 2 (counted from 1) = inf"), "{refused}");
    let boxed = Loss::NoiseContrastive { noise: Noise::uniform([-1.0; 2], [1.0]).unwrap(), ratio: 1 };
    let refused = run(boxed, &[0.0, 0.0, 0.0, 0.0, 1.5, 0.0]).unwrap_err().to_string();
    assert!(
        refused.contains("data, row 2, column 2 (counted from 1) = 1.5: must be in the box of the noise, -1.0 to 1.0"),
        "{refused}"
    );
    assert!(like(&[0.0, 1.0, 2.0, f32::NAN], 2).to_string().contains("points, row 2, column 2 (counted from 1) = NaN"));
    assert!(matches!(like(&[0.0, 1.0, 2.0], 2), Error::Shape { .. }));
    assert!(matches!(like(&[0.0, 1.0], 0), Error::Setting { .. }));
}
