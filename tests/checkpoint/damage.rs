//! Files that are cut short, flipped or forged: an error, never a panic or a large allocation.

use std::path::Path;

use ergodic::{Backend, Collect, Error, Start, chains::Setup, energy::DoubleWell, kernel::Ula};
use proptest::{
    prelude::*,
    test_runner::{RngSeed, TestRunner},
};
use rayon::prelude::*;
use serde_json::json;

use super::{
    common::Suite,
    file::{File, sealed},
    folder, refused, warm_up,
};

pub(crate) fn tests(suite: Suite) -> Suite {
    suite
        .test("cut_short_at_any_byte", cut_short)
        .test("flipped_at_any_byte", flipped)
        .test("forged_headers_never_panic", forged_headers)
        .test("headers_that_lie_are_refused", lying_headers)
        .test("another_version_is_refused", another_version)
        .test("what_is_no_file_is_refused", no_file)
}

/// A small run with failures and moments, and its file.
fn small_file(path: &Path) -> (Setup, Vec<u8>) {
    let target = DoubleWell::new(2, 1.0).unwrap();
    let setup = Backend::cpu().chains(target, Ula::new(0.12)).count(3).seed(3).start(Start::normal([0.0], 3.0));
    let mut run = setup.clone().build().unwrap();
    run.collect(Collect::draws(20)).unwrap();
    assert!(run.report().failed_transitions() > 0);
    run.save(path).unwrap();
    (setup, std::fs::read(path).unwrap())
}

/// The header's text, and the data without the seal.
fn parts(bytes: &[u8]) -> (String, &[u8]) {
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    (String::from_utf8(bytes[8..end].to_vec()).unwrap(), &bytes[end..bytes.len() - 32])
}

fn cut_short() {
    let folder = folder();
    let (setup, bytes) = small_file(&folder.path().join("run.safetensors"));
    (0..bytes.len()).into_par_iter().for_each(|n| {
        let path = folder.path().join(format!("cut_{}", rayon::current_thread_index().unwrap_or(0)));
        std::fs::write(&path, &bytes[..n]).unwrap();
        let why = refused(&setup, &path);
        assert!(why.contains("cut short"), "{n} of {}: {why}", bytes.len());
    });
    // Nor may anything follow.
    let path = folder.path().join("long");
    std::fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
    refused(&setup, &path);
}

fn flipped() {
    let folder = folder();
    let (setup, bytes) = small_file(&folder.path().join("run.safetensors"));
    (0..bytes.len()).into_par_iter().for_each(|at| {
        let path = folder.path().join(format!("flipped_{}", rayon::current_thread_index().unwrap_or(0)));
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&path, &bytes).unwrap();
        refused(&setup, &path);
    });
}

/// Bytes of the header changed, taken away or put in, and the seal made to fit again; after a run and in the midst of a warm-up.
fn forged_headers() {
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    let (setup, bytes) = small_file(&path);
    forge(&setup, &bytes, &path);
    let (warming_up, in_warm_up) = warm_up::small_file(&path);
    forge(&warming_up, &in_warm_up, &path);
    // The seal is made right: what decides nothing may change.
    let mut forged = File::read_bytes(&bytes);
    forged.text["counters"]["slices"] = json!(12345);
    forged.write(&path);
    assert_eq!(setup.clone().resume(&path).unwrap().report().slices, 12345);
}

fn forge(setup: &Setup, bytes: &[u8], path: &Path) {
    let header = bytes.len() - 32 - parts(bytes).1.len();
    let edit = (0..header, prop::sample::select(b"019,:[]{}\"-.eE nf\0\xff".to_vec()), 0..3u8);
    let edits = prop::collection::vec(edit, 1..4);
    let rng_seed = RngSeed::Fixed(1);
    let config = ProptestConfig { cases: 1500, failure_persistence: None, rng_seed, ..Default::default() };
    let result = TestRunner::new(config).run(&edits, |edits| {
        let mut forged = bytes[..bytes.len() - 32].to_vec();
        for (at, byte, what) in edits {
            match what {
                0 => forged[at] = byte,
                1 => drop(forged.remove(at)),
                _ => forged.insert(at, byte),
            }
        }
        std::fs::write(path, sealed(&forged)).unwrap();
        match setup.clone().resume(path) {
            Err(Error::Checkpoint { .. }) | Ok(_) => Ok(()),
            Err(e) => Err(TestCaseError::fail(e.to_string())),
        }
    });
    result.unwrap();
}

fn lying_headers() {
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    let (setup, bytes) = small_file(&path);
    // The header's length.
    for length in [u64::MAX, u64::MAX - 7, i64::MAX as u64, 1 << 40, 1 << 20, bytes.len() as u64, 0, 1] {
        let forged = [&length.to_le_bytes(), &bytes[8..bytes.len() - 32]].concat();
        std::fs::write(&path, sealed(&forged)).unwrap();
        refused(&setup, &path);
    }
    // Names, shapes, types and offsets of tensors.
    let (header, data) = parts(&bytes);
    for (from, to) in [
        (r#""shape":[2,3]"#, r#""shape":[2,4]"#),
        (r#""shape":[2,3]"#, r#""shape":[4611686018427387904,3]"#),
        (r#""shape":[2,3]"#, r#""shape":[6]"#),
        (r#""shape":[2,3]"#, r#""shape":[3,2]"#),
        (r#""shape":[2,3]"#, r#""shape":[]"#),
        (r#""dtype":"F64""#, r#""dtype":"I64""#),
        (r#""dtype":"F64""#, r#""dtype":"F32""#),
        (r#""data_offsets":[0,48]"#, r#""data_offsets":[0,49]"#),
        (r#""data_offsets":[0,48]"#, r#""data_offsets":[48,0]"#),
        (r#""data_offsets":[0,48]"#, r#""data_offsets":[0,18446744073709551615]"#),
        (r#""positions""#, r#""possitions""#),
        (r#""failed_at_positions""#, r#""failed_at_positionz""#),
        ("__metadata__", "__metedata__"),
    ] {
        assert!(header.contains(from), "{from} is not in {header}");
        let mut forged = header.replacen(from, to, 1).into_bytes();
        forged.resize(forged.len().next_multiple_of(8), b' ');
        let forged = [&(forged.len() as u64).to_le_bytes()[..], &forged, data].concat();
        std::fs::write(&path, sealed(&forged)).unwrap();
        refused(&setup, &path);
    }
    // Counters and rows that contradict the run.
    let sound = File::read_bytes(&bytes);
    for (counter, value) in
        [("draws", json!(21)), ("draws", json!(u64::MAX)), ("open_draws", json!(u64::MAX)), ("steps", json!(-1))]
    {
        let mut forged = sound.clone();
        forged.text["counters"][counter] = value;
        forged.write(&path);
        refused(&setup, &path);
    }
    for (at, value) in [(0, 3u64), (0, u64::MAX), (3, 0), (3, 9), (3, u64::MAX)] {
        let mut forged = sound.clone();
        forged.tensor("failed")[8 * at..8 * at + 8].copy_from_slice(&value.to_le_bytes());
        forged.write(&path);
        assert!(refused(&setup, &path).contains("contradicts itself"));
    }
}

fn another_version() {
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    let (setup, bytes) = small_file(&path);
    let mut forged = File::read_bytes(&bytes);
    forged.text["version"] = json!(3);
    forged.text["what_is_new"] = json!("something");
    forged.write(&path);
    let why = refused(&setup, &path);
    assert!(why.contains("is of version 3, and this is version 2"), "{why}");
    forged.text["format"] = json!("draws");
    forged.write(&path);
    assert!(refused(&setup, &path).contains("format `draws`"));
}

fn no_file() {
    let folder = folder();
    let (setup, _) = small_file(&folder.path().join("run.safetensors"));
    for path in [&folder.path().join("none"), folder.path()] {
        let error = setup.clone().resume(path).map(drop).unwrap_err();
        assert!(matches!(&error, Error::File { path: of, .. } if of == path), "{error}");
    }
    if cfg!(unix) {
        refused(&setup, Path::new("/dev/zero"));
        refused(&setup, Path::new("/dev/null"));
    }
    // A terabyte of zeros, which takes no room on the disk: nothing of that size is read or allocated.
    let path = folder.path().join("sparse");
    std::fs::write(&path, (1u64 << 39).to_le_bytes()).unwrap();
    if std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 40).is_ok() {
        refused(&setup, &path);
    }
}
