//! Comparisons with a law, as p-values, so that one level holds for all of them.

use statrs::{
    distribution::{ContinuousCDF, Normal},
    function::erf::erfc,
};

/// The level of one comparison: with fewer than ten thousand of them a run, at most 1e-6 a run.
pub const LEVEL: f64 = 1e-10;

/// Two-sided p-value of a standard normal score.
pub fn p_of_z(z: f64) -> f64 {
    if z.is_finite() { erfc(z.abs() / std::f64::consts::SQRT_2) } else { 0.0 }
}

/// p-value of the Kolmogorov–Smirnov distance between values and a continuous CDF (Stephens 1970's correction of the
/// asymptotic law, good from n = 5 on).
pub fn ks(values: &[f64], cdf: impl Fn(f64) -> f64) -> f64 {
    if values.iter().any(|v| !v.is_finite()) {
        return 0.0;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let distance = |(i, &v): (usize, &f64)| {
        let f = cdf(v);
        (f - i as f64 / n).max((i + 1) as f64 / n - f)
    };
    let d = sorted.iter().enumerate().map(distance).fold(0.0, f64::max);
    let lambda = (n.sqrt() + 0.12 + 0.11 / n.sqrt()) * d;
    // Terms beyond the hundredth are zero for lambda > 0.05, below which p is one.
    if lambda < 0.05 {
        return 1.0;
    }
    let term = |k: i32| 2.0 * f64::from(1 - 2 * ((k - 1) % 2)) * (-2.0 * f64::from(k * k) * lambda * lambda).exp();
    (1..100).map(term).sum::<f64>().clamp(0.0, 1.0)
}

/// Score of the mean of independent values, whose own spread is used, against an exact mean.
pub fn z_of_mean(values: impl ExactSizeIterator<Item = f64> + Clone, expected: f64) -> f64 {
    let n = values.len() as f64;
    let mean = values.clone().sum::<f64>() / n;
    let variance = values.map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let miss = mean - expected;
    // Nothing moved at all: exactly right, or exactly wrong.
    if miss == 0.0 { 0.0 } else { miss / (variance / n).sqrt() }
}

/// Score of a count out of n independent trials of probability p.
pub fn z_of_count(count: u64, n: u64, p: f64) -> f64 {
    (count as f64 - n as f64 * p) / (n as f64 * p * (1.0 - p)).sqrt()
}

/// Score of the correlation of independent pairs of mean zero.
pub fn z_of_correlation(pairs: impl ExactSizeIterator<Item = (f64, f64)> + Clone) -> f64 {
    z_of_mean(pairs.map(|(a, b)| a * b), 0.0)
}

/// Φ((x − mean)/sd).
pub fn normal_cdf(x: f64, mean: f64, sd: f64) -> f64 {
    Normal::standard().cdf((x - mean) / sd)
}

/// Panics where a p-value is below the level.
pub fn accept(what: &str, p: f64) {
    assert!(p >= LEVEL, "{what}: p = {p:.3e}, below {LEVEL:e}");
}

/// The smallest p-value and what it is of.
pub fn smallest(tests: impl IntoIterator<Item = (String, f64)>) -> (String, f64) {
    let start = (String::new(), f64::INFINITY);
    tests.into_iter().fold(start, |least, test| if test.1 < least.1 || test.1.is_nan() { test } else { least })
}
