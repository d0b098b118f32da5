//! Samples a mixture, stores warm-up and draws as Zarr, and says how to open them in Python.
//!
//! ```sh
//! cargo run --release --features zarr --example arviz -- target/mixture.zarr
//! ```

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use ergodic::{Backend, Collect, Start, energy::Mixture, kernel::Hmc, store::Zarr};

/// Samples a mixture of two Gaussians and stores the draws for ArviZ.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder to write; it must not exist yet.
    #[arg(default_value = "target/mixture.zarr")]
    path: PathBuf,
    /// On the CPU reference.
    #[arg(long)]
    cpu: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let backend = if arguments.cpu { Backend::cpu() } else { Backend::best()? };
    let target = Mixture::new(&[0.7, 0.3], &[vec![-1.0, 0.5], vec![1.5, -0.5]], &[0.8, 1.0])?;
    let mut chains = backend.chains(target, Hmc::new(0.4, 6).jitter(3)).count(64).start(Start::normal([0.0], 2.0)).build()?;

    let mut store = Zarr::create(&arguments.path)?;
    chains.collect_into(Collect::draws(100), &mut store.warmup())?;
    let collect = Collect::draws(5_000).thin(10);
    println!("{}; {:.1} MB to {}", backend.describe(), chains.stored_bytes(&collect)? as f64 / 1e6, arguments.path.display());
    println!("{}", chains.collect_into(collect, &mut store)?);

    println!("\npython -c 'import arviz; print(arviz.summary(arviz.from_zarr(\"{}\")))'", arguments.path.display());
    Ok(())
}
