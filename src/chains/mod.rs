//! Many Markov chains that step together, on the GPU or on the CPU reference, behind one trait.

pub(crate) mod chunk;
mod collect;
mod cpu;
mod gpu;
mod moments;
mod precision;
mod progress;
mod report;
pub(crate) mod rows;
mod setup;
mod summary;
mod tally;

pub(crate) use collect::Collecting;
pub use collect::{Collect, Ended, Goal, Quantity, Standing};
pub use cpu::CpuChains;
pub use gpu::GpuChains;
pub use precision::Coordinate;
pub(crate) use progress::{Call, OnProgress};
pub use progress::{Phase, Progress};
pub(crate) use report::Clock;
pub use report::{FailureRow, Report, RungRow, TemperingReport};
pub use setup::Setup;
pub(crate) use tally::{Failed, Ledger, SHOWN_FAILURES};
pub use tally::{FailedAt, Tally};

use std::path::Path;

use crate::{Result, Warmup, store::Sink};

/// Many chains that step together.
///
/// The numbers that a chain draws depend on (seed, chain, step) alone: not on the number of chains, the cutting into dispatches,
/// or the device.
pub trait Chains: std::fmt::Debug + Send {
    /// Finds the settings of a kernel that adapts, and freezes them. Without this call that happens before the first step of
    /// [`advance`](Self::advance) or [`collect`](Self::collect). The steps of a warm-up count in [`steps`](Self::steps), but not in
    /// a report, which records them apart. A second call adapts anew from where the chains stand. A warm-up that was interrupted, also
    /// one that was saved and resumed, is ended by any of the three, within the limits that it was begun with.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a kernel whose settings were given;
    /// [`Error::Adaptation`](crate::Error::Adaptation) where none can be found; device errors and cancellation, after which another
    /// call goes on.
    fn warm_up(&mut self, limits: Warmup) -> Result<()>;

    /// Runs `steps` transitions of every chain.
    ///
    /// # Errors
    /// Device errors and cancellation; all of them say how many steps are done, and another call goes on from there.
    fn advance(&mut self, steps: u64) -> Result<()>;

    /// Runs transitions and collects the moments of every state: mean and standard deviation of each coordinate, with Monte Carlo
    /// errors from the spread of the chains, effective sample size and nested R-hat; for so many draws, or until they are precise
    /// enough. The report is of this call; failures are counted since the start.
    ///
    /// # Errors
    /// As [`advance`](Self::advance); [`Error::Setting`](crate::Error::Setting) where no draws are asked for, or where a goal cannot
    /// be judged. After an error of the device or a cancellation, [`Collect::go_on`] keeps what was collected.
    fn collect(&mut self, collect: Collect) -> Result<Report>;

    /// As [`collect`](Self::collect), and hands the draws to a sink as they come (see [`store`](crate::store)): every
    /// [`thin`](Collect::thin)-th, of all chains or [some](Collect::stored_chains). They are what [`positions`](Self::positions) and
    /// [`energies`](Self::energies) give at these steps, to the bit.
    ///
    /// # Errors
    /// As [`collect`](Self::collect) and [`stored_bytes`](Self::stored_bytes); errors of the sink. Where a run is cancelled or fails, the sink has
    /// got the draws so far.
    fn collect_into(&mut self, collect: Collect, sink: &mut dyn Sink) -> Result<Report>;

    /// Bytes of the draws that [`collect_into`](Self::collect_into) will hand out at most: draws / thin × (dim + 1) × stored chains × 4,
    /// the one being for the energy.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for a thinning of 0 and for chains that there are not;
    /// [`Error::Limit`](crate::Error::Limit) for more bytes than 63 bits count.
    fn stored_bytes(&self, collect: &Collect) -> Result<u64>;

    /// What has been run since the start, without moments.
    fn report(&self) -> Report;

    /// Number of chains.
    fn count(&self) -> usize;

    /// Number of coordinates.
    fn dim(&self) -> usize;

    /// Steps done since the start.
    fn steps(&self) -> u64;

    /// The positions, `[dim][chain]`.
    ///
    /// # Errors
    /// Device errors.
    fn positions(&self) -> Result<Vec<f32>>;

    /// The energies, one a chain.
    ///
    /// # Errors
    /// Device errors.
    fn energies(&self) -> Result<Vec<f32>>;

    /// Acceptances and failures, one a chain.
    fn tallies(&self) -> Vec<Tally>;

    /// Replaces the parameters of the energy, and evaluates energy and gradient anew where the chains stand. Steps and failures are
    /// counted on, momenta stay, and an unadjusted chain that stopped stays where it is. A collection ends here. A checkpoint
    /// that is saved later is one of the energy with these parameters.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where their number is wrong and [`Error::Setting`](crate::Error::Setting) where one is not
    /// finite: nothing has changed then. [`Error::Start`](crate::Error::Start) where a chain stands at an energy or gradient that is
    /// not finite now: call this again with other parameters, or [`restart`](Self::restart). Device errors.
    fn set_params(&mut self, params: &[f32]) -> Result<()>;

    /// As [`set_params`](Self::set_params), and puts the chains to other positions, `[dim][chain]`. Those that had stopped go on.
    ///
    /// # Errors
    /// As [`set_params`](Self::set_params); [`Error::Shape`](crate::Error::Shape) where the number of positions is wrong, and
    /// [`Error::Start`](crate::Error::Start) where one is not finite.
    fn restart(&mut self, params: &[f32], positions: &[f32]) -> Result<()>;

    /// Writes a checkpoint, from which [`Setup::resume`] goes on with the same bits: the state of every chain, counters, the ledger,
    /// what was collected, what a warm-up found or, in the midst of one, has learnt so far, and a hash of what defines the run, in a
    /// safetensors file. It takes the place of an older one in one step,
    /// so there is a whole one at any time.
    ///
    /// # Errors
    /// [`Error::Write`](crate::Error::Write) where the file cannot be written; device errors. The run can go on after all of them. Of a lost device the copy is written that
    /// [`Setup::spare_copy`] speaks of; [`Error::DeviceLost`](crate::Error::DeviceLost) where there is none.
    fn save(&self, path: &Path) -> Result<()>;

    /// How long to wait for the device before [`Error::Timeout`](crate::Error::Timeout); the CPU reference never waits.
    fn set_timeout(&mut self, timeout: std::time::Duration);
}
