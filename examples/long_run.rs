//! Can a long run be left alone? It says how far and how precise it is, saves itself, and goes on with the same bits after Ctrl-C.
//!
//! ```sh
//! cargo run --release --example long_run -- --stop-after 5    # or Ctrl-C at any time
//! cargo run --release --example long_run -- --resume          # goes on from target/long_run.safetensors
//! cargo run --release --example long_run -- --quick           # a short run is stopped, resumed and compared with one that was not
//! ```

mod common;

use std::{
    io::{IsTerminal, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Parser;
use common::{Options, number_of_chains, thousands};
use ergodic::{
    Backend, Chains, Collect, Error, Report, Start,
    chains::{Ended, Goal, Phase, Progress, Setup},
    energy::Mixture,
    kernel::Hmc,
};
use serde::Serialize;

/// Steps before the first draw.
const WARM_UP: u64 = 200;

/// Can a long run be left alone? It saves itself, and goes on with the same bits after Ctrl-C.
#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
    /// Go on from the checkpoint
    #[arg(long)]
    resume: bool,
    /// Stop after so many seconds, as Ctrl-C does
    #[arg(long, value_name = "SECONDS")]
    stop_after: Option<f64>,
    /// Where the run saves itself
    #[arg(long, value_name = "FILE", default_value = "target/long_run.safetensors")]
    checkpoint: PathBuf,
}

#[derive(Serialize)]
struct Figures {
    /// Steps at which the run was stopped in this call, if it was.
    stopped_at: Option<u64>,
    /// Steps at which the run was resumed in this call, if it was.
    resumed_at: Option<u64>,
    checkpoint_bytes: u64,
    save_seconds: f64,
    resume_seconds: Option<f64>,
    /// In the quick form: whether positions, energies and moments are those of a run that was not stopped, to the bit.
    same_bits: Option<bool>,
    report: Report,
}

fn main() -> Result<()> {
    let CommandLine { options, resume, stop_after, checkpoint } = CommandLine::parse();
    let backend = options.open()?;
    let chains = if options.quick { options.count(&backend, 16_384, 512) } else { options.count(&backend, 65_536, 4_096) };
    let goal = if options.quick { 0.002 } else { 0.0005 } * (16_384.0 / chains as f64).sqrt().max(1.0);
    println!("{} until the standard error of every mean is {goal:.5} standard deviations", number_of_chains(chains));
    let stop = Arc::new(AtomicBool::new(false));
    let on_signal = stop.clone();
    ctrlc::set_handler(move || on_signal.store(true, Ordering::Relaxed))?;
    let (begun, after) = (Instant::now(), stop_after.map(Duration::from_secs_f64));
    let setup =
        || -> Result<Setup> { Ok(setup(&backend, chains, options.seed)?.checkpoint(&checkpoint, Duration::from_secs(2))) };
    let stopping = {
        let stop = stop.clone();
        move |_: &Progress| stop.load(Ordering::Relaxed) || after.is_some_and(|after| begun.elapsed() >= after)
    };

    let (mut run, resume_seconds) = if resume {
        resumed(setup()?.on_progress(told(stopping)), &checkpoint)?
    } else {
        // The quick form stops itself once a quarter of the draws that it may take are there.
        let quick = options.quick && stop_after.is_none();
        let stopping = move |p: &Progress| stopping(p) || (quick && p.phase == Phase::Collect && p.done >= 100);
        (setup()?.on_progress(told(stopping)).build()?, None)
    };
    let resumed_at = resume.then(|| run.steps());
    let outcome = finish(&mut *run, goal);
    let saving = Instant::now();
    run.save(&checkpoint)?;
    let save_seconds = saving.elapsed().as_secs_f64();
    let mut figures = Figures {
        stopped_at: None,
        resumed_at,
        checkpoint_bytes: checkpoint.metadata()?.len(),
        save_seconds,
        resume_seconds,
        same_bits: None,
        report: run.report(),
    };
    let steps = run.steps();
    match outcome {
        Ok(report) => figures.report = report,
        Err(Error::Cancelled { .. }) => {
            figures.stopped_at = Some(steps);
            println!(
                "stopped after {} steps; {} is kept: {:.1} MB in {save_seconds:.3} s",
                thousands(steps as usize),
                checkpoint.display(),
                figures.checkpoint_bytes as f64 / 1e6
            );
            if !options.quick || stop_after.is_some() {
                println!("go on with --resume");
            }
        }
        Err(e) => return Err(e.into()),
    }
    if options.quick && !resume && stop_after.is_none() && !stop.load(Ordering::Relaxed) {
        drop(run);
        let (mut run, seconds) = resumed(setup()?.on_progress(told(|_: &Progress| false)), &checkpoint)?;
        (figures.resumed_at, figures.resume_seconds) = (Some(run.steps()), seconds);
        figures.report = finish(&mut *run, goal)?;
        figures.same_bits = Some(has_same_bits(&*run, &figures.report, setup()?)?);
    }
    println!("{}", figures.report);
    let checks = [
        (figures.same_bits != Some(false), "the resumed run has the bits of one that was not stopped"),
        (figures.stopped_at.is_some() || figures.report.ended == Some(Ended::Goal), "the goal is met"),
        (figures.report.failures.is_empty(), "no transition fails"),
    ];
    options.finish(&figures, checks)
}

fn setup(backend: &Backend, chains: usize, seed: u64) -> Result<Setup> {
    let target = Mixture::ring(8, 4.0, 0.7)?;
    Ok(backend.chains(target, Hmc::new(0.45, 8).jitter(4)).count(chains).seed(seed).start(Start::normal([0.0], 4.0)))
}

fn resumed(setup: Setup, checkpoint: &Path) -> Result<(Box<dyn Chains>, Option<f64>)> {
    let begun = Instant::now();
    let run = setup.resume(checkpoint).context("nothing to go on from")?;
    let seconds = begun.elapsed().as_secs_f64();
    println!("resumed after {} steps, in {seconds:.3} s", thousands(run.steps() as usize));
    Ok((run, Some(seconds)))
}

/// From wherever the run stands to its goal.
fn finish(run: &mut dyn Chains, goal: f64) -> ergodic::Result<Report> {
    run.advance(WARM_UP.saturating_sub(run.steps()))?;
    run.collect(Collect::until(Goal::mcse(goal)).go_on())
}

/// Prints how far a run is, a line a second, and cancels it when it shall stop.
fn told(stopping: impl Fn(&Progress) -> bool + Send + Sync + 'static) -> impl Fn(Progress) -> ControlFlow<()> + Send + Sync {
    let last = std::sync::Mutex::new(None::<Instant>);
    let is_terminal = std::io::stdout().is_terminal();
    move |now| {
        let mut last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= Duration::from_secs(1)) {
            *last = Some(Instant::now());
            let what = if now.phase == Phase::Advance { "steps of warm-up" } else { "draws" };
            let precision =
                now.standing.and_then(|s| s.value).map(|v| format!(", standard error {v:.5} sd")).unwrap_or_default();
            let left = now.remaining.map(|left| format!(", {:.0} s to go", left.as_secs_f64())).unwrap_or_default();
            let end = if is_terminal { "\x1b[K\r" } else { "\n" };
            print!("{} {what}{precision}{left}{end}", thousands(now.done as usize));
            let _ = std::io::stdout().flush();
        }
        if stopping(&now) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Runs as many draws without a stop, and compares.
fn has_same_bits(run: &dyn Chains, report: &Report, setup: Setup) -> Result<bool> {
    let mut whole = setup.build()?;
    whole.advance(WARM_UP)?;
    let expected = whole.collect(Collect::draws(report.draws))?;
    Ok(run.positions()? == whole.positions()?
        && run.energies()? == whole.energies()?
        && run.tallies() == whole.tallies()
        && report.coordinates == expected.coordinates)
}
