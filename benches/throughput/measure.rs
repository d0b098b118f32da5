//! Timed runs of one case on one backend.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use ergodic::{
    Backend, Chains, Gpu,
    chains::{CpuChains, GpuChains},
};
use rayon::ThreadPool;

use crate::case::Case;

/// Where chains run.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Gpu(Box<Gpu>),
    Cpu(Arc<ThreadPool>),
}

impl Place {
    pub(crate) fn cpu(threads: usize) -> Result<Self> {
        Ok(Self::Cpu(Arc::new(rayon::ThreadPoolBuilder::new().num_threads(threads).build()?)))
    }

    pub(crate) fn threads(&self) -> Option<usize> {
        match self {
            Self::Gpu(_) => None,
            Self::Cpu(pool) => Some(pool.current_num_threads()),
        }
    }

    pub(crate) fn backend(&self) -> &'static str {
        if self.threads().is_some() { "cpu" } else { "gpu" }
    }

    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Gpu(gpu) => gpu.describe(),
            Self::Cpu(pool) => format!("CPU reference (f64, {} threads)", pool.current_num_threads()),
        }
    }
}

/// Chains of a case, warmed up, with the steps that one timed run takes.
pub(crate) struct Runner {
    chains: Engine,
    place: Place,
    steps: u64,
    seconds: Vec<f64>,
    spent: Duration,
    /// Seconds from nothing but an open device to the positions after one step. Pipelines that this process has compiled
    /// before, or the driver's cache on disk holds, make it shorter: see [`first_sample_afresh`].
    pub(crate) first_sample: f64,
}

enum Engine {
    Gpu(Box<GpuChains>),
    Cpu(Box<CpuChains>),
}

/// A timed run takes at least this long.
const LEAST: f64 = 0.2;
/// On a GPU a run has many steps, or takes longer: each submission has a fixed cost, which a long run spreads over many steps.
const MANY_STEPS: u64 = 256;
const MANY_STEPS_LEAST: f64 = 1.0;
/// Where one step takes longer than `LEAST`, no more runs than fit in this time; five otherwise.
const MOST: Duration = Duration::from_secs(20);

impl Runner {
    /// Builds the chains and takes the first step.
    pub(crate) fn new(case: &Case, place: &Place) -> Result<Self> {
        let start = case.start();
        let begun = Instant::now();
        let chains = match place {
            Place::Gpu(gpu) => {
                Engine::Gpu(Box::new(GpuChains::new(gpu, case.setup(&Backend::gpu_of(Gpu::clone(gpu)), start)?)?))
            }
            Place::Cpu(pool) => {
                let setup = case.setup(&Backend::cpu(), start)?;
                Engine::Cpu(Box::new(pool.install(|| CpuChains::new(setup))?))
            }
        };
        let mut runner =
            Self { chains, place: place.clone(), steps: 1, seconds: vec![], spent: Duration::ZERO, first_sample: 0.0 };
        runner.advance(1)?;
        let positions = runner.chains().positions()?;
        runner.first_sample = begun.elapsed().as_secs_f64();
        ensure!(positions.iter().all(|x| x.is_finite()), "{case}: a position is not finite");
        Ok(runner)
    }

    pub(crate) fn chains(&self) -> &dyn Chains {
        match &self.chains {
            Engine::Gpu(chains) => &**chains,
            Engine::Cpu(chains) => &**chains,
        }
    }

    fn advance(&mut self, steps: u64) -> Result<f64> {
        let begun = Instant::now();
        match (&mut self.chains, &self.place) {
            (Engine::Cpu(chains), Place::Cpu(pool)) => pool.install(|| chains.advance(steps))?,
            (Engine::Gpu(chains), _) => chains.advance(steps)?,
            (Engine::Cpu(chains), _) => chains.advance(steps)?,
        }
        self.spent += begun.elapsed();
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Runs until a run is long enough to be timed.
    pub(crate) fn warm_up(&mut self) -> Result<()> {
        loop {
            let took = self.advance(self.steps)?;
            if self.is_long_enough(took / 1.1) {
                self.spent = Duration::ZERO;
                return Ok(());
            }
            // At most fourfold: the library itself is still finding out how many steps fit a submission.
            self.steps = (self.steps as f64 * (1.2 * LEAST / took).clamp(1.2, 4.0)).ceil() as u64;
        }
    }

    /// One timed run: its steps and seconds. A run that was too short (another program slowed the warm-up down) starts the
    /// series over with longer ones.
    pub(crate) fn run(&mut self) -> Result<(u64, f64)> {
        loop {
            let took = self.advance(self.steps)?;
            if self.is_long_enough(took) {
                self.seconds.push(took);
                return Ok((self.steps, took));
            }
            self.seconds.clear();
            self.steps = (1.3 * self.steps as f64).ceil() as u64;
        }
    }

    fn is_long_enough(&self, seconds: f64) -> bool {
        let is_gpu = self.place.threads().is_none();
        seconds >= if is_gpu && self.steps < MANY_STEPS { MANY_STEPS_LEAST } else { LEAST }
    }

    /// Whether `runs` runs are done, or as many as the time allows.
    pub(crate) fn is_done(&self, runs: usize) -> bool {
        self.seconds.len() >= runs || (!self.seconds.is_empty() && self.spent > MOST)
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn seconds(&self) -> &[f64] {
        &self.seconds
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }
}

/// The first sample of a GPU in a fresh process, with the driver's cache of compiled shaders off (Mesa and NVIDIA; Metal and
/// DX12 have no switch). Opening the device is not counted. Only here: Mesa 22.3 without that cache compiles again at every
/// dispatch.
pub(crate) fn first_sample_afresh(case: &Case) -> Result<f64> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--first-sample", &serde_json::to_string(case)?])
        .env("MESA_SHADER_CACHE_DISABLE", "true")
        .env("__GL_SHADER_DISK_CACHE", "0")
        .output()?;
    ensure!(output.status.success(), "first sample of {case}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)?.trim().parse().context("seconds of the first sample")
}

/// Median, least and greatest.
pub(crate) fn spread(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    [(sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0, sorted[0], sorted[n - 1]]
}
