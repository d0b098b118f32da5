//! Autocovariance by the fast Fourier transform.

use rustfft::{FftPlanner, num_complex::Complex};

use super::{Traces, Undefined, traces::mean};

/// Autocovariance at the lags 0, 1, ..., draws − 1: the mean over the chains of Σₜ (xₜ − m)(xₜ₊ₗ − m)/n with each chain's own mean
/// m. The denominator is n at every lag, which is biased, but less noisy at long lags than n − l (Geyer 1992).
///
/// # Errors
/// [`Undefined`] without draws or with one that is not finite.
pub fn autocovariance(traces: &Traces) -> Result<Vec<f64>, Undefined> {
    traces.check_finite(1)?;
    Ok(of_chains(traces))
}

/// [`autocovariance`] divided by its value at lag 0.
///
/// # Errors
/// As [`autocovariance`], and where no chain moves.
pub fn autocorrelation(traces: &Traces) -> Result<Vec<f64>, Undefined> {
    traces.check(1)?;
    let mut values = of_chains(traces);
    let variance = values[0];
    values.iter_mut().for_each(|v| *v /= variance);
    Ok(values)
}

/// The inverse transform is linear, so one is enough for the sum of all chains' spectra; and two chains go in one transform, as
/// real and imaginary part, whose autocovariances add up in the real part.
pub(super) fn of_chains(traces: &Traces) -> Vec<f64> {
    let draws = traces.draws();
    // Zeros after the end keep it from wrapping round to the beginning.
    let size = (2 * draws).next_power_of_two();
    let mut planner = FftPlanner::new();
    let forward = planner.plan_fft_forward(size);
    let mut buffer = vec![Complex::new(0.0, 0.0); size];
    let mut scratch = vec![Complex::new(0.0, 0.0); forward.get_inplace_scratch_len()];
    let mut power = buffer.clone();
    let mut chains = traces.chains();
    let chain_count = chains.len();
    while let Some(first) = chains.next() {
        buffer.fill(Complex::new(0.0, 0.0));
        let centre = mean(first);
        buffer.iter_mut().zip(first).for_each(|(at, x)| at.re = x - centre);
        if let Some(second) = chains.next() {
            let centre = mean(second);
            buffer.iter_mut().zip(second).for_each(|(at, x)| at.im = x - centre);
        }
        forward.process_with_scratch(&mut buffer, &mut scratch);
        power.iter_mut().zip(&buffer).for_each(|(sum, f)| sum.re += f.norm_sqr());
    }
    planner.plan_fft_inverse(size).process(&mut power);
    let scale = 1.0 / (size as f64 * draws as f64 * chain_count as f64);
    power[..draws].iter().map(|value| value.re * scale).collect()
}
