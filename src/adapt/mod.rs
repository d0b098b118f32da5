//! Settings found from the target by a warm-up of many chains, then frozen and recorded.
//!
//! The chains learn from each other: after every transition of all of them the host looks at their acceptances and positions.
//! Step sizes come from dual averaging of the mean acceptance (`dual_averaging`), the scale of each coordinate from the spread of
//! the chains (`mass`), trajectory lengths from ChEES (`trajectory`). [`Warmup`] is the plan that joins them (`warm_up`).
//!
//! Nothing depends on the clock: the same seed finds the same settings on the same device.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Error, Result};

mod drive;
mod dual_averaging;
mod mass;
mod record;
mod trajectory;
mod warm_up;

pub(crate) use drive::{Adapted, Adapting, ensure, go_on, resume, warm_up};
pub use record::{Adaptation, Warning};
pub(crate) use warm_up::WarmUp;
pub use warm_up::Warmup;

/// The part of transitions that may fail. Where more do, chains hardly come to the places where that happens, and draws lack them:
/// "a higher acceptance where trajectories fail" in tests/adaptation.rs shows it.
pub(crate) const FAILING: f64 = 1e-3;

/// Settings that a warm-up finds, and a kernel runs with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The step size, for coordinates of scale one.
    pub step_size: f64,
    /// The least and most leapfrog steps of a transition.
    pub leapfrog_steps: (u32, u32),
    /// The inverse masses, one a coordinate: squares of the coordinates' scales.
    pub inverse_mass: Vec<f64>,
    /// The centre of the chains, one number a coordinate, that ChEES measures distances from.
    pub centre: Vec<f64>,
}

/// What a kernel wants of a warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Adaptive {
    /// The mean acceptance to reach.
    pub target_acceptance: f64,
    /// Whether the warm-up may aim at a higher one, by smaller steps, while more than one in a thousand transitions fail and fewer do
    /// then: where the curvature changes over the target, a step size that suits most of it is too large for a part.
    pub raises: bool,
    /// The power of the step size that the error of its log acceptance ratio grows with.
    pub order: f64,
    /// The most leapfrog steps of a transition; None for kernels without trajectories.
    pub most_leapfrog_steps: Option<u32>,
}

impl Adaptive {
    pub(crate) fn validate(&self) -> Result<()> {
        let target = self.target_acceptance;
        if target > 0.05 && target < 0.999 {
            return Ok(());
        }
        Err(Error::setting("target acceptance", target, "must lie between 0.05 and 0.999"))
    }
}

/// What one transition of all chains told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trial {
    /// `[dim][chain]`; of a constrained energy, free coordinates.
    pub(crate) positions: Vec<f32>,
    pub(crate) energies: Vec<f32>,
    /// Mean acceptance probability.
    pub(crate) acceptance: f64,
    pub(crate) accepted: Vec<bool>,
    /// Failed transitions.
    pub(crate) failed: u64,
    /// y·v at the end of each chain's trajectory, see `trajectory`.
    pub(crate) growth: Vec<f32>,
}

/// JSON has no infinity; serde_json writes null.
fn or_infinity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
}
