//! The mean of weights that are known by their logarithms.

use crate::{Error, Result};

/// The logarithm of a mean of weights that are known by their logarithms, ln (1/n) Σ exp(lᵢ).
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct LogMean {
    /// ln of the mean; −∞ where all weights are zero.
    pub value: f64,
    /// Standard error of the value, by the delta method: the standard error of the mean weight over the mean weight. Infinite with one
    /// weight, and where all are zero. Too small where `ess` is small: then the largest weights have probably not been seen yet.
    pub error: f64,
    /// Effective sample size of the weights, (Σw)² / Σw² (Kong 1992).
    pub ess: f64,
}

/// Fewer effective weights than this, and neither a mean of them nor its error can be trusted.
pub(super) const RELIABLE: f64 = 50.0;

impl LogMean {
    /// Whether the effective sample size is at least 50. Below, the largest weights have probably not been seen, and the value is too
    /// low by more than the error says.
    ///
    /// ```
    /// # use ergodic::log_mean_exp;
    /// assert!(log_mean_exp(&[0.0; 100])?.is_reliable());
    /// // One weight is all there is to see of these.
    /// assert!(!log_mean_exp(&[[0.0; 99].as_slice(), &[20.0]].concat())?.is_reliable());
    /// # Ok::<(), ergodic::Error>(())
    /// ```
    pub fn is_reliable(&self) -> bool {
        self.ess >= RELIABLE
    }
}

/// ln of the mean of independent weights, from their logarithms, each finite or −∞.
///
/// ```
/// # use ergodic::log_mean_exp;
/// let mean = log_mean_exp(&[1000.0, 1000.0 + 3f64.ln()])?;
/// assert!((mean.value - (1000.0 + 2f64.ln())).abs() < 1e-12 && (mean.error - 0.5).abs() < 1e-12);
/// # Ok::<(), ergodic::Error>(())
/// ```
///
/// # Errors
/// [`Error::Setting`] where there is no weight, or one is NaN or +∞.
pub fn log_mean_exp(log_weights: &[f64]) -> Result<LogMean> {
    let n = log_weights.len() as f64;
    if log_weights.is_empty() {
        return Err(Error::setting("number of weights", 0, "must be at least 1"));
    }
    if let Some(i) = log_weights.iter().position(|l| l.is_nan() || *l == f64::INFINITY) {
        let why = "must be finite or -infinity: the energy there is NaN or unbounded";
        return Err(Error::setting(format!("log weight {i}"), log_weights[i], why));
    }
    let top = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return Ok(LogMean { value: top, error: f64::INFINITY, ess: 0.0 });
    }
    let weights = || log_weights.iter().map(|l| (l - top).exp());
    let sum: f64 = weights().sum();
    let mean = sum / n;
    let spread: f64 = weights().map(|w| (w - mean).powi(2)).sum();
    let error = if n > 1.0 { (spread / (n - 1.0) / n).sqrt() / mean } else { f64::INFINITY };
    Ok(LogMean { value: top + mean.ln(), error, ess: sum * sum / weights().map(|w| w * w).sum::<f64>() })
}
