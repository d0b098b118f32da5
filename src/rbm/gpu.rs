//! Block Gibbs on a GPU: a dispatch a half sweep, many in one submission, each with a proof of completion.

use std::time::{Duration, Instant};

use bytemuck::{Pod, Zeroable};

use super::{
    Rbm, States,
    gibbs::{Layer, epochs},
    transpose,
};
use crate::{
    Error, Gpu, Result,
    dispatch::{
        Binding::{Read, Write},
        STATE, canary, pipeline,
    },
    random::{Stream, key},
};

/// A submission should take about this long.
const SLICE: Duration = Duration::from_millis(75);
const TIMEOUT: Duration = Duration::from_secs(60);
/// Sweeps of one submission at most.
const MOST_SWEEPS: u64 = 256;
const CANARY_STEPS: u32 = 12;
/// Settings of one dispatch stand so far apart (WebGPU's alignment of dynamic offsets).
const ROW: usize = 256;

/// The settings of a dispatch; the same layout as `HalfSweep` in shaders/rbm/half_sweep.wgsl.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct HalfSweep {
    key: [u32; 2],
    first_chain: u32,
    groups: u32,
    inputs: u32,
    outputs: u32,
    index: u32,
    row: u32,
    canary_steps: u32,
    canary_salt: u32,
    canary_scale: u32,
    canary_offset: u32,
}

/// One layer given the other.
#[derive(Debug)]
struct Half {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    inputs: usize,
    outputs: usize,
    weights: wgpu::Buffer,
    bias: wgpu::Buffer,
    clamped: wgpu::Buffer,
}

/// Chains on a GPU. A slice reads the confirmed state and writes the other of two, so that one which the driver cut short is
/// discarded by not using what it wrote.
#[derive(Debug)]
pub(crate) struct GpuGibbs {
    gpu: Gpu,
    up: Half,
    down: Half,
    visible: [wgpu::Buffer; 2],
    hidden: [wgpu::Buffer; 2],
    kept: wgpu::Buffer,
    settings: wgpu::Buffer,
    proof: wgpu::Buffer,
    current: usize,
    chains: usize,
    gaussian: bool,
    slice_sweeps: u64,
    salt: u32,
}

impl GpuGibbs {
    pub(crate) fn new(gpu: &Gpu, rbm: &Rbm, visible: Layer) -> Result<Self> {
        let (chains, gaussian) = (visible.chains(), rbm.sds.is_some());
        let groups = chains.div_ceil(32);
        let limits = gpu.device().limits();
        // Words of a layer: one a unit and 32 chains, or 32 where its units are real.
        let visible_words = rbm.visible as u64 * groups as u64 * if gaussian { 32 } else { 1 };
        let hidden_words = rbm.hidden as u64 * groups as u64;
        let largest = 4 * visible_words.max(hidden_words).max(rbm.weights.len() as u64);
        let allowed = limits.max_storage_buffer_binding_size;
        if largest > allowed {
            return Err(Error::Limit {
                what: "bytes of a buffer".into(),
                asked: largest,
                allowed,
                limit: "a storage binding".into(),
            });
        }
        let module = gpu.device().create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("half sweep"),
            source: wgpu::ShaderSource::Wgsl(if gaussian { gaussian_source() } else { source() }.into()),
        });
        let half = |entry, inputs: usize, outputs: usize, weights: &[f32], bias: &[f32]| {
            let (layout, pipeline) = pipeline(gpu, entry, &module, &[Read, Read, Read, Write, Read, Read, Write])?;
            Ok::<_, Error>(Half {
                pipeline,
                layout,
                inputs,
                outputs,
                weights: gpu.buffer_with("weights", bytemuck::cast_slice(weights)),
                bias: gpu.buffer_with("bias", bytemuck::cast_slice(bias)),
                clamped: gpu.buffer_with("clamped", &vec![0; 4 * outputs]),
            })
        };
        let [up, down] = if gaussian { ["hidden_of_reals", "reals_of_hidden"] } else { ["half_sweep_of"; 2] };
        let transposed = transpose(&rbm.weights, rbm.hidden);
        let bias: Vec<f32> = rbm.scaled_rows(&rbm.visible_bias);
        let layer = |label, words: u64| gpu.buffer(label, 4 * words, STATE);
        let rows = 2 * MOST_SWEEPS;
        let this = Self {
            gpu: gpu.clone(),
            up: half(up, rbm.visible, rbm.hidden, &rbm.weights, &rbm.hidden_bias)?,
            down: half(down, rbm.hidden, rbm.visible, &transposed, &bias)?,
            visible: std::array::from_fn(|_| layer("visible", visible_words)),
            hidden: std::array::from_fn(|_| layer("hidden", hidden_words)),
            kept: layer("kept", visible_words),
            settings: gpu.buffer("half sweeps", rows * ROW as u64, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST),
            proof: gpu.buffer("proof", 4 * rows, STATE),
            current: 0,
            chains,
            gaussian,
            slice_sweeps: 1,
            salt: 0,
        };
        match &visible {
            Layer::Bits(states) => gpu.queue().write_buffer(&this.visible[0], 0, bytemuck::cast_slice(states.words())),
            Layer::Reals { units, rows } => {
                let mut columns = vec![0f32; units * groups * 32];
                for (chain, row) in rows.chunks_exact(*units).enumerate() {
                    row.iter().enumerate().for_each(|(unit, &x)| columns[unit * groups * 32 + chain] = x as f32);
                }
                gpu.queue().write_buffer(&this.visible[0], 0, bytemuck::cast_slice(&columns));
            }
        }
        Ok(this)
    }

    pub(crate) fn visible_units(&self) -> usize {
        self.down.outputs
    }

    pub(crate) fn clamp(&mut self, marks: &[bool]) -> Result<()> {
        let marks: Vec<_> = marks.iter().map(|&mark| u32::from(mark)).collect();
        self.gpu.queue().write_buffer(&self.down.clamped, 0, bytemuck::cast_slice(&marks));
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&self.visible[self.current], 0, &self.kept, 0, self.kept.size());
        self.gpu.queue().submit([encoder.finish()]);
        self.gpu.check(0)
    }

    pub(crate) fn visible(&self) -> Result<Layer> {
        let (buffer, units) = (&self.visible[self.current], self.down.outputs);
        if !self.gaussian {
            return Ok(Layer::Bits(self.read(buffer, units)?));
        }
        let columns: Vec<f32> = self.gpu.read(buffer, 0, buffer.size(), TIMEOUT)?;
        let stride = 32 * self.groups();
        let of_chain = |chain| columns.iter().skip(chain).step_by(stride).map(|&x| f64::from(x));
        Ok(Layer::Reals { units, rows: (0..self.chains).flat_map(of_chain).collect() })
    }

    pub(crate) fn hidden(&self) -> Result<States> {
        self.read(&self.hidden[self.current], self.up.outputs)
    }

    fn read(&self, buffer: &wgpu::Buffer, units: usize) -> Result<States> {
        let words = self.gpu.read(buffer, 0, 4 * (units * self.groups()) as u64, TIMEOUT)?;
        Ok(States::from_words(units, self.chains, words))
    }

    fn groups(&self) -> usize {
        self.chains.div_ceil(32)
    }

    /// Runs `sweeps` sweeps after the `done` ones, which it counts on.
    pub(crate) fn advance(&mut self, seed: u64, done: &mut u64, sweeps: u64) -> Result<()> {
        let goal = *done + sweeps;
        while *done < goal {
            let slots = (self.up.outputs + self.down.outputs) as u32;
            let slice = self.slice_sweeps.min(goal - *done).min(epochs(slots as usize).left(*done));
            let begun = Instant::now();
            self.slice(seed, *done, slice)?;
            self.current = 1 - self.current;
            *done += slice;
            let took = begun.elapsed();
            if took < SLICE / 2 {
                self.slice_sweeps = (2 * self.slice_sweeps).min(MOST_SWEEPS);
            } else if took > 2 * SLICE {
                self.slice_sweeps = (self.slice_sweeps / 2).max(1);
            }
        }
        Ok(())
    }

    /// Submits sweeps and waits for their proof.
    fn slice(&mut self, seed: u64, first: u64, sweeps: u64) -> Result<()> {
        let (from, to) = (self.current, 1 - self.current);
        let slots = (self.up.outputs + self.down.outputs) as u32;
        let epochs = epochs(slots as usize);
        let key = key(seed, Stream::Transition, epochs.epoch(first));
        let mut settings = vec![0u8; 2 * sweeps as usize * ROW];
        for (row, bytes) in settings.chunks_exact_mut(ROW).enumerate() {
            let (half, slot) = if row % 2 == 0 { (&self.up, 0) } else { (&self.down, self.up.outputs as u32) };
            let index = epochs.step_in_epoch(first + row as u64 / 2) * slots + slot;
            let row_of_settings = self.row_of_settings(half, key, index, row as u32);
            bytes[..size_of::<HalfSweep>()].copy_from_slice(bytemuck::bytes_of(&row_of_settings));
        }
        self.salt = self.salt.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.gpu.queue().write_buffer(&self.settings, 0, &settings);
        let up = |v: usize| self.bind(&self.up, &self.visible[v], &self.hidden[to], &self.visible[1 - v]);
        let (first_up, other_up) = (up(from), up(to));
        let down = self.bind(&self.down, &self.hidden[to], &self.visible[to], &self.kept);
        let mut encoder = self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("sweeps") });
        encoder.clear_buffer(&self.proof, 0, None);
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for row in 0..2 * sweeps as usize {
                let (half, bind) = match row {
                    0 => (&self.up, &first_up),
                    _ if row % 2 == 0 => (&self.up, &other_up),
                    _ => (&self.down, &down),
                };
                pass.set_pipeline(&half.pipeline);
                pass.set_bind_group(0, bind, &[(row * ROW) as u32]);
                let workgroups = (half.outputs * self.groups()).div_ceil(64) as u32;
                // Beyond the limit of one dimension (65,535) the grid is folded; the shader skips what is too much.
                let folds = workgroups.div_ceil(self.gpu.device().limits().max_compute_workgroups_per_dimension);
                pass.dispatch_workgroups(workgroups.div_ceil(folds), folds, 1);
            }
        }
        self.gpu.queue().submit([encoder.finish()]);
        let proof: Vec<u32> = self.gpu.read(&self.proof, 0, 8 * sweeps, TIMEOUT)?;
        let expected = [self.up.outputs * self.groups(), self.down.outputs * self.groups()];
        if proof.iter().enumerate().all(|(row, &count)| count as usize == expected[row % 2]) {
            Ok(())
        } else {
            Err(Error::CutShort { adapter: self.gpu.info().name.clone(), good_steps: first })
        }
    }

    fn row_of_settings(&self, half: &Half, key: [u32; 2], index: u32, row: u32) -> HalfSweep {
        let (scale, offset) = canary(CANARY_STEPS);
        HalfSweep {
            key,
            first_chain: 0,
            groups: self.groups() as u32,
            inputs: half.inputs as u32,
            outputs: half.outputs as u32,
            index,
            row,
            canary_steps: CANARY_STEPS,
            canary_salt: self.salt,
            canary_scale: scale,
            canary_offset: offset,
        }
    }

    fn bind(&self, half: &Half, from: &wgpu::Buffer, to: &wgpu::Buffer, kept: &wgpu::Buffer) -> wgpu::BindGroup {
        let size = std::num::NonZeroU64::new(size_of::<HalfSweep>() as u64);
        let row_of_settings = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &self.settings, offset: 0, size });
        let buffers = [&half.weights, &half.bias, from, to, &half.clamped, kept, &self.proof];
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: row_of_settings }];
        entries.extend(
            buffers
                .iter()
                .zip(1..)
                .map(|(buffer, binding)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() }),
        );
        self.gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("half sweep"),
            layout: &half.layout,
            entries: &entries,
        })
    }
}

/// The WGSL of half a sweep.
pub(crate) fn source() -> String {
    [include_str!("../../shaders/threefry.wgsl"), include_str!("../../shaders/rbm/half_sweep.wgsl")].concat()
}

/// The WGSL of the half sweeps of a machine with Gaussian visible units.
pub(crate) fn gaussian_source() -> String {
    let [normal, gaussian] = [include_str!("../../shaders/normal.wgsl"), include_str!("../../shaders/rbm/gaussian.wgsl")];
    [&source(), normal, gaussian].concat()
}
