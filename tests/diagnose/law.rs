//! Chains of which one knows how well they mix.

use super::{
    common::{
        Suite,
        stats::{accept, p_of_z, z_of_count, z_of_mean},
    },
    estimator::{FAULTS, Of, autoregressive, traces},
    plain::{Chains, Fault},
};
use ergodic::diagnose::{Row, mcse_mean, mcse_quantile, mcse_sd, quantile, rhat};
use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal};

/// Independent chains with something added: `shift(chain, share of the draws done)`.
fn shifted(seed: u64, shift: impl Fn(usize, f64) -> f64) -> Chains {
    let mut x = autoregressive(0.0, 4, 500, seed);
    for (i, chain) in x.iter_mut().enumerate() {
        chain.iter_mut().enumerate().for_each(|(t, x)| *x += shift(i, t as f64 / 500.0));
    }
    x
}

fn at_least(what: &str, found: f64, bound: f64) -> Result<(), String> {
    if found >= bound { Ok(()) } else { Err(format!("{what} is {found}, below {bound}")) }
}

fn at_most(what: &str, found: f64, bound: f64) -> Result<(), String> {
    if found <= bound { Ok(()) } else { Err(format!("{what} is {found}, above {bound}")) }
}

/// What R-hat must flag and what it must let pass.
fn flags(of: Of) -> Result<(), String> {
    at_most("R-hat of chains that agree", of.rhat(&shifted(1, |_, _| 0.0)), 1.01)?;
    at_least("R-hat of chains that agree", of.rhat(&shifted(1, |_, _| 0.0)), 0.99)?;
    // Two modes far apart, which no chain leaves: half of the chains in each, then one of the chains alone.
    let modes = shifted(2, |i, _| if i % 2 == 0 { -5.0 } else { 5.0 });
    at_least("R-hat of chains stuck in two modes", of.rhat(&modes), 1.5)?;
    at_least("split R-hat of chains stuck in two modes", of.split_rhat(&modes), 1.5)?;
    at_most("ESS of four chains stuck in two modes", of.ess_bulk(&modes), 8.0)?;
    at_least("R-hat with one chain stuck", of.rhat(&shifted(3, |i, _| if i == 0 { 5.0 } else { 0.0 })), 1.2)?;
    // All chains drift alike: only their halves differ.
    at_least("R-hat of chains that drift", of.rhat(&shifted(4, |_, t| 3.0 * t)), 1.1)?;
    // One chain is ten times as wide, in the same place.
    let mut wide = shifted(5, |_, _| 0.0);
    wide[0].iter_mut().for_each(|x| *x *= 10.0);
    at_least("R-hat with one chain wider", of.rhat(&wide), 1.1)?;
    // Cauchy draws, one chain shifted: their infinite variance hides it from R-hat of the draws themselves.
    let mut cauchy = shifted(6, |_, _| 0.0);
    cauchy.iter_mut().flatten().for_each(|x| *x = (std::f64::consts::PI * (Normal::standard().cdf(*x) - 0.5)).tan());
    cauchy[0].iter_mut().for_each(|x| *x += 2.0);
    at_least("R-hat of Cauchy chains, one shifted", of.rhat(&cauchy), 1.05)
}

/// ESS of autoregressive chains: for the mean N (1 − ρ)/(1 + ρ), for the squares the same of ρ² (their autocorrelation, by
/// Isserlis). The mean of τ over 64 seeds must be within 5 % of the truth; the most seen is 3.2 %, at ρ = 0.9, where one run's τ has a
/// standard error of about 20 %.
fn effective(of: Of) -> Result<(), String> {
    for rho in [0.9f64, 0.5, 0.0, -0.4] {
        let taus = |ess: fn(Of, &Chains) -> f64| {
            let tau = |seed| 4000.0 / ess(of, &autoregressive(rho, 4, 1000, seed));
            (0..64u64).into_par_iter().map(tau).sum::<f64>() / 64.0
        };
        let tau = |rho: f64| (1.0 + rho) / (1.0 - rho);
        for (what, found, exact) in [("mean", taus(Of::ess_mean), tau(rho)), ("sd", taus(Of::ess_sd), tau(rho * rho))] {
            at_most(&format!("the error of tau for the {what} at rho = {rho}"), (found / exact - 1.0).abs(), 0.05)?;
        }
    }
    Ok(())
}

const SEEDS: u64 = 2000;

/// Whether estimate ± error covers the truth as often as a normal law says: scores of 2,000 runs of four chains of 500 correlated
/// draws. `errors` stands for mcse_mean, mcse_sd and mcse_quantile of 0.1 and 0.5.
fn coverage(errors: impl Fn(&Chains) -> [f64; 4] + Sync) -> Vec<(String, f64)> {
    let tail = Normal::standard().inverse_cdf(0.1);
    let scores = |seed: u64| {
        let x = autoregressive(0.5, 4, 500, seed);
        let (all, errors) = (traces(&x), errors(&x));
        let row = Row::new("", &all);
        let misses =
            [row.mean.unwrap(), row.sd.unwrap() - 1.0, quantile(&all, 0.1).unwrap() - tail, quantile(&all, 0.5).unwrap()];
        std::array::from_fn::<f64, 4, _>(|k| misses[k] / errors[k])
    };
    let scores: Vec<_> = (0..SEEDS).into_par_iter().map(scores).collect();
    let mut found = Vec::new();
    for (k, what) in ["mean", "sd", "10 % quantile", "median"].into_iter().enumerate() {
        for (level, z) in [(0.6827, 1.0), (0.95, 1.95996)] {
            let inside = scores.iter().filter(|score| score[k].abs() <= z).count() as u64;
            found.push((format!("coverage of the {what}: {inside} of {SEEDS}"), p_of_z(z_of_count(inside, SEEDS, level))));
        }
        found.push((format!("mean score of the {what}"), p_of_z(z_of_mean(scores.iter().map(|score| score[k]), 0.0))));
    }
    found
}

fn of_library(x: &Chains) -> [f64; 4] {
    let x = traces(x);
    [mcse_mean(&x), mcse_sd(&x), mcse_quantile(&x, 0.1), mcse_quantile(&x, 0.5)].map(Result::unwrap)
}

pub(crate) fn tests(mut suite: Suite) -> Suite {
    for (fault, _, found) in FAULTS {
        if found {
            suite = suite.test(format!("the laws find {fault:?}"), move || {
                flags(Of::Plain(fault)).and_then(|()| effective(Of::Plain(fault))).unwrap_err();
            });
        }
    }
    suite
        .test("R-hat flags chains that do not agree, and no others", || flags(Of::Library).unwrap())
        .test("effective sample sizes of autoregressive chains", || effective(Of::Library).unwrap())
        .test("the same of the plain formulas", || {
            flags(Of::Plain(Fault::None)).and_then(|()| effective(Of::Plain(Fault::None))).unwrap()
        })
        .test("intervals cover as often as they say", || {
            coverage(of_library).into_iter().for_each(|(what, p)| accept(&what, p));
        })
        .test("a planted fault is found: errors of correlated draws as if they were independent", || {
            let found = coverage(|x| of_library(x).map(|error| error / 3f64.sqrt()));
            assert!(found.iter().filter(|(what, _)| what.starts_with("coverage")).all(|(_, p)| *p < 1e-10), "{found:?}");
        })
        .test("ranks do not change under a change of scale", || {
            let x = autoregressive(0.7, 3, 100, 5);
            let y: Chains = x.iter().map(|x| x.iter().map(|x| (3.0 * x).exp()).collect()).collect();
            assert_eq!(Of::Library.ess_bulk(&x), Of::Library.ess_bulk(&y));
            let doubled: Chains = x.iter().map(|x| x.iter().map(|x| 2.0 * x).collect()).collect();
            assert_eq!(rhat(&traces(&x)), rhat(&traces(&doubled)));
        })
}
