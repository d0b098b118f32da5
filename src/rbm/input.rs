//! Reading a file, gzip or not, with errors that name the file and the byte.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use flate2::read::MultiGzDecoder;

use crate::{Error, Result};

/// A file that is read from its start to its end.
pub(crate) struct Input<'a> {
    path: &'a Path,
    file: Box<dyn Read>,
    /// Bytes taken, of the unpacked file.
    at: u64,
}

impl<'a> Input<'a> {
    pub(crate) fn open(path: &'a Path) -> Result<Self> {
        let fail = |source: io::Error| Error::File { path: path.into(), source };
        let mut packed = BufReader::new(File::open(path).map_err(fail)?);
        let is_gzip = packed.fill_buf().map_err(fail)?.starts_with(&[0x1f, 0x8b]);
        let file: Box<dyn Read> = if is_gzip { Box::new(MultiGzDecoder::new(packed)) } else { Box::new(packed) };
        Ok(Self { path, file, at: 0 })
    }

    /// What is wrong, at a byte of the unpacked file.
    pub(crate) fn wrong(&self, byte: u64, why: impl std::fmt::Display) -> Error {
        Error::Format { path: self.path.into(), why: format!("{why} (byte {byte})") }
    }

    /// Bytes taken so far.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The next bytes. As many are read as there are, so that a wrong header cannot ask for memory that no data fill.
    pub(crate) fn take(&mut self, bytes: u64, what: &str) -> Result<Vec<u8>> {
        let mut taken = Vec::new();
        let found = self.file.by_ref().take(bytes).read_to_end(&mut taken);
        let end = self.at + taken.len() as u64;
        match found {
            Ok(_) if taken.len() as u64 == bytes => self.at = end,
            Ok(_) => return Err(self.wrong(end, format!("ends within its {what}, of which {bytes} bytes are due"))),
            Err(e) => return Err(self.wrong(end, format!("cannot be unpacked within its {what}: {e}"))),
        }
        Ok(taken)
    }

    /// Nothing may follow.
    pub(crate) fn end(mut self) -> Result<()> {
        match self.file.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.wrong(self.at, "goes on after its data")),
            Err(e) => Err(self.wrong(self.at, format!("cannot be unpacked to its end: {e}"))),
        }
    }
}
