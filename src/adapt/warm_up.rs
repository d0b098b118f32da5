//! The plan of a warm-up: find scales and step size, learn shape and trajectories, then freeze them and tune the step size.

use super::{
    Adaptation, Adaptive, Settings, Trial, Warning,
    dual_averaging::{Bracket, DualAveraging, correction},
    mass::Spread,
    trajectory::Trajectory,
};
use crate::{Error, Result, kernel::Kernel};

/// Limits of a warm-up. How long it takes within them, it decides from what the chains do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warmup {
    most_steps: u64,
}

impl Default for Warmup {
    /// At most 2,000 steps; some 250 are usual.
    fn default() -> Self {
        Self { most_steps: 2000 }
    }
}

impl Warmup {
    /// At most so many steps, of which some 200 are always taken.
    pub fn at_most(steps: u64) -> Self {
        Self { most_steps: steps }
    }
}

/// Transitions of a window while scales and step size are looked for.
const SEARCH_WINDOW: u64 = 10;
/// The same while shape and trajectories are learnt.
const SHAPE_WINDOW: u64 = 40;
/// The fewest windows of the latter.
const SHAPE_WINDOWS: u64 = 2;
/// Transitions with everything frozen but the step size.
const TUNE_STEPS: u64 = 48;
/// Chain transitions that the acceptance reached is measured over, at least.
const MEASURED: u64 = 4096;
/// Rounds of measurement and correction.
const ROUNDS: u32 = 6;
/// How close the measured acceptance shall come to its target, and from where on it has missed it.
const CLOSE: f64 = 0.01;
const MISSED: f64 = 0.02;
/// While scales are looked for, a part of the target acceptance is enough: far out, where energies are large, their rounding in f32
/// rejects proposals at any step size.
const SEARCH_PART: f64 = 0.6;
/// A chain rejects so many proposals in a row with a probability of about this.
const IDLE: f64 = 1e-5;
/// What the step size is multiplied by in turn, as long as chains are idle or far out. A walk comes in from afar by long steps.
const RESCUES: [f64; 6] = [0.25, 4.0, 0.0625, 16.0, 0.015625, 64.0];
/// Trajectories, in radians of a coordinate of scale one, below which chains hardly move.
const SHORT: f64 = 0.1;
/// Leapfrog steps while scales are looked for.
const SEARCH_LEAPFROG_STEPS: u32 = 16;
/// The first trajectory length, about a quarter turn.
const FIRST_LENGTH: f64 = 1.5;
/// Step sizes for coordinates of scale one.
const LEAST_STEP: f64 = 1e-15;
const MOST_STEP: f64 = 64.0;
/// Positions from which one variance can be told.
const ENOUGH: f64 = 128.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Scales from the chains as they stand, the step size by doubling and halving.
    Search,
    /// Scales over windows, trajectory lengths, step size by dual averaging.
    Shape,
    /// Step size alone.
    Tune,
    /// Nothing: the acceptance is measured.
    Measure,
    Done,
}

/// A warm-up in progress.
#[derive(Debug, Clone)]
pub(crate) struct WarmUp {
    adaptive: Adaptive,
    chains: usize,
    most_steps: u64,
    /// Few chains learn less from a step: windows are so much longer.
    stretch: u64,
    stage: Stage,
    /// Steps done, of the stage, and of the window.
    done: u64,
    of_stage: u64,
    settings: Settings,
    positions: Vec<f32>,
    /// Spreads of the last two short windows, of the last whole window and of the present one.
    short: [Spread; 2],
    last: Spread,
    window: Spread,
    step: DualAveraging,
    trajectory: Trajectory,
    last_length: f64,
    /// The most leapfrog steps that are allowed.
    cap: u32,
    cut_by_driver: bool,
    acceptance_sum: f64,
    acceptances: f64,
    rounds: u32,
    /// Proposals rejected in a row, a chain.
    idle: Vec<u32>,
    /// The factor of the next step size, if it is there to free idle chains.
    rescue: Option<f64>,
    rescues: usize,
    uses_grad: bool,
    moved: Vec<bool>,
    moves_noted: u64,
    bracket: Bracket,
    measured_moves: u64,
    reached: f64,
    measured_steps: u64,
    warnings: Vec<Warning>,
}

impl WarmUp {
    /// From where the chains stand, `[dim][chain]`.
    pub(crate) fn new(kernel: &dyn Kernel, adaptive: Adaptive, plan: Warmup, positions: Vec<f32>, chains: usize) -> Self {
        let uses_grad = kernel.uses_grad();
        let dim = positions.len() / chains;
        let mut start = Spread::new(dim);
        start.add(&positions, chains);
        let mut settings =
            Settings { step_size: 1.0, leapfrog_steps: (1, 1), inverse_mass: vec![1.0; dim], centre: start.mean().to_vec() };
        take_scales(&mut settings, &start);
        Self {
            adaptive,
            chains,
            most_steps: plan.most_steps,
            stretch: (128 / chains as u64).clamp(1, 4),
            stage: Stage::Search,
            done: 0,
            of_stage: 0,
            settings,
            positions,
            short: [Spread::new(dim), Spread::new(dim)],
            last: Spread::new(dim),
            window: Spread::new(dim),
            step: DualAveraging::new(1.0, adaptive.target_acceptance),
            trajectory: Trajectory::new(FIRST_LENGTH, chains),
            last_length: f64::INFINITY,
            cap: adaptive.most_leapfrog_steps.unwrap_or(1),
            cut_by_driver: false,
            acceptance_sum: 0.0,
            acceptances: 0.0,
            rounds: 0,
            idle: vec![0; chains],
            rescue: None,
            rescues: 0,
            uses_grad,
            moved: vec![false; chains],
            moves_noted: 0,
            bracket: Bracket::default(),
            measured_moves: 0,
            reached: 0.0,
            measured_steps: 0,
            warnings: Vec::new(),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Steps done, and how many it will be if all goes well.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let measure = self.measure_steps();
        let ahead = match self.stage {
            Stage::Search => (3 * SEARCH_WINDOW + SHAPE_WINDOWS * SHAPE_WINDOW + TUNE_STEPS) * self.stretch + measure,
            Stage::Shape => (SHAPE_WINDOWS * SHAPE_WINDOW + TUNE_STEPS) * self.stretch + measure,
            Stage::Tune => TUNE_STEPS * self.stretch + measure,
            Stage::Measure => measure,
            Stage::Done => 0,
        };
        (self.done, self.done + ahead.saturating_sub(self.of_stage).max(u64::from(!self.is_done())))
    }

    /// The settings of the next step. The number of leapfrog steps follows van der Corput's sequence, which fills a range evenly,
    /// from the most down: what a driver does not finish is noticed at once.
    pub(crate) fn next(&self) -> Settings {
        let most = self.settings.leapfrog_steps.1;
        let steps = most - (van_der_corput(self.of_stage) * f64::from(most)) as u32;
        let step_size = self.settings.step_size * self.rescue.unwrap_or(1.0);
        Settings { step_size, leapfrog_steps: (steps, steps), ..self.settings.clone() }
    }

    /// The driver cut a transition of so many leapfrog steps short: from now on there are fewer. False where there cannot be.
    pub(crate) fn shorten(&mut self, steps: u32) -> bool {
        if steps <= 1 {
            return false;
        }
        self.cap = (steps * 3 / 4).max(1);
        self.cut_by_driver = true;
        self.settings.leapfrog_steps.1 = self.settings.leapfrog_steps.1.min(self.cap);
        true
    }

    /// Takes in a step with the settings of `next`.
    ///
    /// # Errors
    /// [`Error::Adaptation`] where no settings can be found.
    pub(crate) fn learn(&mut self, trial: Trial) -> Result<()> {
        let time = f64::from(self.next().leapfrog_steps.0) * self.settings.step_size;
        self.done += 1;
        self.of_stage += 1;
        for (idle, &accepted) in self.idle.iter_mut().zip(&trial.accepted) {
            *idle = if accepted { 0 } else { *idle + 1 };
        }
        match self.stage {
            Stage::Search => self.search(&trial),
            Stage::Shape => self.shape(&trial, time),
            Stage::Tune => {
                self.step.learn(trial.acceptance);
                self.settings.step_size = self.step.step_size().clamp(LEAST_STEP, MOST_STEP);
                self.note_moves(&trial);
                if self.of_stage == TUNE_STEPS * self.stretch {
                    self.settings.step_size = self.step.averaged().clamp(LEAST_STEP, MOST_STEP);
                    self.enter(Stage::Measure);
                }
            }
            Stage::Measure => {
                self.note_moves(&trial);
                self.acceptance_sum += trial.acceptance;
                if self.of_stage == self.measure_steps() {
                    self.judge()?;
                }
            }
            Stage::Done => {}
        }
        self.positions = trial.positions;
        self.plan_rescue();
        match self.window.lost() {
            None => Ok(()),
            Some(i) => Err(Error::Adaptation {
                why: format!("the chains spread without bound along coordinate {i}; can exp(-E) be normalised there?"),
                good_steps: self.done,
            }),
        }
    }

    fn search(&mut self, trial: &Trial) {
        let Adaptive { target_acceptance: target, order, .. } = self.adaptive;
        let target = SEARCH_PART * target;
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
            if is_settled || is_late {
                self.enter(Stage::Shape);
                let length = self.trajectory.length().min(f64::from(SEARCH_LEAPFROG_STEPS) * self.settings.step_size);
                self.trajectory = Trajectory::new(length, self.chains);
                self.set_trajectory();
            }
        }
    }

    fn shape(&mut self, trial: &Trial, time: f64) {
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
            if is_settled || is_late {
                self.trajectory = Trajectory::new(length, self.chains);
                let step_size = self.step.averaged();
                self.enter(Stage::Tune);
                self.step = DualAveraging::new(step_size, self.adaptive.target_acceptance);
                self.settings.step_size = step_size;
            } else {
                self.turn_window();
            }
        }
        // From here on only the step size changes: the acceptance is then a smooth function of it.
        self.set_trajectory();
    }

    /// Judges the acceptance that was measured: corrects the step size, or ends.
    fn judge(&mut self) -> Result<()> {
        let Adaptive { target_acceptance: target, order, .. } = self.adaptive;
        self.reached = self.acceptance_sum / self.of_stage as f64;
        self.measured_steps = self.of_stage;
        self.rounds += 1;
        let is_late = self.done + self.measure_steps() > self.most_steps;
        if (self.reached - target).abs() > CLOSE && self.rounds < ROUNDS && !is_late {
            let step_size = self.bracket.next(self.settings.step_size, self.reached, target, order);
            self.settings.step_size = step_size.clamp(LEAST_STEP, MOST_STEP);
            self.enter(Stage::Measure);
            return Ok(());
        }
        if self.measured_moves == 0 {
            return Err(Error::Adaptation {
                why: format!(
                    "no chain moved in {} steps, down to a step size of {:.1e}; check the energy and its gradient, or start elsewhere",
                    self.of_stage, self.settings.step_size
                ),
                good_steps: self.done,
            });
        }
        if (self.reached - target).abs() > MISSED {
            self.warnings.push(Warning::AcceptanceMissed { target, reached: self.reached });
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
        let stuck = self.moved.iter().filter(|&&moved| !moved).count() as u64;
        if stuck > 0 {
            let steps = self.moves_noted;
            self.warnings.push(Warning::StuckChains { chains: stuck, steps });
        }
        self.stage = Stage::Done;
        Ok(())
    }

    /// The record of a warm-up that is done, without its failures.
    pub(crate) fn record(&self) -> Adaptation {
        Adaptation {
            warm_up_steps: self.done,
            step_size: self.settings.step_size,
            least_leapfrog_steps: self.settings.leapfrog_steps.0,
            most_leapfrog_steps: self.settings.leapfrog_steps.1,
            inverse_mass: self.settings.inverse_mass.clone(),
            target_acceptance: self.adaptive.target_acceptance,
            reached_acceptance: self.reached,
            measured_steps: self.measured_steps,
            failures: Vec::new(),
            warnings: self.warnings.clone(),
        }
    }

    /// The frozen settings.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    fn enter(&mut self, stage: Stage) {
        (self.stage, self.of_stage, self.acceptance_sum, self.measured_moves) = (stage, 0, 0.0, 0);
        if stage == Stage::Shape {
            self.step = DualAveraging::new(self.settings.step_size, self.adaptive.target_acceptance);
        }
    }

    /// Chains that reject everything, or stand far out, would stay there if the step size suited the others alone: every other step,
    /// as long as there are any, is smaller or larger.
    fn plan_rescue(&mut self) {
        self.rescue = None;
        let learns = matches!(self.stage, Stage::Search | Stage::Shape);
        if !learns || self.of_stage.is_multiple_of(2) {
            return;
        }
        let limit = (IDLE.ln() / (1.0 - self.adaptive.target_acceptance).ln()).ceil() as u32;
        let is_far = !self.uses_grad && self.window.outlying().1 > 0.0;
        if is_far || self.idle.iter().any(|&idle| idle >= limit) {
            let step = if self.uses_grad { 2 } else { 1 };
            self.rescue = Some(RESCUES[self.rescues * step % RESCUES.len()]);
            self.rescues += 1;
        }
    }

    fn measure_steps(&self) -> u64 {
        // Longer where short ones did not suffice.
        MEASURED.div_ceil(self.chains as u64).clamp(32, 512) << (self.rounds / 2)
    }

    fn turn_window(&mut self) {
        std::mem::swap(&mut self.last, &mut self.window);
        self.window = Spread::new(self.settings.centre.len());
    }

    /// The change from the last window to this one, of `steps` steps, in units of what is small: a tenth, and what chance does.
    fn change(&self, steps: u64) -> (f64, usize) {
        let effective = self.chains as f64 * (steps as f64 / 10.0).max(1.0);
        let (distance, coordinate) = self.last.distance(&self.window);
        (distance / (0.1 + 3.0 / effective.sqrt()), coordinate)
    }

    /// Leapfrog steps from the length of trajectories.
    fn set_trajectory(&mut self) {
        let cap = if self.stage == Stage::Search { self.cap.min(SEARCH_LEAPFROG_STEPS) } else { self.cap };
        let most = (self.trajectory.length() / self.settings.step_size).ceil().clamp(1.0, f64::from(cap));
        self.settings.leapfrog_steps = (1, most as u32);
    }

    fn note_moves(&mut self, trial: &Trial) {
        self.moves_noted += 1;
        for (moved, &accepted) in self.moved.iter_mut().zip(&trial.accepted) {
            *moved |= accepted;
        }
        self.measured_moves += trial.accepted.iter().map(|&accepted| u64::from(accepted)).sum::<u64>();
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

/// Scales and centre from a spread; a coordinate whose variance cannot be told keeps its scale.
fn take_scales(settings: &mut Settings, spread: &Spread) {
    settings.centre.copy_from_slice(spread.mean());
    for (i, inverse_mass) in settings.inverse_mass.iter_mut().enumerate() {
        *inverse_mass = spread.variance(i).unwrap_or(*inverse_mass);
    }
}

/// The n-th number, from 0, of van der Corput's sequence in base 2: its digits mirrored at the point.
fn van_der_corput(n: u64) -> f64 {
    f64::from((n as u32).reverse_bits()) / 4_294_967_296.0
}
