//! Draws that are kept: in memory, in a `.npy` file, in a Zarr store for ArviZ, or handed to a function of yours.
//!
//! [`Chains::collect_into`](crate::Chains::collect_into) collects moments as `collect` does and hands the draws to a [`Sink`], batch
//! by batch, while the device runs on. [`Collect::thin`](crate::Collect::thin) and
//! [`Collect::stored_chains`](crate::Collect::stored_chains) say which, and [`Chains::stored_bytes`](crate::Chains::stored_bytes)
//! how many bytes they are.
//!
//! ```
//! use ergodic::{Backend, Collect, energy::Gaussian, kernel::Mala, store::Draws};
//!
//! let target = Gaussian::isotropic([0.0, 0.0], 1.0)?;
//! let mut chains = Backend::cpu().chains(target, Mala::new(0.5)).count(64).build()?;
//! let mut draws = Draws::new();
//! chains.collect_into(Collect::draws(100).thin(5), &mut draws)?;
//! assert_eq!(draws.positions().len(), 20 * 2 * 64);     // [draw][dim][chain]
//! # Ok::<(), ergodic::Error>(())
//! ```

pub(crate) mod checkpoint;
mod draws;
mod npy;
mod settings;
mod storing;
#[cfg(feature = "zarr")]
mod zarr;

use std::borrow::Cow;

use crate::Result;
pub use draws::Draws;
pub use npy::Npy;
pub(crate) use storing::{BATCH_BYTES, Storing};
#[cfg(feature = "zarr")]
pub use zarr::{WarmupPosterior, Zarr};

/// What will be stored, told before the first step.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Shape {
    /// Draws of each stored chain.
    pub draws: u64,
    /// Whether there may be fewer: a goal or a time limit ends the collection early.
    pub at_most: bool,
    /// Coordinates.
    pub dim: usize,
    /// Stored chains.
    pub chains: usize,
    /// Global id of the first of them.
    pub first_chain: u64,
    /// Chains of a ladder of temperatures, 1 without one. Of a ladder, the coldest chain is stored, the only one at the target's.
    pub rungs: usize,
    /// Steps from draw to draw.
    pub thin: u64,
    /// Steps that the chains will have done at the first draw.
    pub first_step: u64,
    /// Whether it goes on with a collection that has handed out draws before: the last of them was `thin` steps earlier.
    pub goes_on: bool,
    /// Name of the energy.
    pub energy: String,
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Seed.
    pub seed: u64,
}

/// The states of the stored chains after one step.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Draw<'a> {
    /// Steps that the chains had done: [`Chains::steps`](crate::Chains::steps) at this state.
    pub step: u64,
    /// T of exp(−E/T) at that step.
    pub temperature: f64,
    /// Positions, `[dim][chain]`.
    pub positions: &'a [f32],
    /// Energies E(x), one a chain.
    pub energies: &'a [f32],
}

/// Takes draws. A closure `|draw: Draw| -> Result<()>` is one.
pub trait Sink {
    /// Called before the first step.
    ///
    /// # Errors
    /// Whatever keeps the sink from taking draws of that shape; nothing is run then.
    fn begin(&mut self, shape: &Shape) -> Result<()> {
        let _ = shape;
        Ok(())
    }

    /// Takes the next draws, in order, each once; the device runs on meanwhile. They are valid for the call only.
    ///
    /// # Errors
    /// Ends the run. The chains stand at a later state then, and the moments are those of all draws up to it.
    fn write(&mut self, draws: &[Draw<'_>]) -> Result<()>;

    /// Called after the last draw, also where the run was cancelled or failed.
    ///
    /// # Errors
    /// What keeps the sink from finishing.
    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}

impl<F: FnMut(Draw<'_>) -> Result<()>> Sink for F {
    fn write(&mut self, draws: &[Draw<'_>]) -> Result<()> {
        draws.iter().try_for_each(|&draw| self(draw))
    }
}

/// The values as bytes, little end first.
fn bytes_of(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(values))
    } else {
        Cow::Owned(values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }
}
