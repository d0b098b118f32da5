//! Gaussians of any dimension: isotropic, diagonal, or of a full covariance.

use super::{Call, Energy, Params, whitened};
use crate::{
    Error, Result,
    error::{cut, finite, positive},
    program::Composer,
};

/// E(x) = ½ (x − m)ᵀ C⁻¹ (x − m) = ½|z|² with z = W(x − m), W Wᵀ diagonal and WᵀW = C⁻¹.
///
/// For a diagonal covariance, wᵢ = 1/sᵢ and both forms cost O(dim); for a full one the rows of W are the eigenvectors of C, each
/// divided by the square root of its eigenvalue, and an evaluation costs O(dim²).
///
/// At a noise level σ² the energy is that of exp(−E) convolved with N(0, σ²I): the variance 1/|wₖ|² along row k grows by σ², so
/// with fₖ = 1 + σ²|wₖ|² it is ½ Σₖ zₖ²/fₖ + log fₖ.
///
/// Mean m, covariance C, ∫ exp(−E) = √det(2πC). In f32 z is exact to about 10⁻⁷ |W| |x − m|: shift and scale data whose mean is
/// large beside its width.
///
/// ```
/// # use ergodic::energy::{Energy, Gaussian};
/// let target = Gaussian::full([1.0, 0.0], &[2.0, 0.6, 0.6, 1.0])?;
/// assert_eq!(target.dim(), 2);
/// assert!(Gaussian::full([0.0, 0.0], &[1.0, 2.0, 2.0, 1.0]).is_err());
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Gaussian {
    dim: usize,
    is_full: bool,
    params: Vec<f32>,
}

impl Gaussian {
    /// Mean zero and covariance one, of `dim` coordinates.
    pub fn standard(dim: usize) -> Self {
        // A dimension beyond all reason is refused when chains are built.
        let coordinates = cut(dim as u64) as usize;
        Self { dim, is_full: false, params: [vec![0.0; coordinates], vec![1.0; coordinates]].concat() }
    }

    /// With standard deviation `sd` > 0 in every direction.
    ///
    /// # Errors
    /// [`Error::Setting`] where a number is out of range.
    pub fn isotropic(mean: impl Into<Vec<f64>>, sd: f64) -> Result<Self> {
        let mean = mean.into();
        let sds = vec![sd; mean.len()];
        Self::diagonal(mean, &sds)
    }

    /// With independent coordinates of standard deviations `sds` > 0.
    ///
    /// # Errors
    /// [`Error::Shape`] where lengths differ; [`Error::Setting`] where a number is out of range.
    pub fn diagonal(mean: impl Into<Vec<f64>>, sds: &[f64]) -> Result<Self> {
        let mean = mean.into();
        if sds.len() != mean.len() {
            return Err(Error::shape("standard deviations of the Gaussian", mean.len(), sds.len()));
        }
        let mut params = means(&mean)?;
        for &sd in sds {
            let sd = positive("standard deviation of the Gaussian", sd)?;
            params.push(positive("1 / standard deviation of the Gaussian", sd.recip())? as f32);
        }
        Ok(Self { dim: mean.len(), is_full: false, params })
    }

    /// With a symmetric, positive definite covariance, `[dim][dim]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the covariance is not of dim × dim numbers; [`Error::Setting`] where a number is not finite, or where
    /// the covariance is not symmetric or not positive definite.
    pub fn full(mean: impl Into<Vec<f64>>, covariance: &[f64]) -> Result<Self> {
        Ok(Self::full_with_log_det(mean.into(), covariance)?.0)
    }

    /// Also log det C.
    pub(crate) fn full_with_log_det(mean: Vec<f64>, covariance: &[f64]) -> Result<(Self, f64)> {
        let (rows, log_det) = whitened::rows(mean.len(), covariance)?;
        Ok((Self { dim: mean.len(), is_full: true, params: [means(&mean)?, rows].concat() }, log_det))
    }

    /// Row k of W as (coordinate, weight) pairs: of one coordinate where the covariance is diagonal.
    fn row<'a>(&self, params: Params<'a>, k: usize) -> impl Iterator<Item = (usize, f64)> + Clone + use<'a> {
        let (dim, is_full) = (self.dim, self.is_full);
        let columns = if is_full { 0..dim } else { k..k + 1 };
        columns.map(move |i| (i, params.get(if is_full { dim + k * dim + i } else { dim + i })))
    }
}

fn means(mean: &[f64]) -> Result<Vec<f32>> {
    mean.iter().map(|&m| finite("mean of the Gaussian", m).map(|m| m as f32)).collect()
}

impl Energy for Gaussian {
    fn name(&self) -> String {
        "gaussian".into()
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn params(&self) -> Vec<f32> {
        self.params.clone()
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        if self.is_full {
            whitened::compose(program)
        } else {
            program.add("gaussian", include_str!("../../shaders/energy/gaussian.wgsl"))?;
            Ok(Call::new("gaussian", &[]))
        }
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        let term = |k: usize| {
            let row = self.row(params, k);
            let z: f64 = row.clone().map(|(i, w)| w * (x[i] - params.get(i))).sum();
            let f = 1.0 + params.noise_variance() * row.map(|(_, w)| w * w).sum::<f64>();
            z * z / f + f.ln()
        };
        0.5 * (0..self.dim).map(term).sum::<f64>()
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let mut sum = 0.0;
        grad.fill(0.0);
        for k in 0..self.dim {
            let row = self.row(params, k);
            let z: f64 = row.clone().map(|(i, w)| w * (x[i] - params.get(i))).sum();
            let f = 1.0 + params.noise_variance() * row.clone().map(|(_, w)| w * w).sum::<f64>();
            sum += z * z / f + f.ln();
            row.for_each(|(i, w)| grad[i] += w * z / f);
        }
        0.5 * sum
    }

    fn has_noise_levels(&self) -> bool {
        true
    }

    fn laplacian(&self, params: Params<'_>, _x: &[f64]) -> Option<f64> {
        let precision = |k: usize| {
            let w2: f64 = self.row(params, k).map(|(_, w)| w * w).sum();
            w2 / (1.0 + params.noise_variance() * w2)
        };
        Some((0..self.dim).map(precision).sum())
    }

    /// A row of a full covariance reads all coordinates.
    fn spread(&self) -> Option<Vec<usize>> {
        (!self.is_full).then(|| vec![0, self.dim])
    }

    fn check_gradient(&self) -> bool {
        false
    }
}
