#![doc = include_str!("../README.md")]

pub use wgpu;

pub mod adapt;
mod backend;
pub mod chains;
mod check;
mod counted;
mod device;
pub mod diagnose;
pub mod diffusion;
mod dispatch;
pub mod energy;
mod error;
mod evaluate;
pub mod flow;
mod importance;
pub mod ising;
pub mod kernel;
pub mod net;
mod pipelines;
pub mod program;
pub mod random;
pub mod rbm;
mod schedule;
mod settings;
mod start;
pub mod store;
mod tensors;
pub mod train;
pub mod transform;

pub use adapt::Warmup;
pub use backend::Backend;
pub use chains::{Chains, Collect, Report};
pub use device::Gpu;
pub use error::{Error, Result};
pub use evaluate::{Evaluation, evaluate};
pub use importance::{AnnealedImportance, Base, LogMean, LogNormalizer, log_mean_exp};
pub use program::Program;
pub use schedule::Schedule;
pub use start::Start;
