//! Parallel tempering: any Metropolis kernel on a ladder of temperatures, whose rungs exchange their states.

use std::sync::Arc;

use super::{Control, Info, Kernel, State, Step};
use crate::{Error, Result, Schedule, energy::Energy, error::positive, random::Draws};

/// Temperatures that rise from 1, the target's own; a power of two of them, at most 64.
#[derive(Debug, Clone, PartialEq)]
pub struct Ladder {
    temperatures: Vec<f64>,
    step_scales: Option<Vec<f64>>,
    steps_a_swap: u32,
}

impl Ladder {
    /// With these temperatures, in units of the target's: 1 first, then rising.
    pub fn new(temperatures: impl Into<Vec<f64>>) -> Self {
        Self { temperatures: temperatures.into(), step_scales: None, steps_a_swap: 5 }
    }

    /// With `rungs` temperatures in geometric progression from 1 to `hottest`, which gives equal swap rates where the heat capacity is
    /// constant (Kofke 2002).
    pub fn geometric(hottest: f64, rungs: u64) -> Self {
        let schedule = Schedule::geometric(1.0, hottest, rungs);
        Self::new((0..rungs.min(65)).map(|rung| schedule.at(rung)).collect::<Vec<_>>())
    }

    /// With this many steps between two rounds of swaps, 5 unless said.
    pub fn swap_every(self, steps: u32) -> Self {
        Self { steps_a_swap: steps, ..self }
    }

    /// With these factors > 0 of the kernel's step size, one a rung. Unless said they are √T, and T for steps that are squared
    /// lengths as those of [`Mala`](super::Mala).
    pub fn step_scales(self, factors: impl Into<Vec<f64>>) -> Self {
        Self { step_scales: Some(factors.into()), ..self }
    }

    /// The temperatures.
    pub fn temperatures(&self) -> &[f64] {
        &self.temperatures
    }

    /// Number of temperatures.
    pub fn rungs(&self) -> usize {
        self.temperatures.len().max(1)
    }

    /// Steps between two rounds of swaps.
    pub fn steps_a_swap(&self) -> u32 {
        self.steps_a_swap
    }

    fn validate(&self) -> Result<()> {
        let rungs = self.temperatures.len();
        if !(2..=64).contains(&rungs) || !rungs.is_power_of_two() {
            return Err(Error::setting("rungs of the ladder", rungs, "must be 2, 4, 8, 16, 32 or 64"));
        }
        self.temperatures.iter().try_for_each(|&t| positive("temperature of the ladder", t).map(drop))?;
        if self.temperatures[0] != 1.0 {
            let why = "must be 1, the target's own; Setup::temperature changes that";
            return Err(Error::setting("first temperature of the ladder", self.temperatures[0], why));
        }
        if let Some(pair) = self.temperatures.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(Error::setting("temperatures of the ladder", format!("{} then {}", pair[0], pair[1]), "must rise"));
        }
        if self.steps_a_swap == 0 {
            return Err(Error::setting("steps between swaps", 0, "must be at least 1"));
        }
        let Some(factors) = &self.step_scales else { return Ok(()) };
        if factors.len() != rungs {
            return Err(Error::shape("step scales of the ladder", rungs, factors.len()));
        }
        factors.iter().try_for_each(|&factor| positive("step scale of the ladder", factor).map(drop))
    }
}

/// Parallel tempering, also called replica exchange (Swendsen and Wang 1986; Geyer 1991; Earl and Deem 2005): chain c runs the inner
/// kernel at temperature T_r with r = c mod R, and after every few steps neighbours on the ladder exchange their states with
/// probability min(1, exp((E − E′)(1/T − 1/T′))), even and odd pairs by turns.
///
/// Hot rungs cross the barriers that keep a cold chain in one mode; swaps bring what they find down. The law of every rung is exact.
/// The chains 0, R, 2R, … are at the target's temperature: the moments of a report are theirs, and
/// `positions.iter().step_by(R)` their positions, `[dim][ladder]`. The number of chains must be a multiple of R.
///
/// The report's `tempering` says how often each pair of neighbours swapped and how many states went from the coldest rung to the
/// hottest and back.
///
/// ```
/// # use ergodic::{Backend, Collect, energy::Mixture, kernel::{Hmc, Ladder, Tempering}};
/// let target = Mixture::new(&[0.8, 0.2], &[vec![-8.0], vec![8.0]], &[1.0, 0.5])?;
/// let kernel = Tempering::new(Hmc::new(0.3, 5), Ladder::geometric(30.0, 8));
/// let mut chains = Backend::cpu().chains(target, kernel).count(64).seed(7).build()?;
/// chains.advance(200)?;
/// let report = chains.collect(Collect::draws(200))?;
/// assert!(report.tempering.is_some_and(|tempering| tempering.round_trips > 0));
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tempering {
    inner: Arc<dyn Kernel>,
    ladder: Ladder,
}

impl Tempering {
    /// Of a kernel whose law is exact.
    pub fn new(inner: impl Kernel + 'static, ladder: Ladder) -> Self {
        Self { inner: Arc::new(inner), ladder }
    }
}

impl Kernel for Tempering {
    of_inner!();

    fn validate(&self, target: &dyn Energy) -> Result<()> {
        self.inner.validate(target)?;
        self.ladder.validate()?;
        if self.inner.adaptive().is_some() {
            let why = format!("{} cannot find its settings within another kernel; give them", self.inner.name());
            return Err(Error::Unsupported(why));
        }
        if self.inner.is_unadjusted() || self.inner.ladder().is_some() || self.inner.bridge().is_some() {
            return Err(Error::Unsupported(format!(
                "tempering swaps states of exact laws, and that of {} is not; use a Metropolis kernel such as Hmc, Mala or Rwm",
                self.inner.name()
            )));
        }
        Ok(())
    }

    /// The last one decides on swaps.
    fn slots(&self, dim: usize) -> u32 {
        self.inner.slots(dim) + 1
    }

    /// The inner kernel's, then temperatures and step scales, one a rung.
    fn params(&self, dim: usize) -> Vec<f32> {
        let temperatures = &self.ladder.temperatures;
        let scale = |&t: &f64| self.inner.step_scale(t);
        let scales = self.ladder.step_scales.clone().unwrap_or_else(|| temperatures.iter().map(scale).collect());
        let of_ladder = temperatures.iter().chain(&scales).map(|&v| v as f32);
        self.inner.params(dim).into_iter().chain(of_ladder).collect()
    }

    fn ladder(&self) -> Option<&Ladder> {
        Some(&self.ladder)
    }

    fn stage(&self) -> &'static str {
        include_str!("../../shaders/stage/ladder.wgsl")
    }
}

/// A ladder of chains in f64: the twin of `shaders/stage/ladder.wgsl`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rungs<'a> {
    /// The inner kernel's parameters.
    pub(crate) inner: &'a [f32],
    /// Temperatures and step scales, one a rung, as the device reads them.
    params: &'a [f32],
    steps_a_swap: u32,
}

/// Which end of its ladder a state visited last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum End {
    #[default]
    None,
    Coldest,
    Hottest,
}

/// What a rung counts in one round of swaps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Swapped {
    pub(crate) proposed: bool,
    pub(crate) made: bool,
    pub(crate) round_trip: bool,
}

impl<'a> Rungs<'a> {
    /// Those of a kernel, where it has a ladder; its parameters end with the ladder's.
    pub(crate) fn of(kernel: &'a dyn Kernel, kernel_params: &'a [f32]) -> Option<Self> {
        let ladder = kernel.ladder()?;
        let (inner, params) = kernel_params.split_at(kernel_params.len() - 2 * ladder.rungs());
        Some(Self { inner, params, steps_a_swap: ladder.steps_a_swap })
    }

    fn count(&self) -> usize {
        self.params.len() / 2
    }

    fn temperature(&self, rung: usize) -> f64 {
        f64::from(self.params[rung])
    }

    /// The control of a step at a rung, in f32 as on the device.
    pub(crate) fn control(&self, control: Control, rung: usize) -> Control {
        Control {
            temperature: control.temperature * self.params[rung],
            step_size: control.step_size * self.params[self.count() + rung],
            ..control
        }
    }

    /// The round of swaps after a step, counted in its epoch, if there is one.
    pub(crate) fn round(&self, step: u32) -> Option<u32> {
        let done = step.wrapping_add(1);
        done.is_multiple_of(self.steps_a_swap).then_some(done / self.steps_a_swap)
    }

    /// One round of swaps between the states of a ladder; `draws` are those of the chain at a rung, and `slot` the last of a step.
    pub(crate) fn exchange(
        &self,
        round: u32,
        temperature: f64,
        draws: impl Fn(usize) -> Draws,
        slot: u32,
        states: &mut [State],
        ends: &mut [End],
    ) -> Vec<Swapped> {
        let last = self.count() - 1;
        let mut counts = vec![Swapped::default(); self.count()];
        ends[0] = End::Coldest;
        for lower in (round as usize % 2..last).step_by(2) {
            let colder = 1.0 / self.temperature(lower) - 1.0 / self.temperature(lower + 1);
            let log_ratio = (states[lower].energy - states[lower + 1].energy) * colder / temperature;
            counts[lower].proposed = true;
            counts[lower].made = log_ratio.is_finite() && draws(lower).uniform(slot) < log_ratio.min(0.0).exp();
            if counts[lower].made {
                states.swap(lower, lower + 1);
                ends.swap(lower, lower + 1);
            }
        }
        counts[0].round_trip = ends[0] == End::Hottest;
        ends[0] = End::Coldest;
        if ends[last] == End::Coldest {
            ends[last] = End::Hottest;
        }
        counts
    }
}
