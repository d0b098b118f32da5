//! What judges a model, against closed forms.

use std::sync::Arc;

use ergodic::{
    AnnealedImportance, Backend, Base, Error,
    energy::{Call, DoubleWell, Energy, Gaussian, Params},
    kernel::{Hmc, Kernel},
    program::Composer,
    random::{Draws, Stream, key},
    train::{Grid, Normality, Toy, energy_distance, log_likelihood_bracket, sliced_wasserstein},
};

use crate::common::Suite;

pub(crate) fn add(suite: Suite) -> Suite {
    suite
        .test("quadrature against the closed forms of Gaussians", quadrature)
        .test("KL from toys of either kind of law is the mean of the log ratio over their points", toys)
        .test("two-sample distances against closed forms", distances)
        .test("grids and samples that cannot be are refused", refused)
        .test("energies that are no numbers are refused, with the point", broken)
        .test("anomaly scores by hand", scores)
        .test("a bracket of the log-likelihood holds the value by quadrature", bracket)
}

fn near(found: f64, expected: f64, within: f64) {
    assert!((found - expected).abs() < within, "{found} is not {expected}");
}

fn quadrature() {
    // Numbers that f32 holds exactly.
    let p = Gaussian::diagonal([0.25, -0.25], &[1.0, 0.5]).unwrap();
    let q = Gaussian::diagonal([0.0, 0.125], &[2.0, 1.0]).unwrap();
    let grid = Grid::new([-24.0, -12.0], [24.0, 12.0], 800).unwrap();
    near(grid.ln_z(&p).unwrap(), (std::f64::consts::TAU * 0.5).ln(), 1e-9);
    let kl = |m: f64, s: f64, t: f64| (t / s).ln() + (s * s + m * m) / (2.0 * t * t) - 0.5;
    near(grid.kl(&p, &q).unwrap(), kl(0.25, 1.0, 2.0) + kl(-0.375, 0.5, 1.0), 1e-9);
    near(grid.kl(&p, &p).unwrap(), 0.0, 1e-12);
    // ½ E (a (x − m) + b)² with a the difference of precisions and b of the linear terms.
    let fisher = |m: f64, s: f64, t: f64| {
        let (a, b) = (1.0 / (s * s) - 1.0 / (t * t), -m / (t * t));
        0.5 * (a * a * s * s + b * b)
    };
    near(grid.fisher(&p, &q).unwrap(), fisher(0.25, 1.0, 2.0) + fisher(-0.375, 0.5, 1.0), 1e-9);
    assert!(Grid::new([0.0; 3], [1.0], 10).is_err() && Grid::new([0.0], [0.0], 10).is_err());
    assert!(Grid::new([0.0], [1.0], 10).unwrap().ln_z(&p).is_err());
}

fn toys() {
    let q = Gaussian::diagonal([0.25, -0.25], &[1.5, 2.0]).unwrap();
    // The squares of the board are whole cells.
    let grid = Grid::new([-4.0, -4.0], [4.0], 400).unwrap();
    let (of_q, ln_z) = (q.params(), grid.ln_z(&q).unwrap());
    for toy in [Toy::EightGaussians, Toy::Pinwheel, Toy::Checkerboard] {
        let law = toy.law().map(|law| (law.params(), grid.ln_z(&law).unwrap(), law));
        let ln_p = |x: [f64; 2]| match &law {
            Some((params, ln_z, law)) => -law.energy(Params::new(params), &x) - ln_z,
            None => toy.ln_density(x).unwrap(),
        };
        let n = 50_000;
        let data = toy.draw(n, 3).unwrap();
        let ratio = |p: usize| {
            let x = [0, 1].map(|i| f64::from(data.points()[i * n + p]));
            ln_p(x) + q.energy(Params::new(&of_q), &x) + ln_z
        };
        let ratios: Vec<_> = (0..n).map(ratio).collect();
        let mean = ratios.iter().sum::<f64>() / n as f64;
        let sd = (ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
        let found = grid.kl_of_toy(toy, &q).unwrap();
        assert!((found - mean).abs() < 4.0 * sd / (n as f64).sqrt() + 1e-4 && found > 0.2, "{toy:?}: {found} is not {mean}");
    }
    let line = Grid::new([-4.0], [4.0], 40).unwrap();
    for toy in [Toy::Moons, Toy::Checkerboard] {
        assert!(matches!(line.kl_of_toy(toy, &Gaussian::standard(1)), Err(Error::Shape { expected: 2, .. })));
    }
}

/// Normals of a mean, `[2][point]`.
fn normals(mean: f64, points: usize, seed: u64) -> Vec<f32> {
    let key = key(seed, Stream::Data, 99);
    let mut x = vec![0f32; 2 * points];
    for p in 0..points {
        let mut z = [0.0; 2];
        Draws::new(key, p as u32, 0).normals(0, &mut z);
        (x[p], x[points + p]) = ((mean + z[0]) as f32, z[1] as f32);
    }
    x
}

fn distances() {
    let (a, b, c) = (normals(0.0, 2_000, 1), normals(0.0, 1_500, 2), normals(1.0, 1_500, 2));
    // 2 E|X − Y| less both own: for points, by hand: X = {0, 2}, Y = {1}: 2 − 2 − 0.
    near(energy_distance(&[0.0, 2.0], &[1.0], 1).unwrap(), 0.0, 1e-12);
    near(energy_distance(&a, &b, 2).unwrap(), 0.0, 0.01);
    // N(μ, I) against N(0, I) in two dimensions with |μ| = 1: 2E|μ + √2 Z| − 2E|√2 Z|, E|√2 Z| = √π, and by quadrature 1.98925.
    let expected = shifted();
    near(energy_distance(&a, &c, 2).unwrap(), expected, 0.06);
    // The mean of |cos| over directions, 2/π.
    near(sliced_wasserstein(&a, &c, 2, 2_000, 3).unwrap(), 2.0 / std::f64::consts::PI, 0.05);
    near(sliced_wasserstein(&[0.0, 1.0], &[0.0, 0.5, 1.0], 1, 1, 3).unwrap(), 1.0 / 6.0, 1e-9);
    assert!(energy_distance(&a[1..], &b, 2).is_err());
}

fn refused() {
    for (low, high) in [(f64::NEG_INFINITY, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY), (0.0, f64::NAN), (1.0, 1.0)] {
        let refused = Grid::new([0.0, low], [2.0, high], 10);
        assert!(matches!(refused, Err(Error::Setting { .. })), "{refused:?}");
    }
    for (dim, cells) in [(1, usize::MAX), (2, usize::MAX), (2, 1 << 32), (2, 1 << 16)] {
        let refused = Grid::new(vec![0.0; dim], [1.0], cells);
        assert!(matches!(refused, Err(Error::Limit { .. })), "{cells} cells a side: {refused:?}");
    }
    let sliced = sliced_wasserstein(&[0.0, 1.0], &[0.0, 1.0], 1, usize::MAX, 3);
    assert!(matches!(sliced, Err(Error::Limit { .. })), "{sliced:?}");
    let model: Arc<dyn Energy> = Arc::new(Gaussian::standard(2));
    let (good, bad) = ([0.0; 6], [0.0, 0.0, 0.0, 0.0, f32::NAN, 0.0]);
    for refused in [
        energy_distance(&bad, &good, 2),
        energy_distance(&good, &bad, 2),
        sliced_wasserstein(&good, &bad, 2, 8, 1),
        Grid::new([-5.0, -5.0], [5.0], 10).unwrap().log_likelihood(&model, &bad),
    ] {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("points, row 2, column 2 (counted from 1)"), "{refused}");
    }
    assert!(matches!(energy_distance(&good, &good, 0), Err(Error::Setting { .. })));
}

/// 2 (E|μ + √2 Z| − √π) for |μ| = 1, the first mean by a sum over a grid.
fn shifted() -> f64 {
    let (mut sum, mut weight) = (0.0, 0.0);
    for i in -400..400 {
        for j in -400..400 {
            let (x, y) = (f64::from(i) * 0.02, f64::from(j) * 0.02);
            let w = (-0.25 * (x * x + y * y)).exp();
            sum += w * (1.0 + x).hypot(y);
            weight += w;
        }
    }
    2.0 * (sum / weight - std::f64::consts::PI.sqrt())
}

/// A Gaussian whose energy and gradient are these numbers where x₀ > 0.
#[derive(Debug)]
struct Broken {
    whole: Gaussian,
    energy: f64,
    grad: f64,
}

impl Energy for Broken {
    fn name(&self) -> String {
        "broken".into()
    }

    fn dim(&self) -> usize {
        self.whole.dim()
    }

    fn params(&self) -> Vec<f32> {
        self.whole.params()
    }

    fn compose(&self, program: &mut Composer) -> ergodic::Result<Call> {
        self.whole.compose(program)
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        if x[0] > 0.0 { self.energy } else { self.whole.energy(params, x) }
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let energy = self.whole.energy_and_grad(params, x, grad);
        if x[0] <= 0.0 {
            return energy;
        }
        grad.fill(self.grad);
        self.energy
    }
}

fn broken() {
    let whole = Gaussian::standard(2);
    let broken = |energy, grad| Broken { whole: whole.clone(), energy, grad };
    let grid = Grid::new([-4.0, -4.0], [4.0], 16).unwrap();
    // The first cell past the middle.
    let at = "[0.25, -3.75]";
    for energy in [f64::NAN, f64::NEG_INFINITY] {
        let bad = broken(energy, 0.0);
        let shared: Arc<dyn Energy> = Arc::new(broken(energy, 0.0));
        for refused in [grid.ln_z(&bad), grid.kl(&whole, &bad), grid.kl(&bad, &whole), grid.fisher(&bad, &whole)] {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains(at), "{refused}");
        }
        let refused = grid.log_likelihood(&shared, &[-1.0, 1.0, 0.0, 0.0]).unwrap_err().to_string();
        assert!(refused.contains("energy of the points, row 2 (counted from 1)"), "{refused}");
    }
    let refused = grid.kl_of(|x| if x[0] > 0.0 { f64::NAN } else { 0.0 }, &whole).unwrap_err().to_string();
    assert!(refused.contains(at), "{refused}");
    let refused = grid.fisher(&broken(0.0, f64::NAN), &whole).unwrap_err().to_string();
    assert!(refused.contains(at), "{refused}");
    // Half of a plane without mass is a law like any other; a box without mass is none.
    near(grid.ln_z(&broken(f64::INFINITY, 0.0)).unwrap(), grid.ln_z(&whole).unwrap() - 2f64.ln(), 1e-9);
    near(grid.kl(&broken(f64::INFINITY, f64::INFINITY), &whole).unwrap(), 2f64.ln(), 1e-9);
    near(grid.fisher(&broken(f64::INFINITY, f64::INFINITY), &whole).unwrap(), 0.0, 1e-9);
    let empty = Grid::new([1.0, -4.0], [4.0], 16).unwrap().ln_z(&broken(f64::INFINITY, 0.0));
    assert!(matches!(empty, Err(Error::Setting { .. })), "{empty:?}");
}

fn scores() {
    let normal = Normality::new([3.0, 1.0, 2.0, 4.0]).unwrap();
    assert_eq!((normal.quantile(0.5).unwrap(), normal.quantile(1.0).unwrap(), normal.quantile(0.0).unwrap()), (2.0, 4.0, 1.0));
    assert_eq!((normal.p_value(5.0).unwrap(), normal.p_value(3.0).unwrap(), normal.p_value(0.0).unwrap()), (0.2, 0.6, 1.0));
    near(normal.roc_area(&[5.0, 2.5, 2.0]).unwrap(), (4.0 + 2.0 + 1.5) / 12.0, 1e-12);
    assert!(Normality::new([]).is_err() && Normality::new([f64::NAN]).is_err());
    assert!(normal.quantile(f64::NAN).is_err() && normal.quantile(1.1).is_err() && normal.p_value(f64::NAN).is_err());
    assert!(normal.roc_area(&[]).is_err() && normal.roc_area(&[1.0, f64::NAN]).is_err());
}

fn bracket() {
    let model: Arc<dyn Energy> = Arc::new(DoubleWell::new(2, 1.0).unwrap());
    let points = normals(0.0, 50, 4);
    let exact = Grid::new([-5.0, -5.0], [5.0], 400).unwrap().log_likelihood(&model, &points).unwrap();
    let base = Base::normal([0.0, 0.0], [1.0]).unwrap();
    let kernel: Arc<dyn Kernel> = Arc::new(Hmc::new(0.2, 4));
    let cpu = Backend::cpu();
    let chains = 512;
    let mut run = cpu.chains_of(model.clone(), kernel.clone()).count(chains).seed(3).build().unwrap();
    run.advance(200).unwrap();
    let importance = AnnealedImportance::linear(60).chains(chains).seed(5);
    let draws = run.positions().unwrap();
    let [low, high] = log_likelihood_bracket(&cpu, &model, &base, &importance, &kernel, &draws, &points).unwrap();
    assert!((low - exact).abs() < 0.05 && (high - exact).abs() < 0.05, "{low} to {high} for {exact}");
}
