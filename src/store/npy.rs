//! Draws in a `.npy` file, which numpy reads and maps.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::{Draw, Shape, Sink, bytes_of};
use crate::{Error, Result};

/// Bytes of the header: magic, version, length, a dictionary padded with spaces. The number of draws is written into it anew after
/// every batch.
const HEADER: usize = 128;

/// Positions in a `.npy` file of shape (draw, dim, chain), f32.
///
/// The header always tells the draws that are whole, so the file can be read at any time, also after a crash. In Python,
/// `numpy.load(path, mmap_mode="r").transpose(2, 0, 1)` is the (chain, draw, dim) that ArviZ expects.
///
/// Source: the NPY format, version 1.0 (numpy.lib.format).
#[derive(Debug)]
pub struct Npy {
    path: PathBuf,
    file: File,
    draws: u64,
    shape: Option<[usize; 2]>,
}

impl Npy {
    /// A new file. Another collection of the same chains adds to it.
    ///
    /// # Errors
    /// [`Error::Write`] where there is a file of that name, or none can be made.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        match File::create_new(&path) {
            Ok(file) => Ok(Self { path, file, draws: 0, shape: None }),
            Err(source) => Err(Error::Write { path, source }),
        }
    }

    fn header(&self, [dim, chains]: [usize; 2]) -> Vec<u8> {
        let mut header = b"\x93NUMPY\x01\x00".to_vec();
        header.extend((HEADER as u16 - 10).to_le_bytes());
        let shape = format!("({}, {dim}, {chains})", self.draws);
        header.extend(format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}").bytes());
        header.resize(HEADER - 1, b' ');
        header.push(b'\n');
        header
    }

    /// Writes the header, with the draws so far, and goes back to the end.
    fn write_header(&mut self, shape: [usize; 2]) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&self.header(shape))?;
        // After an error a part of a draw may follow the whole ones: it is written over.
        let end = HEADER as u64 + self.draws * (shape[0] * shape[1] * 4) as u64;
        self.file.seek(SeekFrom::Start(end)).map(drop)
    }

    fn write_draws(&mut self, draws: &[Draw<'_>], shape: [usize; 2]) -> std::io::Result<()> {
        for draw in draws {
            self.file.write_all(&bytes_of(draw.positions))?;
        }
        self.draws += draws.len() as u64;
        self.write_header(shape)
    }

    fn named<T>(&self, result: std::io::Result<T>) -> Result<T> {
        result.map_err(|source| Error::Write { path: self.path.clone(), source })
    }
}

impl Sink for Npy {
    fn begin(&mut self, shape: &Shape) -> Result<()> {
        let [dim, chains] = *self.shape.get_or_insert([shape.dim, shape.chains]);
        if [dim, chains] != [shape.dim, shape.chains] {
            let what = format!("values a draw, as {} has them already", self.path.display());
            return Err(Error::shape(what, dim * chains, shape.dim * shape.chains));
        }
        let written = self.write_header([dim, chains]);
        self.named(written)
    }

    fn write(&mut self, draws: &[Draw<'_>]) -> Result<()> {
        let Some(shape) = self.shape else { return Ok(()) };
        let written = self.write_draws(draws, shape);
        self.named(written)
    }
}
