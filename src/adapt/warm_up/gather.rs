//! The first stage: chains that stand far above the others come in, by steps as small as that takes.

use serde::{Deserialize, Serialize};

use crate::adapt::Trial;

/// From one step size of a sweep to the next.
const RATIO: f64 = 0.25;
/// No step is smaller than this power of it.
pub(super) const MOST_POWER: u32 = 25;
/// Leapfrog steps of a transition: few, so that a chain follows the slope and is not thrown over it.
pub(super) const LEAPFROG_STEPS: u32 = 16;

/// Energies of the chains, over the temperature.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Levels {
    median: f64,
    /// What the tenth percentile lies below it.
    below: f64,
    /// The chains that lie above it by more than 30 and twenty times that. Where the chains have come to the target, one has a chance
    /// below exp(−30) to do so, for a Gaussian of any dimension.
    #[serde(skip)]
    pub(super) strays: Vec<usize>,
}

impl Levels {
    pub(super) fn new(energies: &[f32], temperature: f64) -> Self {
        let mut sorted = energies.to_vec();
        sorted.sort_unstable_by(f32::total_cmp);
        let at = |i: usize| f64::from(sorted[i]) / temperature;
        let median = at(sorted.len() / 2);
        let below = median - at(sorted.len() / 10);
        let is_stray = |chain: &usize| f64::from(energies[*chain]) / temperature > median + 30.0 + 20.0 * below;
        Self { median, below, strays: (0..energies.len()).filter(is_stray).collect() }
    }
}

/// A chain far out has a slope, and a curvature, that only a small step can follow; the others want a larger one, and the step size is
/// one for all. So step sizes are taken in turn, in sweeps from 1 down by quarters, as far down as it takes for every stray to move.
/// Masses stay those of the start meanwhile, wide enough for the way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gather {
    temperature: f64,
    pub(super) levels: Levels,
    is_done: bool,
    /// The power of the ratio that the sweep stands at, and with which it ends.
    power: u32,
    last: u32,
    /// The least power of this sweep with which a chain moved.
    #[serde(skip)]
    pub(super) moved_at: Vec<Option<u32>>,
}

impl Gather {
    pub(super) fn new(energies: &[f32], temperature: f64) -> Self {
        let levels = Levels::new(energies, temperature);
        let is_done = levels.strays.is_empty();
        Self { temperature, levels, is_done, power: 0, last: 0, moved_at: vec![None; energies.len()] }
    }

    /// Whether no chain is far above the others, and those have ceased to fall.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether the sweep keeps to powers up to that one.
    pub(super) fn is_within(&self, most_power: u32) -> bool {
        self.power <= most_power && self.last <= most_power && self.temperature > 0.0
    }

    pub(super) fn step_size(&self) -> f64 {
        RATIO.powi(self.power as i32)
    }

    pub(super) fn learn(&mut self, trial: &Trial) {
        for (moved_at, &accepted) in self.moved_at.iter_mut().zip(&trial.accepted) {
            if accepted {
                moved_at.get_or_insert(self.power);
            }
        }
        if self.power < self.last {
            self.power += 1;
            return;
        }
        // One power more than the last stray needs, or, while some do not move, two.
        let needed = self.levels.strays.iter().map(|&chain| self.moved_at[chain].unwrap_or(self.last + 1) + 1);
        self.last = needed.max().unwrap_or(self.last).min(MOST_POWER);
        let before = std::mem::replace(&mut self.levels, Levels::new(&trial.energies, self.temperature));
        let falls = before.median - self.levels.median > 1.0 + 0.5 * self.levels.below;
        self.is_done = self.levels.strays.is_empty() && !falls;
        self.power = 0;
        self.moved_at.fill(None);
    }
}
