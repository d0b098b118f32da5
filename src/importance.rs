//! ln Z by annealed importance sampling: ∫ exp(−E), with an error bar, and a bracket from both sides.

mod log_mean;

use std::{ops::ControlFlow, path::PathBuf, sync::Arc, time::Duration};

use log_mean::RELIABLE;
pub use log_mean::{LogMean, log_mean_exp};

use crate::{
    Backend, Error, Result, Schedule, Start,
    chains::{Chains, CpuChains, GpuChains, OnProgress, Progress, Report},
    energy::{Bridge, Energy, Gaussian},
    error::{countable, cut, positive},
    kernel::{Kernel, STAGE, Weighed},
    random::{Draws, Stream, key},
    start::spread,
};

/// A normalised density exp(−E₀)/Z₀ that can be sampled exactly.
#[derive(Debug, Clone)]
pub struct Base {
    energy: Arc<dyn Energy>,
    ln_z: f64,
    draws: Exact,
}

#[derive(Debug, Clone)]
enum Exact {
    Normal { mean: Vec<f64>, sds: Vec<f64> },
    Given(Start),
}

impl Base {
    /// N(m, diag s²): means and standard deviations s > 0, one number a coordinate. It should be wider than the target rather than
    /// narrower.
    ///
    /// # Errors
    /// As [`Gaussian::diagonal`].
    pub fn normal(mean: impl Into<Vec<f64>>, sds: impl Into<Vec<f64>>) -> Result<Self> {
        let (mean, sds) = (mean.into(), sds.into());
        let sds = spread("standard deviation of the base", &sds, mean.len())?;
        let energy = Gaussian::diagonal(mean.clone(), &sds)?;
        let ln_z = sds.iter().map(|sd| 0.5 * std::f64::consts::TAU.ln() + sd.ln()).sum();
        Ok(Self { energy: Arc::new(energy), ln_z, draws: Exact::Normal { mean, sds } })
    }

    /// Any energy of which ln ∫ exp(−E₀) is known, with exact draws of it, one a chain.
    pub fn with_draws(energy: impl Energy + 'static, ln_z: f64, draws: Start) -> Self {
        Self { energy: Arc::new(energy), ln_z, draws: Exact::Given(draws) }
    }

    /// ln ∫ exp(−E₀).
    pub fn ln_z(&self) -> f64 {
        self.ln_z
    }

    fn start(&self, chains: usize, seed: u64) -> Start {
        match &self.draws {
            Exact::Given(start) => start.clone(),
            Exact::Normal { mean, sds } => {
                let mut x = vec![0f32; mean.len() * chains];
                let mut z = vec![0.0; mean.len()];
                for chain in 0..chains {
                    Draws::new(key(seed, Stream::Base, 0), chain as u32, 0).normals(0, &mut z);
                    for i in 0..mean.len() {
                        x[i * chains + chain] = (mean[i] + sds[i] * z[i]) as f32;
                    }
                }
                Start::array(x)
            }
        }
    }
}

/// ln Z of a target, estimated from one side.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LogNormalizer {
    /// ln ∫ exp(−E₁).
    pub ln_z: f64,
    /// Standard error of ln Z.
    pub error: f64,
    /// Effective sample size of the chains' weights; see [`is_reliable`](Self::is_reliable).
    pub ess: f64,
    /// The logarithms of the weights, one a chain; forward, exp(log weight) weighs the chain's last position as a draw of the target.
    pub log_weights: Vec<f64>,
    /// The last positions, `[dim][chain]`.
    pub positions: Vec<f32>,
    /// What was run. Chains that start where the target has no density have weight zero and fail from then on.
    pub report: Report,
}

impl LogNormalizer {
    /// Whether the effective sample size of the weights is at least 50; else take more steps. Below, value and error cannot be trusted:
    /// the error is then too small.
    pub fn is_reliable(&self) -> bool {
        self.ess >= RELIABLE
    }
}

/// Annealed importance sampling (Neal 2001): chains start from exact draws of a base exp(−E₀) and go along
/// exp(−(1−β)E₀ − βE₁), with transitions of a Metropolis kernel at each β of a path from 0 to 1; the mean of the weights
/// Π exp(−(βₖ − βₖ₋₁)(E₁ − E₀)(xₖ₋₁)) is Z₁/Z₀, whether or not the chains keep up.
///
/// The estimate of Z is unbiased, that of ln Z too low in the mean, by about half its variance. From exact draws of the target,
/// [`reverse`](Self::reverse) estimates from above: the two bracket ln Z (Grosse, Ghahramani, Adams 2015).
///
/// ```
/// # use std::sync::Arc;
/// # use ergodic::{AnnealedImportance, Backend, Base, energy::DoubleWell, kernel::Hmc};
/// let base = Base::normal([0.0, 0.0], [1.0])?;
/// let importance = AnnealedImportance::linear(50).chains(256).seed(7);
/// let found = importance.forward(&Backend::cpu(), DoubleWell::new(2, 1.0)?, &base, Arc::new(Hmc::new(0.3, 3)))?;
/// assert!((found.ln_z - 1.35985).abs() < 4.0 * found.error);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Clone)]
pub struct AnnealedImportance {
    betas: Vec<f64>,
    steps_a_beta: u64,
    chains: usize,
    seed: u64,
    stage: &'static str,
    on_progress: Option<OnProgress>,
    checkpoint: Option<(PathBuf, Duration)>,
    resume: Option<PathBuf>,
}

impl std::fmt::Debug for AnnealedImportance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnnealedImportance")
            .field("betas", &self.betas)
            .field("steps_a_beta", &self.steps_a_beta)
            .field("chains", &self.chains)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl AnnealedImportance {
    /// Along a user's path 0 < β₁ ≤ … ≤ βₙ = 1.
    pub fn new(betas: impl Into<Vec<f64>>) -> Self {
        Self {
            betas: betas.into(),
            steps_a_beta: 1,
            chains: 4096,
            seed: 0,
            stage: STAGE,
            on_progress: None,
            checkpoint: None,
            resume: None,
        }
    }

    /// βₖ = k/n.
    pub fn linear(n: usize) -> Self {
        let n = cut(n as u64);
        Self::new((1..=n).map(|k| k as f64 / n as f64).collect::<Vec<_>>())
    }

    /// βₖ from `first` to 1 in geometric progression: for a target much narrower than the base, where most of the change is at small β.
    pub fn geometric(first: f64, n: u64) -> Self {
        let schedule = Schedule::geometric(first, 1.0, n);
        Self::new((0..cut(n)).map(|k| schedule.at(k)).collect::<Vec<_>>())
    }

    /// βₖ = (σ(d(2k/n − 1)) − σ(−d)) / (σ(d) − σ(−d)) with σ(t) = 1/(1 + exp(−t)): slow at both ends, the slower the larger d; Grosse,
    /// Ghahramani and Adams (2015) take d = 4.
    pub fn sigmoid(n: usize, d: f64) -> Self {
        let n = cut(n as u64);
        let sigmoid = |t: f64| 1.0 / (1.0 + (-t).exp());
        let beta = |k: u64| (sigmoid(d * (2.0 * k as f64 / n as f64 - 1.0)) - sigmoid(-d)) / (sigmoid(d) - sigmoid(-d));
        Self::new((1..=n).map(|k| if k == n { 1.0 } else { beta(k) }).collect::<Vec<_>>())
    }

    /// Transitions at each β; 1 unless said.
    pub fn steps_a_beta(self, steps: u64) -> Self {
        Self { steps_a_beta: steps, ..self }
    }

    /// Number of chains, each of which gives one weight; 4,096 unless said.
    pub fn chains(self, chains: usize) -> Self {
        Self { chains, ..self }
    }

    /// Seed of all random numbers; 0 unless said.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Called after every slice; `ControlFlow::Break` cancels the run with [`Error::Cancelled`].
    pub fn on_progress(self, f: impl Fn(Progress) -> ControlFlow<()> + Send + Sync + 'static) -> Self {
        Self { on_progress: Some(Arc::new(f)), ..self }
    }

    /// Saves the run to this file between slices, whenever so much time has passed since the last time, and when an error ends it: a
    /// cancellation and a time-out lose nothing, a lost device at most a slice. [`resume`](Self::resume) goes on from there.
    pub fn checkpoint(self, path: impl Into<PathBuf>, every: Duration) -> Self {
        Self { checkpoint: Some((path.into(), every)), ..self }
    }

    /// Goes on from a [`checkpoint`](Self::checkpoint) of a run with the same path, chains, seed, energies and kernel on the same
    /// backend, with the same bits as if it had not been interrupted.
    pub fn resume(self, path: impl Into<PathBuf>) -> Self {
        Self { resume: Some(path.into()), ..self }
    }

    /// With another text of its stage: for tests that plant a fault in it.
    #[doc(hidden)]
    pub fn with_stage(self, change: impl FnOnce(&'static str) -> &'static str) -> Self {
        Self { stage: change(self.stage), ..self }
    }

    /// From exact draws of the base to the target. Of a constrained target the base is a density of free coordinates.
    ///
    /// # Errors
    /// [`Error::Setting`] where the path does not rise to 1 or a weight is not a number; [`Error::Unsupported`] for kernels whose law is
    /// not exact, and for a base that is constrained (in reverse, also a target); and as
    /// [`Setup::build`](crate::chains::Setup::build) or [`Setup::resume`](crate::chains::Setup::resume), [`Chains::advance`], and
    /// [`Chains::save`].
    pub fn forward(
        &self,
        backend: &Backend,
        target: impl Energy + 'static,
        base: &Base,
        kernel: Arc<dyn Kernel>,
    ) -> Result<LogNormalizer> {
        let target: Arc<dyn Energy> = Arc::new(target);
        unconstrained("base", &base.energy)?;
        let bridge = Bridge::new(base.energy.clone(), target.clone())?;
        let (mean, mut found) = self.run(backend, bridge, kernel, base.start(self.chains, self.seed), self.betas.clone())?;
        if let Some(constraints) = target.constraints() {
            found.positions = constraints.positions(&found.positions, self.chains)?;
        }
        Ok(LogNormalizer { ln_z: base.ln_z + mean.value, ..found })
    }

    /// From exact draws of the target, one a chain, to the base, along the same path backwards.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn reverse(
        &self,
        backend: &Backend,
        target: impl Energy + 'static,
        base: &Base,
        kernel: Arc<dyn Kernel>,
        draws: Start,
    ) -> Result<LogNormalizer> {
        let target: Arc<dyn Energy> = Arc::new(target);
        unconstrained("base", &base.energy)?;
        unconstrained("target of annealed importance sampling in reverse", &target)?;
        let bridge = Bridge::new(target, base.energy.clone())?;
        let backwards = self.betas.iter().rev().skip(1).map(|beta| 1.0 - beta).chain([1.0]).collect();
        let (mean, found) = self.run(backend, bridge, kernel, draws, backwards)?;
        Ok(LogNormalizer { ln_z: base.ln_z - mean.value, ..found })
    }

    fn run(
        &self,
        backend: &Backend,
        bridge: Bridge,
        kernel: Arc<dyn Kernel>,
        start: Start,
        betas: Vec<f64>,
    ) -> Result<(LogMean, LogNormalizer)> {
        self.validate()?;
        let steps = (betas.len() as u64).saturating_mul(self.steps_a_beta);
        let kernel = Weighed::new(kernel, Schedule::levels(betas, self.steps_a_beta), self.stage);
        let mut setup = backend.chains(bridge, kernel).count(self.chains).seed(self.seed).start(start);
        setup.on_progress.clone_from(&self.on_progress);
        if let Some((path, every)) = &self.checkpoint {
            setup = setup.checkpoint(path, *every);
        }
        let resume = self.resume.as_deref();
        let (log_weights, positions, report) = match backend.gpu() {
            Some(gpu) => {
                let mut chains = match resume {
                    Some(path) => GpuChains::resume(gpu, setup, path)?,
                    None => GpuChains::new(gpu, setup)?,
                };
                self.advance(&mut chains, steps)?;
                (chains.log_weights()?, chains.positions()?, chains.report())
            }
            None => {
                let mut chains = match resume {
                    Some(path) => CpuChains::resume(setup, path)?,
                    None => CpuChains::new(setup)?,
                };
                self.advance(&mut chains, steps)?;
                (chains.log_weights(), chains.positions()?, chains.report())
            }
        };
        let mean = log_mean_exp(&log_weights)?;
        let LogMean { value, error, ess } = mean;
        Ok((mean, LogNormalizer { ln_z: value, error, ess, log_weights, positions, report }))
    }

    /// To the end of the path; what an error interrupts is saved. Where that fails too, the error that came first is returned.
    fn advance(&self, chains: &mut impl Chains, steps: u64) -> Result<()> {
        let done = chains.advance(steps.saturating_sub(chains.steps()));
        if let (Err(_), Some((path, _))) = (&done, &self.checkpoint)
            && let Err(e) = chains.save(path)
        {
            log::warn!("the interrupted run was not saved: {e}");
        }
        done
    }

    fn validate(&self) -> Result<()> {
        let name = "path of annealed importance sampling";
        countable(&format!("values of the {name}"), self.betas.len())?;
        self.betas.iter().try_for_each(|&beta| positive(name, beta).map(drop))?;
        if let Some(pair) = self.betas.windows(2).find(|pair| pair[0] > pair[1]) {
            return Err(Error::setting(name, format!("{} then {}", pair[0], pair[1]), "must rise"));
        }
        match self.betas.last() {
            Some(1.0) => {}
            Some(last) => return Err(Error::setting(name, last, "must end at 1")),
            None => return Err(Error::setting(name, "an empty list", "must hold at least the value 1")),
        }
        if self.steps_a_beta == 0 {
            return Err(Error::setting("steps at each beta", 0, "must be at least 1"));
        }
        Ok(())
    }
}

/// Refuses an energy whose draws are positions where free coordinates are wanted.
fn unconstrained(what: &str, energy: &Arc<dyn Energy>) -> Result<()> {
    match energy.constraints() {
        None => Ok(()),
        Some(_) => Err(Error::Unsupported(format!("{} is constrained and cannot be the {what}", energy.name()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_a_mean_by_hand() {
        let mean = log_mean_exp(&[0.0, 0.0, f64::NEG_INFINITY, 0.0]).unwrap();
        assert!((mean.value - 0.75f64.ln()).abs() < 1e-15);
        // Variance of (1, 1, 0, 1) is 1/4, so the error is 1/4 over 3/4.
        assert!((mean.error - 1.0 / 3.0).abs() < 1e-15 && (mean.ess - 3.0).abs() < 1e-15);
        assert!((log_mean_exp(&[-5000.0, -5000.0]).unwrap().value + 5000.0).abs() < 1e-12);
    }

    #[test]
    fn weights_that_are_no_numbers_are_refused() {
        assert!(log_mean_exp(&[]).is_err());
        assert!(log_mean_exp(&[0.0, f64::NAN]).is_err());
        assert!(log_mean_exp(&[f64::INFINITY]).is_err());
        assert_eq!(log_mean_exp(&[f64::NEG_INFINITY]).unwrap().ess, 0.0);
    }

    #[test]
    fn paths_end_at_one() {
        for path in [AnnealedImportance::linear(7), AnnealedImportance::geometric(1e-3, 9), AnnealedImportance::sigmoid(8, 4.0)]
        {
            path.validate().unwrap();
        }
        for bad in [vec![], vec![0.5], vec![0.6, 0.5, 1.0], vec![0.0, 1.0], vec![f64::NAN, 1.0]] {
            assert!(AnnealedImportance::new(bad).validate().is_err());
        }
    }
}
