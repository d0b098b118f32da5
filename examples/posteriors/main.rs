//! Posteriors written by others, and a user's own, as WGSL energies: sampled until every mean is known to one hundredth of its standard
//! deviation, with nothing set by hand.
//!
//! `cargo run --release --example posteriors -- [NAME...] [--data FOLDER] [--quick] [--json FILE]`
//!
//! A posterior of one's own: `--wgsl FILE --params FILE --parameters alpha,beta*3,sigma:positive`

#[path = "../common/mod.rs"]
mod common;
#[path = "kit.rs"]
mod kit;

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use ergodic::{Start, energy::WgslEnergy};
use serde::Serialize;

use common::Options;
use kit::{
    moments::Estimate,
    posterior::{self, Posterior},
    published::{self, PUBLISHED},
    run::{Outcome, Settings, run, scores},
    stress::{self, STRESS},
};

/// Do posteriors written by others come out right, with nothing set by hand?
#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
    /// Of eight_schools, autoregression, regression, two_normals (posteriordb's), heavy_tails, correlated, scales, logistic, ring
    /// (made here); `stress` for the latter five [default: posteriordb's four]
    names: Vec<String>,
    /// The folder of posteriordb's data and references [default: posteriors in $ERGODIC_TRUTH, or in ../shared/truth]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// An energy of your own: a WGSL file (the documentation of `WgslEnergy` says what must be in it)
    #[arg(long, value_name = "FILE", requires = "parameters")]
    wgsl: Option<PathBuf>,
    /// Its parameters (the data): numbers, with white space or commas between them
    #[arg(long, value_name = "FILE", requires = "wgsl")]
    params: Option<PathBuf>,
    /// What its coordinates are: alpha,beta*25,sigma:positive and so on; real, positive (exp x), unit (1 / (1 + exp(-x))), ordered (the
    /// one before plus exp x). The energy must hold the Jacobians
    #[arg(long, value_name = "LIST", requires = "wgsl")]
    parameters: Option<String>,
    /// Where chains start, in unconstrained coordinates: a number, or one a coordinate with commas between them
    #[arg(long, value_name = "LIST", default_value = "0", allow_hyphen_values = true, value_delimiter = ',')]
    start: Vec<f64>,
    /// Standard deviation of the starts around it
    #[arg(long, default_value_t = 1.0)]
    spread: f64,
    /// Monte Carlo error of every mean over its standard deviation, at which a run ends
    #[arg(long, default_value_t = 0.01)]
    goal: f64,
    /// Seconds after which a run ends all the same, once its warm-up is over
    #[arg(long, default_value_t = 600)]
    limit: u64,
}

/// A line of the table and of the JSON.
#[derive(Serialize)]
struct Row<'a> {
    posterior: &'a str,
    parameter: &'a str,
    mean: f64,
    sd: f64,
    mcse_mean: f64,
    mcse_sd: f64,
    rhat: f64,
    ess: f64,
    seconds: f64,
    chains: usize,
    draws: usize,
    /// Against each source of truth.
    known: Vec<Known>,
}

#[derive(Serialize)]
struct Known {
    source: &'static str,
    mean: f64,
    sd: f64,
    /// Misses in combined Monte Carlo errors.
    z_mean: f64,
    z_sd: f64,
}

/// Combined errors that a mean or standard deviation may be off.
const ALLOWED: f64 = 4.0;

fn main() -> Result<()> {
    let line = CommandLine::parse();
    let posteriors = line.posteriors()?;
    let backend = line.options.open()?;
    let settings = Settings {
        chains: line.options.count(&backend, 1_024, 256),
        seed: line.options.seed,
        start: Start::normal(line.start.clone(), line.spread),
        goal: if line.options.quick { line.goal.max(0.02) } else { line.goal },
        limit: Duration::from_secs(if line.options.quick { line.limit.min(20) } else { line.limit }),
    };
    let (mut rows, mut checks) = (Vec::new(), Vec::new());
    for posterior in &posteriors {
        let outcome = run(&backend, posterior, &settings).with_context(|| posterior.name.clone())?;
        let of_this = table(posterior, &outcome);
        let right = of_this.iter().flat_map(|row| &row.known).all(|k| k.z_mean.abs() <= ALLOWED && k.z_sd.abs() <= ALLOWED);
        checks.push((right, format!("{}: means and standard deviations within {ALLOWED} combined errors", posterior.name)));
        checks.push((outcome.is_met, format!("{}: the goal of precision is met", posterior.name)));
        rows.extend(of_this);
    }
    line.options.finish(&rows, checks.iter().map(|(holds, what)| (*holds, what.as_str())))
}

/// Prints what was found, and gives it as rows.
fn table<'a>(posterior: &'a Posterior, outcome: &Outcome) -> Vec<Row<'a>> {
    let Outcome { draws, chains, seconds, last, is_met, failed_transitions, adaptation, .. } = outcome;
    let met = if *is_met { "the last to be precise enough was" } else { "NOT precise enough is" };
    println!("\n{}: {chains} chains x {draws} draws in {seconds:.2} s; {met} {}", posterior.name, posterior.parameters[*last]);
    println!("{adaptation}");
    if *failed_transitions > 0 {
        println!("  {failed_transitions} transitions failed and were rejected");
    }
    println!(
        "  {:>10} {:>12} {:>12} {:>11} {:>11} {:>8} {:>9}  misses of mean and sd, in combined errors",
        "", "mean", "sd", "mcse(mean)", "mcse(sd)", "rhat", "ess"
    );
    let row = |(i, (parameter, e)): (usize, (&'a String, &Estimate))| {
        let known = posterior.truths.iter().map(|truth| {
            let (z_mean, z_sd) = scores(e, truth, i);
            Known { source: truth.source, mean: truth.mean[i], sd: truth.sd[i], z_mean, z_sd }
        });
        let known: Vec<_> = known.collect();
        let misses: Vec<_> = known.iter().map(|k| format!("{}: {:+.1}, {:+.1}", k.source, k.z_mean, k.z_sd)).collect();
        println!(
            "  {parameter:>10} {:>12.6} {:>12.6} {:>11.2e} {:>11.2e} {:>8.4} {:>9.0}  {}",
            e.mean,
            e.sd,
            e.mcse_mean,
            e.mcse_sd,
            e.rhat,
            e.ess,
            misses.join("; ")
        );
        Row {
            posterior: &posterior.name,
            parameter,
            mean: e.mean,
            sd: e.sd,
            mcse_mean: e.mcse_mean,
            mcse_sd: e.mcse_sd,
            rhat: e.rhat,
            ess: e.ess,
            seconds: *seconds,
            chains: *chains,
            draws: *draws,
            known,
        }
    };
    posterior.parameters.iter().zip(&outcome.estimates).enumerate().map(row).collect()
}

impl CommandLine {
    /// What is asked for.
    fn posteriors(&self) -> Result<Vec<Posterior>> {
        if let (Some(wgsl), Some(parameters)) = (&self.wgsl, &self.parameters) {
            ensure!(self.names.is_empty(), "either --wgsl or names");
            let parameters = posterior::parameters(parameters)?;
            let data = self.params.as_ref().map_or(Ok(Vec::new()), numbers)?;
            let energy = WgslEnergy::from_file(wgsl, parameters.len(), data)?;
            return Ok(vec![Posterior::new(&wgsl.display().to_string(), energy, &parameters)]);
        }
        if self.names.is_empty() {
            return PUBLISHED.iter().filter_map(|(name, _)| self.published(name, true).transpose()).collect();
        }
        let mut posteriors = Vec::new();
        for name in &self.names {
            if name == "stress" {
                posteriors.extend(STRESS.iter().map(|name| stress::stress(name)).collect::<Result<Vec<_>>>()?);
            } else if STRESS.contains(&name.as_str()) {
                posteriors.push(stress::stress(name)?);
            } else if PUBLISHED.iter().any(|(known, _)| known == name) {
                posteriors.extend(self.published(name, false)?);
            } else {
                let published = PUBLISHED.map(|(name, _)| name);
                bail!("no posterior is called {name}; there are {}, {}, and stress", published.join(", "), STRESS.join(", "));
            }
        }
        Ok(posteriors)
    }

    /// One of posteriordb's. Where its file is missing, eight schools has the data from here; the others are skipped, or refused if
    /// asked for by name.
    fn published(&self, name: &str, skip: bool) -> Result<Option<Posterior>> {
        let folder = published::folder(self.data.as_deref());
        if let Some(file) = published::read(&folder, name)? {
            return file.posterior(name).map(Some);
        }
        let (_, stem) = PUBLISHED.iter().find(|(known, _)| *known == name).context("a published name")?;
        let advice = format!(
            "there is no {stem}.json in {}; give the folder by --data, or the one above it by the variable ERGODIC_TRUTH",
            folder.display()
        );
        if name == "eight_schools" {
            println!("eight_schools without reference values: {advice}");
            let (y, sigma) = published::SCHOOLS;
            return published::eight_schools(&y, &sigma).map(Some);
        }
        ensure!(skip, "{name}: {advice}");
        println!("{name} is left out: {advice}");
        Ok(None)
    }
}

/// The numbers of a file.
fn numbers(path: &PathBuf) -> Result<Vec<f32>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let words = text.split(|c: char| c.is_whitespace() || ",[]".contains(c)).filter(|word| !word.is_empty());
    let number =
        |(i, word): (usize, &str)| word.parse().with_context(|| format!("number {} of {} is `{word}`", i + 1, path.display()));
    words.enumerate().map(number).collect()
}
