//! Collecting moments: for so many draws, until they are precise enough, or until time is up.

use std::{ops::Range, time::Duration};

use serde::Serialize;

use super::{
    Report, Setup,
    precision::Coordinate,
    progress::{Call, Phase},
    summary::Summary,
};
use crate::{
    Error, Result,
    counted::counted,
    error::positive,
    store::{Sink, Storing},
};

/// Draws at the first look at a goal; further looks follow when the goal may be met, at the latest after twice as many.
const FIRST_LOOK: u64 = 16;
/// A Monte Carlo error is estimated from the spread of the chains' means: from fewer chains it is too rough to stop at.
pub(super) const FEWEST_CHAINS: usize = 16;

/// What to collect: how many draws, or how precise the moments shall be, and within what limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Collect {
    pub(crate) draws: u64,
    pub(crate) goal: Option<Goal>,
    pub(crate) within: Option<Duration>,
    pub(crate) goes_on: bool,
    pub(crate) thin: u64,
    /// First and end of the chains whose draws are stored; all of them unless said.
    chains: Option<[usize; 2]>,
}

/// How precise the moments of every coordinate shall be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Goal {
    /// The Monte Carlo standard error of each mean, as a part of the standard deviation.
    pub mcse: Option<f64>,
    /// Nested R-hat over the superchains.
    pub rhat: Option<f64>,
}

impl Goal {
    /// Standard errors of the means of at most this part of the standard deviation, 0.01 for one in a hundred.
    pub fn mcse(part_of_sd: f64) -> Self {
        Self { mcse: Some(part_of_sd), rhat: None }
    }

    /// And nested R-hat of at most this, 1.01 say. It takes a few hundred superchains' draws to come that close to one:
    /// see [`Setup::superchains`].
    pub fn rhat(self, rhat: f64) -> Self {
        Self { rhat: Some(rhat), ..self }
    }

    fn validate(&self, setup: &Setup) -> Result<()> {
        if self.mcse.is_none() && self.rhat.is_none() {
            return Err(Error::setting(
                "the goal",
                "nothing",
                "must be of mcse or of rhat; for draws alone there is Collect::draws",
            ));
        }
        if let Some(mcse) = self.mcse {
            positive("the goal's mcse", mcse)?;
            if setup.chains / setup.rungs() < FEWEST_CHAINS {
                let why = format!("a goal needs at least {FEWEST_CHAINS}: errors are estimated from the spread of the chains");
                return Err(Error::setting("number of chains", setup.chains, why));
            }
        }
        if let Some(rhat) = self.rhat {
            if !(rhat > 1.0 && rhat.is_finite()) {
                return Err(Error::setting("the goal's rhat", rhat, "must be above 1"));
            }
            if setup.superchain_count() < 2 {
                return Err(Error::setting("superchains", setup.superchain_count(), "a goal of R-hat needs at least 2"));
            }
        }
        Ok(())
    }
}

impl Collect {
    /// The moments of every state over so many steps.
    pub fn draws(draws: u64) -> Self {
        Self { draws, goal: None, within: None, goes_on: false, thin: 1, chains: None }
    }

    /// The moments of every state until they are as precise as that; at most 2²⁰ draws unless said.
    pub fn until(goal: Goal) -> Self {
        Self { goal: Some(goal), ..Self::draws(1 << 20) }
    }

    /// At most so many draws.
    pub fn at_most(self, draws: u64) -> Self {
        Self { draws, ..self }
    }

    /// For at most so long, by the clock; what is collected by then is reported. A warm-up that comes first counts: where it takes
    /// longer the report has no draws, and the next call goes on with it.
    pub fn within(self, time: Duration) -> Self {
        Self { within: Some(time), ..self }
    }

    /// Adds to what the last `collect` collected (before it was cancelled, say, or saved), where no `advance` came between.
    pub fn go_on(self) -> Self {
        Self { goes_on: true, ..self }
    }

    /// Stores every n-th draw, the n-th first, where there is a sink; every one unless said. Moments are of every draw.
    pub fn thin(self, thin: u64) -> Self {
        Self { thin, ..self }
    }

    /// Stores the draws of these chains, counted from 0, where there is a sink; of all unless said. Moments are of every chain.
    /// Of a ladder of temperatures, the coldest chain alone is stored.
    pub fn stored_chains(self, chains: Range<usize>) -> Self {
        Self { chains: Some([chains.start, chains.end]), ..self }
    }

    /// Bytes of the draws to be stored.
    pub(crate) fn bytes(&self, setup: &Setup) -> Result<u64> {
        let dim = setup.target.dim();
        let stored = self.stored(setup.chains, setup.rungs())?.len() as u64;
        let bytes = (dim as u64 + 1).checked_mul(4).and_then(|b| b.checked_mul(stored)?.checked_mul(self.draws / self.thin));
        bytes.filter(|&bytes| bytes <= i64::MAX as u64).ok_or_else(|| Error::Limit {
            what: "draws to store".into(),
            asked: self.draws / self.thin,
            allowed: i64::MAX as u64 / 4 / (dim as u64 + 1) / stored,
            limit: "63-bit sizes".into(),
        })
    }

    /// The chains whose draws are stored, of so many; of ladders of so many rungs, those whose coldest chain is.
    pub(crate) fn stored(&self, chains: usize, rungs: usize) -> Result<Range<usize>> {
        if self.thin == 0 {
            return Err(Error::setting("thin", 0, "must be at least 1"));
        }
        let [first, end] = self.chains.unwrap_or([0, chains]);
        if first >= end || end > chains {
            let why = format!("must be at least one of {}", counted(chains as u64, "chain"));
            return Err(Error::setting("stored chains", format!("{first}..{end}"), why));
        }
        let ladders = first.div_ceil(rungs)..end.div_ceil(rungs);
        if ladders.is_empty() {
            let why = format!("must hold the coldest chain of a ladder, one in {rungs}: the others are not the target's");
            return Err(Error::setting("stored chains", format!("{first}..{end}"), why));
        }
        Ok(ladders)
    }
}

/// Why a collection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// All draws that were asked for, or allowed, were collected.
    Draws,
    /// The goal was met.
    Goal,
    /// Time was up.
    Time,
}

/// A quantity that a goal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// The Monte Carlo standard error of the mean over the standard deviation.
    Mcse,
    /// Nested R-hat.
    Rhat,
}

/// How precise the least precise coordinate is: the one that is farthest from the goal, or was the last to meet it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Standing {
    /// Draws of every chain behind it.
    pub draws: u64,
    /// The coordinate.
    pub coordinate: usize,
    /// What is farthest from its goal there; the standard error where there is no goal.
    pub quantity: Quantity,
    /// Its value; None where it is undefined (nothing moved).
    pub value: Option<f64>,
    /// The goal.
    pub goal: Option<f64>,
}

impl Standing {
    fn new(coordinates: &[Coordinate], draws: u64, goal: Option<Goal>) -> Option<Self> {
        let goal = goal.unwrap_or(Goal { mcse: None, rhat: None });
        let of = |coordinate, quantity, value, goal| Self { draws, coordinate, quantity, value, goal };
        let all = coordinates.iter().enumerate().flat_map(|(i, c)| {
            let mcse = of(i, Quantity::Mcse, c.mcse.map(|m| m / c.sd), goal.mcse);
            let rhat = of(i, Quantity::Rhat, c.rhat, goal.rhat);
            let has_goal = goal.mcse.is_some() || goal.rhat.is_none();
            [has_goal.then_some(mcse), goal.rhat.map(|_| rhat)].into_iter().flatten()
        });
        all.max_by(|a, b| a.distance().total_cmp(&b.distance()))
    }

    /// The part of the goal that is used up: met at one and below. Undefined is infinitely far.
    fn distance(&self) -> f64 {
        match (self.quantity, self.value) {
            (_, None) => f64::INFINITY,
            (Quantity::Mcse, Some(mcse)) => mcse / self.goal.unwrap_or(1.0),
            (Quantity::Rhat, Some(rhat)) => (rhat - 1.0) / (self.goal.unwrap_or(2.0) - 1.0),
        }
    }

    fn is_met(&self) -> bool {
        self.distance() <= 1.0
    }

    /// Draws by which the goal should be met: errors shrink as one over the square root of the draws, R-hat as one over the draws.
    pub(crate) fn expected_draws(&self) -> Option<u64> {
        let factor = match self.quantity {
            Quantity::Mcse => self.distance().powi(2),
            Quantity::Rhat => self.distance(),
        };
        (self.goal.is_some() && factor.is_finite()).then_some((self.draws as f64 * factor) as u64)
    }

    /// Draws at the next look, the same on every machine: a little after the goal should be met.
    fn next_look(&self) -> u64 {
        let expected = self.expected_draws().map_or(2 * self.draws, |n| n.saturating_add(n / 16));
        expected.clamp(self.draws + self.draws.div_ceil(4), 2 * self.draws)
    }
}

/// What `collect` needs of chains, on the GPU and on the CPU alike.
pub(crate) trait Collecting {
    fn setup(&self) -> &Setup;

    /// Begins a collection, or goes on with the last one, after a warm-up where one is due; the draws that it has already. When the
    /// call's time is up the warm-up is left as it is.
    fn begin(&mut self, goes_on: bool, call: &Call) -> Result<u64>;

    /// Steps since the start.
    fn steps_done(&self) -> u64;

    /// Runs steps, collects, and hands out draws where they are stored; ends early, without an error, where the call's time is up. The steps that were run.
    fn run(&mut self, steps: u64, call: &Call, storing: Option<&mut Storing<'_>>) -> Result<u64>;

    /// What has been collected.
    fn summary(&self) -> Result<Summary>;

    /// The report on the time since `begin`.
    fn report_of(&self, summary: &Summary) -> Report;
}

/// Runs a collection to its end, and stores its draws where there is a sink.
pub(crate) fn collect(chains: &mut impl Collecting, collect: Collect, sink: Option<&mut dyn Sink>) -> Result<Report> {
    if collect.draws == 0 {
        return Err(Error::setting("draws", 0, "must be at least 1"));
    }
    if let Some(goal) = collect.goal {
        goal.validate(chains.setup())?;
    }
    if sink.is_some() {
        collect.bytes(chains.setup())?;
    }
    let call = Call::new(Phase::Collect, collect.draws, collect.within);
    let already = chains.begin(collect.goes_on, &call)?;
    let mut call = call.after_warm_up();
    call.has_goal = collect.goal.is_some();
    let begin = |sink| Storing::begin(sink, &collect, chains.setup(), already, chains.steps_done());
    let Some(mut storing) = sink.map(begin).transpose()? else {
        return run(chains, &collect, call, already, None);
    };
    let report = run(chains, &collect, call, already, Some(&mut storing));
    let ended = storing.end();
    report.and_then(|report| ended.map(|()| report))
}

fn run(
    chains: &mut impl Collecting,
    collect: &Collect,
    mut call: Call,
    already: u64,
    mut storing: Option<&mut Storing<'_>>,
) -> Result<Report> {
    let last = already.saturating_add(collect.draws);
    // Looking at the moments empties the device's queue, so it is done only where somebody wants to know.
    let looks = collect.goal.is_some() || chains.setup().on_progress.is_some();
    let mut draws = already;
    let mut look = if looks { FIRST_LOOK.max(already + already / 4).min(last) } else { last };
    loop {
        let asked = look - draws;
        let done = chains.run(asked, &call, storing.as_deref_mut())?;
        (draws, call.done) = (draws + done, call.done + done);
        let summary = chains.summary()?;
        let ended = if done < asked { Some(Ended::Time) } else { (draws == last).then_some(Ended::Draws) };
        if !looks {
            return Ok(chains.report_of(&summary).ended(ended.unwrap_or(Ended::Draws), None));
        }
        call.standing = Standing::new(&summary.coordinates, draws, collect.goal);
        let is_met = collect.goal.is_some() && call.standing.is_some_and(|s| s.is_met());
        if let Some(ended) = if is_met { Some(Ended::Goal) } else { ended } {
            return Ok(chains.report_of(&summary).ended(ended, call.standing.filter(|_| collect.goal.is_some() && draws > 0)));
        }
        look = call.standing.map_or(last, |s| s.next_look()).clamp(draws + 1, last);
    }
}
