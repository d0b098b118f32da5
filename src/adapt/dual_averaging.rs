//! Step sizes by dual averaging.

use serde::{Deserialize, Serialize};

/// Nesterov's dual averaging of the logarithm of a step size, as Hoffman and Gelman (2014, 3.2) use it: after n transitions with
/// mean acceptances aₖ
///
///   log εₙ = μ − (√n / γ) (1 / (n + t₀)) Σ (δ − aₖ),
///
/// and the result is the average of log εₖ with weights that fall as k^(−κ) from the last back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DualAveraging {
    target: f64,
    /// μ, which the iterates are drawn towards.
    centre: f64,
    count: f64,
    /// Mean of δ − aₖ.
    error: f64,
    log_step: f64,
    log_average: f64,
}

/// γ, t₀ and κ of the paper.
const SHRINKAGE: f64 = 0.05;
const DELAY: f64 = 10.0;
const DECAY: f64 = 0.75;

impl DualAveraging {
    /// From a step size that is about right, to a target acceptance δ.
    pub(crate) fn new(step_size: f64, target: f64) -> Self {
        let centre = step_size.ln();
        Self { target, centre, count: 0.0, error: 0.0, log_step: centre, log_average: centre }
    }

    /// Takes in the acceptance of a transition with the present step size, its mean over the chains.
    pub(crate) fn learn(&mut self, acceptance: f64) {
        self.count += 1.0;
        self.error += (self.target - acceptance - self.error) / (self.count + DELAY);
        self.log_step = self.centre - self.count.sqrt() / SHRINKAGE * self.error;
        self.log_average += self.count.powf(-DECAY) * (self.log_step - self.log_average);
    }

    /// The step size to try next.
    pub(crate) fn step_size(&self) -> f64 {
        self.log_step.exp()
    }

    /// The averaged step size.
    pub(crate) fn averaged(&self) -> f64 {
        self.log_average.exp()
    }
}

/// The factor that should bring an acceptance to its target in one go. The acceptance of a trajectory whose energy errors are normal
/// is 2Φ(−s/2) for an error of spread s (Neal 2011, 4.2), and s grows as the `order`-th power of the step size. At most a doubling
/// or a halving.
pub(crate) fn correction(acceptance: f64, target: f64, order: f64) -> f64 {
    let spread = |acceptance: f64| -normal_quantile(0.5 * acceptance.clamp(1e-9, 1.0 - 1e-9));
    (spread(target) / spread(acceptance)).powf(1.0 / order).clamp(0.5, 2.0)
}

/// The step sizes that are known to accept too often and too seldom, as (log step size, acceptance).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bracket {
    small: Option<(f64, f64)>,
    large: Option<(f64, f64)>,
}

impl Bracket {
    /// Takes in what a step size was measured to accept, and says which to try next: between the two if they are known.
    pub(crate) fn next(&mut self, step_size: f64, acceptance: f64, target: f64, order: f64) -> f64 {
        let measured = Some((step_size.ln(), acceptance));
        if acceptance > target {
            self.small = measured;
        } else {
            self.large = measured;
        }
        match (self.small, self.large) {
            (Some((small, above)), Some((large, below))) if small < large => {
                let part = (above - target) / (above - below);
                (small + part.clamp(0.1, 0.9) * (large - small)).exp()
            }
            // Chance, or an acceptance that grows with the step size: go on from the last one alone.
            _ => step_size * correction(acceptance, target, order),
        }
    }
}

/// Φ⁻¹(p) for p < 1/2, within 4.5·10⁻⁴ (Abramowitz and Stegun 1964, 26.2.23).
fn normal_quantile(p: f64) -> f64 {
    let t = (-2.0 * p.ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    (above / below - t).min(-1e-4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stan's unit tests have no table for this, so: the recurrence by hand, three transitions of acceptance 1, 0 and 0.5 to 0.8.
    #[test]
    fn the_recurrence_by_hand() {
        let mut step = DualAveraging::new(1.0, 0.8);
        step.learn(1.0);
        // Mean error −0.2/11; log ε = 0.2/11/0.05.
        assert!((step.step_size().ln() - 0.2 / 11.0 / 0.05).abs() < 1e-12);
        assert!((step.averaged().ln() - 0.2 / 11.0 / 0.05).abs() < 1e-12);
        step.learn(0.0);
        let second = -2f64.sqrt() / 0.05 * 0.6 / 12.0;
        assert!((step.step_size().ln() - second).abs() < 1e-12);
        let averaged = 4.0 / 11.0 + 2f64.powf(-0.75) * (second - 4.0 / 11.0);
        assert!((step.averaged().ln() - averaged).abs() < 1e-12);
        step.learn(0.5);
        assert!((step.step_size().ln() + 3f64.sqrt() / 0.05 * 0.9 / 13.0).abs() < 1e-12);
    }

    /// An acceptance that falls with the step size is met, from far off on either side.
    #[test]
    fn the_target_is_met() {
        for start in [0.03, 30.0] {
            let acceptance = |step: f64| (-0.5 * step).exp();
            let mut step = DualAveraging::new(start, 0.8);
            (0..400).for_each(|_| step.learn(acceptance(step.step_size())));
            assert!((acceptance(step.averaged()) - 0.8).abs() < 0.01, "{start}: {}", step.averaged());
        }
    }

    #[test]
    fn quantiles_and_corrections() {
        for (p, quantile) in [(0.25, -0.674_489_8), (0.4, -0.253_347_1), (0.025, -1.959_964), (1e-6, -4.753_424)] {
            assert!((normal_quantile(p) - quantile).abs() < 5e-4, "{p}");
        }
        assert_eq!((correction(1.0, 0.8, 2.0), correction(0.0, 0.8, 2.0)), (2.0, 0.5));
        assert!((correction(0.8, 0.8, 2.0) - 1.0).abs() < 1e-12);
        // An error of twice the spread needs 1/√2 of the step.
        let spread = -2.0 * normal_quantile(0.4);
        let twice = 2.0 * 0.305_9; // Φ(−0.5067)
        assert!((correction(twice, 0.8, 2.0) - 0.5f64.sqrt()).abs() < 2e-3, "{spread}");
    }
}
