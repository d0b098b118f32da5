//! The values that the R package posterior gives for the draws of Stan's unit tests.

use std::{collections::HashMap, fs::File, io::Read, path::Path};

use ergodic::diagnose::{
    Row, Traces, Undefined, ess_mean, ess_quantile, ess_sd, mcse_mean, mcse_quantile, mcse_sd, quantile, rhat, split_rhat,
};
use flate2::read::GzDecoder;
use serde_json::Value;

use super::{
    common::Suite,
    estimator::{Of, close, traces},
    plain::{self, Chains, Fault},
};

/// Columns by their names.
type Table = HashMap<String, Vec<f64>>;

fn table(path: &Path) -> Table {
    let mut text = String::new();
    GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let mut lines = text.lines();
    let names: Vec<_> = lines.next().unwrap().split(',').map(String::from).collect();
    let mut columns = vec![Vec::new(); names.len()];
    for line in lines {
        columns.iter_mut().zip(line.split(',')).for_each(|(column, value)| column.push(value.parse().unwrap()));
    }
    names.into_iter().zip(columns).collect()
}

/// One table a chain.
fn draws(folder: &Path, stem: &str, chains: usize) -> impl Fn(&str) -> Chains {
    let tables: Vec<_> = (1..=chains).map(|i| table(&folder.join(format!("ess_rhat/{stem}{i}.csv.gz")))).collect();
    move |name| tables.iter().map(|table| table[name].clone()).collect()
}

fn bern(folder: &Path) -> (impl Fn(&str) -> Chains, Value) {
    let text = std::fs::read_to_string(folder.join("ess_rhat/expected_bern.json")).unwrap();
    (draws(folder, "bern", 4), serde_json::from_str(&text).unwrap())
}

/// `theta` and `lp__` of four chains, to the tolerances that the file gives.
fn of_bern(folder: &Path) {
    let (draws, expected) = bern(folder);
    let tolerance = |name: &str| expected["tolerance"][name].as_f64().unwrap();
    for name in ["theta", "lp__"] {
        let chains = draws(name);
        let row = Row::new(name, &traces(&chains));
        let expect = |what: &str, found: f64, tolerance: f64| {
            close(&format!("{what} of {name}"), found, expected[name][what].as_f64().unwrap(), tolerance).unwrap();
        };
        expect("ess_bulk", row.ess_bulk.unwrap(), tolerance("ess_bulk_tail"));
        expect("ess_tail", row.ess_tail.unwrap(), tolerance("ess_bulk_tail"));
        expect("rhat_basic", split_rhat(&traces(&chains)).unwrap(), tolerance("rhat_basic"));
        expect("rhat_rank_max", row.rhat.unwrap(), tolerance("rhat_rank"));
        expect("mcse_mean", row.mcse_mean.unwrap(), tolerance("mcse"));
        // Of whole chains, which the library always splits: its twin without splitting stands in.
        expect("ess_basic", plain::ess_mean(&chains, Fault::Whole), tolerance("ess_basic"));
    }
    let (theta, all) = (&expected["theta"], traces(&draws("theta")));
    let row = Row::new("theta", &all);
    for (what, found) in [("mean", row.mean), ("median", row.median), ("sd", row.sd)] {
        close(what, found.unwrap(), theta[what].as_f64().unwrap(), 1e-6).unwrap();
    }
    for (p, value) in theta["quantiles"].as_object().unwrap() {
        close("quantile", quantile(&all, p.parse().unwrap()).unwrap(), value.as_f64().unwrap(), 1e-6).unwrap();
    }
    assert_eq!(rhat(&traces(&draws("divergent__"))), Err(Undefined::Constant));
}

/// The Monte Carlo error of the sd. The file has two formulas: up to 2022 posterior took the effective sample size of the distances
/// from the mean, since then that of their squares (stan-dev/posterior, pull requests 266 and 388). `theta` cannot tell them
/// apart within the tolerance; `lp__` is by the older one, the values of `blocker` are all by the newer, which is ours.
fn of_bern_sd(folder: &Path) {
    let (draws, expected) = bern(folder);
    let of = |name: &str| expected[name]["mcse_sd"].as_f64().unwrap();
    let older = |x: &Traces| mcse_sd(x).unwrap() * (ess_sd(x).unwrap() / ess_mean(&distances(x)).unwrap()).sqrt();
    let (theta, lp) = (traces(&draws("theta")), traces(&draws("lp__")));
    close("mcse_sd of theta", mcse_sd(&theta).unwrap(), of("theta"), 1e-6).unwrap();
    close("the older mcse_sd of theta", older(&theta), of("theta"), 1e-4).unwrap();
    close("the older mcse_sd of lp__", older(&lp), of("lp__"), 1e-5).unwrap();
}

fn distances(x: &Traces) -> Traces {
    let mean = Row::new("", x).mean.unwrap();
    x.map(|x| (x - mean).abs())
}

/// Every column of the reference for every parameter of `blocker`, two chains, to the digits that it is printed with.
fn of_blocker(folder: &Path, fault: Option<Fault>) -> Result<(), String> {
    let draws = draws(folder, "blocker.", 2);
    let text = std::fs::read_to_string(folder.join("ess_rhat/reference_posterior.csv")).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(|cell| cell.trim_matches('"').to_owned()).collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let mut rows = 0;
    for line in lines {
        let chains = draws(&line[0]);
        let x = traces(&chains);
        for (column, expected) in names.iter().zip(&line).skip(1) {
            let expected: f64 = expected.parse().unwrap();
            if let Some(fault) = fault {
                if column == "ess_mean" {
                    close(&line[0], Of::Plain(fault).ess_mean(&chains), expected, 1e-9 * expected)?;
                }
                continue;
            }
            let row = || Row::new("", &x);
            let found = match &**column {
                "rhat_rank" => row().rhat,
                // Of whole chains.
                "rhat_raw" => Ok(plain::split_rhat(&chains, Fault::Whole)),
                "ess_raw" => Ok(plain::ess_mean(&chains, Fault::Whole)),
                "ess_bulk" => row().ess_bulk,
                "ess_tail" => row().ess_tail,
                "ess_mean" => ess_mean(&x),
                "ess_sd" => ess_sd(&x),
                "ess_median" => ess_quantile(&x, 0.5),
                "ess_quantile01" => ess_quantile(&x, 0.01),
                "ess_quantile10" => ess_quantile(&x, 0.1),
                "ess_quantile30" => ess_quantile(&x, 0.3),
                "mcse_mean" => mcse_mean(&x),
                "mcse_sd" => mcse_sd(&x),
                "mcse_median" => mcse_quantile(&x, 0.5),
                "mcse_quantile01" => mcse_quantile(&x, 0.01),
                "mcse_quantile10" => mcse_quantile(&x, 0.1),
                "mcse_quantile30" => mcse_quantile(&x, 0.3),
                other => panic!("an unknown column, {other}"),
            };
            close(&format!("{column} of {}", line[0]), found.unwrap(), expected, 1e-10 * expected.abs())?;
        }
        rows += 1;
    }
    assert_eq!(rows, 48);
    Ok(())
}

pub(crate) fn tests(suite: Suite) -> Suite {
    suite
        .truth("published values: bern", |folder| of_bern(&folder))
        .truth("published values: the error of the sd", |folder| of_bern_sd(&folder))
        .truth("published values: blocker, 48 parameters, 17 columns", |folder| of_blocker(&folder, None).unwrap())
        .truth("published values find a planted fault", |folder| {
            for fault in [Fault::Whole, Fault::ShortDenominator, Fault::NotMonotone] {
                of_blocker(&folder, Some(fault)).unwrap_err();
            }
        })
}
