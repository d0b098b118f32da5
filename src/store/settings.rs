//! What defines a run, as texts by name: two runs with the same ones draw the same numbers.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    Result, adapt,
    chains::Setup,
    kernel::Kernel,
    program::{engine_text, text_of},
};

/// Texts longer than this are kept by their SHA-256.
const MOST_BYTES: usize = 200;

pub(super) type Settings = BTreeMap<String, String>;

/// The settings of a run on this backend, "gpu" or "cpu".
///
/// # Errors
/// Where the WGSL of the energy is refused.
pub(super) fn settings(setup: &Setup, backend: &str) -> Result<Settings> {
    let target = &*setup.target;
    let dim = target.dim();
    let kernel = before_warm_up(&setup.kernel, dim);
    let settings = [
        ("backend", backend.to_owned()),
        ("energy", short(target.name())),
        ("energy's WGSL", sha256(&text_of(target)?)),
        ("energy's parameters", json(&target.params())),
        ("dimension", dim.to_string()),
        ("kernel", kernel.name().to_owned()),
        ("kernel's WGSL", sha256(&[kernel.source(), kernel.stage()].concat())),
        ("engine's WGSL", sha256(&engine_text())),
        ("kernel's variant", kernel.variant().to_string()),
        ("kernel's parameters", json(&kernel.params(dim))),
        ("step size", json(kernel.step_size())),
        ("noise level", json(&kernel.noise_level())),
        ("leapfrog steps", json(&kernel.substeps())),
        ("bridge", json(&kernel.bridge())),
        ("ladder", short(format!("{:?}", kernel.ladder()))),
        ("adaptation", short(format!("{:?}", kernel.adaptive()))),
        ("temperature", json(&setup.temperature)),
        ("number of chains", setup.chains.to_string()),
        ("first chain", setup.first_chain.to_string()),
        ("superchains", setup.superchain_count().to_string()),
        ("seed", setup.seed.to_string()),
    ];
    Ok(settings.map(|(name, value)| (name.to_owned(), value)).into())
}

/// A kernel that adapts as it was before it did, whatever it found; any other as it is.
fn before_warm_up(kernel: &Arc<dyn Kernel>, dim: usize) -> Arc<dyn Kernel> {
    let none = adapt::Settings { step_size: 1.0, leapfrog_steps: (1, 2), inverse_mass: vec![1.0; dim], centre: vec![0.0; dim] };
    kernel.adaptive().and_then(|_| kernel.with_settings(&none)).unwrap_or_else(|| kernel.clone())
}

/// What differs between the settings in a file and those here; None if nothing.
pub(super) fn difference(found: &Settings, here: &Settings) -> Option<String> {
    let none = "nothing".to_owned();
    let names = here.keys().chain(found.keys().filter(|name| !here.contains_key(*name)));
    let differences: Vec<_> = names
        .map(|name| (name, found.get(name).unwrap_or(&none), here.get(name).unwrap_or(&none)))
        .filter(|(_, found, here)| found != here)
        .map(|(name, found, here)| format!("{name} is {found} in the file and {here} here"))
        .collect();
    let mut what = differences.join("; ");
    if found.get("backend") != here.get("backend") {
        what +=
            " (a state in f32 and one in f64 do not go on with the same bits: start anew from the file's positions instead)";
    }
    (!differences.is_empty()).then_some(what)
}

/// Numbers as JSON: the shortest text that is read back to the same bits.
fn json(value: &impl Serialize) -> String {
    short(serde_json::to_string(value).unwrap_or_default())
}

fn short(text: String) -> String {
    if text.len() <= MOST_BYTES { text } else { sha256(&text) }
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().fold("sha256 ".to_owned(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
