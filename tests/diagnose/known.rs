//! A few draws of Stan's unit tests (BSD-3) with the values that ArviZ gives for them (arviz-stats 0.8.0, ess and rhat of
//! `arviz_stats.base.array_stats`), and the same formulas without a Fourier transform.

use super::{
    common::Suite,
    estimator::{FAULTS, Of, autoregressive, close, traces},
    plain::{Chains, Fault},
};
use ergodic::diagnose::{autocorrelation, autocovariance, mcse_mean, mcse_quantile, mcse_sd, quantile};

/// The first draws of `theta` in bern1 to bern4.
const THETA: [[f64; 14]; 4] = [
    [
        0.208532, 0.208532, 0.0272877, 0.0293594, 0.661812, 0.457561, 0.356179, 0.251099, 0.281783, 0.28078, 0.119146,
        0.0905514, 0.241949, 0.261,
    ],
    [
        0.0495852, 0.0708923, 0.323078, 0.359544, 0.518234, 0.22799, 0.244954, 0.144935, 0.154583, 0.240753, 0.300313,
        0.435767, 0.217225, 0.244013,
    ],
    [
        0.0724419, 0.0563692, 0.244117, 0.39127, 0.322391, 0.322391, 0.163334, 0.150147, 0.365068, 0.176055, 0.169449,
        0.157144, 0.0982697, 0.353843,
    ],
    [
        0.146161, 0.0499428, 0.0618385, 0.0615352, 0.0724187, 0.149269, 0.151421, 0.18992, 0.205706, 0.178676, 0.263303,
        0.101814, 0.0707507, 0.107697,
    ],
];

/// The first draws of `d` in blocker.1 and blocker.2; the second chain stands still at its end.
const D: [[f64; 24]; 2] = [
    [
        -0.233883, -0.189516, -0.192369, -0.326973, -0.26668, -0.251043, -0.294359, -0.234249, -0.228512, -0.229906, -0.32024,
        -0.368009, -0.328346, -0.356327, -0.311124, -0.349237, -0.211222, -0.188751, -0.18919, -0.171325, -0.158479, -0.264455,
        -0.191864, -0.166177,
    ],
    [
        -0.276974, -0.344137, -0.304378, -0.209506, -0.114865, -0.272865, -0.304855, -0.129915, -0.233643, -0.254796, -0.3035,
        -0.292001, -0.29165, -0.331771, -0.341035, -0.288523, -0.288523, -0.288523, -0.288523, -0.288523, -0.288523, -0.288523,
        -0.288523, -0.288523,
    ],
];

/// rhat, split_rhat, ess_bulk, ess_tail, ess_mean, ess_sd, ess_quantile(0.1).
const OF_THETA: [f64; 7] = [
    1.0311615265083283,
    1.029984318028154,
    36.5168467153904,
    40.10684474123539,
    37.48637692825465,
    45.26913890191743,
    64.31999999999998,
];
const OF_D: [f64; 7] = [
    1.4360774081176735,
    1.038811923876082,
    28.836527274683878,
    38.91708008504607,
    24.777537129626833,
    33.24525693770787,
    69.65472312703582,
];

pub(crate) fn theta() -> Chains {
    THETA.iter().map(|chain| chain.to_vec()).collect()
}

pub(crate) fn d() -> Chains {
    D.iter().map(|chain| chain.to_vec()).collect()
}

fn values(of: Of, chains: &Chains) -> [f64; 7] {
    [
        of.rhat(chains),
        of.split_rhat(chains),
        of.ess_bulk(chains),
        of.ess_tail(chains),
        of.ess_mean(chains),
        of.ess_sd(chains),
        of.ess_quantile(chains, 0.1),
    ]
}

fn compare(found: [f64; 7], expected: [f64; 7]) -> Result<(), String> {
    (0..7).try_for_each(|i| close(&format!("value {i}"), found[i], expected[i], 1e-11 * expected[i]))
}

fn known(of: Of) -> Result<(), String> {
    compare(values(of, &theta()), OF_THETA)?;
    compare(values(of, &d()), OF_D)
}

/// The library against the plain formulas on chains of all kinds: odd and even lengths, one or many, sticky, antithetic, with equal
/// draws.
fn sum_by_sum(fault: Fault) -> Result<(), String> {
    let kinds = [(0.9, 1, 63), (0.5, 4, 50), (-0.4, 3, 101), (-0.95, 2, 40), (0.99, 5, 33), (0.0, 7, 12)];
    for (seed, (rho, chains, draws)) in (0..).zip(kinds) {
        let x = autoregressive(rho, chains, draws, seed);
        let equal: Chains = x.iter().map(|x| x.iter().map(|x| (20.0 * x).round()).collect()).collect();
        for x in [x, equal] {
            compare(values(Of::Library, &x), values(Of::Plain(fault), &x))?;
        }
    }
    Ok(())
}

pub(crate) fn tests(mut suite: Suite) -> Suite {
    for (fault, found, _) in FAULTS {
        if found {
            suite = suite.test(format!("the known values find {fault:?}"), move || {
                let error = known(Of::Plain(fault)).unwrap_err();
                assert!(error.starts_with("value"), "{error}");
            });
        }
    }
    suite
        .test("known values of R-hat and ESS", || known(Of::Library).unwrap())
        .test("known values of R-hat and ESS, sum by sum", || known(Of::Plain(Fault::None)).unwrap())
        .test("known values of MCSE", || {
            let (theta, d) = (traces(&theta()), traces(&d()));
            close("mcse_mean", mcse_mean(&theta).unwrap(), 0.021487324644542817, 1e-13).unwrap();
            close("mcse_mean", mcse_mean(&d).unwrap(), 0.012356077373640558, 1e-13).unwrap();
            close("mcse_quantile", mcse_quantile(&theta, 0.1).unwrap(), 0.010474750000000001, 1e-13).unwrap();
            close("mcse_quantile", mcse_quantile(&d, 0.1).unwrap(), 0.011132000000000003, 1e-13).unwrap();
            // The formula of posterior, by NumPy: arviz-stats 0.8.0 has another one.
            close("mcse_sd", mcse_sd(&theta).unwrap(), MCSE_SD[0], 1e-13).unwrap();
            close("mcse_sd", mcse_sd(&d).unwrap(), MCSE_SD[1], 1e-13).unwrap();
        })
        .test("random chains, sum by sum", || sum_by_sum(Fault::None).unwrap())
        .test("random chains find every planted fault", || {
            for (fault, ..) in FAULTS {
                assert!(sum_by_sum(fault).is_err(), "{fault:?}");
            }
        })
        .test("autocovariance by its definition", || {
            for draws in [1, 2, 3, 31, 64] {
                let x = autoregressive(0.6, 3, draws, 1);
                let found = autocovariance(&traces(&x)).unwrap();
                assert_eq!(found.len(), draws);
                for (lag, found) in found.into_iter().enumerate() {
                    let of = |x: &Vec<f64>| {
                        let m = x.iter().sum::<f64>() / draws as f64;
                        (0..draws - lag).map(|t| (x[t] - m) * (x[t + lag] - m)).sum::<f64>() / draws as f64
                    };
                    close("covariance", found, x.iter().map(of).sum::<f64>() / 3.0, 1e-14).unwrap();
                }
            }
            let rho = autocorrelation(&traces(&autoregressive(0.6, 4, 50_000, 2))).unwrap();
            for (lag, found) in rho[..8].iter().enumerate() {
                // Standard error by Bartlett's formula: below 0.005 at 200,000 draws.
                close("correlation", *found, 0.6f64.powi(lag as i32), 0.025).unwrap();
            }
        })
        .test("quantiles between draws", || {
            let x = traces(&vec![vec![4.0, 1.0], vec![3.0, 2.0]]);
            for (p, expected) in [(0.0, 1.0), (0.05, 1.15), (0.5, 2.5), (0.9, 3.7), (1.0, 4.0)] {
                close("quantile", quantile(&x, p).unwrap(), expected, 1e-14).unwrap();
            }
        })
}

const MCSE_SD: [f64; 2] = [0.017188614080613444, 0.0064916337743682745];
