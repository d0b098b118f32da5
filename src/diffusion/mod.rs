//! Diffusion: data that noise destroys step by step, and the way back (Ho, Jain and Abbeel 2020).
//!
//! The forward process mixes data with noise, x_t = √ᾱ_t x₀ + √(1 − ᾱ_t) z for t = 1, …, T ([`NoiseSchedule`]). In the coordinates
//! y_t = x_t / √ᾱ_t it only adds noise: y_t = x₀ + σ_t z with σ_t² = (1 − ᾱ_t)/ᾱ_t. So −∇E_σ(y), the score of an energy at a noise level, is
//! the score of the noised data, and the best prediction of the noise is E[z | y] = σ ∇E_σ(y). Every way back is then a kernel of
//! the engine, on any energy with noise levels, and a run is one of [`Chains`](crate::Chains) as any other:
//!
//! - [`Reverse::ancestral`](crate::kernel::Reverse::ancestral): the reverse chain of the paper, T steps;
//! - [`Reverse::ddim`](crate::kernel::Reverse::ddim): any number of fewer steps, with any share of the noise (Song, Meng and Ermon 2021);
//! - [`ProbabilityFlow`](crate::kernel::ProbabilityFlow): the deterministic flow with the same marginals, of second order
//!   (Song et al. 2021; Karras et al. 2022).
//!
//! [`log_likelihood`] follows the flow the other way and gives densities.
//!
//! ```
//! use ergodic::{Backend, diffusion::NoiseSchedule, energy::Mixture, kernel::{Reverse, Variance}};
//!
//! let schedule = NoiseSchedule::linear(1000, 1e-4, 0.02)?;
//! let kernel = Reverse::ancestral(&schedule, Variance::Posterior);
//! let (start, steps) = (kernel.start(), kernel.steps());
//! let mut chains = Backend::cpu().chains(Mixture::ring(8, 4.0, 0.5)?, kernel).count(100).start(start).build()?;
//! chains.advance(steps)?;
//! let samples = chains.positions()?;
//! # assert_eq!(samples.len(), 200);
//! # Ok::<(), ergodic::Error>(())
//! ```

mod denoise;
mod likelihood;
mod network;
mod sampler;
mod schedule;
mod train;

pub use likelihood::log_likelihood;
pub use network::NoiseNetwork;
pub use sampler::Sampler;
pub use schedule::NoiseSchedule;
pub use train::{Trainer, Training};
