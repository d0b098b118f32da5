//! Transition kernels: one Markov transition each, in WGSL (`shaders/kernel/<stem>.wgsl`) and as an f64 twin.
//!
//! A kernel's settings travel in uniforms and tables, so changing them compiles nothing.
//!
//! To add one: `src/kernel/<stem>.rs`, `shaders/kernel/<stem>.wgsl`, a line here, and a row in `tests/common/cases.rs`.

#[macro_use]
mod answers;
mod annealed;
mod drift;
mod hmc;
mod independence;
mod lattice;
mod mala;
mod probability_flow;
mod reverse;
mod rwm;
mod scales;
mod step;
mod tempering;
mod ula;
mod underdamped;
mod weighed;

pub use annealed::Annealed;
pub use drift::Drift;
pub use hmc::{Hmc, leapfrog};
pub use independence::Independence;
pub use lattice::Lattice;
pub use mala::Mala;
pub use probability_flow::ProbabilityFlow;
pub(crate) use reverse::times;
pub use reverse::{Reverse, Variance};
pub use rwm::Rwm;
pub use step::{Control, Failure, Info, State, Step};
pub(crate) use step::{failure_of, is_usable, metropolis};
pub(crate) use tempering::{End, Rungs, Swapped};
pub use tempering::{Ladder, Tempering};
pub use ula::Ula;
pub use underdamped::Underdamped;
pub(crate) use weighed::{STAGE, Weighed};

use std::sync::Arc;

use crate::{
    Result, Schedule,
    adapt::{Adaptive, Settings},
    energy::Energy,
};

/// One Markov transition, in WGSL and in f64, with the settings that both read.
pub trait Kernel: std::fmt::Debug + Send + Sync {
    /// The name in reports, and the stem of its shader.
    fn name(&self) -> &'static str;

    /// The WGSL text, with `fn transition` as `shaders/contract.wgsl` describes it.
    fn source(&self) -> &'static str;

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) or [`Error::Shape`](crate::Error::Shape), naming the setting.
    fn validate(&self, target: &dyn Energy) -> Result<()>;

    /// Blocks of random bits a step.
    fn slots(&self, dim: usize) -> u32;

    /// The step size as a function of the step.
    fn step_size(&self) -> &Schedule;

    /// Whether the kernel needs gradients; a kernel that needs none never evaluates one.
    fn uses_grad(&self) -> bool;

    /// Whether the kernel's state has a momentum.
    fn carries_momentum(&self) -> bool {
        false
    }

    /// Whether the kernel reports a total energy (in `hamiltonian`, WGSL and Rust) after each transition.
    fn has_hamiltonian(&self) -> bool {
        false
    }

    /// Whether the kernel accepts every proposal, so that its law is biased by the step size.
    fn is_unadjusted(&self) -> bool {
        false
    }

    /// The temperature as a function of the step, where the kernel has its own, which no other may then take the place of.
    fn temperature(&self) -> Option<&Schedule> {
        None
    }

    /// σ of the noise levels as a function of the step, where the kernel has them.
    fn noise_level(&self) -> Option<&Schedule> {
        None
    }

    /// The least and greatest number of leapfrog steps; drawn anew at each step, the same for all chains.
    fn substeps(&self) -> (u32, u32) {
        (1, 1)
    }

    /// Whether the WGSL form also works where each of several invocations holds a share of the coordinates, as is done above 32
    /// dimensions (shaders/contract.wgsl): it asks for no coordinate by its number, and adds up by `total()`. Then the offsets of all
    /// its parameters that are vectors of `dim` numbers, which it reads by `param_lane()`; else none.
    fn spread(&self, dim: usize) -> Option<Vec<usize>> {
        let _ = dim;
        None
    }

    /// A number that the shader knows as `VARIANT`, where it has text that is needed only sometimes.
    fn variant(&self) -> u32 {
        0
    }

    /// Parameters that the shader reads from `KERNEL_AT` on.
    fn params(&self, dim: usize) -> Vec<f32> {
        let _ = dim;
        Vec::new()
    }

    /// What a warm-up has to find before the first draw; None where all settings were given.
    fn adaptive(&self) -> Option<Adaptive> {
        None
    }

    /// This kernel with other settings: the same program, other numbers. None for kernels that do not adapt.
    fn with_settings(&self, settings: &Settings) -> Option<Arc<dyn Kernel>> {
        let _ = settings;
        None
    }

    /// Step size and temperature, where this is the unadjusted Langevin algorithm with both of them constant: networks run that one
    /// through their layers for all chains at once ([`net::Langevin`](crate::net::Langevin)).
    fn langevin(&self) -> Option<[f64; 2]> {
        None
    }

    /// The factor of the step size that suits a temperature: steps are lengths, which grow as √T.
    fn step_scale(&self, temperature: f64) -> f64 {
        temperature.sqrt()
    }

    /// The ladder of temperatures that chains exchange their states on, where there is one.
    fn ladder(&self) -> Option<&Ladder> {
        None
    }

    /// β as a function of the step, where the target is a bridge between two energies, and states are weighed as it moves on.
    fn bridge(&self) -> Option<&Schedule> {
        None
    }

    /// The WGSL text of what is done around each transition (`shaders/stage/`).
    fn stage(&self) -> &'static str {
        include_str!("../../shaders/stage/alone.wgsl")
    }

    /// The f64 twin: moves `state` by one transition. `scratch` holds anything.
    fn transition(&self, step: &Step<'_>, state: &mut State, scratch: &mut State) -> Info;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Backend, Error, energy::DoubleWell};

    fn build(kernel: impl Kernel + 'static) -> Result<()> {
        let target = Arc::new(DoubleWell::new(2, 1.0)?);
        Backend::cpu().chains_of(target, Arc::new(kernel)).count(2).build().map(drop)
    }

    #[test]
    fn bad_settings_are_refused() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e30] {
            for refused in [
                build(Drift::new(bad, [0.1])),
                build(Independence::new([0.0], [bad])),
                build(Underdamped::new(bad, 1.0)),
                build(Underdamped::new(0.1, bad)),
                build(Underdamped::new(0.1, 1.0).inverse_mass([1.0, bad])),
                build(Annealed::new([1.0, bad], 5, 0.1)),
                build(Annealed::new([1.0], 5, bad)),
            ] {
                assert!(matches!(refused, Err(Error::Setting { .. })), "{bad}: {refused:?}");
            }
        }
        for refused in [
            build(Drift::new(1.0, [f64::NAN])),
            build(Independence::new([f64::INFINITY], [1.0])),
            build(Annealed::new([0.5, 1.0], 5, 0.1)),
            build(Annealed::new([], 5, 0.1)),
            build(Annealed::new([1.0], 0, 0.1)),
        ] {
            assert!(matches!(refused, Err(Error::Setting { .. })), "{refused:?}");
        }
    }

    #[test]
    fn wrong_lengths_are_refused() {
        for refused in [
            build(Drift::new(1.0, [0.1; 3])),
            build(Independence::new([0.0; 3], [1.0])),
            build(Independence::new([0.0], [1.0; 3])),
            build(Underdamped::new(0.1, 1.0).inverse_mass([1.0; 3])),
        ] {
            assert!(matches!(refused, Err(Error::Shape { .. })), "{refused:?}");
        }
    }

    #[test]
    fn annealing_needs_an_energy_with_noise_levels() {
        let refused = build(Annealed::new([1.0, 0.5], 5, 0.1));
        assert!(matches!(refused, Err(Error::Unsupported(_))), "{refused:?}");
    }

    #[test]
    fn good_settings_are_taken() {
        build(Drift::new(1.0, [0.1, -0.2])).unwrap();
        build(Independence::new([0.1, 0.2], [1.0])).unwrap();
        build(Underdamped::new(0.1, 1.0).inverse_mass([2.0])).unwrap();
    }
}
