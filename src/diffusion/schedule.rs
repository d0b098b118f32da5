//! Noise schedules: how much noise the forward process adds at each step.

use rayon::prelude::*;

use crate::{
    Error, Result,
    error::points,
    random::{Draws, Stream, key, normal_slots},
};

/// The most steps of a schedule.
const MAX_STEPS: usize = 1 << 20;
/// The least ᾱ_T: below, f32 cannot hold what is left of the data beside the noise.
const LEAST_ALPHA_BAR: f64 = 1e-14;
/// The largest β of a cosine schedule, as in the paper.
const MAX_COSINE_BETA: f64 = 0.999;

/// The variances β_t of a forward process x_t = √(1 − β_t) x_{t−1} + √β_t z, t = 1, …, T, and what follows from them.
///
/// With α_t = 1 − β_t and ᾱ_t = α₁ ⋯ α_t (ᾱ₀ = 1), x_t = √ᾱ_t x₀ + √(1 − ᾱ_t) z. Step t = 0 is the data.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseSchedule {
    /// β_t at index t − 1.
    betas: Vec<f64>,
    /// ᾱ_t at index t.
    alpha_bars: Vec<f64>,
}

impl NoiseSchedule {
    /// Any β_t in (0, 1), t = 1, …, T.
    ///
    /// # Errors
    /// [`Error::Setting`] where there is no step, where a β is outside (0, 1), or where so little of the data is left at the end
    /// (ᾱ_T < 10⁻¹⁴) that f32 cannot hold it; [`Error::Limit`] for more than 2²⁰ steps.
    pub fn new(betas: impl Into<Vec<f64>>) -> Result<Self> {
        let betas = betas.into();
        check_steps(betas.len())?;
        if let Some(t) = betas.iter().position(|&beta| !(beta > 0.0 && beta < 1.0)) {
            return Err(Error::setting(format!("β_{} of the noise schedule", t + 1), betas[t], "must be above 0 and below 1"));
        }
        let product = |alpha_bar: &mut f64, beta: &f64| {
            *alpha_bar *= 1.0 - beta;
            Some(*alpha_bar)
        };
        let alpha_bars: Vec<f64> = std::iter::once(1.0).chain(betas.iter().scan(1.0, product)).collect();
        let last = alpha_bars[betas.len()];
        if last < LEAST_ALPHA_BAR {
            return Err(Error::setting(
                "ᾱ_T of the noise schedule",
                last,
                "must be at least 1e-14; use smaller β or fewer steps",
            ));
        }
        Ok(Self { betas, alpha_bars })
    }

    /// β_t from `first` to `last` in equal steps (Ho, Jain and Abbeel 2020: T = 1,000 from 10⁻⁴ to 0.02).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn linear(steps: usize, first: f64, last: f64) -> Result<Self> {
        check_steps(steps)?;
        let part = |t: usize| if steps == 1 { 0.0 } else { t as f64 / (steps - 1) as f64 };
        Self::new((0..steps).map(|t| first + (last - first) * part(t)).collect::<Vec<_>>())
    }

    /// ᾱ_t = f(t)/f(0) with f(t) = cos²(π/2 (t/T + s)/(1 + s)), s = 0.008, and no β above 0.999 (Nichol and Dhariwal 2021).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn cosine(steps: usize) -> Result<Self> {
        check_steps(steps)?;
        let f = |t: usize| {
            let s = 0.008;
            (std::f64::consts::FRAC_PI_2 * (t as f64 / steps as f64 + s) / (1.0 + s)).cos().powi(2)
        };
        Self::new((1..=steps).map(|t| (1.0 - f(t) / f(t - 1)).min(MAX_COSINE_BETA)).collect::<Vec<_>>())
    }

    /// T.
    pub fn steps(&self) -> usize {
        self.betas.len()
    }

    /// β_t, t in 1..=T; NaN elsewhere.
    pub fn beta(&self, t: usize) -> f64 {
        t.checked_sub(1).and_then(|i| self.betas.get(i)).copied().unwrap_or(f64::NAN)
    }

    /// ᾱ_t, t in 0..=T; NaN elsewhere.
    pub fn alpha_bar(&self, t: usize) -> f64 {
        self.alpha_bars.get(t).copied().unwrap_or(f64::NAN)
    }

    /// σ_t² = (1 − ᾱ_t)/ᾱ_t, the variance of the noise in y_t = x_t/√ᾱ_t; 0 at t = 0.
    pub fn noise_variance(&self, t: usize) -> f64 {
        (1.0 - self.alpha_bar(t)) / self.alpha_bar(t)
    }

    /// σ_t of t = 1, …, T.
    pub fn noise_levels(&self) -> Vec<f64> {
        (1..=self.steps()).map(|t| self.noise_variance(t).sqrt()).collect()
    }

    /// β̃_t = β_t (1 − ᾱ_{t−1})/(1 − ᾱ_t), the variance of x_{t−1} given x_t and x₀.
    pub fn posterior_variance(&self, t: usize) -> f64 {
        self.beta(t) * (1.0 - self.before(t)) / (1.0 - self.alpha_bar(t))
    }

    /// The coefficients (of x₀, of x_t) in the mean of x_{t−1} given both: √ᾱ_{t−1} β_t/(1 − ᾱ_t) and √α_t (1 − ᾱ_{t−1})/(1 − ᾱ_t).
    pub fn posterior_mean(&self, t: usize) -> (f64, f64) {
        let (before, left) = (self.before(t), 1.0 - self.alpha_bar(t));
        (before.sqrt() * self.beta(t) / left, (1.0 - self.beta(t)).sqrt() * (1.0 - before) / left)
    }

    /// ᾱ_{t−1}.
    fn before(&self, t: usize) -> f64 {
        t.checked_sub(1).map_or(f64::NAN, |t| self.alpha_bar(t))
    }

    /// The forward process in closed form: x_t = √ᾱ_t x₀ + √(1 − ᾱ_t) z of data x₀, `[dim][point]`. Point i draws the numbers of
    /// (seed, t, i) alone.
    ///
    /// # Errors
    /// [`Error::Shape`] where the data are no multiple of the dimension; [`Error::Setting`] for a step that there is not, for
    /// no dimension, and where a number is not finite, with its row (the point) and column (the coordinate), from 1.
    pub fn noised(&self, data: &[f32], dim: usize, t: usize, seed: u64) -> Result<Vec<f32>> {
        let points = points("data", dim, data)?;
        if t > self.steps() {
            return Err(Error::setting("step of the forward process", t, format!("must be at most T = {}", self.steps())));
        }
        let (kept, added) = (self.alpha_bar(t).sqrt(), (1.0 - self.alpha_bar(t)).sqrt());
        let key = key(seed, Stream::Forward, t as u64);
        let mut noised = vec![0f32; data.len()];
        let pairs = noised.par_chunks_mut(points).zip(data.par_chunks(points)).enumerate();
        pairs.for_each(|(i, (row, data))| {
            for (point, (noised, &x)) in row.iter_mut().zip(data).enumerate() {
                let z = Draws::new(key, point as u32, (point >> 32) as u32 * normal_slots(dim)).normal(i);
                *noised = (kept * f64::from(x) + added * z) as f32;
            }
        });
        Ok(noised)
    }
}

fn check_steps(steps: usize) -> Result<()> {
    match steps {
        0 => Err(Error::setting("steps T of the noise schedule", 0, "must be at least 1")),
        1..=MAX_STEPS => Ok(()),
        _ => Err(Error::Limit {
            what: "steps T of the noise schedule".into(),
            asked: steps as u64,
            allowed: MAX_STEPS as u64,
            limit: "a noise schedule".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, published: f64, what: &str) {
        assert!((found - published).abs() <= 1e-12 * published.abs().max(1e-3), "{what}: {found}, published {published}");
    }

    /// hojonathanho/diffusion, diffusion_utils_2.py, with the settings of run_cifar.py; t counted from 1 here, from 0 there.
    #[test]
    fn linear_gives_the_published_constants() {
        let schedule = NoiseSchedule::linear(1000, 1e-4, 0.02).unwrap();
        let published = [
            (1, 0.0001, 0.9999, 0.0, 1.0000000000001101, 0.0),
            (2, 0.00011991991991991993, 0.9997800920720721, 5.4531876613021935e-05, 0.5452914995102903, 0.4547084989905303),
            (10, 0.0002792792792792793, 0.9981052047858344, 0.00023818202782345307, 0.14727371743084547, 0.8527262261023779),
            (100, 0.0020720720720720717, 0.89701814567496, 0.0020345962594907857, 0.01907634531731179, 0.980896021316457),
            (500, 0.010040040040040039, 0.07858724288177824, 0.010031355414613688, 0.0030700711142649766, 0.9941066702101666),
            (1000, 0.02, 4.035829765375676e-05, 0.01999998352656061, 0.00012835148717224682, 0.9899486782675173),
        ];
        for (t, beta, alpha_bar, variance, of_data, of_noised) in published {
            close(schedule.beta(t), beta, "beta");
            close(schedule.alpha_bar(t), alpha_bar, "alpha bar");
            close(schedule.posterior_variance(t), variance, "posterior variance");
            let (a, b) = schedule.posterior_mean(t);
            close(a, of_data, "coefficient of the data");
            close(b, of_noised, "coefficient of the noised");
        }
    }

    /// openai/improved-diffusion, gaussian_diffusion.py, betas_for_alpha_bar.
    #[test]
    fn cosine_gives_the_published_constants() {
        let schedule = NoiseSchedule::cosine(1000).unwrap();
        let published = [
            (1, 4.128422482196914e-05, 0.999958715775178),
            (2, 4.614175273665033e-05, 0.9999125759273678),
            (10, 8.501117934167635e-05, 0.9993687184016583),
            (100, 0.000526904808856643, 0.9720927371139696),
            (500, 0.0031458862304780677, 0.4938435904406382),
            (1000, 0.999, 2.4287669070348567e-09),
        ];
        for (t, beta, alpha_bar) in published {
            close(schedule.beta(t), beta, "beta");
            close(schedule.alpha_bar(t), alpha_bar, "alpha bar");
        }
    }

    #[test]
    fn bad_settings_are_refused() {
        for refused in [
            NoiseSchedule::linear(0, 1e-4, 0.02),
            NoiseSchedule::cosine(0),
            NoiseSchedule::new([]),
            NoiseSchedule::linear(10, 0.0, 0.02),
            NoiseSchedule::linear(10, 1e-4, 1.0),
            NoiseSchedule::linear(10, -0.1, 0.02),
            NoiseSchedule::new([0.1, f64::NAN]),
            NoiseSchedule::linear(1000, 0.5, 0.5),
        ] {
            assert!(matches!(refused, Err(Error::Setting { .. })), "{refused:?}");
        }
        assert!(matches!(NoiseSchedule::cosine(usize::MAX), Err(Error::Limit { .. })));
        let schedule = NoiseSchedule::cosine(10).unwrap();
        assert!(matches!(schedule.noised(&[0.0; 4], 2, 11, 0), Err(Error::Setting { .. })));
        assert!(matches!(schedule.noised(&[0.0; 5], 2, 1, 0), Err(Error::Shape { .. })));
        assert!(matches!(schedule.noised(&[], 2, 1, 0), Err(Error::Shape { .. })));
        let refused = |data: &[f32], dim| schedule.noised(data, dim, 1, 0).unwrap_err().to_string();
        assert!(refused(&[0.0; 4], 0).contains("dimension of the data = 0"));
        assert!(refused(&[0.0, 0.0, f32::NAN, 0.0], 2).contains("data, row 1, column 2 (counted from 1) = NaN"));
    }
}
