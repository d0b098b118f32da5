//! The families, each as an energy on its support and as a distribution of statrs.

use std::sync::Arc;

use anyhow::Result;
use ergodic::{
    Start,
    energy::{
        Bernoulli, Beta, Compose, Dirichlet, Energy, Exponential, Gamma, Gaussian, HalfCauchy, InverseGamma, Poisson, StudentT,
    },
    kernel::{Hmc, Kernel, Lattice},
    transform::{Log, Logit, StickBreaking},
};
use statrs::distribution::{self, Continuous, ContinuousCDF, Discrete};

/// A function of a coordinate's value.
pub(crate) type Function = Box<dyn Fn(f64) -> f64 + Sync>;

/// The exact law of a coordinate.
pub(crate) enum Law {
    /// Density and distribution function.
    Numbers(Function, Function),
    /// Probability mass.
    Counts(Function),
}

/// A family: how it is sampled, what its coordinates' laws are, and where to draw it.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    /// Its formula, and by which transform it runs.
    pub(crate) says: &'static str,
    pub(crate) energy: Arc<dyn Energy>,
    pub(crate) kernel: Arc<dyn Kernel>,
    pub(crate) start: Start,
    pub(crate) laws: Vec<Law>,
    pub(crate) x: [f64; 2],
    pub(crate) top: f64,
}

fn numbers(law: impl Continuous<f64, f64> + ContinuousCDF<f64, f64> + Clone + Sync + 'static) -> Law {
    let again = law.clone();
    Law::Numbers(Box::new(move |x| law.pdf(x)), Box::new(move |x| again.cdf(x)))
}

fn counts(law: impl Discrete<u64, f64> + Sync + 'static) -> Law {
    Law::Counts(Box::new(move |x| law.pmf(x as u64)))
}

fn half_cauchy(scale: f64) -> Law {
    let peak = 2.0 / (std::f64::consts::PI * scale);
    Law::Numbers(
        Box::new(move |x| if x < 0.0 { 0.0 } else { peak / (1.0 + (x / scale).powi(2)) }),
        Box::new(move |x| (x / scale).atan() / std::f64::consts::FRAC_PI_2),
    )
}

fn of(
    name: &'static str,
    says: &'static str,
    energy: impl Energy + 'static,
    start: &[f64],
    laws: Vec<Law>,
    x: [f64; 2],
    top: f64,
) -> Family {
    let kernel = Arc::new(Hmc::new(0.35, 8).jitter(4));
    Family { name, says, energy: Arc::new(energy), kernel, start: Start::point(start), laws, x, top }
}

pub(crate) fn families() -> Result<Vec<Family>> {
    let above = || Log::above(0.0);
    let alpha = [1.5, 2.5, 5.0];
    let part = |a: f64| Ok::<_, anyhow::Error>(numbers(distribution::Beta::new(a, alpha.iter().sum::<f64>() - a)?));
    let integers = |name, says, energy: Arc<dyn Energy>, reach, law, x, top| {
        let start = Start::point([1.0]);
        Family { name, says, energy, kernel: Arc::new(Lattice::new(reach)), start, laws: vec![law], x, top }
    };
    Ok(vec![
        of(
            "normal",
            "mean 0.5, sd 1.3",
            Gaussian::isotropic([0.5], 1.3)?,
            &[0.5],
            vec![numbers(distribution::Normal::new(0.5, 1.3)?)],
            [-4.0, 5.0],
            0.36,
        ),
        of(
            "exponential",
            "rate 1.5, log",
            Exponential::new(1, 1.5)?.constrain(0..1, above())?,
            &[0.6],
            vec![numbers(distribution::Exp::new(1.5)?)],
            [0.0, 4.0],
            1.65,
        ),
        of(
            "gamma",
            "shape 2.5, rate 2, log",
            Gamma::new(1, 2.5, 2.0)?.constrain(0..1, above())?,
            &[1.0],
            vec![numbers(distribution::Gamma::new(2.5, 2.0)?)],
            [0.0, 5.0],
            0.7,
        ),
        of(
            "beta",
            "shapes 0.8 and 2.5, logit",
            Beta::new(1, 0.8, 2.5)?.constrain(0..1, Logit::between(0.0, 1.0))?,
            &[0.25],
            vec![numbers(distribution::Beta::new(0.8, 2.5)?)],
            [0.0, 1.0],
            4.0,
        ),
        of(
            "Dirichlet",
            "1.5, 2.5, 5, sticks",
            Dirichlet::new(&alpha)?.constrain(0..3, StickBreaking)?,
            &[0.2, 0.3, 0.5],
            alpha.into_iter().map(part).collect::<Result<_>>()?,
            [0.0, 1.0],
            4.6,
        ),
        of(
            "inverse gamma",
            "shape 3, scale 2, log",
            InverseGamma::new(1, 3.0, 2.0)?.constrain(0..1, above())?,
            &[0.8],
            vec![numbers(distribution::InverseGamma::new(3.0, 2.0)?)],
            [0.0, 4.0],
            1.3,
        ),
        of(
            "half-Cauchy",
            "scale 1.5, log",
            HalfCauchy::new(1, 1.5)?.constrain(0..1, above())?,
            &[1.5],
            vec![half_cauchy(1.5)],
            [0.0, 10.0],
            0.47,
        ),
        of(
            "Student's t",
            "5 degrees of freedom",
            StudentT::new(1, 5.0, 0.5, 1.2)?,
            &[0.5],
            vec![numbers(distribution::StudentsT::new(0.5, 1.2, 5.0)?)],
            [-6.0, 7.0],
            0.36,
        ),
        integers(
            "Bernoulli",
            "p = 0.3",
            Arc::new(Bernoulli::new(1, 0.3)?),
            1,
            counts(distribution::Binomial::new(0.3, 1)?),
            [-0.7, 1.7],
            0.8,
        ),
        integers(
            "Poisson",
            "mean 3.5",
            Arc::new(Poisson::new(1, 3.5)?),
            3,
            counts(distribution::Poisson::new(3.5)?),
            [-0.7, 12.7],
            0.25,
        ),
    ])
}
