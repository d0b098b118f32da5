//! IDX and .npy files, plain and packed, whole and damaged.

mod common;

use std::{io::Write, path::PathBuf};

use common::Suite;
use ergodic::{
    Error,
    rbm::{Data, Idx, Reals},
};
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

/// A .npy file of this type and shape.
fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
}

fn read_npy(name: &str, bytes: &[u8]) -> ergodic::Result<Reals> {
    let path: PathBuf = std::env::temp_dir().join(format!("ergodic-{}-{name}.npy", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let read = Reals::read_npy(&path);
    std::fs::remove_file(&path).unwrap();
    read
}

fn main() -> std::process::ExitCode {
    Suite::new()
        .test("npy: every type of number, both byte orders, packed or not, gives the same rows", || {
            let values = [1.0, 0.0, 3.0, 2.0, 100.0, 7.0];
            let bytes = |of: &dyn Fn(f64) -> Vec<u8>| values.iter().flat_map(|&v| of(v)).collect::<Vec<_>>();
            let files = [
                npy("|u1", "(2, 3)", &bytes(&|v| vec![v as u8])),
                npy("|i1", "(2, 3)", &bytes(&|v| vec![v as u8])),
                npy("<u2", "(2, 3)", &bytes(&|v| (v as u16).to_le_bytes().into())),
                npy(">i2", "(2, 3)", &bytes(&|v| (v as i16).to_be_bytes().into())),
                npy("<i4", "(2, 3)", &bytes(&|v| (v as i32).to_le_bytes().into())),
                npy("<i8", "(2, 1, 3)", &bytes(&|v| (v as i64).to_le_bytes().into())),
                npy("<f4", "(2, 3)", &bytes(&|v| (v as f32).to_le_bytes().into())),
                npy(">f8", "(2, 3, 1)", &bytes(&|v| v.to_be_bytes().into())),
            ];
            for file in files {
                for bytes in [file.clone(), packed(&file)] {
                    let rows = read_npy("types", &bytes).unwrap();
                    assert_eq!((rows.units(), rows.count()), (3, 2));
                    assert_eq!(rows.values(), values.map(|v| v as f32));
                }
            }
            let rows = read_npy("bool", &npy("|b1", "(2, 2)", &[1, 0, 0, 1])).unwrap();
            assert_eq!((rows.values(), rows.at_least(1.0).words()), ([1.0, 0.0, 0.0, 1.0].as_slice(), [1, 2].as_slice()));
            assert_eq!((rows.means(), rows.sds()), (vec![0.5; 2], vec![0.5; 2]));
        })
        .test("npy: a file cut at any byte, or too long, is an error that names file and byte", || {
            let whole = npy("<f4", "(2, 3)", &[0; 24]);
            for length in 0..whole.len() {
                let text = read_npy("cut", &whole[..length]).unwrap_err().to_string();
                assert!(text.contains("-cut.npy") && text.contains(&format!("(byte {length})")), "{text}");
            }
            let text = read_npy("long", &[whole.as_slice(), &[0]].concat()).unwrap_err().to_string();
            assert!(text.contains("goes on") && text.contains(&format!("(byte {})", whole.len())), "{text}");
            let gzip = packed(&whole);
            assert!((0..gzip.len()).all(|length| matches!(read_npy("cut", &gzip[..length]), Err(Error::Format { .. }))));
        })
        .test("npy: flipped bits are errors or other numbers, never panics", || {
            let whole = npy("<f4", "(2, 3)", &[0; 24]);
            for bit in 0..8 * whole.len() {
                let mut flipped = whole.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let _ = read_npy("flipped", &flipped);
            }
        })
        .test("npy: wrong headers and values are errors that say what to do", || {
            let zeros = [0; 24];
            for (descr, shape, says) in [
                ("<c8", "(1, 3)", "not numbers"),
                ("<U3", "(1, 2)", "not numbers"),
                ("|O", "(1, 3)", "not numbers"),
                ("<f4", "(6,)", "not of (rows, values)"),
                ("<f4", "(2, 0)", "not of (rows, values)"),
                ("<f4", "()", "one number"),
                ("<f4", "(999999999, 999999999)", "more values"),
                ("<f4", "((((((2, 3))))))", "records"),
                ("<f4", "(2, 3", "wrong header"),
            ] {
                let text = read_npy("header", &npy(descr, shape, &zeros)).unwrap_err().to_string();
                assert!(text.contains(says), "{descr} {shape}: {text}");
            }
            let fortran = npy("<f4", "(2, 3)", &zeros);
            let fortran = String::from_utf8_lossy(&fortran[10..]).replace("False", "True ");
            let fortran = [&npy("<f4", "(2, 3)", &zeros)[..10], fortran.as_bytes()].concat();
            assert!(read_npy("order", &fortran).unwrap_err().to_string().contains("ascontiguousarray"));
            let mut nan = npy("<f4", "(2, 3)", &zeros);
            let at = nan.len() - 8;
            nan[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
            let text = read_npy("nan", &nan).unwrap_err().to_string();
            assert!(text.contains("row 2, column 2 (counted from 1)") && text.contains(&format!("(byte {at})")), "{text}");
            assert!(matches!(Reals::read_npy("/nowhere/at/all.npy"), Err(Error::File { .. })));
            assert!(matches!(Reals::new([1.0, f32::INFINITY], 2), Err(Error::Setting { .. })));
            assert!(matches!(Reals::new([1.0], 2), Err(Error::Shape { .. })));
        })
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
