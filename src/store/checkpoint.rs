//! Checkpoints: all that a run needs to go on with the same bits, in a safetensors file.
//!
//! The header has one text, `ergodic`: a JSON object of format, version, settings (what defines the run), counters (whole
//! numbers), and what a warm-up found. The tensors, f32 from a GPU and f64 from the CPU reference where no type is given:
//!
//! | tensor | shape | |
//! |---|---|---|
//! | `positions` | \[dim, chains\] | of constrained energies free coordinates |
//! | `energies` | \[chains\] | |
//! | `gradients` | \[dim, chains\] | of kernels that use them |
//! | `momenta` | \[dim, chains\] | of kernels that carry them |
//! | `stopped` | \[chains\] u8 | of unadjusted kernels: whether the chain escaped |
//! | `ladder_ends` | \[chains\] u8 | of ladders: the end that a state visited last, 0 for none, 1 for the coldest, 2 for the hottest |
//! | `accepted` | \[chains\] u64 | accepted proposals |
//! | `acceptance` | \[1\] f64 | the sum of acceptance probabilities |
//! | `failed` | \[n, 4\] u64 | chain (from 0), failures, step and kind (`Failure as u8`) of the first |
//! | `failed_at` | \[m, 3\] u64 | chain (global id), step, kind of the first failures that are shown |
//! | `failed_at_positions` | \[m, dim\] f64 | where those chains stood |
//! | `moments_…` | | what was collected; see `gpu/checkpoint.rs` and `cpu/checkpoint.rs` |
//! | `sha256` | \[32\] u8 | the SHA-256 of all bytes before it |

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub(crate) use super::sealed::{Draft, Number};
use super::{
    sealed::{Sealed, Why, check_place},
    settings::{Settings, difference, settings},
};
use crate::{
    Error, Result,
    adapt::{self, Adaptation, Adapted, Adapting},
    chains::{Clock, Failed, FailedAt, Ledger, SHOWN_FAILURES, Setup},
    kernel::Failure,
};

const KEY: &str = "ergodic";
const FORMAT: &str = "checkpoint";
const VERSION: u32 = 1;

/// Where a run saves itself, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) path: PathBuf,
    pub(crate) every: Duration,
}

impl Plan {
    /// Checks that the file can be written.
    pub(crate) fn check(&self) -> Result<()> {
        check_place(&self.path).map_err(|why| error(&self.path, why))
    }
}

/// Whole numbers, which a text keeps exactly.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counters {
    pub(crate) steps: u64,
    pub(crate) slices: u64,
    pub(crate) slices_redone: u64,
    pub(crate) gradients: u64,
    pub(crate) wall_nanoseconds: u64,
    pub(crate) device_nanoseconds: Option<u64>,
    /// Whether all chains started at one point.
    pub(crate) starts_at_one_point: bool,
    /// Draws of every chain in the moments, but for the open segment's.
    pub(crate) draws: u64,
    /// Draws of the open segment.
    pub(crate) open_draws: u64,
    /// Differences of successive Hamiltonians of every chain in the moments, but for the open segment's.
    pub(crate) changes_a_chain: u64,
}

impl Counters {
    pub(crate) fn new(clock: &Clock) -> Self {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self {
            steps: clock.steps,
            slices: clock.slices,
            slices_redone: clock.redone,
            gradients: clock.gradients,
            wall_nanoseconds: nanoseconds(clock.wall),
            device_nanoseconds: clock.device.map(nanoseconds),
            ..Self::default()
        }
    }

    fn check(&self) -> Why<()> {
        let collected = self.draws.checked_add(self.open_draws);
        if collected.is_none_or(|draws| draws > self.steps) || self.changes_a_chain > self.draws {
            return Err("contradicts itself: it has more draws than steps".into());
        }
        Ok(())
    }
}

/// What a warm-up found and froze, and the clock when it ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Frozen {
    settings: adapt::Settings,
    found: Adaptation,
    warmed_up: Clock,
}

impl Frozen {
    fn check(&self, dim: usize) -> Why<()> {
        let adapt::Settings { inverse_mass, centre, .. } = &self.settings;
        if inverse_mass.len() != dim || centre.len() != dim {
            return Err("contradicts itself: the warm-up was in another dimension".into());
        }
        Ok(())
    }

    /// Freezes the settings again; the clock when the warm-up ended.
    pub(crate) fn resume(self, chains: &mut impl Adapting) -> Clock {
        adapt::resume(chains, self.settings, self.found);
        self.warmed_up
    }
}

/// The text in the header.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: String,
    version: u32,
    ergodic: String,
    settings: Settings,
    counters: Counters,
    warm_up: Option<Frozen>,
}

/// The part of the text that every version has.
#[derive(Debug, Deserialize)]
struct Kind {
    format: String,
    version: u32,
    ergodic: String,
}

fn error(path: &Path, why: String) -> Error {
    Error::Checkpoint { path: path.into(), why }
}

/// Writes a checkpoint; `draft` has the state of the chains and the moments.
pub(crate) fn write<'a>(
    path: &Path,
    setup: &Setup,
    backend: &str,
    counters: Counters,
    (adapted, warmed_up): (&Adapted, Clock),
    ledger: &'a Ledger,
    mut draft: Draft<'a>,
) -> Result<()> {
    if setup.kernel.bridge().is_some() {
        return Err(Error::Unsupported("annealed importance sampling keeps no checkpoints: run it again".into()));
    }
    let frozen = adapted.frozen().map_err(|why| error(path, why))?;
    put_ledger(&mut draft, ledger, setup.target.dim());
    let text = Text {
        format: FORMAT.into(),
        version: VERSION,
        ergodic: env!("CARGO_PKG_VERSION").into(),
        settings: settings(setup, backend)?,
        counters,
        warm_up: frozen.map(|(settings, found)| Frozen { settings, found, warmed_up }),
    };
    let text = serde_json::to_string(&text).map_err(|e| error(path, format!("cannot be written: {e}")))?;
    draft.write(path, KEY, text).map_err(|why| error(path, why))
}

fn put_ledger<'a>(draft: &mut Draft<'a>, ledger: &'a Ledger, dim: usize) {
    draft.put("accepted", &[ledger.accepted.len()], &ledger.accepted);
    draft.put("acceptance", &[1], vec![ledger.acceptance]);
    let failed = ledger.failed.iter().flat_map(|(&chain, f)| [chain as u64, f.count, f.step, f.kind as u64]);
    draft.put("failed", &[ledger.failed.len(), 4], failed.collect::<Vec<_>>());
    let failed_at = ledger.failed_at.iter().flat_map(|f| [f.chain, f.step, f.kind as u64]);
    draft.put("failed_at", &[ledger.failed_at.len(), 3], failed_at.collect::<Vec<_>>());
    let positions: Vec<_> = ledger.failed_at.iter().flat_map(|f| f.position.iter().copied()).collect();
    draft.put("failed_at_positions", &[ledger.failed_at.len(), dim], positions);
}

/// A checkpoint that is sound, of this version, and of the run that `setup` describes.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    path: PathBuf,
    sealed: Sealed,
    pub(crate) counters: Counters,
    /// What a warm-up found.
    pub(crate) frozen: Option<Frozen>,
    chains: usize,
    dim: usize,
}

impl Checkpoint {
    /// Opens the file and compares its settings with those of `setup`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the file is damaged, of another version, or of another run.
    pub(crate) fn open(path: &Path, setup: &Setup, backend: &str) -> Result<Self> {
        let here = settings(setup, backend)?;
        let dim = setup.target.dim();
        let open = || {
            let sealed = Sealed::open(path)?;
            let (counters, frozen) = read_text(sealed.text(KEY).unwrap_or_default(), &here)?;
            frozen.as_ref().map_or(Ok(()), |frozen| frozen.check(dim))?;
            Ok((sealed, counters, frozen))
        };
        let (sealed, counters, frozen) = open().map_err(|why| error(path, why))?;
        Ok(Self { path: path.into(), sealed, counters, frozen, chains: setup.chains, dim })
    }

    /// The values of a tensor of this shape.
    pub(crate) fn take<T: Number>(&mut self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        self.sealed.take(name, shape).map_err(|why| error(&self.path, why))
    }

    /// The one number of a tensor.
    pub(crate) fn take_one(&mut self, name: &str) -> Result<f64> {
        Ok(self.take(name, &[1])?[0])
    }

    pub(crate) fn ledger(&mut self) -> Result<Ledger> {
        self.read_ledger().map_err(|why| error(&self.path, why))
    }

    /// The clock, on a device that has timestamps or not.
    pub(crate) fn clock(&self, has_device_time: bool, ledger: &Ledger) -> Clock {
        let Counters { steps, slices, slices_redone, gradients, wall_nanoseconds, device_nanoseconds, .. } = self.counters;
        Clock {
            steps,
            wall: Duration::from_nanos(wall_nanoseconds),
            device: has_device_time.then(|| Duration::from_nanos(device_nanoseconds.unwrap_or(0))),
            slices,
            redone: slices_redone,
            acceptance: ledger.acceptance,
            gradients,
        }
    }

    fn read_ledger(&mut self) -> Why<Ledger> {
        let (sealed, chains) = (&mut self.sealed, self.chains);
        let wrong = |what: &str| format!("contradicts itself in `{what}`");
        let kind = |code: u64| u8::try_from(code).ok().and_then(Failure::from_code);
        let mut ledger = Ledger { accepted: sealed.take("accepted", &[chains])?, ..Ledger::default() };
        ledger.acceptance = sealed.take("acceptance", &[1])?[0];
        let failed = sealed.rows("failed")?.min(chains);
        for row in sealed.take::<u64>("failed", &[failed, 4])?.chunks_exact(4) {
            let chain = usize::try_from(row[0]).ok().filter(|&chain| chain < chains).ok_or_else(|| wrong("failed"))?;
            let kind = kind(row[3]).ok_or_else(|| wrong("failed"))?;
            ledger.failed.insert(chain, Failed { count: row[1], step: row[2], kind });
        }
        let shown = sealed.rows("failed_at")?.min(SHOWN_FAILURES);
        let rows = sealed.take::<u64>("failed_at", &[shown, 3])?;
        let positions = sealed.take::<f64>("failed_at_positions", &[shown, self.dim])?;
        for (row, position) in rows.chunks_exact(3).zip(positions.chunks_exact(self.dim)) {
            let kind = kind(row[2]).ok_or_else(|| wrong("failed_at"))?;
            ledger.failed_at.push(FailedAt { chain: row[0], step: row[1], kind, position: position.into() });
        }
        Ok(ledger)
    }
}

/// The counters and what a warm-up found, once version and settings are those of this run.
fn read_text(text: &str, here: &Settings) -> Why<(Counters, Option<Frozen>)> {
    let foreign = |e| format!("is no checkpoint of ergodic: {e}");
    let Kind { format, version, ergodic } = serde_json::from_str(text).map_err(foreign)?;
    if format != FORMAT {
        return Err(format!("is no checkpoint but of the format `{format}`"));
    }
    if version != VERSION {
        return Err(format!("is of version {version}, and this is version {VERSION}: resume it with ergodic {ergodic}"));
    }
    let text: Text = serde_json::from_str(text).map_err(foreign)?;
    if let Some(what) = difference(&text.settings, here) {
        return Err(format!("is of another run: {what}. Resume with the settings that the run was built with"));
    }
    text.counters.check()?;
    Ok((text.counters, text.warm_up))
}
