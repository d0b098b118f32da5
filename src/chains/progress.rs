//! How far a call has come, told to the caller slice by slice.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Setup, Standing};
use crate::{Error, Result};

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The warm-up of a kernel that adapts; its total is an estimate.
    WarmUp,
    /// Steps that nothing is collected of.
    Advance,
    /// Draws.
    Collect,
}

/// How far a call of `advance` or `collect` has come.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Progress {
    /// What the call does.
    pub phase: Phase,
    /// Steps done in this call.
    pub done: u64,
    /// Steps asked for in this call, or allowed.
    pub total: u64,
    /// Time since the call, or since the end of its warm-up.
    pub elapsed: Duration,
    /// How long it should still take, at the rate so far: to the goal where there is one, to the time limit where that comes first. None
    /// where nothing tells yet, as before the first look at a goal.
    pub remaining: Option<Duration>,
    /// How precise the least precise coordinate was at the last look.
    pub standing: Option<Standing>,
}

pub(crate) type OnProgress = Arc<dyn Fn(Progress) -> ControlFlow<()> + Send + Sync>;

/// A call of `advance` or `collect`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    phase: Phase,
    begun: Instant,
    /// When its time is up.
    end: Option<Instant>,
    /// Steps asked for, or allowed.
    pub(crate) total: u64,
    /// Steps done before the run in hand.
    pub(crate) done: u64,
    pub(crate) standing: Option<Standing>,
    /// Whether it ends at a goal: `total` then says nothing of how long it takes.
    pub(crate) has_goal: bool,
}

impl Call {
    pub(crate) fn new(phase: Phase, total: u64, within: Option<Duration>) -> Self {
        let begun = Instant::now();
        let end = within.and_then(|within| begun.checked_add(within));
        Self { phase, begun, end, total, done: 0, standing: None, has_goal: false }
    }

    /// The warm-up before it, whose time is up when that of the call is.
    pub(crate) fn of_warm_up(&self) -> Self {
        Self { phase: Phase::WarmUp, has_goal: false, ..*self }
    }

    /// The call from here on, after its warm-up.
    pub(crate) fn after_warm_up(self) -> Self {
        Self { begun: Instant::now(), ..self }
    }

    pub(crate) fn collects(&self) -> bool {
        self.phase == Phase::Collect
    }

    /// Whether time is up.
    pub(crate) fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// Tells the caller that `run` steps of the run in hand are done, of `good_steps` in all.
    pub(crate) fn progress(&self, setup: &Setup, run: u64, good_steps: u64) -> Result<()> {
        let Some(f) = &setup.on_progress else { return Ok(()) };
        let (done, elapsed) = (self.done + run, self.begun.elapsed());
        let expected = match self.standing.and_then(|s| s.expected_draws()) {
            None if self.has_goal => None,
            known => Some(known.map_or(self.total, |n| n.clamp(done, self.total))),
        };
        let by_rate = expected.filter(|_| done > 0).map(|expected| {
            let to_go = (expected - done) as f64 / done as f64;
            Duration::try_from_secs_f64(elapsed.as_secs_f64() * to_go).unwrap_or(Duration::MAX)
        });
        let limit = self.end.filter(|_| done > 0).map(|end| end.saturating_duration_since(Instant::now()));
        let remaining = by_rate.into_iter().chain(limit).min();
        let progress = Progress { phase: self.phase, done, total: self.total, elapsed, remaining, standing: self.standing };
        if f(progress).is_break() { Err(Error::Cancelled { good_steps }) } else { Ok(()) }
    }
}
