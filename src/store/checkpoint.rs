//! Checkpoints: all that a run needs to go on with the same bits, in a safetensors file.
//!
//! The header has one text, `ergodic`: a JSON object of format, version, settings (what defines the run), counters (whole
//! numbers), what a warm-up found, and where one in progress stands. The tensors, f32 from a GPU and f64 from the CPU reference where no type is given:
//!
//! | tensor | shape | |
//! |---|---|---|
//! | `positions` | \[dim, chains\] | of constrained energies free coordinates |
//! | `energies` | \[chains\] | |
//! | `gradients` | \[dim, chains\] | of kernels that use them |
//! | `momenta` | \[dim, chains\] | of kernels that carry them |
//! | `stopped` | \[chains\] u8 | of unadjusted kernels: whether the chain escaped |
//! | `ladder_ends` | \[chains\] u8 | of ladders: the end that a state visited last, 0 for none, 1 for the coldest, 2 for the hottest |
//! | `bridge` | \[3, chains\], CPU \[2, chains\] | of annealed importance sampling: β, and the log weight, on a GPU as a whole number and a rest |
//! | `accepted` | \[chains\] u64 | accepted proposals |
//! | `acceptance` | \[1\] f64 | the sum of acceptance probabilities |
//! | `failed` | \[n, 4\] u64 | chain (from 0), failures, step and kind (`Failure as u8`) of the first |
//! | `failed_at` | \[m, 3\] u64 | chain (global id), step, kind of the first failures that are shown |
//! | `failed_at_positions` | \[m, dim\] f64 | where those chains stood |
//! | `warm_up_…` | | in the midst of a warm-up; see `adapt/warm_up/checkpoint.rs` |
//! | `moments_…` | | what was collected; see `gpu/checkpoint.rs` and `cpu/checkpoint.rs` |
//! | `sha256` | \[32\] u8 | the SHA-256 of all bytes before it |

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::settings::{Settings, difference, settings};
pub(crate) use crate::tensors::{Draft, Number};
use crate::{
    Error, Result,
    adapt::{self, Adaptation, Adapted, Adapting, WarmUp},
    chains::{Clock, Failed, FailedAt, Ledger, SHOWN_FAILURES, Setup},
    kernel::Failure,
    tensors::{Tensors, check_place},
};

/// A result whose error is the reason, as the end of a sentence about the checkpoint.
type Why<T> = Result<T, String>;

const KEY: &str = "ergodic";
const FORMAT: &str = "checkpoint";
const VERSION: u32 = 2;

/// Where a run saves itself, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) path: PathBuf,
    pub(crate) every: Duration,
}

impl Plan {
    /// Checks that the file can be written.
    pub(crate) fn check(&self) -> Result<()> {
        check_place(&self.path)
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
    warming_up: Option<WarmUp>,
}

/// The part of the text that every version has.
#[derive(Debug, Deserialize)]
struct Kind {
    format: String,
    version: u32,
    ergodic: String,
}

/// What is wrong with the file is wrong with the checkpoint.
fn of_checkpoint(error: Error) -> Error {
    match error {
        Error::Format { path, why } => Error::Checkpoint { path, why },
        other => other,
    }
}

/// Writes a checkpoint; `draft` has the state of the chains and the moments.
pub(crate) fn write<'a>(
    path: &Path,
    setup: &Setup,
    backend: &str,
    counters: Counters,
    (adapted, warmed_up): (&'a Adapted, Clock),
    ledger: &'a Ledger,
    mut draft: Draft<'a>,
) -> Result<()> {
    put_ledger(&mut draft, ledger, setup.target.dim());
    if let Some(plan) = &adapted.plan {
        plan.put(&mut draft);
    }
    let text = Text {
        format: FORMAT.into(),
        version: VERSION,
        ergodic: env!("CARGO_PKG_VERSION").into(),
        settings: settings(setup, backend)?,
        counters,
        warm_up: adapted.frozen().map(|(settings, found)| Frozen { settings, found, warmed_up }),
        warming_up: adapted.plan.clone(),
    };
    let text = serde_json::to_string(&text).map_err(|e| Error::Write { path: path.into(), source: e.into() })?;
    draft.seal(path, KEY, text)
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
    tensors: Tensors,
    pub(crate) counters: Counters,
    /// What a warm-up found.
    pub(crate) frozen: Option<Frozen>,
    /// A warm-up in progress, without its tensors.
    pub(crate) warming_up: Option<WarmUp>,
    chains: usize,
    dim: usize,
}

impl Checkpoint {
    /// Opens the file and compares its settings with those of `setup`.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be read; [`Error::Checkpoint`] where it is damaged, of another version, or of another run.
    pub(crate) fn open(path: &Path, setup: &Setup, backend: &str) -> Result<Self> {
        let here = settings(setup, backend)?;
        let dim = setup.target.dim();
        let open = || {
            let tensors = Tensors::open(path)?.sealed()?;
            let read = read_text(tensors.text(KEY).unwrap_or_default(), &here, dim);
            let (counters, frozen, warming_up) = read.map_err(|why| tensors.wrong(why))?;
            Ok(Self { tensors, counters, frozen, warming_up, chains: setup.chains, dim })
        };
        open().map_err(of_checkpoint)
    }

    /// Chains of the run.
    pub(crate) fn chains(&self) -> usize {
        self.chains
    }

    /// An error whose reason is the end of a sentence about the checkpoint.
    pub(crate) fn wrong(&self, why: &str) -> Error {
        of_checkpoint(self.tensors.wrong(why))
    }

    /// The first number of a tensor's shape.
    pub(crate) fn rows(&self, name: &str) -> Result<usize> {
        self.tensors.rows(name).map_err(of_checkpoint)
    }

    /// The values of a tensor of this shape.
    pub(crate) fn take<T: Number>(&self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        self.tensors.take(name, shape).map_err(of_checkpoint)
    }

    /// The one number of a tensor.
    pub(crate) fn take_one(&self, name: &str) -> Result<f64> {
        Ok(self.take(name, &[1])?[0])
    }

    pub(crate) fn ledger(&self) -> Result<Ledger> {
        self.read_ledger().map_err(of_checkpoint)
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

    fn read_ledger(&self) -> Result<Ledger> {
        let (tensors, chains) = (&self.tensors, self.chains);
        let wrong = |what: &str| tensors.wrong(format!("contradicts itself in `{what}`"));
        let kind = |code: u64| u8::try_from(code).ok().and_then(Failure::from_code);
        let mut ledger = Ledger { accepted: tensors.take("accepted", &[chains])?, ..Ledger::default() };
        ledger.acceptance = tensors.take("acceptance", &[1])?[0];
        let failed = tensors.rows("failed")?.min(chains);
        for row in tensors.take::<u64>("failed", &[failed, 4])?.chunks_exact(4) {
            let chain = usize::try_from(row[0]).ok().filter(|&chain| chain < chains).ok_or_else(|| wrong("failed"))?;
            let kind = kind(row[3]).ok_or_else(|| wrong("failed"))?;
            ledger.failed.insert(chain, Failed { count: row[1], step: row[2], kind });
        }
        let shown = tensors.rows("failed_at")?.min(SHOWN_FAILURES);
        let rows = tensors.take::<u64>("failed_at", &[shown, 3])?;
        let positions = tensors.take::<f64>("failed_at_positions", &[shown, self.dim])?;
        for (row, position) in rows.chunks_exact(3).zip(positions.chunks_exact(self.dim)) {
            let kind = kind(row[2]).ok_or_else(|| wrong("failed_at"))?;
            ledger.failed_at.push(FailedAt { chain: row[0], step: row[1], kind, position: position.into() });
        }
        Ok(ledger)
    }
}

/// The counters, what a warm-up found, and one in progress, once version and settings are those of this run.
fn read_text(text: &str, here: &Settings, dim: usize) -> Why<(Counters, Option<Frozen>, Option<WarmUp>)> {
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
    text.warm_up.as_ref().map_or(Ok(()), |frozen| frozen.check(dim))?;
    Ok((text.counters, text.warm_up, text.warming_up))
}
