//! Training: energies whose parameters are learned from data.
//!
//! For a direction v let φ(t) = E(x + t v). Its jet (φ, φ′, φ″) at t = 0 is (E, v·∇E, vᵀ∇²E v), and every loss here is a function of
//! jets: a trainable energy needs one forward pass and one reverse pass, from the adjoints of the jets to the gradient in the
//! parameters ([`Passes`]). Losses, optimisers and data live on the host.

mod passes;

pub use passes::{Adjoints, Block, Jets, Order, Passes, Trainable, passes};
pub(crate) use passes::{check_params, check_points};
