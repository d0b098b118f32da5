//! Resident memory at its highest, by the system's own count. A software GPU's memory is in it.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use ergodic::{
    Backend, Collect, Gpu, Start,
    energy::Mixture,
    kernel::{Hmc, Kernel, Mala},
};

const CHAINS: usize = 1_000_000;

/// A process for each run: the highest value is of the whole process.
pub(crate) fn measure() -> Result<()> {
    println!("{} chains in two dimensions with moments, on {}", CHAINS, Gpu::open()?.describe());
    for kernel in ["mala", "hmc"] {
        for steps in ["1000", "10000"] {
            let program = std::env::current_exe()?;
            let output = Command::new(program).args(["--memory-after", steps, "--kernel", kernel]).output()?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            print!("{}", String::from_utf8(output.stdout)?);
        }
    }
    Ok(())
}

/// Runs and prints.
pub(crate) fn after(steps: u64, name: &str) -> Result<()> {
    let kernel: std::sync::Arc<dyn Kernel> = match name {
        "mala" => std::sync::Arc::new(Mala::new(0.1)),
        _ => std::sync::Arc::new(Hmc::new(0.15, 2)),
    };
    let target = std::sync::Arc::new(Mixture::ring(8, 4.0, 0.5)?);
    let backend = Backend::gpu_of(Gpu::open()?);
    let opened = resident("VmHWM")?;
    let mut chains = backend.chains_of(target, kernel).count(CHAINS).start(Start::normal([0.0], 4.0)).build()?;
    let built = resident("VmHWM")?;
    let report = chains.collect(Collect::draws(steps))?;
    println!(
        "{name}, {steps} steps: at most {} MB resident ({opened} with the device open, {built} when built), {:.0} s",
        resident("VmHWM")?,
        report.wall_seconds
    );
    Ok(())
}

/// A value of the process in MB (10⁶ bytes); Linux only.
fn resident(name: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("resident memory is read from Linux's /proc")?;
    let line = status.lines().find(|line| line.starts_with(name)).context("no such line")?;
    let kib: u64 = line.split_whitespace().nth(1).context("no value")?.parse()?;
    Ok(kib * 1024 / 1_000_000)
}
