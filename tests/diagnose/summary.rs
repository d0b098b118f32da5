//! The table: the functions' own values, in the right places, as text and as JSON.

use super::{
    common::Suite,
    estimator::{autoregressive, traces},
    known,
};
use ergodic::diagnose::{Row, Summary, Traces, ess_bulk, ess_tail, mcse_mean, mcse_sd, quantile, rhat};

pub(crate) fn tests(suite: Suite) -> Suite {
    suite
        .test("a row has the values of the functions", || {
            let x = traces(&autoregressive(0.4, 4, 100, 3));
            let row = Row::new("x", &x);
            let plain: Vec<f64> = x.chains().flatten().copied().collect();
            let mean = plain.iter().sum::<f64>() / 400.0;
            let sd = (plain.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 399.0).sqrt();
            assert!((row.mean.unwrap() - mean).abs() < 1e-15 && (row.sd.unwrap() - sd).abs() < 1e-14);
            assert_eq!((row.mcse_mean, row.mcse_sd), (mcse_mean(&x), mcse_sd(&x)));
            assert_eq!((row.q5, row.median, row.q95), (quantile(&x, 0.05), quantile(&x, 0.5), quantile(&x, 0.95)));
            assert_eq!((row.ess_bulk, row.ess_tail, row.rhat), (ess_bulk(&x), ess_tail(&x), rhat(&x)));
        })
        .test("positions as chains store them", || {
            // [draw][dim][chain] of three coordinates, each a multiple of its own series.
            let x = autoregressive(0.4, 5, 60, 4);
            let positions: Vec<f32> = (0..60 * 3 * 5)
                .map(|at| (at / 15, at / 5 % 3, at % 5))
                .map(|(draw, i, chain)| (x[chain][draw] * (i + 1) as f64) as f32)
                .collect();
            let summary = Summary::of_positions(&positions, 3, 5, &[]).unwrap();
            for (i, row) in summary.rows.iter().enumerate() {
                let own: Vec<Vec<f64>> =
                    x.iter().map(|x| x.iter().map(|x| f64::from((x * (i + 1) as f64) as f32)).collect()).collect();
                assert_eq!(Traces::of_coordinate(&positions, 3, 5, i).unwrap(), traces(&own));
                assert_eq!(*row, Row::new(format!("x[{i}]"), &traces(&own)));
            }
            assert!(summary.rows[0].mean != summary.rows[1].mean);
            assert!(Summary::of_positions(&positions, 3, 5, &["a", "b"]).is_err());
            assert_eq!(Summary::of_positions(&positions, 3, 5, &["a", "b", "c"]).unwrap().rows[1].name, "b");
        })
        .test("as text", || {
            let summary = Summary::new([
                ("theta", traces(&known::theta())),
                ("d", traces(&known::d())),
                ("same", traces(&vec![vec![1000.0; 20]; 2])),
            ]);
            let text = summary.to_string();
            assert_eq!(text.lines().count(), 5, "{text}");
            let titles: Vec<_> = text.lines().next().unwrap().split_whitespace().collect();
            assert_eq!(titles.join(" "), "mean sd mcse_mean mcse_sd q5 median q95 ess_bulk ess_tail rhat");
            let line: Vec<_> = text.lines().nth(2).unwrap().split_whitespace().collect();
            assert_eq!(
                line,
                ["d", "-0.2630", "0.06150", "0.01236", "0.006492", "-0.3475", "-0.2885", "-0.1612", "29", "39", "1.436"]
            );
            let widths: Vec<_> = text.lines().take(4).map(|line| line.chars().count()).collect();
            assert!(widths.iter().all(|&w| w == widths[0]), "{text}");
            assert_eq!(text.lines().last().unwrap(), "same: undefined, since every draw is the same");
        })
        .test("as JSON", || {
            let summary = Summary::new([("d", traces(&known::d())), ("same", traces(&vec![vec![2.0; 20]; 2]))]);
            let json = serde_json::to_value(&summary).unwrap();
            assert_eq!(json[0]["name"], "d");
            assert_eq!(json[0]["rhat"].as_f64(), summary.rows[0].rhat.ok());
            assert!(json[0].get("undefined").is_none());
            assert_eq!(json[1]["mean"].as_f64(), Some(2.0));
            assert!(json[1]["rhat"].is_null() && json[1]["mcse_mean"].is_null());
            assert_eq!(json[1]["undefined"]["rhat"], "every draw is the same");
            assert_eq!(json[0].as_object().unwrap().len(), 11);
        })
}
