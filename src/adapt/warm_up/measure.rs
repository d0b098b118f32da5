//! The last stage: the acceptance is measured, the step size corrected, and what was not reached is named.

use super::{LEAST_STEP, MOST_STEP, SHORT, Stage, Trial, WarmUp, Warning, gather::Levels};
use crate::{Error, Result, adapt::mass::Spread, counted::counted};

/// Chain transitions that the acceptance reached is measured over, at least.
const MEASURED: u64 = 4096;
/// Rounds of measurement and correction.
pub(super) const ROUNDS: u32 = 6;
/// How close the measured acceptance shall come to its target, and from where on it has missed it.
const CLOSE: f64 = 0.01;
const MISSED: f64 = 0.02;

impl WarmUp {
    /// Judges the acceptance that was measured: corrects the step size, or ends.
    pub(super) fn judge(&mut self, energies: &[f32]) -> Result<()> {
        let (target, order) = (self.aim.target, self.adaptive.order);
        self.reached = self.acceptance_sum / self.of_stage as f64;
        self.measured_steps = self.of_stage;
        let is_trying = self.aim.is_trying();
        self.rounds += u32::from(!is_trying);
        let is_late = self.done + self.measure_steps() > self.most_steps;
        if !is_trying && (self.reached - target).abs() > CLOSE && self.rounds < ROUNDS && !is_late {
            let step_size = self.bracket.next(self.settings.step_size, self.reached, target, order);
            self.settings.step_size = step_size.clamp(LEAST_STEP, MOST_STEP);
            self.enter(Stage::Measure);
            return Ok(());
        }
        if self.measured_moves == 0 {
            return Err(Error::Adaptation {
                why: format!(
                    "no chain moved in {}, down to a step size of {:.1e}; check the energy and its gradient, or start elsewhere",
                    counted(self.of_stage, "step"),
                    self.settings.step_size
                ),
                good_steps: self.done,
            });
        }
        if self.aim_higher() {
            return Ok(());
        }
        let (target, reached) = (self.aim.target, self.reached);
        if (reached - target).abs() > MISSED {
            self.warnings.push(Warning::AcceptanceMissed { target, reached });
        }
        let most = self.settings.leapfrog_steps.1;
        if self.adaptive.most_leapfrog_steps.is_some() && most >= self.cap {
            self.warnings.push(Warning::LeapfrogStepsCapped { most, by_driver: self.cut_by_driver });
        }
        let length = f64::from(most) * self.settings.step_size;
        if self.adaptive.most_leapfrog_steps.is_some() && length < SHORT {
            self.warnings.push(Warning::ShortTrajectories { length });
        }
        let mut end = Spread::new(self.settings.centre.len());
        end.add(&self.positions, self.chains);
        let (coordinate, part) = end.outlying();
        if part > 0.0 {
            self.warnings.push(Warning::OutlyingChains { coordinate, part });
        }
        let strays = Levels::new(energies, self.temperature).strays.len() as u64;
        if strays > 0 {
            self.warnings.push(Warning::StrayChains { chains: strays });
        }
        let stuck = self.moved.iter().filter(|&&moved| !moved).count() as u64;
        if stuck > 0 {
            let steps = self.moves_noted;
            self.warnings.push(Warning::StuckChains { chains: stuck, steps });
        }
        self.stage = Stage::Done;
        Ok(())
    }

    pub(super) fn measure_steps(&self) -> u64 {
        // Longer where short ones did not suffice.
        MEASURED.div_ceil(self.chains as u64).clamp(32, 512) << (self.rounds / 2)
    }

    pub(super) fn note_moves(&mut self, trial: &Trial) {
        self.moves_noted += 1;
        for (moved, &accepted) in self.moved.iter_mut().zip(&trial.accepted) {
            *moved |= accepted;
        }
        self.measured_moves += trial.accepted.iter().map(|&accepted| u64::from(accepted)).sum::<u64>();
    }
}
