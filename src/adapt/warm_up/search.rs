//! The stage that looks for scales and a step size: scales from the chains as they stand, the step size by doubling and halving.

use super::{LEAST_STEP, MOST_STEP, SEARCH_LEAPFROG_STEPS, SEARCH_WINDOW, Stage, Trial, WarmUp, correction, take_scales};
use crate::adapt::{mass::Spread, trajectory::Trajectory};

/// While scales are looked for, a part of the target acceptance is enough: far out, where energies are large, their rounding in f32
/// rejects proposals at any step size.
const SEARCH_PART: f64 = 0.6;
/// Positions from which one variance can be told.
const ENOUGH: f64 = 128.0;

impl WarmUp {
    pub(super) fn search(&mut self, trial: &Trial) {
        let (target, order) = (SEARCH_PART * self.aim.target, self.adaptive.order);
        if self.rescue.is_none() {
            let factor = correction(trial.acceptance, target, order);
            self.settings.step_size = (self.settings.step_size * factor).clamp(LEAST_STEP, MOST_STEP);
            self.acceptance_sum += trial.acceptance;
            self.acceptances += 1.0;
        }
        self.window.add(&trial.positions, self.chains);
        self.short[1].add(&trial.positions, self.chains);
        let short = self.short[0].merged(&self.short[1]);
        if short.count() >= ENOUGH.min(8.0 * self.chains as f64) {
            take_scales(&mut self.settings, &short);
        }
        if self.short[1].count() >= ENOUGH {
            self.short.swap(0, 1);
            self.short[1] = Spread::new(self.settings.centre.len());
        }
        self.set_trajectory();
        let steps = SEARCH_WINDOW * self.stretch;
        if self.of_stage.is_multiple_of(steps) {
            let acceptance = self.acceptance_sum / self.acceptances;
            (self.acceptance_sum, self.acceptances) = (0.0, 0.0);
            let is_settled = self.change(steps).0 < 1.0 && (acceptance - target).abs() < 0.2;
            let is_late = self.of_stage >= self.most_steps / 3;
            self.turn_window();
            if is_late || (is_settled && !self.relocate(trial)) {
                self.enter(Stage::Shape);
                let length = self.trajectory.length().min(f64::from(SEARCH_LEAPFROG_STEPS) * self.settings.step_size);
                self.trajectory = Trajectory::new(length, self.chains);
                self.set_trajectory();
            }
        }
    }
}
