//! Annealed Langevin dynamics.

use super::{Info, Kernel, State, Step};
use crate::{
    Error, Result, Schedule,
    energy::Energy,
    error::{cut, positive},
};

/// Annealed Langevin dynamics (Song and Ermon 2019, Algorithm 1): at each of the noise levels σ₁ > … > σ_L a number of
/// steps x′ = x − h ∇E_σ(x) + √(2hT) z, where E_σ is the energy of the density convolved with N(0, σ²I). One gradient a
/// transition; after the last level's steps the chains stay at that level. In the paper's terms the step is α = 2h.
///
/// The first levels join the modes, so that the chains find their true weights; the last level is the target, still widened by
/// the small σ_L.
#[derive(Debug, Clone)]
pub struct Annealed {
    step_size: Schedule,
    noise_level: Schedule,
}

impl Annealed {
    /// With decreasing noise levels σᵢ > 0, `each` steps at each of them, and the step α = ε σᵢ²/σ_L² with ε = `epsilon` > 0:
    /// h = ε σᵢ²/(2σ_L²).
    pub fn new(noise_levels: impl Into<Vec<f64>>, each: u64, epsilon: f64) -> Self {
        let noise_levels = noise_levels.into();
        let last = noise_levels.last().copied().unwrap_or(f64::NAN);
        let step_sizes: Vec<_> = noise_levels.iter().map(|sigma| 0.5 * epsilon * (sigma / last).powi(2)).collect();
        Self { step_size: Schedule::levels(step_sizes, each), noise_level: Schedule::levels(noise_levels, each) }
    }

    /// With `count` noise levels in geometric progression from `from` down to `to`.
    pub fn geometric(from: f64, to: f64, count: u64, each: u64, epsilon: f64) -> Self {
        let levels = Schedule::geometric(from, to, count);
        Self::new((0..cut(count)).map(|i| levels.at(i)).collect::<Vec<_>>(), each, epsilon)
    }

    /// Steps until the last one at the last level.
    pub fn steps(&self) -> u64 {
        match &self.noise_level {
            Schedule::List { values, each } => (values.len() as u64).saturating_mul(*each),
            _ => 0,
        }
    }
}

impl Kernel for Annealed {
    of_langevin!();

    fn name(&self) -> &'static str {
        "annealed"
    }

    fn validate(&self, _target: &dyn Energy) -> Result<()> {
        self.noise_level.validate("noise levels of annealed", positive)?;
        if let Schedule::List { values, .. } = &self.noise_level
            && let Some(pair) = values.windows(2).find(|pair| pair[0] <= pair[1])
        {
            let value = format!("{} then {}", pair[0], pair[1]);
            return Err(Error::setting("noise levels of annealed", value, "must decrease"));
        }
        self.step_size.validate("step size of annealed", positive)
    }

    fn noise_level(&self) -> Option<&Schedule> {
        Some(&self.noise_level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The levels and steps of Song and Ermon 2019 (their configs/anneal.yml and runners): ε = 2e-5, 100 steps a level.
    #[test]
    fn schedules_are_the_published_ones() {
        let kernel = Annealed::geometric(1.0, 0.01, 10, 100, 2e-5);
        assert_eq!(kernel.steps(), 1000);
        let published = [
            1.0,
            0.599484250318941,
            0.3593813663804628,
            0.21544346900318845,
            0.12915496650148844,
            0.07742636826811275,
            0.046415888336127815,
            0.027825594022071264,
            0.0166810053720006,
            0.010000000000000004,
        ];
        for (i, sigma) in (0u64..).zip(published) {
            let found = kernel.noise_level.at(100 * i + 99);
            assert!((found - sigma).abs() < 1e-15, "level {i}: {found}");
            let alpha = 2e-5 * sigma * sigma / (0.01 * 0.01);
            assert!((2.0 * kernel.step_size.at(100 * i) - alpha).abs() < 1e-13 * alpha.max(1.0), "level {i}");
        }
        assert_eq!(kernel.step_size.at(5000), 1e-5);
    }
}
