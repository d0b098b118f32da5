//! The library's estimators, and the plain ones with a fault, behind one door, so that every check can be shown to fail.

use ergodic::{
    diagnose::{self, Traces},
    random::normal_pair,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::plain::{self, Chains, Fault};

/// Whose values.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of {
    Library,
    Plain(Fault),
}

/// Every fault, whether the known values find it, and whether the laws do. (Random chains, sum by sum, find all of them.)
pub(crate) const FAULTS: [(Fault, bool, bool); 12] = [
    (Fault::UpsideDown, true, true),
    (Fault::Whole, true, true),
    (Fault::NoFold, true, true),
    (Fault::NoRanks, true, true),
    (Fault::RanksOfTies, true, false),
    (Fault::ShortDenominator, true, false),
    (Fault::BiasedVariance, true, false),
    (Fault::CommonMean, true, true),
    (Fault::NoSpread, true, true),
    (Fault::NoPairs, true, false),
    (Fault::NotMonotone, false, false),
    (Fault::OneSided, true, true),
];

pub(crate) fn traces(chains: &Chains) -> Traces {
    Traces::new(chains).unwrap()
}

macro_rules! estimators {
    ($($name:ident)*) => {
        impl Of {
            $(pub(crate) fn $name(self, chains: &Chains) -> f64 {
                match self {
                    Self::Library => diagnose::$name(&traces(chains)).unwrap(),
                    Self::Plain(fault) => plain::$name(chains, fault),
                }
            })*
        }
    };
}
estimators!(rhat split_rhat ess_mean ess_bulk ess_tail ess_sd);

impl Of {
    pub(crate) fn ess_quantile(self, chains: &Chains, p: f64) -> f64 {
        match self {
            Self::Library => diagnose::ess_quantile(&traces(chains), p).unwrap(),
            Self::Plain(fault) => plain::ess_quantile(chains, p, fault),
        }
    }
}

/// Independent standard normals.
pub(crate) fn normals(n: usize, rng: &mut SmallRng) -> Vec<f64> {
    (0..n.div_ceil(2)).flat_map(|_| normal_pair([rng.random(), rng.random()])).take(n).collect()
}

/// Stationary chains xₜ = ρ xₜ₋₁ + √(1 − ρ²) zₜ, standard normal at every step, with autocorrelation ρˡ at lag l.
pub(crate) fn autoregressive(rho: f64, chains: usize, draws: usize, seed: u64) -> Chains {
    let mut rng = SmallRng::seed_from_u64(seed);
    let chain = |_| {
        let mut x = normals(draws, &mut rng);
        for t in 1..draws {
            x[t] = rho * x[t - 1] + (1.0 - rho * rho).sqrt() * x[t];
        }
        x
    };
    (0..chains).map(chain).collect()
}

/// An error where a value is further from that expected than `tolerance`; NaN is.
pub(crate) fn close(what: &str, found: f64, expected: f64, tolerance: f64) -> Result<(), String> {
    if (found - expected).abs() <= tolerance { Ok(()) } else { Err(format!("{what}: {found}, not {expected}")) }
}
