//! Data from `.npy` files, as `numpy.save` writes them.

use std::path::Path;

use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};

use super::{Reals, input::Input};
use crate::{Result, error::place};

/// Longer headers are of arrays of records.
const LONGEST_HEADER: u64 = 1 << 16;
/// With so many digits in the header, no product of sizes overflows.
const MOST_DIGITS: usize = 18;

impl Reals {
    /// Reads a `.npy` file, gzip or not: an array of numbers or booleans in C order, one row of data each along its first axis, the other
    /// axes taken together. Values are rounded to f32.
    ///
    /// ```no_run
    /// # use ergodic::rbm::Reals;
    /// let images = Reals::read_npy("digits.npy")?;          // numpy.save("digits.npy", images) of shape (n, 8, 8)
    /// let black_and_white = images.at_least(8.0);
    /// # Ok::<(), ergodic::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) where the file cannot be read; [`Error::Format`](crate::Error::Format), with the byte of the
    /// (unpacked) file, where it is no `.npy`, has fewer than two axes, is of another type or order, ends early, goes on after its data or
    /// holds NaN or infinity.
    pub fn read_npy(path: impl AsRef<Path>) -> Result<Self> {
        let mut input = Input::open(path.as_ref())?;
        let mut head = input.take(8, "magic number")?;
        if !head.starts_with(b"\x93NUMPY") {
            return Err(input.wrong(0, "is no .npy file: it does not start with \\x93NUMPY"));
        }
        let size = input.take(if head[6] == 1 { 2 } else { 4 }, "length of the header")?;
        head.extend_from_slice(&size);
        let length = size.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte));
        let start = input.at();
        if length > LONGEST_HEADER {
            return Err(input.wrong(8, format!("has a header of {length} bytes, more than an array of numbers has")));
        }
        let text = input.take(length, "header")?;
        // What the parser would overflow on is refused before it comes there.
        let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
        let brackets = text.iter().filter(|byte| b"([{".contains(byte)).count();
        if digits > MOST_DIGITS || brackets > 4 {
            return Err(input.wrong(start, "is of records, or claims more values than can be"));
        }
        head.extend_from_slice(&text);
        let header =
            NpyHeader::from_reader(head.as_slice()).map_err(|e| input.wrong(start, format!("has a wrong header: {e}")))?;
        let [rows, rest @ ..] = header.shape() else {
            return Err(input.wrong(start, "holds one number, not rows of data"));
        };
        let units = rest.iter().fold(1u64, |units, &side| units.saturating_mul(side));
        if rest.is_empty() || units == 0 {
            return Err(input.wrong(start, format!("is of shape {:?}, not of (rows, values)", header.shape())));
        }
        if header.order() == Order::Fortran && header.shape().iter().filter(|&&n| n > 1).count() > 1 {
            return Err(input.wrong(start, "is in Fortran order; save numpy.ascontiguousarray of it"));
        }
        let (size, convert) = number(&header.dtype())
            .ok_or_else(|| input.wrong(start, format!("holds {}, not numbers or booleans", header.dtype().descr())))?;
        let first = input.at();
        let bytes = rows.checked_mul(units).and_then(|n| n.checked_mul(size as u64));
        let bytes = bytes.ok_or_else(|| input.wrong(start, "claims more values than can be"))?;
        let values: Vec<f32> = input.take(bytes, "data")?.chunks_exact(size).map(convert).collect();
        if let Some(i) = values.iter().position(|value| !value.is_finite()) {
            let at = place(i / units as usize, i % units as usize);
            let why = format!("holds {} in {at}: data must be finite in f32", values[i]);
            return Err(input.wrong(first + (i * size) as u64, why));
        }
        input.end()?;
        Self::new(values, units as usize)
    }
}

type Convert = fn(&[u8]) -> f32;

/// Bytes of a number of this type, and what it is in f32.
fn number(dtype: &DType) -> Option<(usize, Convert)> {
    let DType::Plain(of) = dtype else { return None };
    macro_rules! convert {
        ($number:ty) => {
            match of.endianness() {
                Endianness::Big => |b: &[u8]| b.try_into().map_or(f32::NAN, |b| <$number>::from_be_bytes(b) as f32),
                _ => |b: &[u8]| b.try_into().map_or(f32::NAN, |b| <$number>::from_le_bytes(b) as f32),
            }
        };
    }
    let convert: Convert = match (of.type_char(), of.size_field()) {
        (TypeChar::Bool, 1) => |b| f32::from(b[0]),
        (TypeChar::Uint, 1) => convert!(u8),
        (TypeChar::Uint, 2) => convert!(u16),
        (TypeChar::Uint, 4) => convert!(u32),
        (TypeChar::Uint, 8) => convert!(u64),
        (TypeChar::Int, 1) => convert!(i8),
        (TypeChar::Int, 2) => convert!(i16),
        (TypeChar::Int, 4) => convert!(i32),
        (TypeChar::Int, 8) => convert!(i64),
        (TypeChar::Float, 4) => convert!(f32),
        (TypeChar::Float, 8) => convert!(f64),
        _ => return None,
    };
    Some((of.size_field() as usize, convert))
}
