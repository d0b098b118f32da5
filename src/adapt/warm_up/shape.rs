//! The stage that learns shape and trajectories: scales over windows, trajectory lengths by ChEES, the step size by dual averaging.

use super::{
    LEAST_STEP, MOST_STEP, SHAPE_WINDOW, SHAPE_WINDOWS, SHORT, Stage, TUNE_STEPS, Trial, WarmUp, Warning, take_scales,
};
use crate::adapt::{dual_averaging::DualAveraging, trajectory::Trajectory};

impl WarmUp {
    pub(super) fn shape(&mut self, trial: &Trial, time: f64) {
        if self.rescue.is_none() {
            self.step.learn(trial.acceptance);
        }
        if self.adaptive.most_leapfrog_steps.is_some() && self.rescue.is_none() {
            let (before, after) = (self.squares(&self.positions), self.squares(&trial.positions));
            let step_size = self.settings.step_size;
            self.trajectory.learn(trial, &before, &after, time, step_size, f64::from(self.cap) * step_size);
        }
        self.settings.step_size = self.step.step_size().clamp(LEAST_STEP, MOST_STEP);
        self.window.add(&trial.positions, self.chains);
        take_scales(&mut self.settings, &self.last.merged(&self.window));
        let steps = SHAPE_WINDOW * self.stretch;
        if self.of_stage.is_multiple_of(steps) {
            let length = self.trajectory.mean_length();
            let is_long = (length / self.last_length).ln().abs() < 0.25 || self.adaptive.most_leapfrog_steps.is_none();
            let (change, coordinate) = self.change(steps);
            // Chains that come in one by one from far out, to a tenth of a chain.
            let comes_in = self.last.outlying().1 > 1.2 * self.window.outlying().1 + 0.1 / self.chains as f64;
            let moves = self.adaptive.most_leapfrog_steps.is_none_or(|_| length > SHORT);
            let is_settled = change < 1.0 && !comes_in && moves && is_long && self.of_stage >= SHAPE_WINDOWS * steps;
            self.last_length = length;
            let left = self.most_steps.saturating_sub(self.done);
            let is_late = left < steps + TUNE_STEPS * self.stretch + self.measure_steps();
            if is_late && change >= 1.0 {
                self.warnings.push(Warning::NotSettled { coordinate, change: self.last.distance(&self.window).0 });
            }
            if is_settled && !is_late && self.relocate(trial) {
                self.turn_window();
            } else if is_settled || is_late {
                self.trajectory = Trajectory::new(length, self.chains);
                let step_size = self.step.averaged();
                self.enter(Stage::Tune);
                self.step = DualAveraging::new(step_size, self.aim.target);
                self.settings.step_size = step_size;
            } else {
                self.turn_window();
            }
        }
        // From here on only the step size changes: the acceptance is then a smooth function of it.
        self.set_trajectory();
    }

    /// |y|² of every chain.
    fn squares(&self, positions: &[f32]) -> Vec<f64> {
        let mut squares = vec![0.0; self.chains];
        for (i, row) in positions.chunks_exact(self.chains).enumerate() {
            let (centre, weight) = (self.settings.centre[i], 1.0 / self.settings.inverse_mass[i].sqrt());
            for (square, &x) in squares.iter_mut().zip(row) {
                *square += ((f64::from(x) - centre) * weight).powi(2);
            }
        }
        squares
    }
}
