//! What is measured: an energy in some dimension, a kernel, and a number of chains.

use std::{f64::consts::TAU, fmt, sync::Arc, time::Duration};

use ergodic::{
    Backend, Result, Start,
    chains::Setup,
    energy::{DoubleWell, Energy, Mixture},
    kernel::{Hmc, Kernel, Mala, Rwm, Ula},
    random::{Draws, Stream, key},
};
use serde::{Deserialize, Serialize};

/// The energies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// Eight Gaussians of standard deviation 0.5 on a circle of radius 4 in the first two coordinates.
    Mixture8,
    /// Height 1.
    DoubleWell,
}

/// The kernels, with step sizes that accept often; hmc10 takes ten leapfrog steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Move {
    Rwm,
    Ula,
    Mala,
    Hmc10,
}

impl Move {
    pub(crate) const ALL: [Self; 4] = [Self::Rwm, Self::Ula, Self::Mala, Self::Hmc10];
}

/// One line of the benchmark, to be run on each backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) energy: Target,
    pub(crate) dim: usize,
    pub(crate) kernel: Move,
    pub(crate) chains: usize,
}

impl Case {
    fn target(&self) -> Result<Arc<dyn Energy>> {
        let means: Vec<_> = (0..8).map(|j| self.mean(j)).collect();
        Ok(match self.energy {
            Target::Mixture8 => Arc::new(Mixture::new(&[1.0; 8], &means, &[SD; 8])?),
            Target::DoubleWell => Arc::new(DoubleWell::new(self.dim, 1.0)?),
        })
    }

    /// The mean of component j of the mixture.
    fn mean(&self, j: usize) -> Vec<f64> {
        let angle = TAU * j as f64 / 8.0;
        let mut mean = vec![0.0; self.dim];
        (mean[0], mean[1]) = (4.0 * angle.cos(), 4.0 * angle.sin());
        mean
    }

    /// Exact draws of the target, [dim][chain]: the acceptance of a run means something from its first step on, and no
    /// unadjusted chain of the double well begins where it would escape.
    pub(crate) fn start(&self) -> Start {
        let mut positions = vec![0f32; self.dim * self.chains];
        for chain in 0..self.chains {
            let draws = Draws::new(key(1, Stream::Start, 0), chain as u32, 0);
            let x = match self.energy {
                Target::Mixture8 => {
                    let mut z = vec![0.0; self.dim];
                    draws.normals(0, &mut z);
                    self.mean(chain % 8).iter().zip(&z).map(|(mean, z)| mean + SD * z).collect()
                }
                Target::DoubleWell => double_well_draws(&draws, self.dim),
            };
            for (i, x) in x.iter().enumerate() {
                positions[i * self.chains + chain] = *x as f32;
            }
        }
        Start::array(positions)
    }

    fn kernel(&self) -> Arc<dyn Kernel> {
        match (self.kernel, self.energy) {
            (Move::Rwm, _) => Arc::new(Rwm::new(0.5)),
            (Move::Ula, _) => Arc::new(Ula::new(0.05)),
            (Move::Mala, Target::Mixture8) => Arc::new(Mala::new(0.1)),
            (Move::Mala, Target::DoubleWell) => Arc::new(Mala::new(0.05)),
            (Move::Hmc10, Target::Mixture8) => Arc::new(Hmc::new(0.15, 10)),
            (Move::Hmc10, Target::DoubleWell) => Arc::new(Hmc::new(0.1, 10)),
        }
    }

    /// The run.
    pub(crate) fn setup(&self, backend: &Backend, start: Start) -> Result<Setup> {
        Ok(backend.chains_of(self.target()?, self.kernel()).count(self.chains).seed(1).start(start).timeout(TIMEOUT))
    }

    /// The CPU reference costs the same a chain whatever their number, so in two dimensions few numbers say all.
    pub(crate) fn on_cpu(&self) -> bool {
        self.dim > 2 || [1 << 10, 1 << 16].contains(&self.chains)
    }
}

/// Independent draws from exp(-(x² - 1)²), by rejection from a box beyond which there is less than e⁻⁶⁴ of it.
fn double_well_draws(draws: &Draws, dim: usize) -> Vec<f64> {
    let proposals = (0..).map(|slot| (6.0 * draws.uniform(2 * slot) - 3.0, draws.uniform(2 * slot + 1)));
    proposals.filter(|(x, u)| u.ln() < -(x * x - 1.0).powi(2)).map(|(x, _)| x).take(dim).collect()
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}-D, {:?}, {} chains", self.energy, self.dim, self.kernel, self.chains)
    }
}

/// Coordinates of all chains together where the dimension varies.
const COORDINATES: usize = 1 << 17;
/// Software Vulkan compiles a pipeline when it is first used, which takes long in high dimensions.
const TIMEOUT: Duration = Duration::from_secs(600);
/// Standard deviation of a component of the mixture.
const SD: f64 = 0.5;

/// Every case; or, quickly, the main ones.
pub(crate) fn cases(quick: bool) -> Vec<Case> {
    let chains = |energy, exponents: &[u32]| shapes(energy, exponents.iter().map(|e| (2, 1 << e)));
    let dims = |energy, dims: &[usize]| shapes(energy, dims.iter().map(|&dim| (dim, COORDINATES / dim)));
    let groups = if quick {
        vec![chains(Target::Mixture8, &[10, 16, 20]), chains(Target::DoubleWell, &[16]), dims(Target::DoubleWell, &[128])]
    } else {
        [Target::Mixture8, Target::DoubleWell]
            .into_iter()
            .flat_map(|energy| [chains(energy, &[10, 12, 14, 16, 18, 20]), dims(energy, &[10, 32, 128, 512])])
            .collect()
    };
    groups.concat()
}

fn shapes(energy: Target, shapes: impl Iterator<Item = (usize, usize)>) -> Vec<Case> {
    shapes.flat_map(|(dim, chains)| Move::ALL.map(|kernel| Case { energy, dim, kernel, chains })).collect()
}
