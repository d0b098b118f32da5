//! What defines a run, as texts by name, which its file keeps: a run goes on with the same ones alone.

use std::{collections::BTreeMap, fmt::Debug, fmt::Write as _};

use sha2::{Digest, Sha256};

/// Texts longer than this are kept by their SHA-256.
const MOST_BYTES: usize = 200;

pub(crate) type Settings = BTreeMap<String, String>;

/// Settings as Rust writes them: numbers as the shortest texts that are read back to the same bits.
pub(crate) fn settings<const N: usize>(all: [(&str, &dyn Debug); N]) -> Settings {
    all.map(|(name, value)| (name.to_owned(), short(format!("{value:?}")))).into()
}

/// What differs between the settings in a file and those here; None if nothing.
pub(crate) fn difference(found: &Settings, here: &Settings) -> Option<String> {
    let none = "nothing".to_owned();
    let names = here.keys().chain(found.keys().filter(|name| !here.contains_key(*name)));
    let differences: Vec<_> = names
        .map(|name| (name, found.get(name).unwrap_or(&none), here.get(name).unwrap_or(&none)))
        .filter(|(_, found, here)| found != here)
        .map(|(name, found, here)| format!("{name} is {found} in the file and {here} here"))
        .collect();
    (!differences.is_empty()).then(|| differences.join("; "))
}

pub(crate) fn short(text: String) -> String {
    if text.len() <= MOST_BYTES { text } else { sha256(&text) }
}

pub(crate) fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().fold("sha256 ".to_owned(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
