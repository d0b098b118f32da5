//! Coordinates on a simplex: positive numbers of sum one.

use std::cmp::Ordering;

use super::{Outside, Transform};
use crate::{Error, Result, energy::Params};

/// K positive numbers of sum one, by breaking a stick of length one (Stan Reference Manual, "Unit simplex"): xₖ is the share zₖ of what
/// x₀ … xₖ₋₁ left over, zₖ = σ(yₖ − log(K − 1 − k)), and the last is the rest. All xₖ = 1/K at y = 0.
///
/// log|det| = Σₖ log(rₖ zₖ (1 − zₖ)) over k < K − 1, with rₖ what is left over before xₖ; it is the density of (x₀, …, xₖ₋₂), as a
/// Dirichlet's formula has it.
///
/// Of the K free coordinates K − 1 move x. The last is idle: it has a standard normal density of its own, independent of x, so that
/// chains have as many coordinates as positions, and ∫ exp(−E) is the same in both.
#[derive(Debug, Clone, Copy, Default)]
pub struct StickBreaking;

/// How far the sum of a start may be from one: the rounding of f32.
const TOLERANCE: f64 = 1e-5;

/// log √(2π).
const HALF_LOG_TAU: f64 = 0.918_938_533_204_672_7;

/// z and 1 − z for the coordinate k of K.
fn shares(y: f64, k: usize, count: usize) -> (f64, f64) {
    let u = y - ((count - 1 - k) as f64).ln();
    ((1.0 + (-u).exp()).recip(), (1.0 + u.exp()).recip())
}

impl Transform for StickBreaking {
    fn stem(&self) -> &'static str {
        "stick_breaking"
    }

    fn source(&self) -> &'static str {
        include_str!("../../shaders/transform/stick_breaking.wgsl")
    }

    fn params(&self) -> Vec<f32> {
        Vec::new()
    }

    fn validate(&self, count: usize) -> Result<()> {
        if count >= 2 {
            return Ok(());
        }
        Err(Error::setting("coordinates of the transform stick_breaking", count, "must be at least 2"))
    }

    fn idle(&self) -> usize {
        1
    }

    fn position(&self, _params: Params<'_>, x: &mut [f64]) -> f64 {
        let count = x.len();
        let (mut left, mut log_left, mut log_det) = (1.0, 0.0, -HALF_LOG_TAU);
        for (k, x) in x.iter_mut().enumerate() {
            if k == count - 1 {
                log_det -= 0.5 * *x * *x;
                *x = left;
                break;
            }
            let (share, rest) = shares(*x, k, count);
            let log_rest = rest.ln();
            log_det += log_left + share.ln() + log_rest;
            *x = left * share;
            left *= rest;
            log_left += log_rest;
        }
        log_det
    }

    fn grad(&self, _params: Params<'_>, y: &[f64], x: &[f64], grad: &mut [f64]) {
        let last = y.len() - 1;
        // A longer piece takes its part from all that follow it.
        let mut after = grad[last] * x[last];
        grad[last] = y[last];
        for k in (0..last).rev() {
            let (share, rest) = shares(y[k], k, last + 1);
            let own = grad[k] * x[k];
            grad[k] = (own - 1.0) * rest - (after - (last - k) as f64) * share;
            after += own;
        }
    }

    fn free(&self, _params: Params<'_>, x: &mut [f64]) -> Result<(), Outside> {
        let Some(last) = x.len().checked_sub(1) else { return Ok(()) };
        if let Some(k) = x.iter().position(|x| x.partial_cmp(&0.0) != Some(Ordering::Greater)) {
            return Err(Outside::new(k, format!("its position is {}, but must be above 0", x[k])));
        }
        let sum: f64 = x.iter().sum();
        if (sum - 1.0).abs() > TOLERANCE {
            return Err(Outside::new(
                last,
                format!("the sum of the simplex that ends here is {sum}, but must be 1 within {TOLERANCE}"),
            ));
        }
        let mut rest = x[last];
        x[last] = 0.0;
        for k in (0..last).rev() {
            let own = x[k];
            x[k] = (own / rest).ln() + ((last - k) as f64).ln();
            rest += own;
        }
        Ok(())
    }
}
