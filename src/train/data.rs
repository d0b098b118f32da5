//! Data: sets in the plane from the engine's random numbers, `.npy` and CSV files, and their standardisation.

use std::{f64::consts::TAU, path::Path};

use crate::{
    Error, Result,
    energy::Mixture,
    random::{Draws, Stream, key},
};

/// Gaussians along a curve of a [`Toy::law`], at most 0.18 of the noise apart. By the midpoint rule the density is then off by 0.13 % at
/// the ends of a curve, (0.18)²/24, and by far less elsewhere.
const ON_CURVE: usize = 1024;

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

/// Data sets in the plane, of about unit width or a few of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Toy {
    /// Two interleaved half circles of radius 1, with noise of sd 0.1.
    Moons,
    /// Circles of radii 1 and 2, with noise of sd 0.08.
    Rings,
    /// Gaussians of sd 0.2 at eight points of a circle of radius 2.
    EightGaussians,
    /// Five arms of a pinwheel.
    Pinwheel,
    /// The eight black squares of a 4 × 4 board of side 4.
    Checkerboard,
    /// A spiral of one and a half turns, the swiss roll seen from its side.
    SwissRoll,
    /// Two spirals that go round each other.
    Spirals,
}

impl Toy {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Moons, Self::Rings, Self::EightGaussians, Self::Pinwheel, Self::Checkerboard, Self::SwissRoll, Self::Spirals];

    /// The point that these random numbers give.
    fn point(self, draws: &Draws) -> [f64; 2] {
        let mut z = [0.0; 2];
        draws.normals(0, &mut z);
        let (u, w) = (draws.uniform(1), draws.uniform(2));
        if let Some(sd) = self.noise() {
            let centre = self.centre(u, w);
            return [centre[0] + sd * z[0], centre[1] + sd * z[1]];
        }
        match self {
            Self::Pinwheel => {
                // Johnson et al. 2016: a Gaussian along a ray, turned by an angle that grows with the radius.
                let (r, t) = (1.0 + 0.3 * z[0], 0.1 * z[1]);
                let turn = (5.0 * u).floor() / 5.0 * TAU + 0.25 * r.exp();
                [2.0 * (r * turn.cos() - t * turn.sin()), 2.0 * (r * turn.sin() + t * turn.cos())]
            }
            _ => {
                let column = (4.0 * u).floor();
                let row = 2.0 * (2.0 * w).floor() + column % 2.0;
                [4.0 * u - 2.0, row - 2.0 + draws.uniform(3)]
            }
        }
    }

    /// Standard deviation of the noise around curves and points; None where the law is of another kind.
    fn noise(self) -> Option<f64> {
        match self {
            Self::Moons | Self::SwissRoll | Self::Spirals => Some(0.1),
            Self::Rings => Some(0.08),
            Self::EightGaussians => Some(0.2),
            Self::Pinwheel | Self::Checkerboard => None,
        }
    }

    /// The point without its noise, from two uniforms: where on a curve, and on which.
    fn centre(self, u: f64, w: f64) -> [f64; 2] {
        let on_circle = |radius: f64, turn: f64| [radius * (TAU * turn).cos(), radius * (TAU * turn).sin()];
        match self {
            Self::Moons => {
                let [x, y] = on_circle(1.0, 0.5 * u);
                if w < 0.5 { [x - 0.5, y - 0.25] } else { [0.5 - x, 0.25 - y] }
            }
            Self::Rings => on_circle(if w < 0.5 { 1.0 } else { 2.0 }, u),
            Self::SwissRoll => {
                let t = 1.5 * TAU / 2.0 * (1.0 + 2.0 * u);
                [t * t.cos() / 5.0, t * t.sin() / 5.0]
            }
            Self::Spirals => {
                let t = 1.5 * TAU * u.sqrt();
                let sign = if w < 0.5 { 1.0 } else { -1.0 };
                [sign * -t.cos() * t / 3.0, sign * t.sin() * t / 3.0]
            }
            _ => on_circle(2.0, (8.0 * u).floor() / 8.0),
        }
    }

    /// The law of the points, where it is Gaussian noise around curves or points: a mixture whose Gaussians stand close along the
    /// curves (the density is right to 0.2 %). None for the pinwheel and the checkerboard.
    pub fn law(self) -> Option<Mixture> {
        let sd = self.noise()?;
        let curves = if matches!(self, Self::Moons | Self::Rings | Self::Spirals) { 2 } else { 1 };
        let on_curve = if self == Self::EightGaussians { 8 } else { ON_CURVE };
        let centre = |k: usize| {
            let (u, w) = ((k % on_curve) as f64, (k / on_curve) as f64);
            self.centre((u + 0.5) / on_curve as f64, (w + 0.5) / f64::from(curves)).to_vec()
        };
        let means: Vec<_> = (0..on_curve * curves as usize).map(centre).collect();
        Mixture::new(&vec![1.0; means.len()], &means, &vec![sd; means.len()]).ok()
    }

    /// So many points, the first of them the same for any number.
    ///
    /// # Errors
    /// [`Error::Setting`] where none are asked for.
    pub fn draw(self, points: usize, seed: u64) -> Result<Data> {
        if points == 0 {
            return Err(Error::setting("points of a data set", 0, "must be at least 1"));
        }
        let key = key(seed, Stream::Data, self as u64);
        let of = |i: usize| self.point(&Draws::new(key, i as u32, 0)).map(|x| x as f32);
        let all: Vec<_> = (0..points).map(of).collect();
        Ok(Data { dim: 2, points: (0..2).flat_map(|i| all.iter().map(move |x| x[i])).collect() })
    }
}

impl Data {
    /// From points `[dim][point]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the numbers are no multiple of the dimension; [`Error::Setting`] where there are none, or one is not
    /// finite, with its row (the point) and column (the coordinate), from 0.
    pub fn new(dim: usize, points: impl Into<Vec<f32>>) -> Result<Self> {
        let points = points.into();
        if dim == 0 || points.is_empty() {
            return Err(Error::setting("data", "no numbers", "must be at least one point of one coordinate"));
        }
        if !points.len().is_multiple_of(dim) {
            return Err(Error::shape("data ([dim][point])", points.len().next_multiple_of(dim), points.len()));
        }
        let n = points.len() / dim;
        match points.iter().position(|x| !x.is_finite()) {
            None => Ok(Self { dim, points }),
            Some(at) => {
                let name = format!("data, row {}, column {}", at % n, at / n);
                Err(Error::setting(name, points[at], "must be a finite f32"))
            }
        }
    }

    /// From rows of equal length, a point each.
    fn from_rows(rows: &[f64], dim: usize) -> Result<Self> {
        let n = rows.len() / dim.max(1);
        Self::new(dim, (0..dim).flat_map(|i| (0..n).map(move |p| rows[p * dim + i] as f32)).collect::<Vec<_>>())
    }

    /// From a `.npy` file of shape (points, dim), or (points) in one dimension, of f32 or f64 in any order.
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
        let values: Vec<f64> = if descriptor.contains("f4") {
            file.into_vec::<f32>().map(|all| all.into_iter().map(f64::from).collect())
        } else {
            file.into_vec::<f64>()
        }
        .map_err(|e| wrong(format!("cannot be read as f32 or f64 (it holds {descriptor}): {e}")))?;
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
                return Err(wrong(format!("holds {} fields in row {row}, and {dim} in the first", record.len())));
            }
            if is_header {
                continue;
            }
            for (column, field) in record.iter().enumerate() {
                let value = field.parse::<f64>().ok().filter(|value| (*value as f32).is_finite());
                let value = value.ok_or_else(|| {
                    wrong(format!("holds `{field}` in row {row}, column {}, not a finite number", column + 1))
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
                return Err(Error::setting(format!("data, column {column}"), own, "is constant: it cannot be standardised"));
            }
            mean.push(own);
            sd.push(variance.sqrt());
        }
        let standard = Standard { mean, sd };
        Ok((Self { dim: self.dim, points: standard.apply(&self.points) }, standard))
    }
}

impl Standard {
    /// (x − mean) / sd of points `[dim][point]`.
    pub fn apply(&self, points: &[f32]) -> Vec<f32> {
        self.each(points, |x, mean, sd| (x - mean) / sd)
    }

    /// mean + sd · x: back to the units of the data.
    pub fn undo(&self, points: &[f32]) -> Vec<f32> {
        self.each(points, |x, mean, sd| mean + sd * x)
    }

    fn each(&self, points: &[f32], f: fn(f64, f64, f64) -> f64) -> Vec<f32> {
        let n = (points.len() / self.mean.len()).max(1);
        let of = |(i, row): (usize, &[f32])| {
            let i = i.min(self.mean.len() - 1);
            row.iter().map(move |&x| f(f64::from(x), self.mean[i], self.sd[i]) as f32).collect::<Vec<_>>()
        };
        points.chunks(n).enumerate().flat_map(of).collect()
    }
}
