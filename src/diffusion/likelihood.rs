//! Log-likelihoods by the probability flow, in f64 on the CPU.

use rayon::prelude::*;

use super::NoiseSchedule;
use crate::{
    Error, Result,
    energy::{Energy, Params},
    error::points,
    kernel::times,
};

/// ln p(x₀) of data, `[dim][point]`, under the probability flow of an energy with noise levels: one number a point, in nats.
///
/// Along the flow dy/dσ = σ ∇E_σ(y) a density changes by d ln p/dσ = −σ ΔE_σ(y) (Song et al. 2021, equation 39), so
/// ln p(x₀) = ln N(y_T; 0, I/ᾱ_T) + ∫ σ ΔE_σ(y_σ) dσ from 0 to σ_T. The divergence is exact, by [`Energy::laplacian`]; the integrals are
/// those of the fourth-order Runge–Kutta method in `steps` of the schedule's steps, as evenly spread as whole numbers allow.
///
/// It is normalised whatever the energy's constant. Its difference from the density exp(−E)/Z is the diffusion's own, which starts
/// from N(0, I/ᾱ_T) and not from the noised data, and that of the steps.
///
/// ```
/// # use ergodic::{diffusion::{NoiseSchedule, log_likelihood}, energy::Gaussian};
/// let schedule = NoiseSchedule::linear(1000, 1e-4, 0.02)?;
/// let found = log_likelihood(&Gaussian::standard(2), &schedule, 100, &[0.0, 0.0])?;
/// assert!((found[0] + std::f64::consts::TAU.ln()).abs() < 1e-3);
/// # Ok::<(), ergodic::Error>(())
/// ```
///
/// # Errors
/// [`Error::Unsupported`] where the energy has no noise levels or no Laplacian; [`Error::Setting`] where `steps` is 0 or above T, or where a
/// number of the data is not finite, with its row (the point) and column (the coordinate), from 1, or its log-likelihood is not;
/// [`Error::Shape`] where the data are no multiple of the dimension.
pub fn log_likelihood(target: &dyn Energy, schedule: &NoiseSchedule, steps: usize, data: &[f32]) -> Result<Vec<f64>> {
    let dim = target.dim();
    let params = target.params();
    let at = |noise_variance: f64| Params::new(&params).at_noise(noise_variance);
    if !target.has_noise_levels() || target.laplacian(at(0.0), &vec![0.0; dim]).is_none() {
        return Err(Error::Unsupported(format!(
            "{} lacks noise levels or a Laplacian, which log-likelihoods by the probability flow need",
            target.name()
        )));
    }
    flow_likelihood(dim, schedule, steps, data, |sigma, y, grad| {
        target.energy_and_grad(at(sigma * sigma), y, grad);
        grad.iter_mut().for_each(|g| *g *= sigma);
        sigma * target.laplacian(at(sigma * sigma), y).unwrap_or(f64::NAN)
    })
}

/// The same of any flow dy/dσ = f(σ, y): `flow` writes f and returns its divergence.
fn flow_likelihood(
    dim: usize,
    schedule: &NoiseSchedule,
    steps: usize,
    data: &[f32],
    flow: impl Fn(f64, &[f64], &mut [f64]) -> f64 + Sync,
) -> Result<Vec<f64>> {
    let levels: Vec<f64> = times(schedule, steps)?.into_iter().rev().map(|t| schedule.noise_variance(t).sqrt()).collect();
    let points = points("data", dim, data)?;
    let log_variance = -schedule.alpha_bar(schedule.steps()).ln();
    let of_point = |point: usize| {
        let mut y: Vec<f64> = (0..dim).map(|i| f64::from(data[i * points + point])).collect();
        let mut integral = 0.0;
        let mut slopes = [vec![0.0; dim], vec![0.0; dim], vec![0.0; dim], vec![0.0; dim]];
        for pair in levels.windows(2) {
            let (sigma, h) = (pair[0], pair[1] - pair[0]);
            let mut divergences = [0.0; 4];
            for (stage, part) in [0.0, 0.5, 0.5, 1.0].into_iter().enumerate() {
                let from = |i: usize| if stage == 0 { 0.0 } else { slopes[stage - 1][i] };
                let there: Vec<f64> = (0..dim).map(|i| y[i] + part * h * from(i)).collect();
                divergences[stage] = flow(sigma + part * h, &there, &mut slopes[stage]);
            }
            let sum = |[a, b, c, d]: [f64; 4]| h / 6.0 * (a + 2.0 * b + 2.0 * c + d);
            integral += sum(divergences);
            for (i, y) in y.iter_mut().enumerate() {
                *y += sum([slopes[0][i], slopes[1][i], slopes[2][i], slopes[3][i]]);
            }
        }
        let squares: f64 = y.iter().map(|y| y * y).sum();
        let constant = dim as f64 * (std::f64::consts::TAU.ln() + log_variance);
        integral - 0.5 * (squares * (-log_variance).exp() + constant)
    };
    let found: Vec<f64> = (0..points).into_par_iter().map(of_point).collect();
    match found.iter().position(|value| !value.is_finite()) {
        None => Ok(found),
        Some(row) => {
            let name = format!("log-likelihood of the data, row {} (counted from 1)", row + 1);
            Err(Error::setting(name, found[row], "must be a number"))
        }
    }
}
