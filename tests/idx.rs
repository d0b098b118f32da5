//! IDX files, plain and packed, whole and damaged.

mod common;

use std::{io::Write, path::PathBuf};

use common::Suite;
use ergodic::{Error, rbm::Idx};
use flate2::{Compression, write::GzEncoder};

/// Three images of 2 × 4 bytes.
fn whole() -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 4];
    bytes.extend((0..24).map(|i| 10 * i));
    bytes
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn read(name: &str, bytes: &[u8]) -> ergodic::Result<Idx> {
    let path: PathBuf = std::env::temp_dir().join(format!("ergodic-{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let read = Idx::read(&path);
    std::fs::remove_file(&path).unwrap();
    read
}

fn main() -> std::process::ExitCode {
    Suite::new()
        .test("plain and packed files give the same images", || {
            for bytes in [whole(), packed(&whole())] {
                let idx = read("whole", &bytes).unwrap();
                assert_eq!((idx.shape.as_slice(), idx.values.len()), ([3, 2, 4].as_slice(), 24));
                let images = idx.images(100).unwrap();
                assert_eq!((images.units(), images.chains()), (8, 3));
                assert!((0..24).all(|i| images.get(i % 8, i / 8) == (i >= 10)));
            }
        })
        .test("a file cut at any byte is an error that names file and byte", || {
            for length in 0..whole().len() {
                let error = read("cut", &whole()[..length]).unwrap_err();
                let text = error.to_string();
                assert!(matches!(error, Error::Format { .. }) && text.contains("-cut"), "{text}");
                assert!(text.contains(&format!("(byte {length})")), "{text}");
            }
            let gzip = packed(&whole());
            for length in 0..gzip.len() {
                assert!(matches!(read("cut", &gzip[..length]), Err(Error::Format { .. })), "{length}");
            }
        })
        .test("wrong headers are errors", || {
            for (at, value, byte) in [(0, 1, 0), (2, 13, 2), (3, 0, 3), (3, 2, 18), (4, 255, 40)] {
                let mut bytes = whole();
                bytes[at] = value;
                let text = read("header", &bytes).unwrap_err().to_string();
                assert!(text.contains(&format!("(byte {byte})")), "{text}");
            }
            let huge = [vec![0, 0, 8, 4], vec![255; 16]].concat();
            assert!(read("header", &huge).unwrap_err().to_string().contains("more than can be"));
            let mut long = whole();
            long.push(0);
            assert!(read("header", &long).unwrap_err().to_string().contains("goes on"));
            assert!(matches!(Idx::read("/nowhere/at/all"), Err(Error::File { .. })));
            let flat = Idx { shape: vec![4], values: vec![0; 4] };
            assert!(matches!(flat.images(1), Err(Error::Shape { .. })));
        })
        .run()
}
