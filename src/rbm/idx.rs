//! IDX files, the format of MNIST: two zero bytes, a type (8: bytes), the number of dimensions, each as a big-endian word, the data.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use flate2::read::MultiGzDecoder;

use super::States;
use crate::{Error, Result};

/// An array of bytes from an IDX file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// Sizes of the dimensions; images come first.
    pub shape: Vec<usize>,
    /// The values, the last dimension running fastest.
    pub values: Vec<u8>,
}

impl Idx {
    /// Reads an IDX file of bytes, gzip or not.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be read; [`Error::Format`], with the byte of the (unpacked) file, where it is not IDX, is of
    /// another type than bytes, ends early or goes on after its data.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let fail = |source: io::Error| Error::File { path: path.into(), source };
        let mut packed = BufReader::new(File::open(path).map_err(fail)?);
        let is_gzip = io::BufRead::fill_buf(&mut packed).map_err(fail)?.starts_with(&[0x1f, 0x8b]);
        if is_gzip { Self::parse(path, MultiGzDecoder::new(packed)) } else { Self::parse(path, packed) }
    }

    fn parse(path: &Path, mut file: impl Read) -> Result<Self> {
        let wrong = |byte: u64, why: String| Error::Format { path: path.into(), why: format!("{why} (byte {byte})") };
        let mut at = 0;
        let mut take = |bytes: u64, what: &str| -> Result<Vec<u8>> {
            // As many as there are, so that a wrong header cannot ask for memory that no data fill.
            let mut taken = Vec::new();
            let found = file.by_ref().take(bytes).read_to_end(&mut taken);
            let end = at + taken.len() as u64;
            match found {
                Ok(_) if taken.len() as u64 == bytes => at = end,
                Ok(_) => return Err(wrong(end, format!("ends within its {what}, of which {bytes} bytes are due"))),
                Err(e) => return Err(wrong(end, format!("cannot be unpacked within its {what}: {e}"))),
            }
            Ok(taken)
        };
        let magic = take(4, "magic number")?;
        if magic[..2] != [0, 0] {
            return Err(wrong(0, "is no IDX file: it does not start with two zero bytes".into()));
        }
        if magic[2] != 8 {
            return Err(wrong(2, format!("holds values of type {}, not bytes (8)", magic[2])));
        }
        if magic[3] == 0 {
            return Err(wrong(3, "has no dimensions".into()));
        }
        let sizes = take(4 * u64::from(magic[3]), "sizes")?;
        let shape: Vec<_> = sizes.as_chunks().0.iter().map(|&size| u32::from_be_bytes(size) as usize).collect();
        let count = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size)).filter(|&n| n < 1 << 40);
        let count = count.ok_or_else(|| wrong(4, format!("claims {shape:?} values, more than can be")))?;
        let values = take(count as u64, "data")?;
        match file.read(&mut [0]) {
            Ok(0) => Ok(Self { shape, values }),
            Ok(_) => Err(wrong(at, "goes on after its data".into())),
            Err(e) => Err(wrong(at, format!("cannot be unpacked to its end: {e}"))),
        }
    }

    /// Black and white images: a pixel is one where its byte is at least `threshold`.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are fewer than two dimensions, or none but empty images.
    pub fn images(&self, threshold: u8) -> Result<States> {
        let pixels: usize = self.shape.iter().skip(1).product();
        if self.shape.len() < 2 || pixels == 0 {
            return Err(Error::shape("dimensions of images, at least", 2, self.shape.len()));
        }
        let rows: Vec<_> = self.values.iter().map(|&value| f32::from(value)).collect();
        States::from_rows(&rows, pixels, f32::from(threshold))
    }
}
