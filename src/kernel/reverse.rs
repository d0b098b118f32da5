//! The reverse process of a diffusion: ancestral sampling and DDIM.

use super::{Info, Kernel, State, Step};
use crate::{Error, Result, Schedule, Start, diffusion::NoiseSchedule, energy::Energy};

/// The variance of the noise in a step of ancestral sampling (Ho, Jain and Abbeel 2020, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variance {
    /// β_t: best for data that are standard normal.
    Beta,
    /// β̃_t = β_t (1 − ᾱ_{t−1})/(1 − ᾱ_t): best for data that are one point.
    Posterior,
}

/// The reverse process of a diffusion on any energy with noise levels, in the coordinates y = x/√ᾱ (see
/// [`diffusion`](crate::diffusion)): from y_T ~ N(0, I/ᾱ_T) down to the data y₀ = x₀.
///
/// Each step is y′ = y − a ∇E_σ(y) + b z, which is a step of Langevin dynamics of size a at the noise level σ and the temperature
/// b²/(2a); only the numbers differ. With v = σ² and v′ = σ′² of the next, lower level:
///
/// | | a | b² |
/// |---|---|---|
/// | ancestral, β_t | v − v′ | α_t (v − v′), and 0 in the last step |
/// | ancestral, β̃_t | v − v′ | v′ (v − v′)/v |
/// | DDIM(η) | v − σ √(v′ − b²) | η² v′ (v − v′)/v |
///
/// DDIM(1) over all steps is ancestral sampling with β̃_t. After the last step chains stay where they are.
///
/// The law is that of the discretised process, which tends to the energy's as the steps grow finer; see
/// [`ProbabilityFlow`](super::ProbabilityFlow) for a step of second order.
#[derive(Debug, Clone)]
pub struct Reverse {
    step_size: Schedule,
    temperature: Schedule,
    noise_level: Schedule,
    /// 1/√ᾱ_T.
    start: f64,
}

impl Reverse {
    /// Ancestral sampling (Ho, Jain and Abbeel 2020, Algorithm 2): x_{t−1} = (x_t − β_t/√(1 − ᾱ_t) ε)/√α_t + √variance z, the last step
    /// without noise; T steps.
    pub fn ancestral(schedule: &NoiseSchedule, variance: Variance) -> Self {
        let times: Vec<_> = (0..=schedule.steps()).rev().collect();
        Self::through(schedule, &times, |t, before| {
            let (v, next) = (schedule.noise_variance(t), schedule.noise_variance(before));
            let noise = match variance {
                Variance::Beta if before == 0 => 0.0,
                Variance::Beta => (1.0 - schedule.beta(t)) * (v - next),
                Variance::Posterior => next * (v - next) / v,
            };
            (v - next, noise)
        })
    }

    /// DDIM (Song, Meng and Ermon 2021) in `steps` of the schedule's steps, as evenly spread as whole numbers allow:
    /// x_{t′} = √ᾱ_{t′} x̂₀ + √(1 − ᾱ_{t′} − s²) ε + s z with s² = η² (1 − ᾱ_{t′})/(1 − ᾱ_t) (1 − ᾱ_t/ᾱ_{t′}). At η = 0 it draws no noise.
    ///
    /// # Errors
    /// [`Error::Setting`] where `steps` is 0 or above T, or where η is outside of [0, 1].
    pub fn ddim(schedule: &NoiseSchedule, steps: usize, eta: f64) -> Result<Self> {
        let times = times(schedule, steps)?;
        if !(0.0..=1.0).contains(&eta) {
            return Err(Error::setting("η of ddim", eta, "must be in [0, 1]"));
        }
        Ok(Self::through(schedule, &times, |t, before| {
            let (v, next) = (schedule.noise_variance(t), schedule.noise_variance(before));
            let noise = eta * eta * next * (v - next) / v;
            (v - (v * (next - noise)).sqrt(), noise)
        }))
    }

    /// Through steps of the schedule, T first and 0 last, with a and b² of each.
    fn through(schedule: &NoiseSchedule, times: &[usize], numbers: impl Fn(usize, usize) -> (f64, f64)) -> Self {
        let (mut step_size, mut temperature) = (Vec::new(), Vec::new());
        for pair in times.windows(2) {
            let (a, b2) = numbers(pair[0], pair[1]);
            step_size.push(a);
            temperature.push(0.5 * b2 / a);
        }
        // What follows the last step changes nothing.
        step_size.push(0.0);
        temperature.push(0.0);
        Self {
            step_size: Schedule::list(step_size),
            temperature: Schedule::list(temperature),
            noise_level: noise_levels(schedule, times),
            start: start(schedule),
        }
    }

    /// Steps from the noise to the data.
    pub fn steps(&self) -> u64 {
        self.step_size.settles().unwrap_or(0)
    }

    /// The law that the chains start from: y_T ~ N(0, I/ᾱ_T).
    pub fn start(&self) -> Start {
        Start::normal([0.0], self.start)
    }

    /// √ᾱ after so many steps: x = √ᾱ y.
    pub fn scale(&self, step: u64) -> f64 {
        scale(&self.noise_level, step)
    }
}

/// `steps` + 1 steps of a schedule of T, as evenly spread as whole numbers allow, from T down to 0.
pub(crate) fn times(schedule: &NoiseSchedule, steps: usize) -> Result<Vec<usize>> {
    let last = schedule.steps();
    if !(1..=last).contains(&steps) {
        let why = format!("must be at least 1 and at most T = {last}");
        return Err(Error::setting("steps of the reverse process", steps, why));
    }
    Ok((0..=steps).rev().map(|i| (i as u64 * last as u64 / steps as u64) as usize).collect())
}

pub(super) fn noise_levels(schedule: &NoiseSchedule, times: &[usize]) -> Schedule {
    Schedule::list(times.iter().map(|&t| schedule.noise_variance(t).sqrt()).collect::<Vec<_>>())
}

/// The standard deviation of y_T where that of x_T is one.
pub(super) fn start(schedule: &NoiseSchedule) -> f64 {
    schedule.alpha_bar(schedule.steps()).sqrt().recip()
}

pub(super) fn scale(noise_level: &Schedule, step: u64) -> f64 {
    (1.0 + noise_level.at(step).powi(2)).sqrt().recip()
}

impl Kernel for Reverse {
    of_langevin!();

    fn name(&self) -> &'static str {
        "reverse"
    }

    /// A noise schedule has been checked.
    fn validate(&self, _target: &dyn Energy) -> Result<()> {
        Ok(())
    }

    fn temperature(&self) -> Option<&Schedule> {
        Some(&self.temperature)
    }

    fn noise_level(&self) -> Option<&Schedule> {
        Some(&self.noise_level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One step in the coordinates y against the papers' formulas in x, for some x and ε, without noise and with.
    #[test]
    fn steps_are_those_of_the_papers() {
        let schedule = NoiseSchedule::linear(1000, 1e-4, 0.02).unwrap();
        let (x, epsilon, z) = (0.7, -0.4, 1.3);
        // y' = y - a grad + b z, with grad = epsilon / sigma, then x' = sqrt(alpha bar') y'.
        let found = |kernel: &Reverse, k: u64, t: usize, before: usize| {
            let (a, temperature) = (kernel.step_size.at(k), kernel.temperature.at(k));
            let y = x / schedule.alpha_bar(t).sqrt();
            let next = y - a * epsilon / kernel.noise_level.at(k) + (2.0 * a * temperature).sqrt() * z;
            next * schedule.alpha_bar(before).sqrt()
        };
        for t in [1, 2, 10, 500, 1000] {
            let k = (1000 - t) as u64;
            let (beta, alpha_bar) = (schedule.beta(t), schedule.alpha_bar(t));
            let mean = (x - beta / (1.0 - alpha_bar).sqrt() * epsilon) / (1.0 - beta).sqrt();
            for (variance, of_noise) in [(Variance::Beta, beta), (Variance::Posterior, schedule.posterior_variance(t))] {
                let of_noise = if t == 1 { 0.0 } else { of_noise };
                let found = found(&Reverse::ancestral(&schedule, variance), k, t, t - 1);
                let expected = mean + of_noise.sqrt() * z;
                assert!((found - expected).abs() < 1e-9, "step {t} of {variance:?}: {found}, not {expected}");
            }
        }
        for (t, before) in [(1000, 980), (500, 480), (20, 0)] {
            for eta in [0.0, 0.5, 1.0] {
                let kernel = Reverse::ddim(&schedule, 50, eta).unwrap();
                let (alpha_bar, next) = (schedule.alpha_bar(t), schedule.alpha_bar(before));
                let data = (x - (1.0 - alpha_bar).sqrt() * epsilon) / alpha_bar.sqrt();
                let s = eta * ((1.0 - next) / (1.0 - alpha_bar)).sqrt() * (1.0 - alpha_bar / next).sqrt();
                let expected = next.sqrt() * data + (1.0 - next - s * s).sqrt() * epsilon + s * z;
                let found = found(&kernel, (1000 - t) as u64 / 20, t, before);
                assert!((found - expected).abs() < 1e-9, "step {t} of ddim({eta}): {found}, not {expected}");
            }
        }
    }

    #[test]
    fn ddim_over_all_steps_with_all_noise_is_ancestral() {
        let schedule = NoiseSchedule::cosine(100).unwrap();
        let (ddim, ancestral) =
            (Reverse::ddim(&schedule, 100, 1.0).unwrap(), Reverse::ancestral(&schedule, Variance::Posterior));
        assert_eq!((ddim.steps(), ancestral.steps()), (100, 100));
        for k in 0..=100 {
            for (a, b) in [(&ddim.step_size, &ancestral.step_size), (&ddim.temperature, &ancestral.temperature)] {
                assert!((a.at(k) - b.at(k)).abs() <= 1e-9 * b.at(k), "step {k}: {} and {}", a.at(k), b.at(k));
            }
        }
    }

    #[test]
    fn bad_settings_are_refused() {
        let schedule = NoiseSchedule::cosine(100).unwrap();
        for refused in [
            Reverse::ddim(&schedule, 0, 0.0),
            Reverse::ddim(&schedule, 101, 0.0),
            Reverse::ddim(&schedule, 10, -0.1),
            Reverse::ddim(&schedule, 10, 1.1),
            Reverse::ddim(&schedule, 10, f64::NAN),
        ] {
            assert!(matches!(refused, Err(Error::Setting { .. })), "{refused:?}");
        }
    }
}
