//! The acceptance that is aimed at: a higher one where trajectories fail.

use serde::{Deserialize, Serialize};

use super::{LEAST_STEP, MOST_STEP, Stage, WarmUp};
use crate::adapt::FAILING;

/// What the step size is multiplied by, at the same length of trajectories.
const SMALLER: f64 = 0.75;
/// Less than this part of the failures is left then, where they come from the step size. Trajectories that end outside a support do so
/// at any.
const HELPED: f64 = 0.85;
/// Nothing higher is aimed at.
const HIGHEST: f64 = 0.99;

/// The acceptance aimed at, and what failed there.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Aim {
    pub(super) target: f64,
    /// Failed transitions of the measurement.
    pub(super) failed: u64,
    /// Where a smaller step size is tried: what was measured before.
    before: Option<Measured>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Measured {
    step_size: f64,
    leapfrog_steps: (u32, u32),
    acceptance: f64,
    /// The part of the transitions that failed.
    failed: f64,
}

impl Aim {
    pub(super) fn new(target: f64) -> Self {
        Self { target, failed: 0, before: None }
    }

    /// Whether a smaller step size is tried, for fewer failures and not for a given acceptance.
    pub(super) fn is_trying(&self) -> bool {
        self.before.is_some()
    }

    /// Whether a warm-up with so many leapfrog steps at most can have come to it.
    pub(super) fn is_sound(&self, cap: u32) -> bool {
        let is_part = |part: f64| (0.0..=1.0).contains(&part);
        let is_sound = |before: Measured| {
            let (least, most) = before.leapfrog_steps;
            (LEAST_STEP..=MOST_STEP).contains(&before.step_size)
                && (1..=cap).contains(&most)
                && least == 1
                && is_part(before.acceptance)
                && is_part(before.failed)
        };
        is_part(self.target) && self.before.is_none_or(is_sound)
    }
}

impl WarmUp {
    /// Where more transitions failed in the measurement than may, tries a smaller step size, as users of Stan do who raise
    /// `adapt_delta` by hand; goes back where that did not help. Says whether it has to be measured.
    pub(super) fn aim_higher(&mut self) -> bool {
        let failed = self.aim.failed as f64 / (self.of_stage as f64 * self.chains as f64);
        if let Some(before) = self.aim.before.take() {
            if failed > HELPED * before.failed {
                (self.settings.step_size, self.settings.leapfrog_steps) = (before.step_size, before.leapfrog_steps);
                self.reached = before.acceptance;
                return false;
            }
            self.aim.target = (1e3 * self.reached).round() / 1e3;
        }
        let (least, most) = self.settings.leapfrog_steps;
        let more = (f64::from(most) / SMALLER).ceil() as u32;
        let has_room = self.done + self.measure_steps() <= self.most_steps && more <= self.cap;
        if !self.adaptive.raises || failed <= FAILING || self.reached > HIGHEST || !has_room {
            return false;
        }
        let (step_size, leapfrog_steps) = (self.settings.step_size, self.settings.leapfrog_steps);
        self.aim.before = Some(Measured { step_size, leapfrog_steps, acceptance: self.reached, failed });
        self.settings.step_size = (SMALLER * step_size).max(LEAST_STEP);
        self.settings.leapfrog_steps = (least, more);
        self.enter(Stage::Measure);
        true
    }
}
