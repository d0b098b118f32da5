//! The Ising model on a torus, E = −Σ s s' over neighbours with s = ±1, by heat-bath Gibbs in checkerboard order: a discrete energy
//! whose exact answers are known (Onsager 1944; on a finite torus Kaufman 1949).

mod gpu;

use rayon::prelude::*;

use crate::{
    Backend, Error, Result,
    error::{positive, room},
    random::{Epochs, Stream, key, threefry},
    rbm::States,
};
use gpu::GpuIsing;

/// Chains of the model at one temperature. A sweep draws the sites of one colour, then those of the other. The device and the CPU
/// agree bit for bit.
///
/// ```
/// # use ergodic::{Backend, ising::Ising};
/// let mut chains = Ising::new(&Backend::cpu(), 16, 3.0, 320, 7)?;
/// chains.advance(50)?;
/// let found = chains.collect(10, 5)?;
/// assert!((found.energy - -0.8172).abs() < 0.02); // a site, at T = 3
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug)]
pub struct Ising {
    engine: Engine,
    side: usize,
    inverse_temperature: f64,
    chains: usize,
    seed: u64,
    sweeps: u64,
}

#[derive(Debug)]
enum Engine {
    /// Words `[site][group]`, as on the device.
    Cpu(Vec<u32>),
    Gpu(Box<GpuIsing>),
}

/// What was measured, a site. Errors are over independent chains.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// ⟨E⟩ / N.
    pub energy: f64,
    /// Its standard error.
    pub energy_mcse: f64,
    /// (⟨E²⟩ − ⟨E⟩²) / (N T²).
    pub heat_capacity: f64,
    /// Its standard error.
    pub heat_capacity_mcse: f64,
    /// ⟨|Σ s|⟩ / N.
    pub magnetisation: f64,
}

impl Ising {
    /// Chains on an L × L torus at a temperature; all spins start up.
    ///
    /// # Errors
    /// [`Error::Setting`] where L is odd or below four, the temperature is not above zero, or there are fewer than two chains;
    /// [`Error::Limit`] where they do not fit the device; errors of the device.
    pub fn new(backend: &Backend, side: usize, temperature: f64, chains: usize, seed: u64) -> Result<Self> {
        if side < 4 || side % 2 == 1 || side > 4096 {
            return Err(Error::setting("side of the torus", side, "must be even, for two colours, from 4 to 4,096"));
        }
        if !(2..1 << 31).contains(&chains) {
            return Err(Error::setting("chains", chains, "must be at least 2, for an error bar, and below 2³¹"));
        }
        let inverse_temperature = 1.0 / positive("temperature", temperature)?;
        let words = (side * side) as u64 * chains.div_ceil(32) as u64;
        if words > 1 << 31 {
            return Err(Error::Limit {
                what: "words of spins".into(),
                asked: words,
                allowed: 1 << 31,
                limit: "32-bit indices".into(),
            });
        }
        room("words of spins", words as usize, size_of::<u32>())?;
        let spins = vec![u32::MAX; words as usize];
        let engine = match backend.gpu() {
            Some(gpu) => Engine::Gpu(Box::new(GpuIsing::new(gpu, side, thresholds(inverse_temperature), &spins)?)),
            None => Engine::Cpu(spins),
        };
        Ok(Self { engine, side, inverse_temperature, chains, seed, sweeps: 0 })
    }

    /// Runs sweeps.
    ///
    /// # Errors
    /// [`Error::CutShort`] where the driver does not run a sweep to its end; errors of the device.
    pub fn advance(&mut self, sweeps: u64) -> Result<()> {
        match &mut self.engine {
            Engine::Cpu(spins) => {
                on_cpu(
                    spins,
                    self.side,
                    thresholds(self.inverse_temperature),
                    self.seed,
                    self.sweeps..self.sweeps.saturating_add(sweeps),
                );
                self.sweeps = self.sweeps.saturating_add(sweeps);
                Ok(())
            }
            Engine::Gpu(chains) => chains.advance(self.seed, &mut self.sweeps, sweeps),
        }
    }

    /// The spins, a unit a site in rows of L: one is up.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn spins(&self) -> Result<States> {
        let words = match &self.engine {
            Engine::Cpu(spins) => spins.clone(),
            Engine::Gpu(chains) => chains.spins()?,
        };
        Ok(States::from_words(self.side * self.side, self.chains, words))
    }

    /// Measures `draws` times, `thin` sweeps apart.
    ///
    /// # Errors
    /// [`Error::Setting`] where either is zero; as [`advance`](Self::advance).
    pub fn collect(&mut self, draws: u64, thin: u64) -> Result<Summary> {
        if draws == 0 || thin == 0 {
            return Err(Error::setting("draws and thinning", format!("{draws}, {thin}"), "must be at least 1"));
        }
        let (mut sums, mut squares, mut magnetisation) = (vec![0.0; self.chains], vec![0.0; self.chains], 0.0);
        for _ in 0..draws {
            self.advance(thin)?;
            for (chain, (energy, spin)) in measure(&self.spins()?, self.side).into_iter().enumerate() {
                sums[chain] += energy / draws as f64;
                squares[chain] += energy * energy / draws as f64;
                magnetisation += spin.abs() / draws as f64;
            }
        }
        let (n, sites) = (self.chains as f64, (self.side * self.side) as f64);
        let mean_and_error = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / n;
            (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt())
        };
        let (energy, energy_error) = mean_and_error(&sums);
        // The variance about the mean of all chains, chain by chain.
        let spread: Vec<_> =
            sums.iter().zip(&squares).map(|(sum, square)| square - 2.0 * energy * sum + energy * energy).collect();
        let (variance, variance_error) = mean_and_error(&spread);
        let scale = self.inverse_temperature.powi(2) / sites;
        Ok(Summary {
            energy: energy / sites,
            energy_mcse: energy_error / sites,
            // The mean of all chains has an error of its own, which the spread about it lacks.
            heat_capacity: scale * (variance + energy_error.powi(2)),
            heat_capacity_mcse: scale * variance_error,
            magnetisation: magnetisation / n / sites,
        })
    }
}

/// 2³² p(up) with 0 to 4 neighbours up: p = 1 / (1 + exp(−2K Σ s')).
fn thresholds(inverse_temperature: f64) -> [u32; 5] {
    std::array::from_fn(|up| {
        let neighbours = 2.0 * up as f64 - 4.0;
        (4_294_967_296.0 / (1.0 + (-2.0 * inverse_temperature * neighbours).exp())) as u32
    })
}

/// The twin of `shaders/rbm/checkerboard.wgsl`.
fn on_cpu(spins: &mut [u32], side: usize, up: [u32; 5], seed: u64, sweeps: std::ops::Range<u64>) {
    let sites = side * side;
    let groups = spins.len() / sites;
    let epochs = Epochs::new(sites as u32);
    let run = |group: usize| {
        let mut lattice: Vec<_> = (0..sites).map(|site| spins[site * groups + group]).collect();
        for sweep in sweeps.clone() {
            let key = key(seed, Stream::Transition, epochs.epoch(sweep));
            let index = epochs.step_in_epoch(sweep) * sites as u32;
            for colour in 0..2 {
                for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))).filter(|(y, x)| (x + y) % 2 == colour) {
                    let rows = [(y, x + 1), (y, x + side - 1), (y + 1, x), (y + side - 1, x)];
                    let around = rows.map(|(y, x)| lattice[y % side * side + x % side]);
                    let mut drawn = 0;
                    for pair in 0..16 {
                        let words = threefry(key, [(16 * group + pair) as u32, index + (y * side + x) as u32]);
                        for (word, bit) in words.into_iter().zip(2 * pair..) {
                            let count: u32 = around.iter().map(|spins| spins >> bit & 1).sum();
                            drawn |= u32::from(word < up[count as usize]) << bit;
                        }
                    }
                    lattice[y * side + x] = drawn;
                }
            }
        }
        lattice
    };
    let lattices: Vec<_> = (0..groups).into_par_iter().map(run).collect();
    for (group, lattice) in lattices.iter().enumerate() {
        lattice.iter().enumerate().for_each(|(site, &word)| spins[site * groups + group] = word);
    }
}

/// Energy and sum of spins of every chain.
fn measure(spins: &States, side: usize) -> Vec<(f64, f64)> {
    let (words, groups) = (spins.words(), spins.groups());
    let of_group = |group: usize| {
        let at = |y: usize, x: usize| words[(y % side * side + x % side) * groups + group];
        let (mut unequal, mut up) = (Counters::default(), Counters::default());
        for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
            let here = at(y, x);
            unequal.add(here ^ at(y, x + 1));
            unequal.add(here ^ at(y + 1, x));
            up.add(here);
        }
        let sites = (side * side) as f64;
        let chain = move |bit| (2.0 * unequal.of(bit) - 2.0 * sites, 2.0 * up.of(bit) - sites);
        (0..32).map(chain).collect::<Vec<_>>()
    };
    let mut measured = (0..groups).into_par_iter().map(of_group).collect::<Vec<_>>().concat();
    measured.truncate(spins.chains());
    measured
}

/// 32 counters, one a bit, as planes of bits.
#[derive(Debug, Clone, Copy, Default)]
struct Counters([u32; 28]);

impl Counters {
    fn add(&mut self, mut carry: u32) {
        for plane in &mut self.0 {
            if carry == 0 {
                return;
            }
            (*plane, carry) = (*plane ^ carry, *plane & carry);
        }
    }

    fn of(&self, bit: u32) -> f64 {
        self.0.iter().zip(0..).map(|(plane, power)| f64::from(plane >> bit & 1) * f64::from(power).exp2()).sum()
    }
}
