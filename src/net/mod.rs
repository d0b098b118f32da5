//! Networks as energies: E(x) = f(x) + ½ c ‖x‖² with a multilayer perceptron f.
//!
//! [`Mlp`] is an ordinary energy, so that every kernel samples it. The passes of training run over the layers instead of over the
//! chains, so that each weight is loaded once for many points.

mod activation;
mod engine;
pub(crate) mod fused;
mod langevin;
mod mlp;
mod narrow;
pub(crate) mod network;
mod outputs;
mod passes;
mod plan;
mod product;
mod sums;

pub use activation::Activation;
pub use langevin::{Langevin, Walk, Walked};
pub use mlp::Mlp;
pub use network::Network;
pub(crate) use outputs::OutputPasses;
