//! What all examples share: options, a progress bar, figures as JSON, and the picture kit.
//!
//! An example begins with `let options = Options::read("its question");` and ends with `options.finish(&figures, checks)`. A
//! picture is a grid of panels; on each, fields and samples come first, then lines, then `axes`:
//!
//! ```ignore
//! let density = Density::of(&energy, [-6.0, 6.0], [-6.0, 6.0]);
//! let mut picture = Picture::grid("title", "what there is to say", 1, 1, [460, 460], false)?;
//! let mut panel = picture.panel(0, 0, density.x, density.y);
//! panel.samples(&chains.positions()?, &density).contours_of(&energy, &density, &[2.0, 4.5], [1.0; 3], 0.45);
//! panel.axes("mala", "acceptance 0.5");
//! picture.save("name")?;
//! ```

#![allow(dead_code, unused_imports, unreachable_pub, reason = "each example uses a part")]

pub mod canvas;
pub mod density;
pub mod panel;

use std::{
    fs::OpenOptions,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, CommandFactory, FromArgMatches, Parser, ValueEnum};
use ergodic::{Backend, Gpu, chains::Progress};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

pub use canvas::Picture;
pub use density::Density;

/// Where chains run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum On {
    /// A GPU if there is one, else the CPU reference.
    Best,
    /// The CPU reference (f64).
    Cpu,
    /// A GPU, or an error that says how to get one.
    Gpu,
}

/// The options of every example.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Do less: at most 20 s on two cores
    #[arg(long)]
    pub quick: bool,
    /// Write the figures to this file as JSON
    #[arg(long, value_name = "FILE", value_parser = writable)]
    pub json: Option<PathBuf>,
    /// Number of chains [default: as many as suit the backend]
    #[arg(long)]
    pub chains: Option<usize>,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Where to run
    #[arg(long, value_enum, default_value_t = On::Best)]
    pub backend: On,
}

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
}

/// A file that can be written at the end of a long run: that is found out at its beginning.
pub fn writable(path: &str) -> std::io::Result<PathBuf> {
    let is_new = !Path::new(path).exists();
    OpenOptions::new().create(true).append(true).open(path)?;
    if is_new {
        std::fs::remove_file(path)?;
    }
    Ok(path.into())
}

impl Options {
    /// Reads the command line; `--help` shows the question that the example answers.
    pub fn read(question: &'static str) -> Self {
        let matches = CommandLine::command().about(question).get_matches();
        CommandLine::from_arg_matches(&matches).unwrap_or_else(|e| e.exit()).options
    }

    /// Opens the backend and says which it is.
    pub fn open(&self) -> Result<Backend> {
        let backend = match self.backend {
            On::Best => Backend::best()?,
            On::Cpu => Backend::cpu(),
            On::Gpu => Backend::gpu_of(Gpu::open()?),
        };
        println!("running on: {}", backend.describe());
        Ok(backend)
    }

    /// The backend that noise networks are trained on: the one that was opened, but the CPU where that is a software GPU which was not asked
    /// for by `--backend gpu`. Its cores are the CPU's, whose own passes over whole layers are faster.
    pub fn for_training(&self, backend: &Backend) -> Backend {
        match self.backend {
            On::Best if backend.gpu().is_some_and(Gpu::is_software) => Backend::cpu(),
            _ => backend.clone(),
        }
    }

    /// The number of chains: as asked for, else `on_gpu` or `on_cpu`.
    pub fn count(&self, backend: &Backend, on_gpu: usize, on_cpu: usize) -> usize {
        self.chains.unwrap_or(if backend.gpu().is_some() { on_gpu } else { on_cpu })
    }

    /// Refuses `--chains` where that is no choice.
    pub fn fixed_chains(&self, why: &str) -> Result<()> {
        ensure!(self.chains.is_none(), "this example takes no --chains: {why}");
        Ok(())
    }

    /// Refuses fewer chains than the example can go by.
    pub fn at_least(&self, least: usize, why: &str) -> Result<()> {
        match self.chains {
            Some(chains) if chains < least => bail!("--chains {chains}: at least {} are needed, {why}", thousands(least)),
            _ => Ok(()),
        }
    }

    /// Writes the figures where `--json` asks for it, then fails if a check did: (whether it holds, what it says).
    pub fn finish<'a>(&self, figures: &impl Serialize, checks: impl IntoIterator<Item = (bool, &'a str)>) -> Result<()> {
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(figures)? + "\n";
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
            println!("figures: {}", path.display());
        }
        let failed: Vec<_> = checks.into_iter().filter_map(|(holds, what)| (!holds).then_some(what)).collect();
        ensure!(failed.is_empty(), "these should hold and do not: {}", failed.join("; "));
        Ok(())
    }
}

/// A progress bar on standard error, for `Setup::on_progress`; nothing where that is not a terminal.
pub fn progress(label: impl Into<String>) -> impl Fn(Progress) -> ControlFlow<()> + Send + Sync + 'static {
    let style = ProgressStyle::with_template("{prefix:>14} [{bar:32}] {pos}/{len} steps, {eta} left");
    let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_prefix(label.into());
    move |now| {
        bar.set_length(now.total);
        bar.set_position(now.done);
        if now.done == now.total {
            bar.finish_and_clear();
        }
        ControlFlow::Continue(())
    }
}

/// 65536 as 65,536 chains, 1 as 1 chain.
pub fn number_of_chains(n: usize) -> String {
    format!("{} chain{}", thousands(n), if n == 1 { "" } else { "s" })
}

/// 65536 as 65,536.
pub fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}
