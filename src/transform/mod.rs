//! Transforms of constrained coordinates: chains run in free coordinates y without bounds, and x = T(y) lies on the support.
//!
//! The density of y is that of x times |det ∂x/∂y|, so the energy of y is E(T(y)) − log|det ∂x/∂y| (Stan Development Team, Reference
//! Manual, "Constraint transforms"). A transform acts on a range of the coordinates and maps as many free coordinates as it gives.
//!
//! ```
//! use ergodic::{Backend, Collect, energy::{Compose, Gamma}, kernel::Hmc, transform::Log};
//!
//! let target = Gamma::new(1, 2.5, 2.0)?.constrain(0..1, Log::above(0.0))?;
//! let mut chains = Backend::cpu().chains(target, Hmc::new(0.5, 4)).count(256).build()?;
//! chains.advance(50)?;
//! let report = chains.collect(Collect::draws(200))?;
//! assert!((report.coordinates[0].mean - 1.25).abs() < 0.05);
//! assert!(chains.positions()?.iter().all(|&x| x > 0.0));
//! # Ok::<(), ergodic::Error>(())
//! ```
//!
//! To add one: `src/transform/<stem>.rs`, `shaders/transform/<stem>.wgsl`, a line here, and a row in `tests/common/cases.rs`.

mod affine;
mod constraints;
mod log;
mod logit;
mod ordered;
mod stick_breaking;

pub use affine::Affine;
pub use constraints::Constraints;
pub use log::Log;
pub use logit::Logit;
pub use ordered::Ordered;
pub use stick_breaking::StickBreaking;

use crate::{Result, energy::Params};

/// Where and why a point has no free coordinates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// The coordinate, counted from the first of the transform's range.
    pub coordinate: usize,
    /// What it must be.
    pub why: String,
}

impl Outside {
    fn new(coordinate: usize, why: impl Into<String>) -> Self {
        Self { coordinate, why: why.into() }
    }
}

/// A map x = T(y) from free coordinates y to as many constrained ones x, in WGSL (`shaders/transform/<stem>.wgsl`) and in f64.
pub trait Transform: std::fmt::Debug + Send + Sync {
    /// The stem of its WGSL functions, and its name.
    fn stem(&self) -> &'static str;

    /// The WGSL text: `fn <stem>_position(at, first, count, x) -> f32` and `fn <stem>_grad(at, first, count, y, x, grad)`, which do to the
    /// coordinates `first..first + count` what the methods of these names do.
    fn source(&self) -> &'static str;

    /// The parameters, in the order in which both forms read them.
    fn params(&self) -> Vec<f32>;

    /// Checks the settings, and that it can act on so many coordinates.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting), naming the setting.
    fn validate(&self, count: usize) -> Result<()>;

    /// How many of the last free coordinates move no position. The transform gives each a standard normal density of its own.
    fn idle(&self) -> usize {
        0
    }

    /// Replaces y by x = T(y); log|det ∂x/∂y|, and the log density of idle coordinates.
    fn position(&self, params: Params<'_>, x: &mut [f64]) -> f64;

    /// Replaces ∂E/∂x by the gradient of E(T(y)) less what [`position`](Self::position) returns, with respect to y.
    fn grad(&self, params: Params<'_>, y: &[f64], x: &[f64], grad: &mut [f64]);

    /// Replaces x by y = T⁻¹(x); idle coordinates are 0.
    ///
    /// # Errors
    /// Where x is not inside of the support.
    fn free(&self, params: Params<'_>, x: &mut [f64]) -> Result<(), Outside>;
}
