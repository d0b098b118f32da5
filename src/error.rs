//! What can go wrong, as one type. Every message says what was wrong and what to do about it.

use std::path::PathBuf;

use crate::counted::counted;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong. Variants may be added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No adapter was found that can run compute shaders.
    #[error(
        "no GPU adapter was found; tried {tried}. Install a Vulkan, Metal or DX12 driver (on Debian and Ubuntu the package \
         mesa-vulkan-drivers is a software one), check WGPU_BACKEND and WGPU_ADAPTER_NAME, or use Backend::cpu()"
    )]
    NoAdapter {
        /// The backends that were searched, and the adapters that were refused.
        tried: String,
    },
    /// An adapter was found, but it would not give a device.
    #[error("the adapter {adapter} gave no device: {reason}")]
    NoDevice {
        /// Name of the adapter.
        adapter: String,
        /// What the driver said.
        reason: String,
    },
    /// The device was lost or destroyed during a run.
    #[error(
        "the device was lost after step {good_steps}: {reason}. Save the chains (Chains::save: they stand at the copy in host memory, see \
         Setup::spare_copy), open a new device and resume (Setup::resume); where there is no copy, resume from the last checkpoint"
    )]
    DeviceLost {
        /// Steps up to which the state is at hand, or, where there is no copy, that had been completed and proved.
        good_steps: u64,
        /// What the driver said.
        reason: String,
    },
    /// The device reported an error that is not the loss of the device.
    #[error("the device reported an error: {0}")]
    Device(String),
    /// A WGSL text is wrong, or is refused.
    #[error("{rendered}")]
    Shader {
        /// Name of the file or part in which the mistake is.
        part: String,
        /// Line in that part, from 1; 0 where the mistake has no place.
        line: u32,
        /// Column in that line, from 1; 0 where the mistake has no place.
        column: u32,
        /// What is wrong.
        message: String,
        /// The message with the text it is about, as a compiler would print it.
        rendered: String,
    },
    /// A gradient does not fit its energy.
    #[error(
        "the gradient of energy `{energy}` does not fit the energy: at x = {position:?} coordinate {coordinate} of the gradient is \
         {found}, but differences of the energy give {expected}"
    )]
    Gradient {
        /// Name of the energy.
        energy: String,
        /// The coordinate, from 0.
        coordinate: usize,
        /// What the gradient says.
        found: f64,
        /// What differences of the energy say.
        expected: f64,
        /// Where.
        position: Vec<f32>,
    },
    /// The two functions of an energy give different energies.
    #[error(
        "energy `{energy}` has two values at x = {position:?}: {alone} by its function of the energy, {with_grad} by that of energy and \
         gradient. Some kernels use the one and some the other: make both give the same (most simply the second returns what the first \
         does)"
    )]
    Energies {
        /// Name of the energy.
        energy: String,
        /// What the function of the energy alone gives.
        alone: f64,
        /// What the function of energy and gradient gives.
        with_grad: f64,
        /// Where.
        position: Vec<f32>,
    },
    /// Something asked for is larger than the device, WGSL or a budget allows.
    #[error("{what}: {asked} asked for, but {limit} allows {allowed}")]
    Limit {
        /// What was asked for, with its unit.
        what: String,
        /// How much.
        asked: u64,
        /// How much there may be.
        allowed: u64,
        /// The name of the limit.
        limit: String,
    },
    /// Lengths that should agree do not.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// What has the wrong shape.
        what: String,
        /// The length that was expected.
        expected: u64,
        /// The length that was found.
        found: u64,
    },
    /// A setting outside its range.
    #[error("{name} = {value}: {why}")]
    Setting {
        /// Name of the setting.
        name: String,
        /// Its value.
        value: String,
        /// Why it cannot be, and what can.
        why: String,
    },
    /// A chain cannot start where it was put.
    #[error("chain {chain} cannot start{}: {why}", coordinate.map(|i| format!(" (coordinate {i})")).unwrap_or_default())]
    Start {
        /// Global id of the chain.
        chain: u64,
        /// The coordinate, where it is one coordinate's fault.
        coordinate: Option<usize>,
        /// What is wrong.
        why: String,
    },
    /// The device did not answer in time. The state is that after `good_steps`; another `advance` goes on from there.
    #[error(
        "the device did not finish within {seconds} s; {} done. Raise the timeout and call advance again to go on",
        counted(*good_steps, "step")
    )]
    Timeout {
        /// Steps that had been completed and proved.
        good_steps: u64,
        /// The timeout.
        seconds: f64,
    },
    /// The driver ended a dispatch of one single step before its end.
    #[error(
        "the driver of {adapter} does not finish even one step a dispatch (it cuts long loops short); {} done. Use a smaller dimension, \
         fewer leapfrog steps, another driver, or Backend::cpu()",
        counted(*good_steps, "step")
    )]
    CutShort {
        /// Name of the adapter.
        adapter: String,
        /// Steps that had been completed and proved.
        good_steps: u64,
    },
    /// A warm-up found no settings to sample with.
    #[error("the warm-up found no settings after {}: {why}", counted(*good_steps, "step"))]
    Adaptation {
        /// What stood in the way, and what to do.
        why: String,
        /// Steps that had been completed.
        good_steps: u64,
    },
    /// Training ran away more often than was allowed.
    #[error(
        "training diverged {rollbacks} times in {updates} updates and went back to good parameters each time; at last {why}. Lower the \
         learning rate, clip gradients, or give contrastive divergence more or smaller steps"
    )]
    Diverged {
        /// Updates so far.
        updates: u64,
        /// Times that it went back.
        rollbacks: u32,
        /// What was seen the last time.
        why: String,
    },
    /// The caller cancelled the run.
    #[error("the run was cancelled; {} done. Call advance again to go on", counted(*good_steps, "step"))]
    Cancelled {
        /// Steps that had been completed and proved.
        good_steps: u64,
    },
    /// What was asked for cannot be done with this energy or kernel.
    #[error("{0}")]
    Unsupported(String),
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A sink of the caller's own does not take draws.
    #[error("the draws were not taken: {0}")]
    Sink(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A checkpoint is not one that this run can go on from.
    #[error("the checkpoint {} {why}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("the file {} {why}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        why: String,
    },
}

impl Error {
    pub(crate) fn setting(name: impl Into<String>, value: impl std::fmt::Display, why: impl Into<String>) -> Self {
        let text = value.to_string();
        // A float like 1e-300 is written out to all of its zeros.
        let value = match text.parse::<f64>() {
            Ok(number) if text.len() > MOST_DIGITS => format!("{number:?}"),
            _ => text,
        };
        Self::Setting { name: name.into(), value, why: why.into() }
    }

    /// The same error, after so many good steps: where the device is only read, it does not know them.
    pub(crate) fn after(mut self, steps: u64) -> Self {
        if let Self::DeviceLost { good_steps, .. } | Self::Timeout { good_steps, .. } = &mut self {
            *good_steps = steps;
        }
        self
    }

    pub(crate) fn shape(what: impl Into<String>, expected: usize, found: usize) -> Self {
        Self::Shape { what: what.into(), expected: expected as u64, found: found as u64 }
    }
}

/// Where a number stands in data, for a reader: the indices count from 0.
pub(crate) fn place(row: usize, column: usize) -> String {
    format!("row {}, column {} (counted from 1)", row + 1, column + 1)
}

/// Digits and signs of a number up to which it is shown as it is; no integer of 64 bits has more.
const MOST_DIGITS: usize = 20;

/// The most things that are made one by one because an argument says so: more are a slip, which memory might not hold.
const MOST: usize = 1 << 24;

/// A count of things that are made one by one, or an error that names them.
pub(crate) fn countable(what: &str, count: usize) -> Result<usize> {
    if count <= MOST {
        return Ok(count);
    }
    let (asked, allowed) = (count as u64, MOST as u64);
    Err(Error::Limit { what: what.into(), asked, allowed, limit: "what is made one by one".into() })
}

/// For constructors that return no error: a count that is too large, cut to one that [`countable`] will refuse as well.
pub(crate) fn cut(count: u64) -> u64 {
    count.min(MOST as u64 + 1)
}

/// A finite number above zero, or an error that names the setting.
pub(crate) fn positive(name: &str, value: f64) -> Result<f64> {
    let in_f32 = value as f32;
    if in_f32.is_finite() && in_f32 > 0.0 && in_f32 < 1e15 {
        Ok(value)
    } else {
        Err(Error::setting(name, value, "must be above 0 and below 1e15 in f32"))
    }
}

/// A finite number, or an error that names the setting.
pub(crate) fn finite(name: &str, value: f64) -> Result<f64> {
    if (value as f32).is_finite() { Ok(value) } else { Err(Error::setting(name, value, "must be a finite f32")) }
}

/// Finite numbers, or an error that names the first that is not. Their names are made for that one alone: there may be many numbers.
pub(crate) fn all_finite(values: &[f32], name: impl Fn(usize) -> String) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => finite(&name(at), f64::from(values[at])).map(drop),
    }
}

/// A dimension of at least two, or an error that names the setting.
pub(crate) fn at_least_two(name: &str, dim: usize) -> Result<usize> {
    if dim >= 2 { Ok(dim) } else { Err(Error::setting(name, dim, "must be at least 2")) }
}

/// Checks that there can be so many of something, each with a 32-bit number of its own and so many bytes of memory.
pub(crate) fn room(what: &str, count: usize, bytes_each: usize) -> Result<()> {
    let most = u64::from(u32::MAX);
    if count as u64 > most {
        return Err(Error::Limit { what: what.into(), asked: count as u64, allowed: most, limit: "32-bit numbers".into() });
    }
    let bytes = count.saturating_mul(bytes_each);
    let mut asked = Vec::<u8>::new();
    let granted = asked.try_reserve_exact(bytes);
    // Else the compiler may leave out what is never used.
    std::hint::black_box(&asked);
    granted.map_err(|_| Error::setting(what, count, format!("there is no memory for so many, {bytes} bytes")))
}

/// The number of points of `values`, `[dim][point]`: whole ones, at least one, of finite numbers. The error names the first number that is
/// none by its row (the point) and column (the coordinate), from 1.
pub(crate) fn points<T: Copy + Into<f64>>(what: &str, dim: usize, values: &[T]) -> Result<usize> {
    if dim == 0 {
        return Err(Error::setting(format!("dimension of the {what}"), 0, "must be at least 1"));
    }
    if values.is_empty() || !values.len().is_multiple_of(dim) {
        return Err(Error::shape(format!("{what} ([dim][point])"), values.len().div_ceil(dim).max(1) * dim, values.len()));
    }
    let n = values.len() / dim;
    match values.iter().position(|&x| !(x.into() as f32).is_finite()) {
        None => Ok(n),
        Some(at) => {
            let name = format!("{what}, {}", place(at % n, at / n));
            Err(Error::setting(name, values[at].into(), "must be a finite f32"))
        }
    }
}
