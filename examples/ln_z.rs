//! What is ln Z of a Boltzmann machine, and how likely are data under it? A machine from a safetensors file, by annealed importance
//! sampling.
//!
//! `cargo run --release --example ln_z -- MACHINE --temperatures 14500 --chains 100 [--data FILE] [--train FILE]`

mod common;

use std::{path::PathBuf, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use common::Options;
use ergodic::rbm::{Ais, Data, Idx, Rbm, Reals};
use serde::Serialize;

/// What is ln Z of a Boltzmann machine, and how likely are data under it?
#[derive(Parser)]
struct CommandLine {
    /// safetensors file with W [visible, hidden], a [visible], b [hidden]; with sd [visible] too, visible units are Gaussian. Without a
    /// file, a machine of 784 x 500 with weights N(0, 0.05²) is written and read
    machine: Option<PathBuf>,
    /// Steps from the base-rate model to the machine [default: 14,500, with --quick 500]
    #[arg(long)]
    temperatures: Option<usize>,
    /// Rows of data whose mean log-likelihood is wanted: .npy or IDX, gzip or not
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Rows of data whose means are the base rates [default: fair coins]
    #[arg(long, value_name = "FILE")]
    train: Option<PathBuf>,
    /// Pixels of data from this value on are one, where the units are binary [default: data are probabilities]
    #[arg(long)]
    threshold: Option<f32>,
    /// Sweeps before annealing backwards from the machine; 0 leaves that out
    #[arg(long, default_value_t = 0)]
    reverse: u64,
    #[command(flatten)]
    options: Options,
}

#[derive(Serialize)]
struct Figures {
    visible: usize,
    hidden: usize,
    chains: usize,
    temperatures: usize,
    ln_z: f64,
    ln_z_error: f64,
    effective_chains: f64,
    ln_z_reverse: Option<f64>,
    ln_z_exact: Option<f64>,
    /// Mean over rows, in nats: [lower, upper].
    log_likelihood: Option<[f64; 2]>,
    seconds: f64,
}

fn main() -> Result<()> {
    let CommandLine { machine, temperatures, data, train, threshold, reverse, options } = CommandLine::parse();
    let path = match machine {
        Some(path) => path,
        None => example(options.seed)?,
    };
    let rbm = Rbm::load(&path)?;
    let (visible, hidden) = (rbm.visible(), rbm.hidden());
    println!("{}: {visible} visible and {hidden} hidden units", path.display());
    let read = |path: &PathBuf| -> Result<Reals> {
        let rows = read(path)?;
        ensure!(rows.units() == visible, "{} has {} values a row, the machine {visible}", path.display(), rows.units());
        Ok(match threshold {
            Some(threshold) => {
                let bits = rows.values().iter().map(|&v| f32::from(u8::from(v >= threshold)));
                Reals::new(bits.collect::<Vec<_>>(), visible)?
            }
            None => rows,
        })
    };

    let temperatures = temperatures.unwrap_or(if options.quick { 500 } else { 14_500 });
    let chains = options.chains.unwrap_or(100);
    let mut annealing = Ais::new(temperatures, chains);
    if let Some(path) = &train {
        annealing = annealing.base_rates(&read(path)?.means());
    }
    if reverse > 0 {
        annealing = annealing.reverse(reverse);
    }
    let begun = Instant::now();
    let found = annealing.run(&rbm, options.seed)?;
    let seconds = begun.elapsed().as_secs_f64();
    let exact = (visible.min(hidden) <= 20).then(|| rbm.ln_z()).transpose()?;
    println!(
        "ln Z = {:.3} ± {:.3}: {chains} chains, worth {:.0}, through {temperatures} temperatures in {seconds:.1} s",
        found.forward.value, found.forward.error, found.forward.ess
    );
    if let Some(reverse) = found.reverse {
        println!("backwards {:.3} ± {:.3}", reverse.value, reverse.error);
    }
    if let Some(exact) = exact {
        println!("by enumeration {exact:.3}");
    }
    let mut log_likelihood = None;
    if let Some(path) = &data {
        let rows = read(path)?;
        let ([low, high], mean) = (found.bracket(), rbm.mean_negative_free_energy(&rows));
        println!("log-likelihood of {} rows in [{:.3}, {:.3}] nats each", rows.count(), mean - high, mean - low);
        log_likelihood = Some([mean - high, mean - low]);
    }
    let figures = Figures {
        visible,
        hidden,
        chains,
        temperatures,
        ln_z: found.forward.value,
        ln_z_error: found.forward.error,
        effective_chains: found.forward.ess,
        ln_z_reverse: found.reverse.map(|r| r.value),
        ln_z_exact: exact,
        log_likelihood,
        seconds,
    };
    let right = exact.is_none_or(|exact| (found.forward.value - exact).abs() < 5.0 * found.forward.error);
    options.finish(&figures, [(right, "ln Z is that by enumeration within five standard errors")])
}

/// Rows of a file, by its name.
fn read(path: &PathBuf) -> Result<Reals> {
    let name = path.to_string_lossy();
    if name.trim_end_matches(".gz").ends_with(".npy") { Ok(Reals::read_npy(path)?) } else { Ok(Idx::read(path)?.greys()?) }
}

fn example(seed: u64) -> Result<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/machines"));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join("784x500.safetensors");
    Rbm::for_data(&[0.3; 784], 500, 0.05, seed)?.save(&path)?;
    Ok(path)
}
