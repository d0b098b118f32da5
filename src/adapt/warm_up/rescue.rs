//! Steps between those that are learnt from, for chains that reject everything or stand far out.

use super::{Stage, WarmUp};

/// A chain rejects so many proposals in a row with a probability of about this.
const IDLE: f64 = 1e-5;
/// What the step size is multiplied by in turn, as long as chains are idle or far out. A walk comes in from afar by long steps.
const RESCUES: [f64; 6] = [0.25, 4.0, 0.0625, 16.0, 0.015625, 64.0];

impl WarmUp {
    /// Chains that reject everything, or stand far out, would stay there if the step size suited the others alone: every other step,
    /// as long as there are any, is smaller or larger.
    pub(super) fn plan_rescue(&mut self) {
        self.rescue = None;
        let learns = matches!(self.stage, Stage::Search | Stage::Shape);
        if !learns || self.of_stage.is_multiple_of(2) {
            return;
        }
        let limit = (IDLE.ln() / (1.0 - self.aim.target).ln()).ceil() as u32;
        let is_far = !self.uses_grad && self.window.outlying().1 > 0.0;
        if is_far || self.idle.iter().any(|&idle| idle >= limit) {
            let step = if self.uses_grad { 2 } else { 1 };
            self.rescue = Some(RESCUES[(self.rescues * step) as usize % RESCUES.len()]);
            self.rescues += 1;
        }
    }
}
