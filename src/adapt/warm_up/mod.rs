//! The plan of a warm-up: gather chains that are far out, find scales and step size, learn shape and trajectories, then freeze them
//! and tune the step size.

mod aim;
mod checkpoint;
mod gather;
mod measure;
mod relocate;
mod rescue;
mod search;
mod shape;

use serde::{Deserialize, Serialize};

use self::{aim::Aim, gather::Gather};
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
    keeps_strays: bool,
}

impl Default for Warmup {
    /// At most 2,000 steps; some 250 are usual.
    fn default() -> Self {
        Self { most_steps: 2000, keeps_strays: false }
    }
}

impl Warmup {
    /// At most so many steps, of which some 200 are always taken.
    pub fn at_most(steps: u64) -> Self {
        Self { most_steps: steps, ..Self::default() }
    }

    /// Leaves chains where they are whose energies stay far above the others' (see [`Warning::StrayChains`]), in modes of no weight, say.
    /// Unless said, they are set to where other chains stand before the settings are frozen, and
    /// [`Adaptation::relocated`] counts them: draws would else be biased by what such a chain hardly ever leaves.
    pub fn keep_strays(self) -> Self {
        Self { keeps_strays: true, ..self }
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
/// One part in so many of all steps may go to the first stage.
const GATHER_PART: u64 = 3;
/// Trajectories, in radians of a coordinate of scale one, below which chains hardly move.
const SHORT: f64 = 0.1;
/// Leapfrog steps while scales are looked for.
const SEARCH_LEAPFROG_STEPS: u32 = 16;
/// The first trajectory length, about a quarter turn.
const FIRST_LENGTH: f64 = 1.5;
/// Step sizes for coordinates of scale one.
const LEAST_STEP: f64 = 1e-15;
const MOST_STEP: f64 = 64.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    /// Chains far above the others come in.
    Gather,
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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WarmUp {
    adaptive: Adaptive,
    aim: Aim,
    chains: usize,
    most_steps: u64,
    keeps_strays: bool,
    /// What is to be relocated, as (chain, donor), and what was.
    #[serde(skip)]
    moves: Vec<(usize, usize)>,
    relocated: u64,
    relocations: u32,
    /// Few chains learn less from a step: windows are so much longer.
    stretch: u64,
    stage: Stage,
    gather: Gather,
    temperature: f64,
    /// Steps done, of the stage, and of the window.
    done: u64,
    of_stage: u64,
    settings: Settings,
    #[serde(skip)]
    positions: Vec<f32>,
    /// Spreads of the last two short windows, of the last whole window and of the present one.
    short: [Spread; 2],
    last: Spread,
    window: Spread,
    step: DualAveraging,
    trajectory: Trajectory,
    #[serde(deserialize_with = "super::or_infinity")]
    last_length: f64,
    /// The most leapfrog steps that are allowed.
    cap: u32,
    cut_by_driver: bool,
    acceptance_sum: f64,
    acceptances: f64,
    rounds: u32,
    /// Proposals rejected in a row, a chain.
    #[serde(skip)]
    idle: Vec<u32>,
    /// The factor of the next step size, if it is there to free idle chains.
    rescue: Option<f64>,
    rescues: u64,
    uses_grad: bool,
    #[serde(skip)]
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
    pub(crate) fn new(
        kernel: &dyn Kernel,
        adaptive: Adaptive,
        plan: Warmup,
        positions: Vec<f32>,
        energies: &[f32],
        temperature: f64,
    ) -> Self {
        let chains = energies.len();
        let gather = Gather::new(energies, temperature);
        let uses_grad = kernel.uses_grad();
        let dim = positions.len() / chains;
        let mut start = Spread::new(dim);
        start.add(&positions, chains);
        let mut settings =
            Settings { step_size: 1.0, leapfrog_steps: (1, 1), inverse_mass: vec![1.0; dim], centre: start.mean().to_vec() };
        take_scales(&mut settings, &start);
        Self {
            adaptive,
            aim: Aim::new(adaptive.target_acceptance),
            chains,
            most_steps: plan.most_steps,
            keeps_strays: plan.keeps_strays,
            moves: Vec::new(),
            relocated: 0,
            relocations: 0,
            stretch: Self::stretch_of(chains),
            stage: if gather.is_done() { Stage::Search } else { Stage::Gather },
            gather,
            temperature,
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

    fn stretch_of(chains: usize) -> u64 {
        (128 / chains as u64).clamp(1, 4)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Steps done, and how many it will be if all goes well.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let measure = self.measure_steps();
        let ahead = match self.stage {
            Stage::Gather | Stage::Search => {
                (3 * SEARCH_WINDOW + SHAPE_WINDOWS * SHAPE_WINDOW + TUNE_STEPS) * self.stretch + measure
            }
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
        let gathers = self.stage == Stage::Gather;
        let most = if gathers { gather::LEAPFROG_STEPS.min(self.cap) } else { self.settings.leapfrog_steps.1 };
        let steps = most - (van_der_corput(self.of_stage) * f64::from(most)) as u32;
        let step_size = if gathers { self.gather.step_size() } else { self.settings.step_size * self.rescue.unwrap_or(1.0) };
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
            Stage::Gather => {
                self.gather.learn(&trial);
                if self.gather.is_done() || self.of_stage >= self.most_steps / GATHER_PART {
                    self.enter(Stage::Search);
                }
            }
            Stage::Search => self.search(&trial),
            Stage::Shape => self.shape(&trial, time),
            Stage::Tune => {
                self.step.learn(trial.acceptance);
                self.settings.step_size = self.step.step_size().clamp(LEAST_STEP, MOST_STEP);
                self.note_moves(&trial);
                if self.of_stage >= TUNE_STEPS * self.stretch {
                    self.settings.step_size = self.step.averaged().clamp(LEAST_STEP, MOST_STEP);
                    self.enter(Stage::Measure);
                }
            }
            Stage::Measure => {
                self.note_moves(&trial);
                self.acceptance_sum += trial.acceptance;
                self.aim.failed += trial.failed;
                if self.of_stage >= self.measure_steps() {
                    self.judge(&trial.energies)?;
                }
            }
            Stage::Done => {}
        }
        self.positions = trial.positions;
        self.follow_moves();
        self.plan_rescue();
        match self.window.lost() {
            None => Ok(()),
            Some(i) => Err(Error::Adaptation {
                why: format!("the chains spread without bound along coordinate {i}; can exp(-E) be normalised there?"),
                good_steps: self.done,
            }),
        }
    }

    /// The record of a warm-up that is done, without its failures.
    pub(crate) fn record(&self) -> Adaptation {
        Adaptation {
            warm_up_steps: self.done,
            step_size: self.settings.step_size,
            least_leapfrog_steps: self.settings.leapfrog_steps.0,
            most_leapfrog_steps: self.settings.leapfrog_steps.1,
            inverse_mass: self.settings.inverse_mass.clone(),
            target_acceptance: self.aim.target,
            raised_from: Some(self.adaptive.target_acceptance).filter(|&asked| asked != self.aim.target),
            reached_acceptance: self.reached,
            measured_steps: self.measured_steps,
            relocated: self.relocated,
            failures: Vec::new(),
            warnings: self.warnings.clone(),
        }
    }

    /// The frozen settings.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    fn enter(&mut self, stage: Stage) {
        (self.stage, self.of_stage, self.acceptance_sum, self.measured_moves, self.aim.failed) = (stage, 0, 0.0, 0, 0);
        if stage == Stage::Shape {
            self.step = DualAveraging::new(self.settings.step_size, self.aim.target);
        }
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
