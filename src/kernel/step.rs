//! What a transition reads, changes and tells.

use super::Kernel;
use crate::{
    Schedule,
    energy::{Energy, Params},
    random::Draws,
};

/// What schedules set for one step; the f32 values are those that the device reads.
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Control {
    /// The kernel's step size.
    pub step_size: f32,
    /// T of exp(−E/T).
    pub temperature: f32,
    /// The level at which the energy is evaluated: σ² of the noise, or β of a bridge.
    pub level: f32,
    /// Leapfrog steps of this transition.
    pub substeps: f32,
}

impl Control {
    /// Those of a step of a kernel.
    pub(crate) fn at(kernel: &dyn Kernel, temperature: &Schedule, substeps: u32, step: u64) -> Self {
        Self {
            step_size: kernel.step_size().at(step) as f32,
            temperature: temperature.at(step) as f32,
            level: match kernel.bridge() {
                Some(bridge) => bridge.at(step) as f32,
                None => kernel.noise_level().map_or(0.0, |s| s.at(step).powi(2)) as f32,
            },
            substeps: substeps as f32,
        }
    }
}

/// What can go wrong in a transition. The chain keeps its state; the count is in every report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Failure {
    /// Energy or gradient of the proposal was NaN; it was rejected.
    NotFinite = 1,
    /// The energy was below −10³⁰: the density cannot be normalised. The proposal was rejected.
    Unbounded = 2,
    /// A trajectory's energy error was above 1,000, or its energy ended at +∞: the step size is too large there. The proposal was
    /// rejected. A trajectory that overflows may end in NaN instead and then counts as [`NotFinite`](Self::NotFinite); which of the
    /// two it is may differ between f32 and f64.
    Diverged = 3,
    /// An unadjusted chain would have left the finite range; it stopped at its last finite state.
    Escaped = 4,
}

impl Failure {
    /// All kinds, in the order of their codes.
    pub const ALL: [Self; 4] = [Self::NotFinite, Self::Unbounded, Self::Diverged, Self::Escaped];

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&kind| kind as u8 == code)
    }
}

/// What the next step needs: position, energy, and gradient and momentum where the kernel uses them.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Position.
    pub x: Vec<f64>,
    /// Energy at x.
    pub energy: f64,
    /// Gradient at x.
    pub grad: Vec<f64>,
    /// Momentum.
    pub momentum: Vec<f64>,
    /// Total energy, E/T and kinetic, that the last transition ended with, where the kernel has one.
    pub hamiltonian: f64,
    /// y·v at the end of the last trajectory, where the kernel adapts its length (see [`adapt`](crate::adapt)).
    pub growth: f64,
}

impl State {
    /// A state of zeros.
    pub fn zeros(dim: usize) -> Self {
        Self { x: vec![0.0; dim], energy: 0.0, grad: vec![0.0; dim], momentum: vec![0.0; dim], hamiltonian: 0.0, growth: 0.0 }
    }
}

/// What only a diagnosis needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Info {
    /// Probability of acceptance, in [0, 1].
    pub acceptance: f64,
    /// Whether the state moved to the proposal.
    pub accepted: bool,
    /// What went wrong, if anything.
    pub failure: Option<Failure>,
}

impl Info {
    pub(crate) fn rejected(failure: Option<Failure>) -> Self {
        Self { acceptance: 0.0, accepted: false, failure }
    }
}

/// Everything a transition reads: the target, the kernel's own parameters, this step's control and random numbers.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The energy.
    pub target: &'a dyn Energy,
    /// Its parameters, at the noise level of this transition's evaluations.
    pub params: Params<'a>,
    /// The kernel's parameters.
    pub kernel_params: &'a [f32],
    /// This step's schedule values.
    pub control: Control,
    /// This step's random numbers.
    pub draws: Draws,
}

/// What an unusable energy (not finite, or beyond 10³⁰) means: +∞ is outside of the support, an ordinary rejection.
pub(crate) fn failure_of(energy: f64) -> Option<Failure> {
    match energy {
        e if e.is_nan() => Some(Failure::NotFinite),
        e if e <= -1e30 => Some(Failure::Unbounded),
        _ => None,
    }
}

/// An energy that a chain may stand on.
pub(crate) fn is_usable(energy: f64) -> bool {
    energy.abs() < 1e30
}

/// The Metropolis decision: whether u < exp(log ratio) for the uniform of `slot`, and with what probability.
pub(crate) fn metropolis(step: &Step<'_>, slot: u32, log_ratio: f64) -> Info {
    if !log_ratio.is_finite() {
        return Info::rejected(Some(Failure::NotFinite));
    }
    let acceptance = log_ratio.min(0.0).exp();
    Info { acceptance, accepted: step.draws.uniform(slot) < acceptance, failure: None }
}
