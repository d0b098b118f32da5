//! Everything that defines a run, checked before a device is touched.

use std::{
    fmt,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Chains, CpuChains, GpuChains,
    progress::{OnProgress, Progress},
};
use crate::{
    Backend, Error, Result, Schedule, Start,
    check::is_one_point,
    energy::{Energy, Reparametrised},
    error::{positive, room},
    kernel::{Control, Kernel},
    program::check_dim,
    random::{Draws, Stream, key},
    store::checkpoint::Plan,
    transform::Outside,
};

/// The first block of random bits for free coordinates that move no position, far from those of any start.
const IDLE_SLOT: u32 = 1 << 20;

/// A run to be built: target, kernel, number of chains, seed, start.
#[derive(Clone)]
pub struct Setup {
    pub(crate) backend: Backend,
    pub(crate) target: Arc<dyn Energy>,
    /// The target as it was given, before its parameters were replaced.
    base: Arc<dyn Energy>,
    pub(crate) kernel: Arc<dyn Kernel>,
    pub(crate) chains: usize,
    pub(crate) first_chain: u32,
    pub(crate) seed: u64,
    /// None: a standard normal in free coordinates.
    pub(crate) start: Option<Start>,
    superchains: Option<usize>,
    pub(crate) temperature: Schedule,
    pub(crate) timeout: Duration,
    pub(crate) slice: Duration,
    pub(crate) memory_budget: Option<u64>,
    pub(crate) spare_copy: u64,
    pub(crate) on_progress: Option<OnProgress>,
    pub(crate) checkpoint: Option<Plan>,
    /// The number of the first step; above 0 where a run goes on.
    pub(crate) first_step: u64,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_as("Setup", self.first_step, f)
    }
}

impl Setup {
    /// Itself, or chains that were built from it, in short: the error of a test shows it.
    pub(crate) fn fmt_as(&self, name: &str, steps: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("energy", &self.target.name())
            .field("kernel", &self.kernel.name())
            .field("chains", &self.chains)
            .field("steps", &steps)
            .field("seed", &self.seed)
            .field("backend", &self.backend.describe())
            .finish_non_exhaustive()
    }
}

impl Setup {
    pub(crate) fn new(backend: Backend, target: Arc<dyn Energy>, kernel: Arc<dyn Kernel>) -> Self {
        let temperature = kernel.temperature().cloned().unwrap_or(Schedule::Constant(1.0));
        Self {
            backend,
            base: target.clone(),
            target,
            kernel,
            chains: 1024,
            first_chain: 0,
            seed: 0,
            start: None,
            superchains: None,
            temperature,
            timeout: Duration::from_secs(60),
            slice: Duration::from_millis(75),
            memory_budget: None,
            spare_copy: 32 << 20,
            on_progress: None,
            checkpoint: None,
            first_step: 0,
        }
    }

    /// Number of chains; 1,024 unless said.
    pub fn count(self, chains: usize) -> Self {
        Self { chains, ..self }
    }

    /// Global id of the first chain, for runs that are split over devices; 0 unless said.
    pub fn first_chain(self, first_chain: u32) -> Self {
        Self { first_chain, ..self }
    }

    /// Seed of all random numbers; 0 unless said.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Where the chains start; standard normal unless said (in free coordinates, where the energy is constrained).
    pub fn start(self, start: Start) -> Self {
        Self { start: Some(start), ..self }
    }

    /// Groups of chains that start at one point each, for nested R-hat (Margossian et al. 2024): it compares the groups, so it comes
    /// close to one after few draws where the groups are large, and stays away from one where chains keep to where they started.
    /// The number of chains must be a multiple of it; an array of starts then has one column a superchain. Unless said, every chain
    /// has a start of its own and is a superchain of one; R-hat then takes some fifty effective draws a chain to reach 1.01.
    pub fn superchains(self, superchains: usize) -> Self {
        Self { superchains: Some(superchains), ..self }
    }

    /// T of exp(−E/T), a number or a schedule; 1 unless said.
    pub fn temperature(self, temperature: impl Into<Schedule>) -> Self {
        Self { temperature: temperature.into(), ..self }
    }

    /// How long to wait for the device before [`Error::Timeout`]; 60 s unless said.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How long one submission to the device should take; 75 ms unless said. Longer ones waste less, shorter ones keep a
    /// desktop responsive.
    pub fn slice(self, slice: Duration) -> Self {
        Self { slice, ..self }
    }

    /// Bytes of device memory, on the CPU reference of host memory, that the chains may take; unless said, what the device has, and
    /// where that is the host's memory (the CPU reference, a software rasteriser), what the host can grant.
    pub fn memory_budget(self, bytes: u64) -> Self {
        Self { memory_budget: Some(bytes), ..self }
    }

    /// Bytes of host memory that a copy of the chains' state may take; 32 MiB unless said. It is taken with every slice (of slices
    /// shorter than 40 ms not with each), so that a lost device loses at most one: after [`Error::DeviceLost`] the chains stand where
    /// the copy does, [`Chains::positions`] and [`Chains::save`] give what it has, and [`resume`](Self::resume) on another device goes
    /// on with the same bits, in a warm-up too. Where (2 dim + 1 + moments) × chains × 4 bytes are more than this
    /// there is no copy, and with 0 there is none at all; the moments take 3 (dim + 1) + 1, with HMC 3 (dim + 2) + 3, numbers a chain.
    pub fn spare_copy(self, most_bytes: u64) -> Self {
        Self { spare_copy: most_bytes, ..self }
    }

    /// Called after every slice; `ControlFlow::Break` cancels the run with [`Error::Cancelled`].
    pub fn on_progress(self, f: impl Fn(Progress) -> ControlFlow<()> + Send + Sync + 'static) -> Self {
        Self { on_progress: Some(Arc::new(f)), ..self }
    }

    /// Saves the run to this file (see [`Chains::save`]) during warm-ups, `advance` and `collect`, between slices, whenever so much time has
    /// passed since the last time. After the loss of the process or the machine, what came since then is lost. With `Duration::ZERO`
    /// every slice is saved before the next begins, and at most one slice is lost; the device then waits for the disk after each. Of a
    /// lost device there is a copy, see [`spare_copy`](Self::spare_copy). A time-out or a cancellation loses nothing. A call that ends does not save; call [`Chains::save`].
    ///
    /// A file that is there already is overwritten by the first save, also where the run was built and not resumed.
    pub fn checkpoint(self, path: impl Into<PathBuf>, every: Duration) -> Self {
        Self { checkpoint: Some(Plan { path: path.into(), every }), ..self }
    }

    /// Builds the chains as a checkpoint has them, where the run that saved it had the same settings on the same backend: energy,
    /// kernel, temperature, number of chains, first chain, superchains and seed. The start is not used again. What follows has the
    /// same bits as in a run that was never interrupted, on the same device and driver; to a collection add with
    /// [`Collect::go_on`](crate::Collect::go_on).
    ///
    /// The twin of an energy or a kernel in Rust is not part of the comparison; its WGSL and parameters are.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be read; [`Error::Checkpoint`] where it is damaged, of another version, or of another run,
    /// and says what differs; else as [`build`](Self::build).
    pub fn resume(self, path: impl AsRef<Path>) -> Result<Box<dyn Chains>> {
        Ok(match self.backend.gpu().cloned() {
            Some(gpu) => Box::new(GpuChains::resume(&gpu, self, path.as_ref())?),
            None => Box::new(CpuChains::resume(self, path.as_ref())?),
        })
    }

    /// The number of the first step, for a run that goes on from positions which were kept.
    pub(crate) fn first_step(self, first_step: u64) -> Self {
        Self { first_step, ..self }
    }

    /// Replaces the parameters of the target.
    pub(crate) fn set_params(&mut self, params: &[f32]) -> Result<()> {
        self.target = Arc::new(Reparametrised::new(self.base.clone(), params)?);
        Ok(())
    }

    /// The free coordinates of positions that chains are put to, `[dim][chain]` both.
    pub(crate) fn placed(&self, positions: &[f32]) -> Result<Vec<f32>> {
        let mut placed = Start::array(positions).positions(self.target.dim(), self.first_chain, self.chains, 1, self.seed)?;
        self.free(&mut placed, self.chains, 1)?;
        Ok(placed)
    }

    /// Builds the chains on the backend.
    ///
    /// # Errors
    /// Settings out of range, dimensions or counts that do not fit, a start that no chain can stand on, a gradient that does not
    /// fit its energy, WGSL that is wrong, a [`checkpoint`](Self::checkpoint) that cannot be written, and errors of the device.
    pub fn build(self) -> Result<Box<dyn Chains>> {
        Ok(match self.backend.gpu().cloned() {
            Some(gpu) => Box::new(GpuChains::new(&gpu, self)?),
            None => Box::new(CpuChains::new(self)?),
        })
    }

    /// Where a run that was saved last at that time should be saved now, if it should.
    pub(crate) fn save_due(&self, saved: Instant) -> Option<&Path> {
        self.checkpoint.as_ref().filter(|plan| saved.elapsed() >= plan.every).map(|plan| plan.path.as_path())
    }

    /// Refuses chains that take more than the memory budget, or, where it is the host's memory, more than that has.
    pub(crate) fn check_memory(&self, bytes_a_chain: u64, is_host: bool) -> Result<()> {
        let asked = (self.chains as u64).saturating_mul(bytes_a_chain);
        match self.memory_budget {
            Some(allowed) if asked > allowed => {
                Err(Error::Limit { what: "bytes of chains".into(), asked, allowed, limit: "the memory budget".into() })
            }
            _ if is_host => room("chains", self.chains, bytes_a_chain as usize),
            _ => Ok(()),
        }
    }

    /// The start in free coordinates, `[dim][chain]`, of settings that were checked; and whether all chains start at one point.
    pub(crate) fn starts(&self) -> Result<(Vec<f32>, bool)> {
        // A superchain starts where its first chain would.
        let superchains = self.superchains.unwrap_or(self.chains);
        let size = self.chains / superchains;
        let start = self.start.clone().unwrap_or_default();
        let mut starts = start.positions(self.target.dim(), self.first_chain, superchains, size as u32, self.seed)?;
        let is_one_point = is_one_point(&starts, superchains);
        if self.start.is_some() {
            self.free(&mut starts, superchains, size as u32)?;
        }
        let starts = if size == 1 { starts } else { starts.into_iter().flat_map(|x| std::iter::repeat_n(x, size)).collect() };
        Ok((starts, is_one_point))
    }

    /// Replaces the positions of so many chains, each `stride` after the one before it, by free coordinates. Those that move no position
    /// get a draw of their law.
    fn free(&self, starts: &mut [f32], chains: usize, stride: u32) -> Result<()> {
        let Some(constraints) = self.target.constraints() else { return Ok(()) };
        let idle: Vec<_> = constraints.idle().collect();
        let mut normals = vec![0.0; idle.len()];
        for chain in 0..chains {
            let id = self.first_chain.wrapping_add((chain as u32).wrapping_mul(stride));
            let mut point: Vec<_> = starts.iter().skip(chain).step_by(chains).map(|&x| f64::from(x)).collect();
            constraints.free(&mut point).map_err(|Outside { coordinate, why }| Error::Start {
                chain: u64::from(id),
                coordinate: Some(coordinate),
                why,
            })?;
            Draws::new(key(self.seed, Stream::Start, 0), id, IDLE_SLOT).normals(0, &mut normals);
            idle.iter().zip(&normals).for_each(|(&i, &z)| point[i] = z);
            point.iter().enumerate().for_each(|(i, &y)| starts[i * chains + chain] = y as f32);
        }
        Ok(())
    }

    /// Checks everything that can be checked without a device, but for the start.
    pub(crate) fn check_settings(&self) -> Result<()> {
        let dim = self.target.dim();
        check_dim(dim)?;
        if self.chains == 0 {
            return Err(Error::setting("number of chains", 0, "must be at least 1"));
        }
        let last = (self.chains as u64).saturating_add(u64::from(self.first_chain));
        if last > 1 << 32 {
            return Err(Error::Limit {
                what: "chains".into(),
                asked: last,
                allowed: 1 << 32,
                limit: "the 32-bit chain id".into(),
            });
        }
        if (self.chains as u64).checked_mul(dim as u64 * 4).is_none_or(|bytes| bytes > isize::MAX as u64) {
            let limit = "the address space".to_owned();
            return Err(Error::Limit {
                what: "chains".into(),
                asked: self.chains as u64,
                allowed: isize::MAX as u64 / 4 / dim as u64,
                limit,
            });
        }
        self.kernel.validate(&*self.target)?;
        match self.kernel.temperature() {
            None => self.temperature.validate("temperature", positive)?,
            // Its own check, which may allow zero.
            Some(own) if *own == self.temperature => {}
            Some(_) => {
                let why = "the kernel sets its own temperature; leave Setup::temperature out";
                return Err(Error::setting("temperature", format!("{:?}", self.temperature), why));
            }
        }
        if self.target.constraints().is_some() && !matches!(self.temperature, Schedule::Constant(1.0)) {
            return Err(Error::Unsupported(format!(
                "{} has no temperature: a power of the density of free coordinates is not one of positions. Scale the energy before it \
                 is constrained (Compose::at_temperature)",
                self.target.name()
            )));
        }
        if self.kernel.noise_level().is_some() && !self.target.has_noise_levels() {
            return Err(Error::Unsupported(format!(
                "{} needs the energy at each noise level, which {} does not have; anneal by temperature instead (Ula::temperature)",
                self.kernel.name(),
                self.target.name()
            )));
        }
        if self.kernel.noise_level().is_none() && !self.target.has_values() {
            return Err(Error::Unsupported(format!(
                "{} is a score alone, without an energy that {} could go by; use Reverse, ProbabilityFlow or Annealed, or learn an energy",
                self.target.name(),
                self.kernel.name()
            )));
        }
        if self.kernel.noise_level().is_none() && self.target.needs_noise() {
            return Err(Error::Unsupported(format!(
                "{} is an energy at noise levels above zero alone, which {} does not have; use Reverse, ProbabilityFlow or Annealed",
                self.target.name(),
                self.kernel.name()
            )));
        }
        if let Some(i) = self.target.params().iter().position(|p| !p.is_finite()) {
            return Err(Error::setting(
                format!("parameter {i} of {}", self.target.name()),
                self.target.params()[i],
                "must be finite",
            ));
        }
        let rungs = self.rungs();
        if !self.chains.is_multiple_of(rungs) || !(self.first_chain as usize).is_multiple_of(rungs) {
            let value = format!("{} from {} on", self.chains, self.first_chain);
            let why = format!("both must be multiples of the rungs of a ladder, {rungs}");
            return Err(Error::setting("number of chains", value, why));
        }
        let superchains = self.superchains.unwrap_or(self.chains);
        let groups = if self.superchains.is_some() { self.chains / rungs } else { self.chains };
        if superchains == 0 || !groups.is_multiple_of(superchains) {
            let what = if rungs > 1 { "ladders" } else { "chains" };
            let why = format!("must be at least 1 and divide the number of {what}, {groups}");
            return Err(Error::setting("superchains", superchains, why));
        }
        let size = self.chains / superchains;
        if !(self.first_chain as usize).is_multiple_of(size) {
            let why = format!("must be a multiple of the chains of a superchain, {size}");
            return Err(Error::setting("first chain", self.first_chain, why));
        }
        self.checkpoint.as_ref().map_or(Ok(()), Plan::check)
    }

    /// Groups of chains that start at one point each.
    pub(crate) fn superchain_count(&self) -> usize {
        self.superchains.unwrap_or(self.chains / self.rungs())
    }

    /// Chains of a ladder of temperatures; 1 where chains go alone.
    pub(crate) fn rungs(&self) -> usize {
        self.kernel.ladder().map_or(1, |ladder| ladder.rungs())
    }

    /// Whether step size, temperature, noise level or leapfrog steps change with the step.
    pub(crate) fn is_scheduled(&self) -> bool {
        self.controls(0, 1).len() > 1
    }

    /// The schedule values of step..=step + steps, or a single row if they never change from here on. The row after the last is
    /// read for its noise level: a transition evaluates its new point at the next step's.
    pub(crate) fn controls(&self, step: u64, steps: u64) -> Vec<Control> {
        let (least, most) = self.kernel.substeps();
        let settled = |schedule: &Schedule| schedule.settles().is_some_and(|from| from <= step);
        let schedules =
            [Some(self.kernel.step_size()), Some(&self.temperature), self.kernel.noise_level(), self.kernel.bridge()];
        let rows = if least == most && schedules.iter().flatten().all(|s| settled(s)) { 1 } else { steps + 1 };
        (step..step + rows).map(|k| self.control(k, least, most)).collect()
    }

    /// σ² of the noise level at a step.
    pub(crate) fn noise_variance(&self, step: u64) -> f64 {
        self.kernel.noise_level().map_or(0.0, |_| f64::from(self.controls(step, 0)[0].level))
    }

    fn control(&self, step: u64, least: u32, most: u32) -> Control {
        let substeps = if least == most {
            most
        } else {
            let draws = Draws::new(key(self.seed, Stream::Substeps, step), 0, 0);
            least + (draws.uniform(0) * f64::from(most - least + 1)) as u32
        };
        Control::at(&*self.kernel, &self.temperature, substeps, step)
    }

    /// The starting momenta, `[dim][chain]`: velocities from N(0, T).
    pub(crate) fn momenta(&self) -> Vec<f32> {
        let dim = self.target.dim();
        let scale = self.temperature.at(0).sqrt();
        let mut p = vec![0f32; dim * self.chains];
        let mut z = vec![0.0; dim];
        for chain in 0..self.chains {
            let id = self.first_chain.wrapping_add(chain as u32);
            Draws::new(key(self.seed, Stream::Momentum, 0), id, 0).normals(0, &mut z);
            for i in 0..dim {
                p[i * self.chains + chain] = (scale * z[i]) as f32;
            }
        }
        p
    }
}
