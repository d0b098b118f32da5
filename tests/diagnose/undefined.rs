//! Where a number would mean nothing there is none, and a reason instead.

use super::{
    common::Suite,
    estimator::{autoregressive, traces},
    plain::Chains,
};
use ergodic::{
    Error,
    diagnose::{
        Traces, Undefined, autocorrelation, autocovariance, ess_bulk, ess_mean, ess_quantile, ess_sd, ess_tail, mcse_mean,
        mcse_quantile, mcse_sd, quantile, rhat, split_rhat,
    },
};

/// Every diagnostic.
fn all(x: &Chains) -> Vec<Result<f64, Undefined>> {
    let x = &traces(x);
    vec![
        rhat(x),
        split_rhat(x),
        ess_mean(x),
        ess_bulk(x),
        ess_tail(x),
        ess_sd(x),
        ess_quantile(x, 0.3),
        mcse_mean(x),
        mcse_sd(x),
        mcse_quantile(x, 0.3),
    ]
}

pub(crate) fn tests(suite: Suite) -> Suite {
    suite
        .test("a constant is undefined", || {
            for value in [0.0, 0.1, -7.0] {
                assert!(all(&vec![vec![value; 50]; 4]).iter().all(|found| *found == Err(Undefined::Constant)));
                assert_eq!(autocorrelation(&traces(&vec![vec![value; 50]; 4])), Err(Undefined::Constant));
            }
        })
        .test("chains that never move are undefined", || {
            let x: Chains = (0..4).map(|i| vec![0.1 * f64::from(i); 50]).collect();
            assert!(all(&x).iter().all(|found| *found == Err(Undefined::AtRest)));
            // One that moves is enough.
            let mut x = x;
            x[0][7] = 3.0;
            assert!(all(&x).iter().all(|found| found.is_ok_and(f64::is_finite)), "{:?}", all(&x));
        })
        .test("chains that move once, in the middle of the run, have no R-hat", || {
            let x = vec![[vec![0.0; 20], vec![1.0; 20]].concat(), [vec![1.0; 20], vec![2.0; 20]].concat()];
            assert_eq!(rhat(&traces(&x)), Err(Undefined::AtRest));
        })
        .test("a draw that is not finite is named", || {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e70, -1e300] {
                let mut x = autoregressive(0.3, 3, 40, 1);
                x[1][33] = bad;
                assert!(all(&x).iter().all(|found| *found == Err(Undefined::NotFinite { chain: 1, draw: 33 })), "{bad}");
                assert_eq!(autocovariance(&traces(&x)), Err(Undefined::NotFinite { chain: 1, draw: 33 }));
                assert_eq!(quantile(&traces(&x), 0.5), Err(Undefined::NotFinite { chain: 1, draw: 33 }));
            }
        })
        .test("too few draws", || {
            for draws in 0..12 {
                for (i, found) in all(&autoregressive(0.3, 3, draws, 1)).into_iter().enumerate() {
                    let least = if i < 2 { 4 } else { 12 };
                    match found {
                        Ok(value) => assert!(draws >= least && value.is_finite()),
                        Err(why) => assert_eq!(why, Undefined::TooFewDraws { draws, least }),
                    }
                }
            }
            assert!(all(&autoregressive(0.3, 1, 12, 1)).iter().all(|found| found.is_ok_and(f64::is_finite)));
            assert_eq!(quantile(&traces(&vec![vec![]]), 0.5), Err(Undefined::TooFewDraws { draws: 0, least: 1 }));
        })
        .test("quantiles that there are not", || {
            let x = traces(&autoregressive(0.3, 2, 40, 1));
            for p in [-0.1, 1.1, f64::NAN] {
                assert!(matches!(quantile(&x, p), Err(Undefined::Probability(_))));
                assert!(matches!(ess_quantile(&x, p), Err(Undefined::Probability(_))));
                assert!(matches!(mcse_quantile(&x, p), Err(Undefined::Probability(_))));
            }
            assert_eq!(ess_quantile(&x, 1.0), Err(Undefined::NoTail { probability: 1.0 }));
        })
        .test("a quantity of two values", || {
            // As often up as down: all distances from the mean and the median are equal.
            let spins: Chains =
                (0..4).map(|i| (0..40).map(|t| if (t * t + i) % 4 < 2 { 1.0 } else { -1.0 }).collect()).collect();
            let up = spins.concat().iter().filter(|&&s| s == 1.0).count();
            assert_eq!(up, 80);
            let x = traces(&spins);
            assert!(rhat(&x).is_ok_and(f64::is_finite));
            assert_eq!(ess_sd(&x), Err(Undefined::EquallyFar));
            assert_eq!(mcse_sd(&x), Err(Undefined::EquallyFar));
            assert_eq!(ess_tail(&x), Err(Undefined::NoTail { probability: 0.95 }));
            assert!(ess_mean(&x).is_ok_and(f64::is_finite));
        })
        .test("the largest and smallest scales", || {
            for scale in [1e-60, 1e60] {
                let x: Chains = autoregressive(0.3, 2, 40, 1).iter().map(|x| x.iter().map(|x| scale * x).collect()).collect();
                assert!(all(&x).iter().all(|found| found.is_ok_and(f64::is_finite)), "{:?}", all(&x));
            }
        })
        .test("shapes that do not fit are refused", || {
            assert!(matches!(Traces::new(&[vec![1.0, 2.0], vec![1.0]]), Err(Error::Shape { expected: 2, found: 1, .. })));
            assert!(matches!(Traces::new(&[] as &[Vec<f64>]), Err(Error::Setting { .. })));
            assert!(matches!(Traces::of_coordinate(&[0.0; 7], 2, 3, 0), Err(Error::Shape { expected: 12, found: 7, .. })));
            assert!(matches!(Traces::of_coordinate(&[0.0; 6], 2, 3, 2), Err(Error::Setting { .. })));
            assert!(matches!(Traces::of_coordinate(&[0.0; 6], 2, 0, 0), Err(Error::Setting { .. })));
            assert!(matches!(Traces::of_coordinate(&[0.0; 6], usize::MAX, 2, 0), Err(Error::Shape { .. })));
            assert_eq!(Traces::of_coordinate(&[], 2, 3, 0).map(|x| x.draws()).ok(), Some(0));
        })
}
