//! Networks as energies: E(x) = f(x) + ½ c ‖x‖² with a multilayer perceptron f.
//!
//! [`Mlp`] is an ordinary energy, so that every kernel samples it. The passes of training run over the layers instead of over the chains
//! ([`product`]).

mod activation;
pub(crate) mod fused;
mod mlp;
pub(crate) mod network;

pub use activation::Activation;
pub use mlp::Mlp;
pub use network::Network;
