//! The noise of noise-contrastive estimation: anything with a density that can be drawn from.

use crate::{
    Error, Result,
    energy::{Gaussian, LogSumExp, Mixture},
    error::{self, positive},
    random::{Draws, normal_slots},
    start::spread,
};

/// A density to draw from.
#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    form: Form,
}

#[derive(Debug, Clone, PartialEq)]
enum Form {
    Mixture { weights: Vec<f64>, means: Vec<Vec<f64>>, sds: Vec<Vec<f64>> },
    Uniform { low: Vec<f64>, high: Vec<f64> },
}

impl Noise {
    /// N(m, diag s²): one number a coordinate.
    ///
    /// # Errors
    /// As [`Gaussian::diagonal`].
    pub fn normal(mean: impl Into<Vec<f64>>, sds: impl Into<Vec<f64>>) -> Result<Self> {
        let mean = mean.into();
        let sds = spread("standard deviation of the noise", &sds.into(), mean.len())?;
        Gaussian::diagonal(mean.clone(), &sds)?;
        Ok(Self { form: Form::Mixture { weights: vec![1.0], means: vec![mean], sds: vec![sds] } })
    }

    /// Σ wⱼ N(mⱼ, sⱼ² I), the weights of any sum.
    ///
    /// # Errors
    /// As [`Mixture::new`].
    pub fn mixture(weights: &[f64], means: &[Vec<f64>], sds: &[f64]) -> Result<Self> {
        Mixture::new(weights, means, sds)?;
        let sum: f64 = weights.iter().sum();
        let sds = sds.iter().zip(means).map(|(&sd, mean)| vec![sd; mean.len()]).collect();
        Ok(Self { form: Form::Mixture { weights: weights.iter().map(|w| w / sum).collect(), means: means.to_vec(), sds } })
    }

    /// Uniform in a box, which must hold the data. Its bounds are rounded to f32, in which points stand: what is drawn then lies in it.
    ///
    /// # Errors
    /// [`Error::Shape`] where lengths differ; [`Error::Setting`] where the box is empty.
    pub fn uniform(low: impl Into<Vec<f64>>, high: impl Into<Vec<f64>>) -> Result<Self> {
        let (low, high) = (low.into(), high.into());
        let high = spread("upper bound of the noise", &high, low.len())?;
        let [low, high] = [low, high].map(|bounds| bounds.into_iter().map(|x| f64::from(x as f32)).collect::<Vec<_>>());
        low.iter().zip(&high).try_for_each(|(low, high)| positive("width of the box of the noise", high - low).map(drop))?;
        Ok(Self { form: Form::Uniform { low, high } })
    }

    pub(crate) fn dim(&self) -> usize {
        match &self.form {
            Form::Mixture { means, .. } => means[0].len(),
            Form::Uniform { low, .. } => low.len(),
        }
    }

    /// That no point, `[dim][point]`, lies where there is no noise: nothing would be learned there, and c would miss its mass.
    pub(crate) fn check_covers(&self, what: &str, points: &[f32]) -> Result<()> {
        let Form::Uniform { low, high } = &self.form else { return Ok(()) };
        let n = points.len() / low.len();
        for (column, (row, (low, high))) in points.chunks(n).zip(low.iter().zip(high)).enumerate() {
            if let Some(point) = row.iter().position(|&x| !(*low..=*high).contains(&f64::from(x))) {
                let name = format!("{what}, {}", error::place(point, column));
                return Err(Error::setting(name, row[point], format!("must be in the box of the noise, {low:?} to {high:?}")));
            }
        }
        Ok(())
    }

    /// One draw, rounded to f32.
    pub fn draw(&self, draws: &Draws) -> Vec<f32> {
        let dim = self.dim();
        match &self.form {
            Form::Uniform { low, high } => {
                (0..dim).map(|i| (low[i] + (high[i] - low[i]) * draws.uniform(i as u32)) as f32).collect()
            }
            Form::Mixture { weights, means, sds } => {
                let mut left = draws.uniform(normal_slots(dim));
                let past = |w: &f64| {
                    left -= w;
                    left < 0.0
                };
                let j = weights.iter().position(past).unwrap_or(weights.len() - 1);
                let mut z = vec![0.0; dim];
                draws.normals(0, &mut z);
                (0..dim).map(|i| (means[j][i] + sds[j][i] * z[i]) as f32).collect()
            }
        }
    }

    /// ln q(x); −∞ outside of a box.
    ///
    /// # Errors
    /// [`Error::Shape`] where x has another number of coordinates; [`Error::Setting`] where one
    /// is not finite.
    pub fn ln_density(&self, x: &[f64]) -> Result<f64> {
        if x.len() != self.dim() {
            return Err(Error::shape("coordinates of the point", self.dim(), x.len()));
        }
        error::points("point", self.dim(), x)?;
        Ok(self.ln_q(x))
    }

    /// ln q(x) of as many finite coordinates as there are.
    pub(crate) fn ln_q(&self, x: &[f64]) -> f64 {
        debug_assert_eq!(x.len(), self.dim());
        match &self.form {
            Form::Uniform { low, high } => {
                let inside = x.iter().zip(low.iter().zip(high)).all(|(x, (low, high))| low <= x && x <= high);
                let volume: f64 = low.iter().zip(high).map(|(low, high)| (high - low).ln()).sum();
                if inside { -volume } else { f64::NEG_INFINITY }
            }
            Form::Mixture { weights, means, sds } => {
                let term = |j: usize| {
                    let of = |i: usize| {
                        let z = (x[i] - means[j][i]) / sds[j][i];
                        -0.5 * z * z - sds[j][i].ln() - 0.5 * std::f64::consts::TAU.ln()
                    };
                    [weights[j].ln() + (0..x.len()).map(of).sum::<f64>(), 0.0, 0.0]
                };
                // A sum of one is that one, and what covers a flow is asked at each point of each update.
                if weights.len() == 1 {
                    return term(0)[0];
                }
                let terms: Vec<_> = (0..weights.len()).map(term).collect();
                -LogSumExp::new(&terms).jet()[0]
            }
        }
    }

    /// The normal with mean and standard deviations of these points, `[dim][point]`.
    ///
    /// # Errors
    /// As [`Noise::normal`]; [`Error::Shape`] where the points are no multiple of the dimension;
    /// [`Error::Setting`] where a number is not finite, with its row (the point) and column (the coordinate), from 1.
    pub fn like(points: &[f32], dim: usize) -> Result<Self> {
        let n = error::points("points", dim, points)?;
        let mean = |row: &[f32]| row.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64;
        let sd = |row: &[f32]| {
            let mean = mean(row);
            (row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n as f64).sqrt()
        };
        let rows = || points.chunks(n);
        Self::normal(rows().map(mean).collect::<Vec<_>>(), rows().map(sd).collect::<Vec<_>>())
    }
}
