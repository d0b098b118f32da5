//! The device buffers of some of the chains: as many as fit a storage binding.

mod berth;
mod flight;
mod run;

use std::{ops::Range, time::Duration};

use bytemuck::Zeroable as _;

use self::berth::Berth;
pub(crate) use self::{
    flight::{DrawBytes, Flight, Landing},
    run::Run,
};
use super::rows::Rows;
use crate::{Error, Gpu, Result, kernel::Control, pipelines::Pipelines, program};

/// Buffers that the state goes round in: a slice in flight reads one and writes the next, and two slices in flight keep a device
/// busy. Where many chunks make a slice, one does.
pub(crate) fn ring(chunks: usize) -> usize {
    if chunks < 4 { 3 } else { 2 }
}
/// Words a chain in `outcome`: canary, accepted | failed flag, acceptance; then failures | kind, and the step of the first; growth.
const OUTCOME_ROWS: usize = 6;
/// The first of them are read back after every slice: by way of a copy, or, where the host can, with all others where they stand.
const LANDED_ROWS: usize = 3;
/// The proof's loop: long enough to be a loop, short enough to cost nothing.
pub(crate) const CANARY_STEPS: u32 = 12;
/// Bind groups that a berth keeps: a ring has three places at most, for steps and for evaluations.
const MOST_BOUND: usize = 6;
/// Two timestamps.
const STAMPS: u64 = 16;

/// Bytes of a chain in the largest binding.
pub(crate) fn largest_bytes_a_chain(rows: &Rows) -> u64 {
    4 * rows.all().max(OUTCOME_ROWS) as u64
}

/// Bytes of a chain on the device, in a ring of so many buffers.
pub(crate) fn bytes_a_chain(gpu: &Gpu, dim: usize, rows: &Rows, ring: usize) -> u64 {
    let copied = if gpu.maps_storage() { 0 } else { LANDED_ROWS };
    4 * (ring * (dim + rows.all()) + (ring - 1) * (OUTCOME_ROWS + copied)) as u64
}

/// An evaluation that was submitted.
pub(crate) struct Starting {
    run: Run,
    current: usize,
    submission: wgpu::SubmissionIndex,
}

/// The buffers of `chains` chains from `first` on.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) first: usize,
    pub(crate) chains: usize,
    pub(crate) positions: Vec<wgpu::Buffer>,
    carry: Vec<wgpu::Buffer>,
    berths: Vec<Berth>,
    next_berth: usize,
    /// Whether all rows of the outcome, and the positions, come back with each dispatch.
    pub(crate) is_watched: bool,
}

impl Chunk {
    /// Rings of `ring` buffers for chains at `positions`, `[dim][chain]`, with `momenta` of the same shape or none.
    pub(crate) fn new(gpu: &Gpu, pipelines: &Pipelines, first: usize, ring: usize, positions: &[f32], momenta: &[f32]) -> Self {
        let dim = pipelines.dim();
        let chains = positions.len() / dim;
        let carry_bytes = (pipelines.rows().moments() * chains * 4) as u64;
        let berth = |_| Berth {
            run: gpu.buffer("run", 2 * size_of::<Run>() as u64, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST),
            controls: gpu.buffer("controls", 0, CONTROLS),
            outcome: gpu.buffer("outcome", (OUTCOME_ROWS * chains * 4) as u64, outcome_uses(gpu)),
            bound: Vec::new(),
            staging: None,
            stamps: gpu.stamps(),
            draws: None,
            spare: None,
        };
        let chunk = Self {
            first,
            chains,
            positions: (0..ring).map(|_| gpu.buffer("positions", positions.len() as u64 * 4, POSITION_USES)).collect(),
            carry: (0..ring).map(|_| gpu.buffer("carry", carry_bytes, STATE)).collect(),
            berths: (1..ring).map(berth).collect(),
            next_berth: 0,
            is_watched: false,
        };
        gpu.queue().write_buffer(&chunk.positions[0], 0, bytemuck::cast_slice(positions));
        if !momenta.is_empty() {
            gpu.queue().write_buffer(
                &chunk.carry[0],
                (pipelines.rows().momentum() * chains * 4) as u64,
                bytemuck::cast_slice(momenta),
            );
        }
        chunk
    }

    /// Begins to evaluate the energy (and gradient) where the chains stand in the ring's buffer `current`.
    pub(crate) fn start(&mut self, gpu: &Gpu, pipelines: &Pipelines, control: Control, current: usize) -> Starting {
        let run = Run {
            chains: self.chains as u32,
            blocks: pipelines.blocks(),
            control,
            canary_steps: CANARY_STEPS,
            canary_salt: 1,
            ..Run::zeroed()
        };
        let berth = &mut self.berths[0];
        gpu.queue().write_buffer(&berth.run, 0, bytemuck::bytes_of(&run));
        // Energy and gradient belong beside the positions. No carry is read: what is bound in its place is written already, where a carry
        // would be filled with zeros, which takes its memory on software.
        let next = (current + 1) % self.positions.len();
        let state = [&self.positions[current], &self.positions[next], &pipelines.params, &self.carry[current]];
        let bind = berth.bind(gpu, pipelines, &[control], state, false);
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("start") });
        self.dispatch(gpu, pipelines, &mut encoder, &pipelines.start, &bind, None);
        Starting { run, current, submission: gpu.queue().submit([encoder.finish()]) }
    }

    /// The energies, `[chain]`, and where the kernel uses them the gradients, `[dim][chain]`, of an evaluation.
    ///
    /// # Errors
    /// [`Error::CutShort`] where the driver did not run it to its end.
    pub(crate) fn evaluated(
        &self,
        gpu: &Gpu,
        pipelines: &Pipelines,
        Starting { run, submission, current }: Starting,
        timeout: Duration,
    ) -> Result<(Vec<f32>, Vec<f32>)> {
        gpu.wait(&submission, timeout, 0)?;
        let words: Vec<u32> = gpu.read(&self.berths[0].outcome, 0, (self.chains * 4) as u64, timeout)?;
        if !run.is_proved(&words) {
            return Err(Error::CutShort { adapter: gpu.info().name.clone(), good_steps: 0 });
        }
        let rows = 1 + if pipelines.kernel().uses_grad() { pipelines.dim() } else { 0 };
        let mut energies: Vec<f32> = gpu.read(&self.carry[current], 0, (rows * self.chains * 4) as u64, timeout)?;
        let grads = energies.split_off(self.chains);
        Ok((energies, grads))
    }

    /// Puts the chains to positions, `[dim][chain]`, in the ring's buffer `current`; none has stopped there.
    pub(crate) fn place(&self, gpu: &Gpu, positions: &[f32], stopped_row: Option<usize>, current: usize) {
        gpu.queue().write_buffer(&self.positions[current], 0, bytemuck::cast_slice(positions));
        if let Some(row) = stopped_row {
            gpu.queue().write_buffer(&self.carry[current], (row * self.chains * 4) as u64, &vec![0; 4 * self.chains]);
        }
    }

    /// Submits a dispatch of `run.steps` steps that reads the ring's buffer `from` and writes the next. Of what it writes the positions
    /// and so many rows of the carry are copied, if any.
    #[allow(clippy::too_many_arguments, reason = "one call, all of it plain data")]
    pub(crate) fn fly(
        &mut self,
        gpu: &Gpu,
        pipelines: &Pipelines,
        pipeline: &wgpu::ComputePipeline,
        from: usize,
        run: Run,
        controls: &[Control],
        draws: Option<DrawBytes>,
        spare_rows: usize,
    ) -> Flight {
        let to = (from + 1) % self.positions.len();
        let index = self.next_berth;
        self.next_berth = (index + 1) % self.berths.len();
        let in_place = gpu.maps_storage();
        let landed_bytes = (LANDED_ROWS * self.chains * 4) as u64;
        let stamps_at = if in_place { 0 } else { landed_bytes.next_multiple_of(8) };
        let watched_at = stamps_at + STAMPS;
        let outcome_bytes = (OUTCOME_ROWS * self.chains * 4) as u64 - landed_bytes;
        let row_bytes = (self.chains * 4) as u64;
        let position_bytes = pipelines.dim() as u64 * row_bytes;
        let bytes = watched_at + if self.is_watched { outcome_bytes + row_bytes + position_bytes } else { 0 };
        let berth = &mut self.berths[index];
        let uses = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = match &berth.staging {
            Some(staging) if staging.size() >= bytes => staging.clone(),
            _ => berth.staging.insert(gpu.buffer("staging", bytes, uses)).clone(),
        };
        gpu.queue().write_buffer(&berth.run, 0, bytemuck::bytes_of(&run));
        if let Some(DrawBytes { room, .. }) = draws
            && berth.draws.as_ref().is_none_or(|[_, staging]| staging.size() < room)
        {
            berth.draws = Some(if gpu.maps_storage() {
                let both = gpu.buffer("draws", room, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::MAP_READ);
                [both.clone(), both]
            } else {
                [gpu.buffer("draws", room, STATE), gpu.buffer("draws staging", room, uses)]
            });
        }
        let state = [&self.positions[from], &self.positions[to], &self.carry[from], &self.carry[to]];
        let bind = berth.bind(gpu, pipelines, controls, state, draws.is_some());
        let berth = &self.berths[index];
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("advance") });
        self.dispatch(gpu, pipelines, &mut encoder, pipeline, &bind, berth.stamps.as_ref().map(|(set, _)| set));
        if !in_place {
            encoder.copy_buffer_to_buffer(&berth.outcome, 0, &staging, 0, landed_bytes);
        }
        if let Some((set, resolved)) = &berth.stamps {
            encoder.resolve_query_set(set, 0..2, resolved, 0);
            encoder.copy_buffer_to_buffer(resolved, 0, &staging, stamps_at, STAMPS);
        }
        if self.is_watched {
            encoder.copy_buffer_to_buffer(&berth.outcome, landed_bytes, &staging, watched_at, outcome_bytes);
            encoder.copy_buffer_to_buffer(state[3], 0, &staging, watched_at + outcome_bytes, row_bytes);
            encoder.copy_buffer_to_buffer(state[1], 0, &staging, watched_at + outcome_bytes + row_bytes, position_bytes);
        }
        // A dispatch between two draws has none, but binds the buffer.
        let draws = draws.filter(|bytes| bytes.used > 0).zip(berth.draws.as_ref()).map(|(bytes, [written, staging])| {
            if written != staging {
                encoder.copy_buffer_to_buffer(written, 0, staging, 0, bytes.used);
            }
            (staging.clone(), bytes.used)
        });
        let carry_bytes = spare_rows as u64 * row_bytes;
        let spare = (spare_rows > 0).then(|| {
            let bytes = position_bytes + carry_bytes;
            let berth = &mut self.berths[index];
            let staging = match &berth.spare {
                Some(staging) if staging.size() >= bytes => staging.clone(),
                _ => berth.spare.insert(gpu.buffer("spare", bytes, uses)).clone(),
            };
            encoder.copy_buffer_to_buffer(&self.positions[to], 0, &staging, 0, position_bytes);
            encoder.copy_buffer_to_buffer(&self.carry[to], 0, &staging, position_bytes, carry_bytes);
            (staging, bytes)
        });
        let submission = gpu.queue().submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, .., |_| {});
        let outcome = in_place.then(|| self.berths[index].outcome.clone());
        if let Some(outcome) = &outcome {
            outcome.map_async(wgpu::MapMode::Read, .., |_| {});
        }
        for (staging, bytes) in [&draws, &spare].into_iter().flatten() {
            staging.map_async(wgpu::MapMode::Read, 0..*bytes, |_| {});
        }
        Flight { run, berth: index, submission, bytes, staging, stamps_at: stamps_at as usize / 4, outcome, draws, spare }
    }

    /// Waits for a dispatch and takes what it wrote.
    pub(crate) fn land(&self, gpu: &Gpu, flight: &Flight, timeout: Duration, good_steps: u64) -> Result<Landing> {
        gpu.wait(&flight.submission, timeout, good_steps)?;
        let view = gpu.view(&flight.staging, flight.bytes)?;
        let words: &[u32] = bytemuck::cast_slice(&view);
        let stamps_at = flight.stamps_at;
        let stamp = |i: usize| u64::from(words[stamps_at + 2 * i]) | u64::from(words[stamps_at + 2 * i + 1]) << 32;
        let stamps = self.berths[flight.berth].stamps.is_some().then(|| [stamp(0), stamp(1)]);
        let draws = flight.draws.as_ref().map(|(staging, bytes)| gpu.view(staging, *bytes)).transpose()?;
        let outcome = flight.outcome.as_ref().map(|outcome| gpu.view(outcome, outcome.size())).transpose()?;
        Ok(Landing { chains: self.chains, stamps, watched_at: stamps_at + STAMPS as usize / 4, outcome, draws, view })
    }

    /// As [`Landing::failures`], of a dispatch whose landing does not have them.
    pub(crate) fn failures(&self, gpu: &Gpu, flight: &Flight, timeout: Duration) -> Result<(Vec<u32>, Vec<u32>)> {
        let at = (LANDED_ROWS * self.chains * 4) as u64;
        let mut counts: Vec<u32> = gpu.read(&self.berths[flight.berth].outcome, at, (2 * self.chains * 4) as u64, timeout)?;
        let steps = counts.split_off(self.chains);
        Ok((counts, steps))
    }

    /// A copy of the state of `chains` chains from `first` on, in the ring's buffer `from`, with buffers of its own.
    pub(crate) fn some_chains(&self, gpu: &Gpu, pipelines: &Pipelines, first: usize, chains: usize, from: usize) -> Self {
        let (dim, rows) = (pipelines.dim(), pipelines.rows().moments());
        let alone = Self::new(gpu, pipelines, first, 2, &vec![0.0; dim * chains], &[]);
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("some chains") });
        let mut column = |from: &wgpu::Buffer, to: &wgpu::Buffer, rows: usize| {
            for row in 0..rows {
                let at = ((row * self.chains + first - self.first) * 4) as u64;
                encoder.copy_buffer_to_buffer(from, at, to, (row * chains * 4) as u64, (chains * 4) as u64);
            }
        };
        column(&self.positions[from], &alone.positions[0], dim);
        column(&self.carry[from], &alone.carry[0], rows);
        gpu.queue().submit([encoder.finish()]);
        alone
    }

    /// Makes room for moments beside the state, which stands in the ring's buffer `current`.
    pub(crate) fn make_room(&mut self, gpu: &Gpu, rows: &Rows, current: usize) {
        let bytes = (rows.all() * self.chains * 4) as u64;
        if self.carry[current].size() >= bytes {
            return;
        }
        let wide = self.carry.iter().map(|_| gpu.buffer("carry", bytes, STATE)).collect();
        let narrow = std::mem::replace(&mut self.carry, wide);
        let state = (rows.moments() * self.chains * 4) as u64;
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("make room") });
        encoder.copy_buffer_to_buffer(&narrow[current], 0, &self.carry[current], 0, state);
        gpu.queue().submit([encoder.finish()]);
    }

    /// Gives the memory of draws back.
    pub(crate) fn drop_draws(&mut self) {
        self.berths.iter_mut().filter(|berth| berth.draws.is_some()).for_each(|berth| {
            berth.draws = None;
            // Bind groups keep what they bind.
            berth.bound.retain(|(buffers, _)| buffers.len() == program::bindings(false));
        });
    }

    /// The rows of moments, `[row][chain]`, in the ring's buffer `from`.
    pub(crate) fn moments(&self, gpu: &Gpu, rows: &Rows, from: usize, timeout: Duration) -> Result<Vec<f32>> {
        let (at, bytes) = ((rows.moments() * self.chains * 4) as u64, (rows.of_moments() * self.chains * 4) as u64);
        gpu.read(&self.carry[from], at, bytes, timeout)
    }

    /// Of some watched values shift, mean and m2, `[3][row][chain]`, and the rows after those of all of them.
    pub(crate) fn some_moments(
        &self,
        gpu: &Gpu,
        rows: &Rows,
        watched: Range<usize>,
        from: usize,
        timeout: Duration,
    ) -> Result<[Vec<f32>; 2]> {
        let row_bytes = (self.chains * 4) as u64;
        let part = |row: usize, count: usize| ((rows.moments() + row) as u64 * row_bytes, count as u64 * row_bytes);
        let of = |kind: usize| part(kind * rows.watched() + watched.start, watched.len());
        let sums = 3 * rows.watched();
        let parts = [of(0), of(1), of(2), part(sums, rows.of_moments() - sums)];
        let mut values: Vec<f32> = gpu.read_parts(&self.carry[from], &parts, timeout)?;
        let sums = values.split_off(3 * watched.len() * self.chains);
        Ok([values, sums])
    }

    /// One row of the carry, in the ring's buffer `current`.
    pub(crate) fn read_row(&self, gpu: &Gpu, row: usize, current: usize, timeout: Duration) -> Result<Vec<f32>> {
        gpu.read(&self.carry[current], (row * self.chains * 4) as u64, (self.chains * 4) as u64, timeout)
    }

    /// Those of its ladders of so many rungs, counted from its first, that are among these. A chain alone is a ladder of one.
    pub(crate) fn stored(&self, ladders: &Range<usize>, rungs: usize) -> Range<usize> {
        let (begin, last) = (self.first / rungs, (self.first + self.chains) / rungs);
        let first = ladders.start.clamp(begin, last);
        let end = ladders.end.clamp(first, last);
        first - begin..end - begin
    }

    /// The first rows of the carry buffer, `[row][chain]`, in the ring's buffer `from`.
    pub(crate) fn read_carry(&self, gpu: &Gpu, rows: usize, from: usize, timeout: Duration) -> Result<Vec<f32>> {
        gpu.read(&self.carry[from], 0, (rows * self.chains * 4) as u64, timeout)
    }

    /// Fills the positions, and the first rows of the carry, of the ring's buffer `current`.
    pub(crate) fn write_state(&self, gpu: &Gpu, current: usize, positions: &[f32], carry: &[f32]) {
        gpu.queue().write_buffer(&self.positions[current], 0, bytemuck::cast_slice(positions));
        gpu.queue().write_buffer(&self.carry[current], 0, bytemuck::cast_slice(carry));
    }

    /// Fills the first rows of the carry buffer with which the ring begins.
    pub(crate) fn write_carry(&self, gpu: &Gpu, carry: &[f32]) {
        gpu.queue().write_buffer(&self.carry[0], 0, bytemuck::cast_slice(carry));
    }

    pub(crate) fn read_positions(&self, gpu: &Gpu, dim: usize, current: usize, timeout: Duration) -> Result<Vec<f32>> {
        gpu.read(&self.positions[current], 0, (dim * self.chains * 4) as u64, timeout)
    }

    fn dispatch(
        &self,
        gpu: &Gpu,
        pipelines: &Pipelines,
        encoder: &mut wgpu::CommandEncoder,
        pipeline: &wgpu::ComputePipeline,
        bind: &wgpu::BindGroup,
        stamps: Option<&wgpu::QuerySet>,
    ) {
        let groups = pipelines.groups(self.chains);
        // Beyond the limit of one dimension (65,535) the grid is folded; the shader skips what is too much.
        let rows = groups.div_ceil(gpu.device().limits().max_compute_workgroups_per_dimension);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("ergodic"),
            timestamp_writes: stamps.map(|query_set| wgpu::ComputePassTimestampWrites {
                query_set,
                beginning_of_pass_write_index: Some(0),
                end_of_pass_write_index: Some(1),
            }),
        });
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, bind, &[]);
        pass.dispatch_workgroups(groups.div_ceil(rows), rows, 1);
    }
}

fn outcome_uses(gpu: &Gpu) -> wgpu::BufferUsages {
    let read = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    if gpu.maps_storage() { read | wgpu::BufferUsages::MAP_READ } else { read }
}

const CONTROLS: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_DST);
const STATE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);
const POSITION_USES: wgpu::BufferUsages = STATE.union(wgpu::BufferUsages::VERTEX);
