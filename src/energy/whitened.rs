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
///
/// Not of the matrix itself: its small eigenvalues would be lost beside the large ones where coordinates differ in scale. With C = L Lᵀ
/// they are the squared singular values of L, which one-sided Jacobi rotations find to a relative error that depends on the correlations
/// alone (Demmel and Veselić 1992).
fn eigen(dim: usize, covariance: &[f64]) -> Result<(Vec<f64>, Vec<Vec<f64>>)> {
    let name = "covariance of the Gaussian";
    if dim == 0 {
        return Err(Error::setting("dimension of the Gaussian", 0, "must be at least 1"));
    }
    if covariance.len() != dim * dim {
        return Err(Error::shape(format!("{name} ([dim][dim])"), dim * dim, covariance.len()));
    }
    let indefinite = |value: String| {
        Error::setting(name, value, "must be positive definite; add a small part of each variance to the diagonal")
    };
    let at = |i: usize, j: usize| finite(name, covariance[i * dim + j]);
    let mut sds = Vec::with_capacity(dim);
    for i in 0..dim {
        let variance = at(i, i)?;
        if variance <= 0.0 {
            return Err(indefinite(format!("{variance:?} at ({i}, {i})")));
        }
        sds.push(variance.sqrt());
    }
    for i in 0..dim {
        for j in 0..i {
            let (a, b) = (at(i, j)?, at(j, i)?);
            if (a - b).abs() > 1e-9 * sds[i] * sds[j] {
                let value = format!("{a:?} at ({i}, {j}) and {b:?} at ({j}, {i})");
                return Err(Error::setting(name, value, "must be symmetric"));
            }
        }
    }
    let correlations = nalgebra::DMatrix::from_fn(dim, dim, |i, j| {
        let (i, j) = (i.max(j), i.min(j));
        covariance[i * dim + j] / sds[i] / sds[j]
    });
    // Below this an eigenvalue is rounding.
    let least = correlations.symmetric_eigenvalues().min();
    let factor = correlations.cholesky().filter(|_| least > dim as f64 * f64::EPSILON);
    let factor = factor.ok_or_else(|| indefinite(format!("a matrix whose correlations have an eigenvalue {least:e}")))?;
    let l = factor.l();
    let columns = (0..dim).map(|j| (0..dim).map(|i| sds[i] * l[(i, j)]).collect()).collect();
    Ok(singular(columns))
}

/// Squared singular values and left singular vectors of a matrix of these columns.
fn singular(mut columns: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut is_done = false;
    // Some ten sweeps are enough; a rotation that rounding undoes must not go on for ever.
    for _ in 0..60 {
        if std::mem::replace(&mut is_done, true) {
            break;
        }
        for q in 1..columns.len() {
            let (before, after) = columns.split_at_mut(q);
            let b = &mut after[0];
            for a in before {
                let (aa, bb, ab) = (dot(a, a), dot(b, b), dot(a, b));
                if ab.abs() <= 1e-15 * (aa * bb).sqrt() {
                    continue;
                }
                is_done = false;
                let zeta = (bb - aa) / (2.0 * ab);
                let t = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                for (a, b) in a.iter_mut().zip(b.iter_mut()) {
                    (*a, *b) = (c * (*a - t * *b), c * (t * *a + *b));
                }
            }
        }
    }
    columns
        .into_iter()
        .map(|column| {
            let square = dot(&column, &column);
            (square, column.into_iter().map(|value| value / square.sqrt()).collect())
        })
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Coordinates of sd 1e-3 and 1e5, whose correlation is r.
    fn graded(r: f64) -> [f64; 4] {
        [1e-6, 100.0 * r, 100.0 * r, 1e10]
    }

    #[test]
    fn small_coordinates_are_not_lost_beside_large_ones() {
        let (r, rest) = (0.9999, 1.0 - 0.9999f64.powi(2));
        let (rows, log_det) = rows(2, &graded(r)).unwrap();
        assert!((log_det - (1e4 * rest).ln()).abs() < 1e-9, "{log_det}");
        let rows: Vec<f64> = rows.iter().map(|&w| f64::from(w)).collect();
        let precision = |i: usize, j: usize| (0..2).map(|k| rows[2 * k + i] * rows[2 * k + j]).sum::<f64>();
        for (i, j, expected) in [(0, 0, 1e6), (0, 1, -0.01 * r), (1, 1, 1e-10)] {
            let (found, expected) = (precision(i, j), expected / rest);
            assert!((found / expected - 1.0).abs() < 1e-6, "({i}, {j}): {found} for {expected}");
        }
        let across = precision(0, 0) * precision(1, 1) - precision(0, 1).powi(2);
        assert!(across > 0.0);
    }

    #[test]
    fn indefinite_and_asymmetric_matrices_are_refused() {
        let mut skew = graded(0.5);
        skew[1] *= 1.0001;
        for bad in [graded(1.0), graded(1.001), graded(f64::NAN), skew, [0.0, 0.0, 0.0, 1.0], [-1.0, 0.0, 0.0, 1.0]] {
            assert!(matches!(rows(2, &bad), Err(Error::Setting { .. })), "{bad:?}");
        }
    }

    #[test]
    fn rows_are_orthogonal_and_whiten() {
        let dim = 12;
        let factor =
            |i: usize, j: usize| ((i * 7 + j * 3) as f64).sin() * 10f64.powi(i as i32 - 6) + f64::from(u8::from(i == j));
        let covariance: Vec<f64> =
            (0..dim * dim).map(|at| (0..dim).map(|k| factor(at / dim, k) * factor(at % dim, k)).sum()).collect();
        let (values, vectors) = eigen(dim, &covariance).unwrap();
        for (k, (value, vector)) in values.iter().zip(&vectors).enumerate() {
            for (other, of) in vectors.iter().enumerate() {
                let dot: f64 = vector.iter().zip(of).map(|(a, b)| a * b).sum();
                assert!((dot - f64::from(u8::from(k == other))).abs() < 1e-12, "{k} {other}: {dot}");
            }
            let image: Vec<f64> = covariance.chunks(dim).map(|row| row.iter().zip(vector).map(|(c, v)| c * v).sum()).collect();
            let top = values.iter().copied().fold(0.0, f64::max);
            assert!(image.iter().zip(vector).all(|(c, v)| (c - value * v).abs() < 1e-13 * top), "{k}");
        }
    }
}
