//! Training: energies whose parameters are learned from data.
//!
//! For a direction v let φ(t) = E(x + t v). Its jet (φ, φ′, φ″) at t = 0 is (E, v·∇E, vᵀ∇²E v), and every loss here is a function of
//! jets: a trainable energy needs one forward pass and one reverse pass, from the adjoints of the jets to the gradient in the
//! parameters ([`Passes`]). Losses, optimisers and data live on the host.

mod by_parts;
mod compose;
mod data;
mod file;
mod flatness;
mod jet_passes;
mod judge;
mod loss;
mod negative;
mod noise;
mod optimizer;
mod passes;
mod point_passes;
mod runaway;
mod scaled;
mod toy;
mod trainer;
mod training;

pub use compose::{TrainableConvex, TrainableSum};
pub use data::{Data, Standard};
pub use file::load;
pub use judge::{Grid, Normality, energy_distance, log_likelihood_bracket, sliced_wasserstein};
pub use loss::{At, Loss, LossAt};
pub use negative::{Contrastive, Negatives, Walks, walk};
pub use noise::Noise;
pub(crate) use optimizer::Memory;
pub use optimizer::{Optimizer, Rule};
pub use passes::{Adjoints, Block, Jets, Order, Passes, Traces, Trainable, passes};
pub(crate) use passes::{check_directions, check_params, check_points, nothing_to_reverse, side_by_side};
pub use point_passes::PointPasses;
pub use scaled::TrainableScaled;
pub use toy::Toy;
pub use trainer::Trainer;
pub use training::{Training, Update};
