//! Chains on a GPU: K steps in one dispatch with the state in registers, two slices in flight, each with a proof of completion.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    Chains, Collect, Report, Setup, Tally,
    chunk::{CANARY_STEPS, Chunk, Flight, RING},
    cpu::{gradients, next_steps},
    moments::Moments,
    report::Clock,
    tally::Ledger,
};
use crate::{
    Error, Gpu, Result, check,
    kernel::Failure,
    pipelines::Pipelines,
    random::{Epochs, Stream, key},
};

/// Steps of one dispatch: a tally of accepted steps has 16 bits, and f32 moments are accumulated over 1,024 draws at most.
const MAX_STEPS: u64 = 65_535;
const MAX_DRAWS: u64 = 1024;
/// Slices submitted and not yet confirmed.
const IN_FLIGHT: usize = RING - 1;
/// Chains of one submission on a software rasteriser.
const MOST_IN_SOFTWARE: u64 = 1 << 16;

/// Chains on a GPU.
///
/// The state stands in a ring of three buffers: a slice reads one and writes the next, so that a slice which the driver cut
/// short is discarded by not using what it wrote.
#[derive(Debug)]
pub struct GpuChains {
    gpu: Gpu,
    setup: Setup,
    pipelines: Pipelines,
    chunks: Vec<Chunk>,
    /// Index in the ring of the confirmed state.
    current: usize,
    ledger: Ledger,
    clock: Clock,
    /// Steps of the next slice, for (advance, collect).
    slice_steps: [u64; 2],
    /// The most steps a dispatch that this driver was seen to finish.
    step_cap: u64,
    salt: u32,
}

/// A slice in flight: one submission a chunk.
struct Slice {
    first: u64,
    steps: u64,
    collect: bool,
    submitted: Instant,
    flights: Vec<Flight>,
}

impl GpuChains {
    /// Checks the setup, compiles the program, and evaluates the energy where the chains start.
    ///
    /// # Errors
    /// As [`Setup::build`].
    pub fn new(gpu: &Gpu, setup: Setup) -> Result<Self> {
        let start = setup.check()?;
        let chunk_sizes = chunk_sizes(gpu, &setup)?;
        let pipelines = Pipelines::new(gpu, setup.target.clone(), setup.kernel.clone(), setup.is_scheduled())?;
        let mut chains = Self {
            gpu: gpu.clone(),
            ledger: Ledger::new(setup.chains),
            clock: Clock {
                device: gpu.device().features().contains(wgpu::Features::TIMESTAMP_QUERY).then_some(Duration::ZERO),
                ..Clock::default()
            },
            setup,
            pipelines,
            chunks: Vec::new(),
            current: 0,
            slice_steps: [1, 1],
            step_cap: MAX_STEPS,
            salt: 0,
        };
        if chains.setup.target.check_gradient() && chains.setup.kernel.uses_grad() {
            chains.check_gradient(&start)?;
        }
        let momenta = if chains.setup.kernel.carries_momentum() { chains.setup.momenta() } else { Vec::new() };
        let control = chains.setup.controls(0, 0)[0];
        let all = chains.setup.chains;
        let mut first = 0;
        for size in chunk_sizes {
            let rows =
                |values: &[f32]| values.chunks(all).flat_map(|row| row[first..first + size].to_vec()).collect::<Vec<_>>();
            let chunk = Chunk::new(gpu, &chains.pipelines, first, &rows(&start), &rows(&momenta));
            chunk.start(gpu, &chains.pipelines, control, chains.setup.timeout)?;
            let (energies, grads) = chunk.evaluated(gpu, &chains.pipelines, chains.setup.timeout)?;
            for (i, &energy) in energies.iter().enumerate() {
                let id = u64::from(chains.setup.first_chain) + (first + i) as u64;
                let grad = (0..grads.len() / size).map(|row| f64::from(grads[row * size + i]));
                check::start(id, f64::from(energy), grad)?;
            }
            chains.chunks.push(chunk);
            first += size;
        }
        debug_assert_eq!(first, all);
        Ok(chains)
    }

    /// The buffers that hold the positions now, `[dim][chain]` each, for a program that binds them (storage, vertex or copy source).
    /// There is one unless the positions are larger than a storage binding may be, or, on a software rasteriser, more than 65,536
    /// chains. Valid until the next `advance` or `collect`, which may put the positions into another of three buffers.
    pub fn position_buffers(&self) -> Vec<&wgpu::Buffer> {
        self.chunks.iter().map(|chunk| &chunk.positions[self.current]).collect()
    }

    /// The GPU.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
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
            let chunk = Chunk::new(&self.gpu, &self.pipelines, 0, &positions, &momenta);
            chunk.start(&self.gpu, &self.pipelines, self.setup.controls(0, 0)[0], self.setup.timeout)?;
            let (energies, grads) = chunk.evaluated(&self.gpu, &self.pipelines, self.setup.timeout)?;
            let energies: Vec<_> = energies.into_iter().map(f64::from).collect();
            let grad: Vec<_> = (0..dim).map(|i| f64::from(grads[i * n])).collect();
            check::compare(&self.setup.target.name(), &probe, &grad, &energies, f64::from(f32::EPSILON))?;
        }
        Ok(())
    }

    fn run(&mut self, steps: u64, mut moments: Option<&mut Moments>) -> Result<()> {
        let begun = Instant::now();
        let mut last_confirmed = begun;
        let collect = moments.is_some();
        let goal = self.clock.steps + steps;
        let mut ahead = self.clock.steps;
        let mut slices: VecDeque<Slice> = VecDeque::new();
        while self.clock.steps < goal {
            while slices.len() < IN_FLIGHT && ahead < goal {
                let slice = self.submit(ahead, goal, collect, self.current + slices.len())?;
                ahead += slice.steps;
                slices.push_back(slice);
            }
            let Some(slice) = slices.pop_front() else { break };
            if !self.confirm(&slice, moments.as_deref_mut())? {
                if slice.steps == 1 {
                    return Err(Error::CutShort { adapter: self.gpu.info().name.clone(), good_steps: self.clock.steps });
                }
                log::info!("{} cut a dispatch of {} steps short; halving", self.gpu.info().name, slice.steps);
                self.step_cap = slice.steps / 2;
                self.clock.redone += 1 + slices.len() as u64;
                slices.clear();
                ahead = self.clock.steps;
                continue;
            }
            let now = Instant::now();
            let took = now - slice.submitted.max(last_confirmed);
            self.clock.wall += now - last_confirmed;
            last_confirmed = now;
            // A chunk is a submission of its own.
            let own = took / self.chunks.len() as u32;
            self.slice_steps[usize::from(collect)] = next_steps(slice.steps, own, self.setup.slice);
            self.setup.progress(self.clock.steps + steps - goal, steps, begun.elapsed(), self.clock.steps)?;
        }
        Ok(())
    }

    /// Submits the next slice from `first` on; it reads the ring's buffer `from` and writes the next.
    fn submit(&mut self, first: u64, goal: u64, collect: bool, from: usize) -> Result<Slice> {
        let dim = self.setup.target.dim();
        let epochs = Epochs::new(self.setup.kernel.slots(dim));
        let cap = if collect { MAX_DRAWS.min(self.step_cap) } else { self.step_cap };
        let steps = self.slice_steps[usize::from(collect)].min(cap).min(goal - first).min(epochs.left(first));
        let controls = self.setup.controls(first, steps);
        let pipeline = self.pipelines.advance(&self.gpu, collect)?.clone();
        let submitted = Instant::now();
        let mut flights = Vec::with_capacity(self.chunks.len());
        for chunk in &mut self.chunks {
            self.salt = self.salt.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let run = super::chunk::Run {
                key: key(self.setup.seed, Stream::Transition, epochs.epoch(first)),
                first_chain: self.setup.first_chain.wrapping_add(chunk.first as u32),
                chains: chunk.chains as u32,
                first_step: epochs.step_in_epoch(first),
                steps: steps as u32,
                last_control: controls.len() as u32 - 1,
                blocks: self.pipelines.blocks(),
                control: controls[0],
                canary_steps: CANARY_STEPS,
                canary_salt: self.salt,
                padding: [0; 2],
            };
            flights.push(chunk.fly(&self.gpu, &self.pipelines, &pipeline, from % RING, run, &controls, collect));
        }
        self.gpu.check(self.clock.steps)?;
        Ok(Slice { first, steps, collect, submitted, flights })
    }

    /// Waits for a slice. True: it is whole, and counted. False: the driver cut it short.
    fn confirm(&mut self, slice: &Slice, moments: Option<&mut Moments>) -> Result<bool> {
        let timeout = self.setup.timeout;
        let mut landed = Vec::with_capacity(slice.flights.len());
        for (chunk, flight) in self.chunks.iter().zip(&slice.flights) {
            let landing = chunk.land(&self.gpu, flight, timeout, self.clock.steps)?;
            if !landing.is_whole(&flight.run) {
                return Ok(false);
            }
            landed.push(landing);
        }
        let mut moments = moments;
        for ((chunk, flight), landing) in self.chunks.iter().zip(&slice.flights).zip(&landed) {
            let mut any_failed = false;
            for (i, (&flags, &acceptance)) in landing.accepted().iter().zip(landing.acceptance()).enumerate() {
                self.ledger.accepted[chunk.first + i] += u64::from(flags & 0xffff);
                self.ledger.acceptance += f64::from(acceptance) / 65_536.0;
                any_failed |= flags >> 31 != 0;
            }
            if any_failed {
                let (counts, steps) = chunk.failures(&self.gpu, flight, timeout)?;
                for (i, (&count, &step)) in counts.iter().zip(&steps).enumerate() {
                    if let Some(kind) = Failure::from_code((count >> 24) as u8) {
                        self.ledger.fail(chunk.first + i, u64::from(count & 0xff_ffff), slice.first + u64::from(step), kind);
                    }
                }
            }
            if let (Some(moments), Some((shift, mean, m2))) =
                (moments.as_deref_mut(), landing.moments(self.setup.target.dim() + 1))
            {
                moments.merge_slice(chunk.first, chunk.chains, slice.steps, shift, mean, m2);
            }
            if let (Some(total), Some(device)) = (self.clock.device.as_mut(), landing.device_time(&self.gpu)) {
                *total += device;
            }
        }
        if let Some(moments) = moments {
            moments.draws += slice.steps;
        }
        debug_assert_eq!(slice.collect, landed.iter().all(|l| l.moments(1).is_some()));
        self.current = (self.current + 1) % RING;
        self.clock.steps += slice.steps;
        self.clock.slices += slice.flights.len() as u64;
        self.clock.acceptance = self.ledger.acceptance;
        self.clock.gradients += gradients(&self.setup, slice.first, slice.steps);
        Ok(true)
    }

    fn report_of(&self, clock: &Clock, moments: Option<&Moments>) -> Report {
        Report::new(&self.setup, "gpu", self.gpu.describe(), clock, &self.ledger, moments, self.clock.steps.saturating_sub(1))
    }
}

/// The chains of each chunk, so that every binding fits; checked against the memory budget before anything is allocated.
fn chunk_sizes(gpu: &Gpu, setup: &Setup) -> Result<Vec<usize>> {
    let bytes_a_chain = super::chunk::bytes_a_chain(setup.target.dim(), &*setup.kernel);
    let limits = gpu.device().limits();
    let binding = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    let groups = u64::from(limits.max_compute_workgroups_per_dimension);
    // Each dispatch costs a chain some ten steps' time on software Vulkan: fewer chains a submission leave time for more steps.
    let worth = if gpu.is_software() { MOST_IN_SOFTWARE } else { u64::MAX };
    let most = (binding / bytes_a_chain.largest).min(groups * groups * 64).min(worth) / 64 * 64;
    if most == 0 {
        return Err(Error::Limit {
            what: "bytes of 64 chains in one storage binding".into(),
            asked: bytes_a_chain.largest * 64,
            allowed: binding,
            limit: "the device's max_storage_buffer_binding_size".into(),
        });
    }
    let total = (setup.chains as u64).saturating_mul(bytes_a_chain.total);
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
    let chunks = setup.chains.div_ceil(most as usize);
    // Chunks of nearly equal size.
    let size = setup.chains.div_ceil(chunks).div_ceil(64) * 64;
    let mut sizes = vec![size; setup.chains / size];
    sizes.extend(Some(setup.chains % size).filter(|&rest| rest > 0));
    Ok(sizes)
}

impl Chains for GpuChains {
    fn advance(&mut self, steps: u64) -> Result<()> {
        self.run(steps, None)
    }

    fn collect(&mut self, collect: Collect) -> Result<Report> {
        check::draws(collect)?;
        let before = self.clock;
        let mut moments = Moments::new(self.setup.target.dim() + 1, self.setup.chains);
        self.run(collect.draws, Some(&mut moments))?;
        Ok(self.report_of(&self.clock.since(&before), Some(&moments)))
    }

    fn report(&self) -> Report {
        self.report_of(&self.clock, None)
    }

    fn count(&self) -> usize {
        self.setup.chains
    }

    fn dim(&self) -> usize {
        self.setup.target.dim()
    }

    fn steps(&self) -> u64 {
        self.clock.steps
    }

    fn positions(&self) -> Result<Vec<f32>> {
        let mut all = vec![0f32; self.dim() * self.count()];
        for chunk in &self.chunks {
            let x = chunk.read_positions(&self.gpu, self.dim(), self.current, self.setup.timeout)?;
            for (row, values) in x.chunks(chunk.chains).enumerate() {
                let at = row * self.count() + chunk.first;
                all[at..at + chunk.chains].copy_from_slice(values);
            }
        }
        Ok(all)
    }

    fn energies(&self) -> Result<Vec<f32>> {
        let mut all = Vec::with_capacity(self.count());
        for chunk in &self.chunks {
            all.extend(chunk.read_energies(&self.gpu, self.current, self.setup.timeout)?);
        }
        Ok(all)
    }

    fn tallies(&self) -> Vec<Tally> {
        self.ledger.tallies()
    }

    fn set_timeout(&mut self, timeout: Duration) {
        self.setup.timeout = timeout;
    }
}
