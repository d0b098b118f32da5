//! Data: `.npy` and CSV files, and their standardisation.

use std::path::Path;

use crate::{Error, Result, error};

/// Points to learn from.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    dim: usize,
    points: Vec<f32>,
}

/// Mean and standard deviation of each coordinate of data that were standardised.
#[derive(Debug, Clone, PartialEq)]
pub struct Standard {
    /// What was subtracted.
    pub mean: Vec<f64>,
    /// What was divided by.
    pub sd: Vec<f64>,
}

impl Data {
    /// From points `[dim][point]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the numbers are no multiple of the dimension; [`Error::Setting`] where there are none, or one is not
    /// finite, with its row (the point) and column (the coordinate), from 1.
    pub fn new(dim: usize, points: impl Into<Vec<f32>>) -> Result<Self> {
        let points = points.into();
        if dim == 0 || points.is_empty() {
            return Err(Error::setting("data", "no numbers", "must be at least one point of one coordinate"));
        }
        error::points("data", dim, &points)?;
        Ok(Self { dim, points })
    }

    /// From rows of equal length, a point each.
    fn from_rows(rows: &[f64], dim: usize) -> Result<Self> {
        let n = rows.len() / dim.max(1);
        Self::new(dim, (0..dim).flat_map(|i| (0..n).map(move |p| rows[p * dim + i] as f32)).collect::<Vec<_>>())
    }

    /// From a `.npy` file of shape (points, dim), or (points) in one dimension, of floats or integers in any order.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be read; [`Error::Format`] where it is no such array; and as [`new`](Self::new).
    pub fn from_npy(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let wrong = |why: String| Error::Format { path: path.into(), why };
        let bytes = std::fs::read(path).map_err(|source| Error::File { path: path.into(), source })?;
        let file = npyz::NpyFile::new(&bytes[..]).map_err(|e| wrong(format!("is no .npy file: {e}")))?;
        let shape = file.shape().to_vec();
        let (n, dim) = match shape[..] {
            [n] => (n as usize, 1),
            [n, dim] => (n as usize, dim as usize),
            _ => return Err(wrong(format!("holds an array of shape {shape:?}, not (points, dim)"))),
        };
        let by_column = file.order() == npyz::Order::Fortran;
        let descriptor = file.dtype().descr();
        let values = numbers(file).map_err(|e| wrong(format!("cannot be read as numbers (it holds {descriptor}): {e}")))?;
        if by_column {
            return Self::new(dim, values.into_iter().map(|x| x as f32).collect::<Vec<_>>()).map_err(|e| wrong(e.to_string()));
        }
        debug_assert_eq!(values.len(), n * dim);
        Self::from_rows(&values, dim).map_err(|e| wrong(e.to_string()))
    }

    /// From a CSV file, a point a row; a first row that holds no numbers is a header.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be read; [`Error::Format`] with row and column, from 1 and with the header, where a row has
    /// another length or a field is no finite number.
    pub fn from_csv(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let wrong = |why: String| Error::Format { path: path.into(), why };
        let text = std::fs::read(path).map_err(|source| Error::File { path: path.into(), source })?;
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(&text[..]);
        let (mut rows, mut dim) = (Vec::new(), 0);
        for (at, record) in reader.records().enumerate() {
            let record = record.map_err(|e| wrong(format!("is no CSV: {e}")))?;
            let row = record.position().map_or(at as u64 + 1, |position| position.line());
            let is_header = at == 0 && record.iter().all(|field| field.parse::<f64>().is_err());
            if dim == 0 {
                dim = record.len();
            }
            if record.len() != dim {
                return Err(wrong(format!(
                    "holds {} fields in row {row} (counted from 1), and {dim} in the first",
                    record.len()
                )));
            }
            if is_header {
                continue;
            }
            for (column, field) in record.iter().enumerate() {
                let value = field.parse::<f64>().ok().filter(|value| (*value as f32).is_finite());
                let value = value.ok_or_else(|| {
                    wrong(format!("holds `{field}` in row {row}, column {} (counted from 1), not a finite number", column + 1))
                })?;
                rows.push(value);
            }
        }
        if rows.is_empty() {
            return Err(wrong("holds no rows of numbers".into()));
        }
        Self::from_rows(&rows, dim)
    }

    /// Coordinates of a point.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of points.
    pub fn count(&self) -> usize {
        self.points.len() / self.dim
    }

    /// The points, `[dim][point]`.
    pub fn points(&self) -> &[f32] {
        &self.points
    }

    /// The first so many points, and the rest: to learn from and to hold out.
    ///
    /// # Errors
    /// [`Error::Setting`] where one of the two would be empty.
    pub fn split(&self, first: usize) -> Result<(Self, Self)> {
        let n = self.count();
        if first == 0 || first >= n {
            return Err(Error::setting("points of the first part", first, format!("must be at least 1 and below {n}")));
        }
        let part = |range: std::ops::Range<usize>| {
            let points = self.points.chunks(n).flat_map(|row| row[range.clone()].to_vec()).collect();
            Self { dim: self.dim, points }
        };
        Ok((part(0..first), part(first..n)))
    }

    /// The data with mean 0 and standard deviation 1 in each coordinate, and what was done.
    ///
    /// # Errors
    /// [`Error::Setting`] where a coordinate is constant, with its column.
    pub fn standardized(&self) -> Result<(Self, Standard)> {
        let n = self.count();
        let (mut mean, mut sd) = (Vec::new(), Vec::new());
        for (column, row) in self.points.chunks(n).enumerate() {
            let own = row.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64;
            let variance = row.iter().map(|&x| (f64::from(x) - own).powi(2)).sum::<f64>() / n as f64;
            if variance <= 0.0 {
                return Err(Error::setting(
                    format!("data, column {} (counted from 1)", column + 1),
                    own,
                    "is constant: it cannot be standardised",
                ));
            }
            mean.push(own);
            sd.push(variance.sqrt());
        }
        let standard = Standard { mean, sd };
        Ok((Self { dim: self.dim, points: standard.apply(&self.points)? }, standard))
    }
}

/// The numbers of a file, whatever their type; f64 holds integers above 2⁵³ rounded.
fn numbers(file: npyz::NpyFile<&[u8]>) -> std::io::Result<Vec<f64>> {
    macro_rules! read {
        ($number:ty) => {
            file.into_vec::<$number>().map(|all| all.into_iter().map(|x| x as f64).collect())
        };
    }
    let kind = match file.dtype() {
        npyz::DType::Plain(kind) => (kind.type_char(), kind.size_field()),
        _ => return file.into_vec::<f64>(),
    };
    match kind {
        (npyz::TypeChar::Float, 4) => read!(f32),
        (npyz::TypeChar::Int, 1) => read!(i8),
        (npyz::TypeChar::Int, 2) => read!(i16),
        (npyz::TypeChar::Int, 4) => read!(i32),
        (npyz::TypeChar::Int, 8) => read!(i64),
        (npyz::TypeChar::Uint, 1) => read!(u8),
        (npyz::TypeChar::Uint, 2) => read!(u16),
        (npyz::TypeChar::Uint, 4) => read!(u32),
        (npyz::TypeChar::Uint, 8) => read!(u64),
        // Else npyz says what is wrong.
        _ => file.into_vec::<f64>(),
    }
}

impl Standard {
    /// (x − mean) / sd of points `[dim][point]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the points are no multiple of the dimension, or means and standard deviations differ in number;
    /// [`Error::Setting`] where a number is not finite or a standard deviation not above zero.
    pub fn apply(&self, points: &[f32]) -> Result<Vec<f32>> {
        self.each(points, |x, mean, sd| (x - mean) / sd)
    }

    /// mean + sd · x: back to the units of the data.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn undo(&self, points: &[f32]) -> Result<Vec<f32>> {
        self.each(points, |x, mean, sd| mean + sd * x)
    }

    fn each(&self, points: &[f32], f: fn(f64, f64, f64) -> f64) -> Result<Vec<f32>> {
        let n = error::points("points", self.mean.len(), points)?;
        if self.sd.len() != self.mean.len() {
            return Err(Error::shape("standard deviations", self.mean.len(), self.sd.len()));
        }
        // Of data in tiny units they are below what f32 holds.
        if let Some(i) = (0..self.sd.len()).find(|&i| !(self.mean[i].is_finite() && self.sd[i].is_finite() && self.sd[i] > 0.0))
        {
            let value = format!("{:?} and {:?}", self.mean[i], self.sd[i]);
            return Err(Error::setting(
                format!("mean and standard deviation of column {} (counted from 1)", i + 1),
                value,
                "must be finite, the second above 0",
            ));
        }
        let of = |((row, &mean), &sd): ((&[f32], &f64), &f64)| {
            row.iter().map(move |&x| f(f64::from(x), mean, sd) as f32).collect::<Vec<_>>()
        };
        Ok(points.chunks(n).zip(&self.mean).zip(&self.sd).flat_map(of).collect())
    }
}
