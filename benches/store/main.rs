//! What storing costs: `cargo bench --bench store --features zarr` writes every draw of 65,536 two-dimensional chains to Zarr, in turn
//! with collections that write nothing; `-- --cost` measures what moments cost, and the copy that outlives a lost device; `-- --memory` runs 10⁶ chains for 10³ and for 10⁴ steps and reads the resident memory.

mod cost;
mod memory;
mod speed;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

/// Measures what storing draws costs, and the memory of long runs.
#[derive(Debug, Parser)]
struct Arguments {
    /// Resident memory of 10⁶ chains with moments, after 10³ and after 10⁴ steps.
    #[arg(long)]
    memory: bool,
    /// What moments cost, and the copy in host memory, of 65,536 two-dimensional chains.
    #[arg(long)]
    cost: bool,
    /// Where the stores are written, in a folder `ergodic` that is removed at the end.
    #[arg(long, value_name = "FOLDER", default_value = "target/store")]
    folder: PathBuf,
    /// Draws of a store.
    #[arg(long, default_value_t = 1_000)]
    draws: u64,
    /// Cases of this name only: "mala", "mixture8".
    #[arg(long, default_value = "")]
    only: String,
    /// Rounds: the ratios are medians over them.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Prints the resident memory after so many steps.
    #[arg(long, value_name = "STEPS", hide = true)]
    memory_after: Option<u64>,
    /// The kernel of that run.
    #[arg(long, default_value = "mala", hide = true)]
    kernel: String,
    /// Given by cargo bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(steps) = arguments.memory_after {
        return memory::after(steps, &arguments.kernel);
    }
    if !arguments.bench {
        // `cargo test --all-targets` runs benchmarks too.
        println!("Nothing measured: run it as cargo bench --bench store --features zarr");
        return Ok(());
    }
    if arguments.cost {
        cost::measure(arguments.rounds, &arguments.only)
    } else if arguments.memory {
        memory::measure()
    } else {
        speed::measure(&arguments.folder, arguments.draws, arguments.rounds, &arguments.only)
    }
}
