//! Families with exact draws and the distribution function of each coordinate.

use std::sync::Arc;

use ergodic::{
    Result,
    energy::{Beta, Compose, Dirichlet, Energy, Exponential, Gamma, Gaussian, HalfCauchy, InverseGamma, StudentT, WgslEnergy},
    random::normal_pair,
    transform::{Log, Logit, StickBreaking},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rayon::prelude::*;
use statrs::distribution::{self, ContinuousCDF};

/// A distribution function.
type Cdf = Box<dyn Fn(f64) -> f64 + Sync>;

/// A family on its support, in free coordinates.
#[derive(Clone)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) energy: Arc<dyn Energy>,
    draw: fn(&mut StdRng) -> Vec<f64>,
    cdf: fn(usize) -> Cdf,
}

impl Family {
    /// Exact draws, [dim][chain].
    pub(crate) fn draws(&self, n: usize, seed: u64) -> Vec<f32> {
        let mut rng = StdRng::seed_from_u64(seed);
        let points: Vec<_> = (0..n).map(|_| (self.draw)(&mut rng)).collect();
        (0..self.energy.dim()).flat_map(|i| points.iter().map(move |x| x[i] as f32)).collect()
    }

    /// Positions of a coordinate on the scale of its distribution function, where their law is uniform.
    pub(crate) fn uniform(&self, coordinate: usize, x: &[f32]) -> Vec<f64> {
        let cdf = (self.cdf)(coordinate);
        x.par_iter().map(|&x| cdf(f64::from(x))).collect()
    }

    /// The same family as another energy.
    pub(crate) fn of(&self, energy: impl Energy + 'static) -> Self {
        Self { energy: Arc::new(energy), ..self.clone() }
    }
}

fn cdf_of(law: impl ContinuousCDF<f64, f64> + Sync + 'static) -> Cdf {
    Box::new(move |x| law.cdf(x))
}

fn normal(rng: &mut StdRng) -> f64 {
    normal_pair([rng.random(), rng.random()])[0]
}

/// A gamma of rate one, by Marsaglia and Tsang (2000); below shape one by theirs of shape + 1 (Stuart).
fn gamma(rng: &mut StdRng, shape: f64) -> f64 {
    if shape < 1.0 {
        let u: f64 = rng.random();
        return gamma(rng, shape + 1.0) * u.powf(shape.recip());
    }
    let d = shape - 1.0 / 3.0;
    loop {
        let z = normal(rng);
        let v = (1.0 + z / (9.0 * d).sqrt()).powi(3);
        let u: f64 = rng.random();
        if v > 0.0 && u.ln() < 0.5 * z * z + d * (1.0 - v + v.ln()) {
            return d * v;
        }
    }
}

const CONCENTRATIONS: [f64; 3] = [1.5, 2.5, 0.8];

/// Every family. The normal is the Gaussian, in free coordinates anyway.
pub(crate) fn families() -> Result<Vec<Family>> {
    let above = || Log::above(0.0);
    Ok(vec![
        Family {
            name: "normal",
            energy: Arc::new(Gaussian::isotropic([0.5], 1.3)?),
            draw: |rng| vec![0.5 + 1.3 * normal(rng)],
            cdf: |_| cdf_of(distribution::Normal::new(0.5, 1.3).unwrap()),
        },
        Family {
            name: "exponential",
            energy: Arc::new(Exponential::new(1, 1.5)?.constrain(0..1, above())?),
            draw: |rng| vec![gamma(rng, 1.0) / 1.5],
            cdf: |_| cdf_of(distribution::Exp::new(1.5).unwrap()),
        },
        Family {
            name: "gamma",
            energy: Arc::new(Gamma::new(1, 2.5, 2.0)?.constrain(0..1, above())?),
            draw: |rng| vec![gamma(rng, 2.5) / 2.0],
            cdf: |_| cdf_of(distribution::Gamma::new(2.5, 2.0).unwrap()),
        },
        Family {
            name: "beta",
            energy: Arc::new(Beta::new(1, 0.8, 2.5)?.constrain(0..1, Logit::between(0.0, 1.0))?),
            draw: |rng| {
                let (a, b) = (gamma(rng, 0.8), gamma(rng, 2.5));
                vec![a / (a + b)]
            },
            cdf: |_| cdf_of(distribution::Beta::new(0.8, 2.5).unwrap()),
        },
        Family {
            name: "dirichlet",
            energy: Arc::new(Dirichlet::new(&CONCENTRATIONS)?.constrain(0..3, StickBreaking)?),
            draw: |rng| {
                let parts = CONCENTRATIONS.map(|alpha| gamma(rng, alpha));
                let sum: f64 = parts.iter().sum();
                parts.map(|part| part / sum).into()
            },
            cdf: |i| {
                let rest = CONCENTRATIONS.iter().sum::<f64>() - CONCENTRATIONS[i];
                cdf_of(distribution::Beta::new(CONCENTRATIONS[i], rest).unwrap())
            },
        },
        Family {
            name: "inverse gamma",
            energy: Arc::new(InverseGamma::new(1, 3.0, 2.0)?.constrain(0..1, above())?),
            draw: |rng| vec![2.0 / gamma(rng, 3.0)],
            cdf: |_| cdf_of(distribution::InverseGamma::new(3.0, 2.0).unwrap()),
        },
        Family {
            name: "half-Cauchy",
            energy: Arc::new(HalfCauchy::new(1, 1.5)?.constrain(0..1, above())?),
            draw: |rng| vec![1.5 * (normal(rng) / normal(rng)).abs()],
            cdf: |_| Box::new(|x| (x / 1.5).atan() / std::f64::consts::FRAC_PI_2),
        },
        Family {
            name: "Student's t",
            energy: Arc::new(StudentT::new(1, 5.0, 0.5, 1.2)?),
            draw: |rng| vec![0.5 + 1.2 * normal(rng) / (gamma(rng, 2.5) / 2.5).sqrt()],
            cdf: |_| cdf_of(distribution::StudentsT::new(0.5, 1.2, 5.0).unwrap()),
        },
    ])
}

/// One of them.
pub(crate) fn family(name: &str) -> Family {
    families().unwrap().into_iter().find(|family| family.name == name).unwrap()
}

/// The gamma of `families` as a user's own text.
pub(crate) fn own_gamma() -> Result<WgslEnergy> {
    let text = "
        fn own_energy(at: u32, x: ptr<function, Point>) -> f32 {
            let v = coordinate(x, 0u);
            if (v <= 0.0) { return infinity(); }
            return param(at) * v - 1.5 * log(v);
        }
        fn own_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
            clear(grad);
            set_coordinate(grad, 0u, param(at) - 1.5 / coordinate(x, 0u));
            return own_energy(at, x);
        }";
    WgslEnergy::from_text("own", 1, [2.0], text)
}
