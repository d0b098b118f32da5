//! Monte Carlo standard error: how far is an estimate from the truth?

use statrs::function::beta::inv_beta_reg;

use super::{
    Traces, Undefined,
    ess::{self, ess_mean, ess_sd},
    quantile,
};

/// Of the mean: sd/√ESS.
///
/// # Errors
/// As [`ess_mean`].
pub fn mcse_mean(traces: &Traces) -> Result<f64, Undefined> {
    Ok(traces.sd() / ess_mean(traces)?.sqrt())
}

/// Of the standard deviation: √((μ₄ − μ₂²)/(4 μ₂ ESS)) with the central moments μ, which assumes no normality (Kenney and Keeping
/// 1951, p. 141), and [`ess_sd`].
///
/// # Errors
/// As [`ess_sd`].
pub fn mcse_sd(traces: &Traces) -> Result<f64, Undefined> {
    let ess = ess_sd(traces)?;
    let mean = traces.mean();
    let moment = |power| traces.map(|x| (x - mean).powi(power)).mean();
    let (m2, m4) = (moment(2), moment(4));
    Ok(((m4 - m2 * m2) / (4.0 * m2 * ess)).sqrt())
}

/// Of a quantile: half the distance between the draws that bound it with the probability of ± 1 standard normal deviation, by the
/// beta law of the share of draws below it (Vehtari et al. 2021, section 4.4).
///
/// # Errors
/// As [`ess_quantile`](super::ess_quantile).
pub fn mcse_quantile(traces: &Traces, probability: f64) -> Result<f64, Undefined> {
    quantile::check(probability)?;
    traces.check(ess::LEAST)?;
    let sorted = traces.sorted();
    let ess = ess::at_quantile(traces, &sorted, probability)?;
    let share = |mass| inv_beta_reg(ess * probability + 1.0, ess * (1.0 - probability) + 1.0, mass);
    let size = sorted.len();
    // Φ(−1) and Φ(1), to the digits that posterior has.
    let low = (share(0.1586553) * size as f64).floor() as usize;
    let high = (share(0.8413447) * size as f64).ceil() as usize;
    Ok(0.5 * (sorted[high.clamp(1, size) - 1] - sorted[low.clamp(1, size) - 1]))
}
