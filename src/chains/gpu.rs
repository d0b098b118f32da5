//! Chains on a GPU: K steps in one dispatch with the state in registers, two slices in flight, each with a proof of completion.

mod checkpoint;
mod draws;
mod failures;
mod segment;
mod sizes;
mod slice;
mod spare;
mod start;
mod trial;

use std::{
    collections::VecDeque,
    fmt,
    path::Path,
    time::{Duration, Instant},
};

use self::{
    sizes::chunk_sizes,
    slice::Slice,
    spare::{Confirmed, Spare},
};
use super::{
    Chains, Collect, Report, Setup, Tally,
    chunk::{self, Chunk},
    collect::{Collecting, collect},
    cpu::next_steps,
    moments::{Moments, SEGMENT},
    progress::{Call, Phase},
    report::Clock,
    rows::Rows,
    summary::Summary,
    tally::Ledger,
};
use crate::{
    Error, Gpu, Result, Warmup,
    adapt::{self, Adapted},
    counted::counted,
    pipelines::Pipelines,
    store::{Sink, Storing},
};

/// Steps of one dispatch: a tally of accepted steps has 16 bits.
const MAX_STEPS: u64 = 65_535;
/// As in shaders/stage/weigh.wgsl.
const WEIGHT_LIMIT: f64 = 1e29;

/// Chains on a GPU.
///
/// The state stands in a ring of three buffers (two where many chunks make a slice): a slice reads one and writes the next, so that a slice which the driver cut
/// short is discarded by not using what it wrote.
pub struct GpuChains {
    gpu: Gpu,
    setup: Setup,
    rows: Rows,
    starts_at_one_point: bool,
    pipelines: Pipelines,
    chunks: Vec<Chunk>,
    /// Buffers that the state goes round in; one slice fewer may be submitted and not yet confirmed.
    ring: usize,
    /// Index in the ring of the confirmed state.
    current: usize,
    /// What the host knows of it.
    at: Confirmed,
    spare: Option<Spare>,
    /// When a copy was last asked for.
    spared: Instant,
    /// Chunks whose open segment has been taken already.
    settled: usize,
    /// Steps of the next slice, for (advance, collect).
    slice_steps: [u64; 2],
    /// The most steps a dispatch that this driver was seen to finish.
    step_cap: u64,
    salt: u32,
    /// When the run was last saved, or built.
    saved: Instant,
}

impl fmt::Debug for GpuChains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.setup.fmt_as("GpuChains", self.steps(), f)
    }
}

impl GpuChains {
    /// Checks the setup, compiles the program, and evaluates the energy where the chains start.
    ///
    /// # Errors
    /// As [`Setup::build`].
    pub fn new(gpu: &Gpu, setup: Setup) -> Result<Self> {
        setup.check_settings()?;
        let chunk_sizes = chunk_sizes(gpu, &setup)?;
        let (start, starts_at_one_point) = setup.starts()?;
        let mut chains = Self::without_state(gpu, setup, chunk_sizes.len())?;
        chains.starts_at_one_point = starts_at_one_point;
        chains.evaluate_start(&start, &chunk_sizes)?;
        Ok(chains)
    }

    /// Compiles the program; the chains, in so many chunks, have no state yet.
    fn without_state(gpu: &Gpu, setup: Setup, chunks: usize) -> Result<Self> {
        let rows = Rows::new(setup.target.dim(), &*setup.kernel);
        let ring = chunk::ring(chunks);
        let pipelines = Pipelines::new(gpu, setup.target.clone(), setup.kernel.clone(), setup.is_scheduled())?;
        let device = gpu.device().features().contains(wgpu::Features::TIMESTAMP_QUERY).then_some(Duration::ZERO);
        let clock = Clock { device, steps: setup.first_step, ..Clock::default() };
        let at = Confirmed {
            ledger: Ledger::new(setup.chains),
            clock,
            begun: clock,
            adapted: Adapted::default(),
            warmed_up: clock,
            moments: Moments::new(rows.watched(), 0, 1).into(),
            open_draws: 0,
        };
        Ok(Self {
            gpu: gpu.clone(),
            at,
            spare: None,
            spared: Instant::now(),
            settled: 0,
            starts_at_one_point: false,
            rows,
            setup,
            pipelines,
            chunks: Vec::new(),
            ring,
            current: 0,
            slice_steps: [1, 1],
            step_cap: MAX_STEPS,
            salt: 0,
            saved: Instant::now(),
        })
    }

    /// The state's coordinates, `[dim][chain]`.
    fn coordinates(&self, spare: Option<&Spare>) -> Result<Vec<f32>> {
        let mut all = vec![0f32; self.dim() * self.count()];
        for (i, chunk) in self.chunks.iter().enumerate() {
            let x = self.positions_of(i, spare)?;
            for (row, values) in x.chunks(chunk.chains).enumerate() {
                let at = row * self.count() + chunk.first;
                all[at..at + chunk.chains].copy_from_slice(values);
            }
        }
        Ok(all)
    }

    /// The buffers that hold the positions now (where the energy is constrained, its free coordinates), `[dim][chain]` each, for a
    /// program that binds them (storage, vertex or copy source).
    /// There is one unless the positions are larger than a storage binding may be, or, on a software rasteriser, more than 65,536
    /// chains. Valid until the next `advance` or `collect`, which may put the positions into another buffer of the ring.
    pub fn position_buffers(&self) -> Vec<&wgpu::Buffer> {
        self.chunks.iter().map(|chunk| &chunk.positions[self.current]).collect()
    }

    /// The GPU.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The log weights of annealed importance sampling, one a chain: −∞ where a state has no density on the other side, NaN where that
    /// is not a number.
    pub(crate) fn log_weights(&self) -> Result<Vec<f64>> {
        let mut all = Vec::with_capacity(self.setup.chains);
        for chunk in &self.chunks {
            let row = |i| chunk.read_row(&self.gpu, self.rows.stage() + i, self.current, self.setup.timeout);
            let (whole, rest) = (row(1)?, row(2)?);
            all.extend(whole.iter().zip(&rest).map(|(&whole, &rest)| match f64::from(whole) {
                lost if lost <= -WEIGHT_LIMIT => f64::NEG_INFINITY,
                no_number if no_number >= WEIGHT_LIMIT => f64::NAN,
                whole => whole + f64::from(rest),
            }));
        }
        Ok(all)
    }

    fn report_since(&self, at: &Confirmed, begun: &Clock) -> Report {
        let last_step = at.clock.steps.saturating_sub(1);
        let report = Report::new(&self.setup, "gpu", self.gpu.describe(), &at.clock.since(begun), &at.ledger, last_step);
        Report { adaptation: at.adapted.found.clone(), ..report }
    }
}

impl Collecting for GpuChains {
    fn setup(&self) -> &Setup {
        &self.setup
    }

    fn begin(&mut self, goes_on: bool, call: &Call) -> Result<u64> {
        adapt::ensure(self, call)?;
        self.at.begun = self.at.clock;
        for chunk in &mut self.chunks {
            chunk.drop_draws();
            chunk.make_room(&self.gpu, &self.rows, self.current);
        }
        if !goes_on || self.at.moments.chains() == 0 {
            self.at.moments = Moments::new(self.rows.watched(), self.setup.chains, self.setup.rungs()).into();
            (self.at.open_draws, self.settled) = (0, 0);
        }
        Ok(self.at.moments.draws + self.at.open_draws)
    }

    fn steps_done(&self) -> u64 {
        self.at.clock.steps
    }

    fn run(&mut self, steps: u64, call: &Call, mut storing: Option<&mut Storing<'_>>) -> Result<u64> {
        let mut last_confirmed = Instant::now();
        let collects = call.collects();
        let first = self.at.clock.steps;
        let goal = first + steps;
        self.ensure_spare(None)?;
        let mut ahead = first;
        let mut slices: VecDeque<Slice> = VecDeque::new();
        while self.at.clock.steps < goal {
            if self.at.open_draws == SEGMENT || self.settled > 0 {
                self.settle()?;
            }
            // A save waits until nothing is in flight.
            let in_flight = if self.setup.save_due(self.saved).is_some() { 1 } else { self.ring - 1 };
            while slices.len() < in_flight && ahead < goal && !call.is_over() {
                let slice = self.submit(ahead, goal, collects, self.current + slices.len(), storing.as_deref())?;
                ahead += slice.steps;
                slices.push_back(slice);
            }
            let Some(slice) = slices.pop_front() else { break };
            let Some(landed) = self.land(&slice)? else {
                if slice.steps == 1 {
                    return Err(Error::CutShort { adapter: self.gpu.info().name.clone(), good_steps: self.at.clock.steps });
                }
                log::info!("{} cut a dispatch of {} short; halving", self.gpu.info().name, counted(slice.steps, "step"));
                self.step_cap = slice.steps / 2;
                self.at.clock.redone += 1 + slices.len() as u64;
                slices.clear();
                ahead = self.at.clock.steps;
                continue;
            };
            self.confirm(&slice, &landed)?;
            self.take_spare(&slice, None)?;
            let now = Instant::now();
            let took = slice.took(now, last_confirmed);
            self.at.clock.wall += now - last_confirmed;
            last_confirmed = now;
            // A chunk is a submission of its own.
            let own = took / self.chunks.len() as u32;
            self.slice_steps[usize::from(collects)] = next_steps(slice.steps, own, self.setup.slice);
            if let Some(storing) = &mut storing {
                // While the device runs the next slice.
                self.hand_over(&slice, &landed, storing)?;
            }
            if slices.is_empty()
                && let Some(path) = self.setup.save_due(self.saved)
            {
                self.save(path)?;
                self.saved = Instant::now();
                // The next slice is measured from its submission on.
                self.at.clock.wall += self.saved - last_confirmed;
                last_confirmed = self.saved;
            }
            call.progress(&self.setup, self.at.clock.steps - first, self.at.clock.steps)?;
        }
        Ok(self.at.clock.steps - first)
    }

    fn summary(&self) -> Result<Summary> {
        self.summary_with_open()
    }

    fn report_of(&self, summary: &Summary) -> Report {
        let (counted, is_warming_up) = (self.at.clock.steps - self.at.warmed_up.steps, self.at.adapted.plan.is_some());
        self.report_since(&self.at, &self.at.begun).with_moments(summary, self.starts_at_one_point, counted, is_warming_up)
    }
}

impl Chains for GpuChains {
    fn warm_up(&mut self, limits: Warmup) -> Result<()> {
        let done = adapt::warm_up(self, limits, &Call::new(Phase::WarmUp, 0, None));
        done.map_err(|e| e.after(self.steps()))
    }

    fn advance(&mut self, steps: u64) -> Result<()> {
        let mut advance = || {
            let call = Call::new(Phase::Advance, steps, None);
            adapt::ensure(self, &call)?;
            // No steps part no collections.
            if steps > 0 {
                self.close_segment()?;
            }
            self.chunks.iter_mut().for_each(Chunk::drop_draws);
            self.run(steps, &call.after_warm_up(), None).map(drop)
        };
        let done = advance();
        done.map_err(|e| e.after(self.steps()))
    }

    fn collect(&mut self, what: Collect) -> Result<Report> {
        let done = collect(self, what, None);
        done.map_err(|e| e.after(self.steps()))
    }

    fn collect_into(&mut self, what: Collect, sink: &mut dyn Sink) -> Result<Report> {
        let done = collect(self, what, Some(sink));
        done.map_err(|e| e.after(self.steps()))
    }

    fn stored_bytes(&self, what: &Collect) -> Result<u64> {
        what.bytes(&self.setup)
    }

    fn report(&self) -> Report {
        let at = self.standing().0;
        self.report_since(at, &at.warmed_up)
    }

    fn count(&self) -> usize {
        self.setup.chains
    }

    fn dim(&self) -> usize {
        self.setup.target.dim()
    }

    fn steps(&self) -> u64 {
        self.standing().0.clock.steps
    }

    fn positions(&self) -> Result<Vec<f32>> {
        let free = self.read(|_, spare| self.coordinates(spare))?;
        match self.setup.target.constraints() {
            None => Ok(free),
            Some(constraints) => constraints.positions(&free, self.count()),
        }
    }

    fn energies(&self) -> Result<Vec<f32>> {
        self.read(|_, spare| {
            let mut all = Vec::with_capacity(self.count());
            for chunk in 0..self.chunks.len() {
                all.extend_from_slice(&self.carry_of(chunk, 1, spare)?);
            }
            Ok(all)
        })
    }

    fn tallies(&self) -> Vec<Tally> {
        self.standing().0.ledger.tallies()
    }

    fn set_params(&mut self, params: &[f32]) -> Result<()> {
        let done = self.go_on_with(params, None);
        done.map_err(|e| e.after(self.at.clock.steps))
    }

    fn restart(&mut self, params: &[f32], positions: &[f32]) -> Result<()> {
        let placed = self.setup.placed(positions)?;
        let done = self.go_on_with(params, Some(&placed));
        done.map_err(|e| e.after(self.at.clock.steps))
    }

    fn save(&self, path: &Path) -> Result<()> {
        self.read(|at, spare| self.write(path, at, spare)).map_err(|e| e.after(self.steps()))
    }

    fn set_timeout(&mut self, timeout: Duration) {
        self.setup.timeout = timeout;
    }
}
