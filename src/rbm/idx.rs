//! IDX files, the format of MNIST: two zero bytes, a type (8: bytes), the number of dimensions, each as a big-endian word, the data.

use std::path::Path;

use super::{Reals, States, input::Input};
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
        let mut input = Input::open(path.as_ref())?;
        let magic = input.take(4, "magic number")?;
        if magic[..2] != [0, 0] {
            return Err(input.wrong(0, "is no IDX file: it does not start with two zero bytes"));
        }
        if magic[2] != 8 {
            return Err(input.wrong(2, format!("holds values of type {}, not bytes (8)", magic[2])));
        }
        if magic[3] == 0 {
            return Err(input.wrong(3, "has no dimensions"));
        }
        let sizes = input.take(4 * u64::from(magic[3]), "sizes")?;
        let shape: Vec<_> = sizes.as_chunks().0.iter().map(|&size| u32::from_be_bytes(size) as usize).collect();
        let count = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size)).filter(|&n| n < 1 << 40);
        let count = count.ok_or_else(|| input.wrong(4, format!("claims {shape:?} values, more than can be")))?;
        let values = input.take(count as u64, "data")?;
        input.end()?;
        Ok(Self { shape, values })
    }

    /// Black and white images: a pixel is one where its byte is at least `threshold`.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are fewer than two dimensions, or none but empty images.
    pub fn images(&self, threshold: u8) -> Result<States> {
        Ok(self.rows(1.0)?.at_least(f32::from(threshold)))
    }

    /// Grey images: bytes over 255.
    ///
    /// # Errors
    /// As [`images`](Self::images).
    pub fn greys(&self) -> Result<Reals> {
        self.rows(255.0)
    }

    fn rows(&self, most: f32) -> Result<Reals> {
        // No images may be of any size.
        let pixels = self.shape.iter().skip(1).fold(1usize, |pixels, &side| pixels.saturating_mul(side));
        if self.shape.len() < 2 || pixels == 0 {
            return Err(Error::shape("dimensions of images, at least", 2, self.shape.len()));
        }
        Reals::new(self.values.iter().map(|&value| f32::from(value) / most).collect::<Vec<_>>(), pixels)
    }
}
