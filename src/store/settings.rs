//! What defines a run of chains: two with the same settings draw the same numbers.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    Result, adapt,
    chains::Setup,
    kernel::Kernel,
    program::{engine_text, text_of},
    settings::{self, sha256, short},
};

pub(super) use crate::settings::Settings;

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
    let mut what = settings::difference(found, here)?;
    if found.get("backend") != here.get("backend") {
        what +=
            " (a state in f32 and one in f64 do not go on with the same bits: start anew from the file's positions instead)";
    }
    Some(what)
}

/// Numbers as JSON: the shortest text that is read back to the same bits.
fn json(value: &impl Serialize) -> String {
    short(serde_json::to_string(value).unwrap_or_default())
}
