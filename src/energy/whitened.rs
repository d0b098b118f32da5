//! What a Gaussian of full covariance has beside one of a diagonal: its rows W, and the WGSL that multiplies by them.
//!
//! C = V Λ Vᵀ gives W = Λ^(−½) Vᵀ, so that W Wᵀ is diagonal and WᵀW = C⁻¹. The f64 form is [`Gaussian`](super::Gaussian)'s own.

use super::Call;
use crate::{
    Error, Result,
    error::finite,
    program::{Composer, lanes},
};

/// The rows of W one after another, filled up with rows of zeros to whole lanes, and log det C of a covariance, `[dim][dim]`.
pub(super) fn rows(dim: usize, covariance: &[f64]) -> Result<(Vec<f32>, f64)> {
    let (eigenvalues, eigenvectors) = eigen(dim, covariance)?;
    let (lanes, blocks) = lanes(dim);
    let mut rows = Vec::with_capacity(lanes * blocks * dim);
    for (lambda, vector) in eigenvalues.iter().zip(&eigenvectors) {
        for v in vector {
            rows.push(finite("covariance of the Gaussian, whitened", v / lambda.sqrt())? as f32);
        }
    }
    rows.resize(lanes * blocks * dim, 0.0);
    Ok((rows, eigenvalues.iter().map(|lambda| lambda.ln()).sum()))
}

pub(super) fn compose(program: &mut Composer) -> Result<Call> {
    program.add("whitened", include_str!("../../shaders/energy/whitened.wgsl"))?;
    Ok(Call::new("whitened", &[]))
}

/// Eigenvalues and eigenvectors of a covariance, which must be symmetric and positive definite.
fn eigen(dim: usize, covariance: &[f64]) -> Result<(Vec<f64>, Vec<Vec<f64>>)> {
    let name = "covariance of the Gaussian";
    if dim == 0 {
        return Err(Error::setting("dimension of the Gaussian", 0, "must be at least 1"));
    }
    if covariance.len() != dim * dim {
        return Err(Error::shape(format!("{name} ([dim][dim])"), dim * dim, covariance.len()));
    }
    let largest = covariance.iter().fold(0.0, |top: f64, c| top.max(c.abs()));
    for i in 0..dim {
        for j in 0..=i {
            let (a, b) = (finite(name, covariance[i * dim + j])?, finite(name, covariance[j * dim + i])?);
            if (a - b).abs() > 1e-9 * largest {
                let value = format!("{a} at ({i}, {j}) and {b} at ({j}, {i})");
                return Err(Error::setting(name, value, "must be symmetric"));
            }
        }
    }
    let matrix = nalgebra::DMatrix::from_row_slice(dim, dim, covariance);
    let eigen = matrix.symmetric_eigen();
    let least = eigen.eigenvalues.min();
    // Below this an eigenvalue is rounding.
    if least.is_nan() || least <= dim as f64 * f64::EPSILON * largest {
        let value = format!("a matrix with eigenvalue {least:e}");
        return Err(Error::setting(name, value, "must be positive definite; add a small number to its diagonal"));
    }
    let vectors = eigen.eigenvectors.column_iter().map(|column| column.iter().copied().collect()).collect();
    Ok((eigen.eigenvalues.iter().copied().collect(), vectors))
}
