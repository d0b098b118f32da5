//! Chains on a GPU: K steps in one dispatch with the state in registers, two slices in flight, each with a proof of completion.

mod checkpoint;
mod spare;
mod trial;

use std::{
    collections::VecDeque,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use self::spare::{Confirmed, Spare};
use super::{
    Chains, Collect, FailedAt, Report, Setup, Tally,
    chunk::{self, CANARY_STEPS, Chunk, DrawBytes, Flight, Landing, Run},
    collect::{Collecting, collect},
    cpu::{gradients, next_steps},
    moments::{Moments, SEGMENT},
    progress::{Call, Phase},
    report::Clock,
    rows::Rows,
    tally::{Ledger, SHOWN_FAILURES},
};
use crate::{
    Error, Gpu, Result, Warmup,
    adapt::{self, Adapted},
    check,
    kernel::{Control, Failure},
    pipelines::{Pipelines, Task},
    program,
    random::{Epochs, Stream, key},
    store::{BATCH_BYTES, Sink, Storing},
};

/// Steps of one dispatch: a tally of accepted steps has 16 bits.
const MAX_STEPS: u64 = 65_535;
/// As in shaders/stage/weigh.wgsl.
const WEIGHT_LIMIT: f64 = 1e29;
/// Chains of one submission on a software rasteriser.
const MOST_IN_SOFTWARE: u64 = 1 << 16;

/// Chains on a GPU.
///
/// The state stands in a ring of three buffers (two where many chunks make a slice): a slice reads one and writes the next, so that a slice which the driver cut
/// short is discarded by not using what it wrote.
#[derive(Debug)]
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

/// A slice in flight: one submission a chunk.
struct Slice {
    first: u64,
    steps: u64,
    collects: bool,
    /// States of the collection before it.
    state: u64,
    submitted: Instant,
    /// Steps that were in flight before it.
    behind: u64,
    flights: Vec<Flight>,
}

impl Slice {
    /// How long the device was at it, as far as the host can tell: the time since it took the slice before, or, where that is more,
    /// a share of the time since the submission. A host that comes late finds the next slice done at once; by the first alone it
    /// would then take eight times as many steps, and again.
    fn took(&self, now: Instant, last_confirmed: Instant) -> Duration {
        let share = self.steps as f64 / (self.behind + self.steps) as f64;
        (now - self.submitted.max(last_confirmed)).max((now - self.submitted).mul_f64(share))
    }
}

impl GpuChains {
    /// Checks the setup, compiles the program, and evaluates the energy where the chains start.
    ///
    /// # Errors
    /// As [`Setup::build`].
    pub fn new(gpu: &Gpu, setup: Setup) -> Result<Self> {
        let (start, starts_at_one_point) = setup.check()?;
        let (mut chains, chunk_sizes) = Self::without_state(gpu, setup)?;
        chains.starts_at_one_point = starts_at_one_point;
        chains.evaluate_start(&start, &chunk_sizes)?;
        Ok(chains)
    }

    /// Compiles the program; the chains have no state yet. And the chains of each chunk.
    fn without_state(gpu: &Gpu, setup: Setup) -> Result<(Self, Vec<usize>)> {
        let rows = Rows::new(setup.target.dim(), &*setup.kernel);
        let chunk_sizes = chunk_sizes(gpu, &setup, &rows)?;
        let ring = chunk::ring(chunk_sizes.len());
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
        let chains = Self {
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
        };
        Ok((chains, chunk_sizes))
    }

    /// Evaluates the energy where the chains start.
    fn evaluate_start(&mut self, start: &[f32], chunk_sizes: &[usize]) -> Result<()> {
        if self.setup.target.check_gradient() && self.setup.kernel.uses_grad() {
            self.check_gradient(start)?;
        }
        let momenta = if self.setup.kernel.carries_momentum() { self.setup.momenta() } else { Vec::new() };
        let control = self.setup.controls(self.at.clock.steps, 0)[0];
        let all = self.setup.chains;
        let mut first = 0;
        for &size in chunk_sizes {
            let rows =
                |values: &[f32]| values.chunks(all).flat_map(|row| row[first..first + size].to_vec()).collect::<Vec<_>>();
            let mut chunk = Chunk::new(&self.gpu, &self.pipelines, first, self.ring, &rows(start), &rows(&momenta));
            self.evaluate(&mut chunk, control)?;
            self.chunks.push(chunk);
            first += size;
        }
        debug_assert_eq!(first, all);
        Ok(())
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

    /// Evaluates the energy where the chains of a chunk stand.
    fn evaluate(&self, chunk: &mut Chunk, control: Control) -> Result<()> {
        chunk.start(&self.gpu, &self.pipelines, control, self.current, self.setup.timeout)?;
        let (energies, grads) = chunk.evaluated(&self.gpu, &self.pipelines, self.current, self.setup.timeout)?;
        let size = chunk.chains;
        for (i, &energy) in energies.iter().enumerate() {
            let id = u64::from(self.setup.first_chain) + (chunk.first + i) as u64;
            let grad = (0..grads.len() / size).map(|row| f64::from(grads[row * size + i]));
            check::start(id, f64::from(energy), grad)?;
        }
        Ok(())
    }

    /// Takes other parameters, and other positions where there are some, and evaluates the energy.
    fn go_on_with(&mut self, params: &[f32], positions: Option<&[f32]>) -> Result<()> {
        self.close_segment()?;
        self.setup.set_params(params)?;
        self.pipelines.set_target(&self.gpu, self.setup.target.clone());
        (self.at.moments, self.settled) = (Moments::new(self.rows.watched(), 0, 1).into(), 0);
        // The copy is of the state under other parameters.
        self.spare = None;
        let control = self.setup.controls(self.at.clock.steps, 0)[0];
        let mut chunks = std::mem::take(&mut self.chunks);
        let evaluated = chunks.iter_mut().try_for_each(|chunk| {
            if let Some(positions) = positions {
                let columns = chunk.first..chunk.first + chunk.chains;
                let own: Vec<_> = positions.chunks(self.setup.chains).flat_map(|row| &row[columns.clone()]).copied().collect();
                let stopped = self.setup.kernel.is_unadjusted().then(|| self.rows.stopped());
                chunk.place(&self.gpu, &own, stopped, self.current);
            }
            self.evaluate(chunk, control)
        });
        self.chunks = chunks;
        evaluated
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

    /// Compares a user's gradient with differences of the energy, as the device computes both.
    fn check_gradient(&self, start: &[f32]) -> Result<()> {
        let dim = self.setup.target.dim();
        // A dispatch a point keeps the buffers small: there are hundreds of differences a point.
        for probe in check::probes(dim, start, self.setup.chains, self.setup.seed) {
            let points = check::points(&probe);
            let n = points.len();
            let positions: Vec<f32> = (0..dim).flat_map(|i| points.iter().map(move |x| x[i])).collect();
            let momenta = if self.setup.kernel.carries_momentum() { vec![0.0; dim * n] } else { Vec::new() };
            let mut chunk = Chunk::new(&self.gpu, &self.pipelines, 0, 2, &positions, &momenta);
            chunk.start(&self.gpu, &self.pipelines, self.setup.controls(0, 0)[0], 0, self.setup.timeout)?;
            let (energies, grads) = chunk.evaluated(&self.gpu, &self.pipelines, 0, self.setup.timeout)?;
            let energies: Vec<_> = energies.into_iter().map(f64::from).collect();
            let grad: Vec<_> = (0..dim).map(|i| f64::from(grads[i * n])).collect();
            check::compare(&self.setup.target.name(), &probe, &grad, &energies, f64::from(f32::EPSILON))?;
        }
        Ok(())
    }

    /// Submits the next slice from `first` on; it reads the ring's buffer `from` and writes the next.
    fn submit(&mut self, first: u64, goal: u64, collects: bool, from: usize, storing: Option<&Storing<'_>>) -> Result<Slice> {
        let epochs = Epochs::new(self.setup.kernel.slots(self.setup.target.dim()));
        // A segment of moments ends with a slice.
        let state = self.at.moments.draws + self.at.open_draws + first - self.at.clock.steps;
        let first_draw = (self.at.open_draws + first - self.at.clock.steps) % SEGMENT;
        let cap = if collects { self.step_cap.min(SEGMENT - first_draw) } else { self.step_cap };
        let room = storing.map_or(Ok(0), |storing| self.draw_room(storing))?;
        let cap = storing.map_or(cap, |storing| cap.min(storing.most_steps(state, room)));
        let steps = self.slice_steps[usize::from(collects)].min(cap).min(goal - first).min(epochs.left(first));
        let controls = self.setup.controls(first, steps);
        let pipeline = self.pipelines.advance(&self.gpu, if collects { Task::Collect } else { Task::Advance })?.clone();
        let storing_pipeline = match storing {
            Some(_) => self.pipelines.advance(&self.gpu, Task::Store)?.clone(),
            None => pipeline.clone(),
        };
        let spare_rows = self.spare_rows(collects);
        if spare_rows > 0 {
            self.spare_asked();
        }
        let submitted = Instant::now();
        let mut flights = Vec::with_capacity(self.chunks.len());
        for i in 0..self.chunks.len() {
            let run = Run { first_draw: first_draw as u32, ..self.run_of(self.chunks[i].first, first, steps, &controls) };
            let chunk = &mut self.chunks[i];
            let mut run = Run { chains: chunk.chains as u32, ..run };
            let stored = storing.map_or(0..0, |storing| chunk.stored(&storing.chains, storing.rungs));
            let mut draws = None;
            if let Some(storing) = storing.filter(|_| !stored.is_empty()) {
                run.thin = storing.thin.try_into().unwrap_or(u32::MAX);
                run.until_draw = storing.until_draw(state).try_into().unwrap_or(u32::MAX);
                (run.stored_first, run.stored_chains) = (stored.start as u32, stored.len() as u32);
                let bytes = storing.bytes_a_draw(stored.len());
                draws = Some(DrawBytes { used: storing.draws(state, state + steps) * bytes, room: room * bytes });
            }
            let pipeline = if draws.is_some() { &storing_pipeline } else { &pipeline };
            flights.push(chunk.fly(&self.gpu, &self.pipelines, pipeline, from % self.ring, run, &controls, draws, spare_rows));
        }
        self.gpu.check(self.at.clock.steps)?;
        Ok(Slice { first, steps, collects, state, submitted, behind: first - self.at.clock.steps, flights })
    }

    /// The uniform of a dispatch of chains from `first_chain` (of these) on.
    fn run_of(&mut self, first_chain: usize, first: u64, steps: u64, controls: &[Control]) -> Run {
        let epochs = Epochs::new(self.setup.kernel.slots(self.setup.target.dim()));
        self.salt = self.salt.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Run {
            key: key(self.setup.seed, Stream::Transition, epochs.epoch(first)),
            first_chain: self.setup.first_chain.wrapping_add(first_chain as u32),
            chains: 1,
            first_step: epochs.step_in_epoch(first),
            steps: steps as u32,
            last_control: controls.len() as u32 - 1,
            blocks: self.pipelines.blocks(),
            control: controls[0],
            canary_steps: CANARY_STEPS,
            canary_salt: self.salt,
            first_draw: 0,
            thin: 0,
            until_draw: 0,
            stored_first: 0,
            stored_chains: 0,
            padding: 0,
        }
    }

    /// The most draws of a slice, so that their buffers are of bounded size and fit the device and the memory budget.
    fn draw_room(&self, storing: &Storing<'_>) -> Result<u64> {
        let limits = self.gpu.device().limits();
        let binding = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let largest = self.chunks.iter().map(|chunk| chunk.stored(&storing.chains, storing.rungs).len()).max().unwrap_or(0);
        let (all, largest) = (storing.bytes_a_draw(storing.chains.len()), storing.bytes_a_draw(largest));
        let room = (BATCH_BYTES / all).max(1).min(binding / largest);
        let Some(budget) = self.setup.memory_budget else { return Ok(room) };
        // A buffer and its staging for each slice in flight.
        let copies = 2 * (self.ring as u64 - 1);
        let state = self.setup.chains as u64 * chunk::bytes_a_chain(self.pipelines.dim(), &self.rows, self.ring);
        let room = room.min(budget.saturating_sub(state) / (copies * all));
        if room > 0 {
            return Ok(room);
        }
        Err(Error::Limit {
            what: "bytes of device memory for chains and draws".into(),
            asked: state.saturating_add(copies * all),
            allowed: budget,
            limit: "the memory budget".into(),
        })
    }

    /// Copies the draws of a slice that has landed.
    fn take_draws(&self, slice: &Slice, storing: &mut Storing<'_>) -> Result<()> {
        let views = slice.flights.iter().map(|flight| flight.draws(&self.gpu)).collect::<Result<Vec<_>>>()?;
        let (stored, rungs, end) = (storing.chains.clone(), storing.rungs, slice.state + slice.steps);
        let ready = storing.ready(slice.state, end);
        for (chunk, view) in self.chunks.iter().zip(&views) {
            let Some(view) = view else { continue };
            let of_chunk = chunk.stored(&stored, rungs);
            let column = chunk.first / rungs + of_chunk.start - stored.start;
            let rows: &[f32] = bytemuck::cast_slice(view);
            for (to, from) in ready.chunks_exact_mut(stored.len()).zip(rows.chunks_exact(of_chunk.len())) {
                to[column..column + from.len()].copy_from_slice(from);
            }
        }
        if let Some(constraints) = self.setup.target.constraints() {
            // As `positions` maps them, so that the bits are the same.
            let positions = self.pipelines.dim() * stored.len();
            for draw in ready.chunks_exact_mut(positions + stored.len()) {
                let x = constraints.positions(&draw[..positions], stored.len());
                draw[..positions].copy_from_slice(&x);
            }
        }
        Ok(())
    }

    /// Waits for a slice. None: the driver cut it short.
    fn land(&self, slice: &Slice) -> Result<Option<Vec<Landing>>> {
        let mut landed = Vec::with_capacity(slice.flights.len());
        for (chunk, flight) in self.chunks.iter().zip(&slice.flights) {
            let landing = chunk.land(&self.gpu, flight, self.setup.timeout, self.at.clock.steps)?;
            if !landing.is_whole(&flight.run) {
                return Ok(None);
            }
            landed.push(landing);
        }
        Ok(Some(landed))
    }

    /// Counts a slice that is whole.
    fn confirm(&mut self, slice: &Slice, landed: &[Landing], storing: Option<&mut Storing<'_>>) -> Result<()> {
        // All that can fail comes first: a slice is counted whole or not at all.
        let written = (self.current + 1) % self.ring;
        let failures = self.failures(slice, landed)?;

        let failed_at = self.first_failures(slice, &failures)?;
        if let Some(storing) = storing {
            self.take_draws(slice, storing)?;
        }
        self.at.ledger.failed_at.extend(failed_at);
        for (chain, count, step, kind) in failures {
            self.at.ledger.fail(chain, count, step, kind);
        }
        for (chunk, landing) in self.chunks.iter().zip(landed) {
            for (i, (&flags, &acceptance)) in landing.accepted().iter().zip(landing.acceptance()).enumerate() {
                self.at.ledger.accepted[chunk.first + i] += u64::from(flags & 0xffff);
                self.at.ledger.acceptance += f64::from(acceptance) / 65_536.0;
            }
            if let (Some(total), Some(device)) = (self.at.clock.device.as_mut(), landing.device_time(&self.gpu)) {
                *total += device;
            }
        }
        if slice.collects {
            self.at.open_draws += slice.steps;
        }
        self.current = written;
        self.at.clock.steps += slice.steps;
        self.at.clock.slices += slice.flights.len() as u64;
        self.at.clock.acceptance = self.at.ledger.acceptance;
        self.at.clock.gradients += gradients(&self.setup, slice.first, slice.steps);
        Ok(())
    }

    /// The failures of a slice: chain, count, step of the first, its kind.
    fn failures(&self, slice: &Slice, landed: &[Landing]) -> Result<Vec<(usize, u64, u64, Failure)>> {
        let mut failures = Vec::new();
        for ((chunk, flight), landing) in self.chunks.iter().zip(&slice.flights).zip(landed) {
            if landing.accepted().iter().all(|flags| flags >> 31 == 0) {
                continue;
            }
            let (counts, steps) = match landing.watched() {
                Some(watched) => (watched.failures.to_vec(), watched.failure_steps.to_vec()),
                None => chunk.failures(&self.gpu, flight, self.setup.timeout)?,
            };
            for (i, (&count, &step)) in counts.iter().zip(&steps).enumerate() {
                if let Some(kind) = Failure::from_code((count >> 24) as u8) {
                    failures.push((chunk.first + i, u64::from(count & 0xff_ffff), slice.first + u64::from(step), kind));
                }
            }
        }
        Ok(failures)
    }

    /// Where the first chains that ever failed stood: the state before the slice is still there, and the same steps up to the
    /// failure, run again for that chain alone, come to the same place.
    fn first_failures(&mut self, slice: &Slice, failures: &[(usize, u64, u64, Failure)]) -> Result<Vec<FailedAt>> {
        let room = SHOWN_FAILURES - self.at.ledger.failed_at.len();
        let mut first: Vec<_> = failures.iter().filter(|(chain, ..)| !self.at.ledger.failed.contains_key(chain)).collect();
        first.sort_unstable_by_key(|&&(chain, _, step, _)| (step, chain));
        let mut failed_at = Vec::new();
        for &&(chain, _, step, kind) in first.iter().take(room) {
            let position = self.position_at(chain, slice.first, step - slice.first)?;
            let chain = u64::from(self.setup.first_chain) + chain as u64;
            failed_at.push(FailedAt { chain, step, kind, position });
        }
        Ok(failed_at)
    }

    /// The position of one chain so many steps after the confirmed state, which is that at step `first`.
    fn position_at(&mut self, chain: usize, first: u64, steps: u64) -> Result<Vec<f64>> {
        let timeout = self.setup.timeout;
        let at = self.chunks.partition_point(|chunk| chunk.first <= chain) - 1;
        // With its ladder, where it has one: the rungs depend on each other.
        let rungs = self.setup.rungs();
        let first_chain = chain / rungs * rungs;
        let mut alone = self.chunks[at].some_chains(&self.gpu, &self.pipelines, first_chain, rungs, self.current);
        let mut from = 0;
        if steps > 0 {
            let controls = self.setup.controls(first, steps);
            let run = Run { chains: rungs as u32, ..self.run_of(first_chain, first, steps, &controls) };
            let pipeline = self.pipelines.advance(&self.gpu, Task::Advance)?.clone();
            let flight = alone.fly(&self.gpu, &self.pipelines, &pipeline, 0, run, &controls, None, 0);
            alone.land(&self.gpu, &flight, timeout, self.at.clock.steps)?;
            from = 1;
        }
        let x = alone.read_positions(&self.gpu, self.pipelines.dim(), from, timeout)?;
        let mut x: Vec<_> = x.into_iter().skip(chain - first_chain).step_by(rungs).map(f64::from).collect();
        if let Some(constraints) = self.setup.target.constraints() {
            constraints.position(&mut x);
        }
        Ok(x)
    }

    /// Takes the open segment from the device, a chunk at a time, since the moments of all of them at once are many bytes. After an
    /// error it goes on with the chunk that is next: the state that holds them is not written before this is done.
    fn settle(&mut self) -> Result<()> {
        while let Some(chunk) = self.chunks.get(self.settled) {
            let values = chunk.moments(&self.gpu, &self.rows, self.current, self.setup.timeout)?;
            Arc::make_mut(&mut self.at.moments).merge_segment(
                &self.rows,
                chunk.first,
                chunk.chains,
                self.at.open_draws,
                &values,
            );
            self.settled += 1;
        }
        Arc::make_mut(&mut self.at.moments).count(self.at.open_draws);
        (self.at.open_draws, self.settled) = (0, 0);
        Ok(())
    }

    /// Steps that collect nothing leave the moments behind.
    fn close_segment(&mut self) -> Result<()> {
        if self.at.open_draws > 0 {
            self.settle()?;
        }
        Ok(())
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

    fn begin(&mut self, goes_on: bool) -> Result<u64> {
        adapt::ensure(self)?;
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
        self.ensure_spare()?;
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
            if let Some(storing) = &mut storing {
                // While the device runs what has just been submitted.
                storing.deliver()?;
            }
            let Some(slice) = slices.pop_front() else { break };
            let Some(landed) = self.land(&slice)? else {
                if slice.steps == 1 {
                    return Err(Error::CutShort { adapter: self.gpu.info().name.clone(), good_steps: self.at.clock.steps });
                }
                log::info!("{} cut a dispatch of {} steps short; halving", self.gpu.info().name, slice.steps);
                self.step_cap = slice.steps / 2;
                self.at.clock.redone += 1 + slices.len() as u64;
                slices.clear();
                ahead = self.at.clock.steps;
                continue;
            };
            self.confirm(&slice, &landed, storing.as_deref_mut())?;
            self.take_spare(&slice)?;
            let now = Instant::now();
            let took = slice.took(now, last_confirmed);
            self.at.clock.wall += now - last_confirmed;
            last_confirmed = now;
            // A chunk is a submission of its own.
            let own = took / self.chunks.len() as u32;
            self.slice_steps[usize::from(collects)] = next_steps(slice.steps, own, self.setup.slice);
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

    fn moments(&self) -> Result<Moments> {
        let mut moments = Moments::clone(&self.at.moments);
        if self.at.open_draws > 0 {
            for chunk in &self.chunks[self.settled..] {
                let values = chunk.moments(&self.gpu, &self.rows, self.current, self.setup.timeout)?;
                moments.merge_segment(&self.rows, chunk.first, chunk.chains, self.at.open_draws, &values);
            }
            moments.count(self.at.open_draws);
        }
        Ok(moments)
    }

    fn report_of(&self, moments: &Moments) -> Report {
        self.report_since(&self.at, &self.at.begun).with_moments(moments, self.starts_at_one_point)
    }
}

/// The chains of each chunk, so that every binding fits; checked against the memory budget before anything is allocated.
fn chunk_sizes(gpu: &Gpu, setup: &Setup, rows: &Rows) -> Result<Vec<usize>> {
    let largest = chunk::largest_bytes_a_chain(rows);
    let limits = gpu.device().limits();
    let binding = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    let shares = program::shares(&*setup.target, &*setup.kernel) as u64;
    let groups = u64::from(limits.max_compute_workgroups_per_dimension);
    // Each dispatch costs a chain some ten steps' time on software Vulkan: fewer chains a submission leave time for more steps.
    let worth = if gpu.is_software() { MOST_IN_SOFTWARE } else { u64::MAX };
    let most = (binding / largest).min(groups * groups * 64 / shares).min(worth) / 64 * 64;
    if most == 0 {
        return Err(Error::Limit {
            what: "bytes of 64 chains in one storage binding".into(),
            asked: largest * 64,
            allowed: binding,
            limit: "the device's max_storage_buffer_binding_size".into(),
        });
    }
    let chunks = setup.chains.div_ceil(most as usize);
    let total = (setup.chains as u64).saturating_mul(chunk::bytes_a_chain(setup.target.dim(), rows, chunk::ring(chunks)));
    if let Some(budget) = setup.memory_budget
        && total > budget
    {
        return Err(Error::Limit {
            what: "bytes of device memory".into(),
            asked: total,
            allowed: budget,
            limit: "the memory budget".into(),
        });
    }
    // Chunks of nearly equal size.
    let size = setup.chains.div_ceil(chunks).div_ceil(64) * 64;
    let mut sizes = vec![size; setup.chains / size];
    sizes.extend(Some(setup.chains % size).filter(|&rest| rest > 0));
    Ok(sizes)
}

impl Chains for GpuChains {
    fn warm_up(&mut self, limits: Warmup) -> Result<()> {
        let done = adapt::warm_up(self, limits);
        done.map_err(|e| e.after(self.steps()))
    }

    fn advance(&mut self, steps: u64) -> Result<()> {
        let mut advance = || {
            adapt::ensure(self)?;
            // No steps part no collections.
            if steps > 0 {
                self.close_segment()?;
            }
            self.chunks.iter_mut().for_each(Chunk::drop_draws);
            self.run(steps, &Call::new(Phase::Advance, steps, None), None).map(drop)
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
        Ok(match self.setup.target.constraints() {
            None => free,
            Some(constraints) => constraints.positions(&free, self.count()),
        })
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
