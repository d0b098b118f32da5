//! Networks as energies: E(x) = f(x) + ½ c ‖x‖² with a multilayer perceptron f.
//!
//! [`Mlp`] is an ordinary energy, so that every kernel samples it. The passes of training ([`train::passes`](crate::train::passes)) and
//! [`Langevin`] chains run over the layers instead of over the chains, so that each weight is loaded once for many points: in WGSL on a
//! GPU; as matrix products on the CPU's threads where there is none, or one in software, which has the same cores and is slower. Both
//! are in f32. The truth is [`PointPasses`](crate::train::PointPasses), in f64 a point at a time.

mod activation;
mod engine;
pub(crate) mod fused;
mod langevin;
mod layers;
mod mlp;
mod narrow;
pub(crate) mod network;
mod outputs;
mod passes;
mod plan;
mod points;
mod product;
mod real;
mod sums;
mod threads;

pub use activation::Activation;
pub use langevin::{Langevin, Walk, Walked};
pub(crate) use layers::{Layers, Weights};
pub use mlp::Mlp;
pub use network::Network;
pub(crate) use outputs::OutputPasses;
pub(crate) use real::Real;
