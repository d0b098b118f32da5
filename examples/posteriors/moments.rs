//! Moments of the parameters over the chains, and how precise they are: as `Coordinate` of the library has them, but of any function
//! of a position.

use super::posterior::Constrain;

/// Sums over the draws of each chain: `[parameter][chain]`.
#[derive(Clone)]
pub struct Moments {
    chains: usize,
    superchains: usize,
    draws: usize,
    mean: Vec<f64>,
    m2: Vec<f64>,
}

/// Of one parameter.
#[derive(Debug, Clone, Copy)]
pub struct Estimate {
    pub mean: f64,
    pub sd: f64,
    pub mcse_mean: f64,
    pub mcse_sd: f64,
    /// Nested R-hat over the superchains (Margossian et al. 2024).
    pub rhat: f64,
    /// Effective sample size of the mean.
    pub ess: f64,
}

impl Moments {
    pub fn new(parameters: usize, chains: usize, superchains: usize) -> Self {
        let zeros = vec![0.0; parameters * chains];
        Self { chains, superchains, draws: 0, mean: zeros.clone(), m2: zeros }
    }

    pub fn draws(&self) -> usize {
        self.draws
    }

    /// Takes in one draw of every chain, `[dim][chain]` (Welford 1962).
    pub fn add(&mut self, positions: &[f32], constrain: &Constrain) {
        self.draws += 1;
        let n = self.draws as f64;
        let mut x = vec![0.0; positions.len() / self.chains];
        for chain in 0..self.chains {
            for (x, row) in x.iter_mut().zip(positions.chunks_exact(self.chains)) {
                *x = f64::from(row[chain]);
            }
            for (parameter, value) in constrain(&x).into_iter().enumerate() {
                let at = parameter * self.chains + chain;
                let d = value - self.mean[at];
                self.mean[at] += d / n;
                self.m2[at] += d * (value - self.mean[at]);
            }
        }
    }

    pub fn estimates(&self) -> Vec<Estimate> {
        self.mean.chunks_exact(self.chains).zip(self.m2.chunks_exact(self.chains)).map(|(m, m2)| self.estimate(m, m2)).collect()
    }

    fn estimate(&self, means: &[f64], m2s: &[f64]) -> Estimate {
        let (chains, draws) = (self.chains as f64, self.draws as f64);
        let (mean, of_means) = mean_and_variance(means);
        let squares: Vec<_> = means.iter().zip(m2s).map(|(m, m2)| m2 / draws + (m - mean).powi(2)).collect();
        let (variance, of_squares) = mean_and_variance(&squares);
        let (sd, mcse_mean) = (variance.sqrt(), (of_means / chains).sqrt());
        let mcse_sd = (of_squares / chains).sqrt() / (2.0 * sd);
        Estimate { mean, sd, mcse_mean, mcse_sd, rhat: self.nested_rhat(means, m2s), ess: (sd / mcse_mean).powi(2) }
    }

    /// √(1 + B/W): B is the variance of the superchains' means; W is, averaged over superchains, the variance of their chains' means
    /// and the mean variance within the chains.
    fn nested_rhat(&self, means: &[f64], m2s: &[f64]) -> f64 {
        let size = self.chains / self.superchains;
        let of_superchains: Vec<_> = means.chunks_exact(size).map(mean_and_variance).collect();
        let centres: Vec<_> = of_superchains.iter().map(|s| s.0).collect();
        let spread = of_superchains.iter().map(|s| s.1).sum::<f64>() / self.superchains as f64;
        let within = m2s.iter().sum::<f64>() / self.chains as f64 / (self.draws.max(2) - 1) as f64;
        (1.0 + mean_and_variance(&centres).1 / (spread + within)).sqrt()
    }
}

fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0))
}
