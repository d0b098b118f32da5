//! The checkerboard on a GPU: a dispatch a colour, many in one submission, each with a proof of completion.

use std::time::{Duration, Instant};

use bytemuck::{Pod, Zeroable};

use crate::{
    Error, Gpu, Result,
    dispatch::{Binding, STATE, canary, pipeline},
    random::{Epochs, Stream, key},
};

/// A submission should take about this long.
const SLICE: Duration = Duration::from_millis(75);
const TIMEOUT: Duration = Duration::from_secs(60);
/// Sweeps of one submission at most.
const MOST_SWEEPS: u64 = 256;
const CANARY_STEPS: u32 = 12;
/// Settings of one dispatch stand so far apart (WebGPU's alignment of dynamic offsets).
const ROW: usize = 256;

/// The settings of a dispatch; the same layout as `Colour` in shaders/rbm/checkerboard.wgsl.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Colour {
    key: [u32; 2],
    side: u32,
    groups: u32,
    colour: u32,
    index: u32,
    row: u32,
    canary_steps: u32,
    up: [u32; 5],
    canary_salt: u32,
    canary_scale: u32,
    canary_offset: u32,
}

#[derive(Debug)]
pub(crate) struct GpuIsing {
    gpu: Gpu,
    pipeline: wgpu::ComputePipeline,
    bind: wgpu::BindGroup,
    spins: wgpu::Buffer,
    /// The state before a slice, which comes back where the driver cuts it short.
    before: wgpu::Buffer,
    settings: wgpu::Buffer,
    proof: wgpu::Buffer,
    side: usize,
    groups: usize,
    up: [u32; 5],
    slice_sweeps: u64,
    salt: u32,
}

impl GpuIsing {
    pub(crate) fn new(gpu: &Gpu, side: usize, up: [u32; 5], spins: &[u32]) -> Result<Self> {
        let bytes = 4 * spins.len() as u64;
        let allowed = gpu.device().limits().max_storage_buffer_binding_size;
        if bytes > allowed {
            return Err(Error::Limit {
                what: "bytes of spins".into(),
                asked: bytes,
                allowed,
                limit: "a storage binding".into(),
            });
        }
        let module = gpu.device().create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("checkerboard"),
            source: wgpu::ShaderSource::Wgsl(source().into()),
        });
        let (layout, pipeline) = pipeline(gpu, "checkerboard", &module, &[Binding::Write; 2])?;
        let rows = 2 * MOST_SWEEPS;
        let settings = gpu.buffer("colours", rows * ROW as u64, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST);
        let (state, proof) = (gpu.buffer("spins", bytes, STATE), gpu.buffer("proof", 4 * rows, STATE));
        gpu.queue().write_buffer(&state, 0, bytemuck::cast_slice(spins));
        let size = std::num::NonZeroU64::new(size_of::<Colour>() as u64);
        let row_of_settings = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &settings, offset: 0, size });
        let bind = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("checkerboard"),
            layout: &layout,
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: row_of_settings },
                wgpu::BindGroupEntry { binding: 1, resource: state.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 2, resource: proof.as_entire_binding() },
            ],
        });
        Ok(Self {
            gpu: gpu.clone(),
            pipeline,
            bind,
            before: gpu.buffer("spins before", bytes, STATE),
            spins: state,
            settings,
            proof,
            side,
            groups: spins.len() / (side * side),
            up,
            slice_sweeps: 1,
            salt: 0,
        })
    }

    pub(crate) fn spins(&self) -> Result<Vec<u32>> {
        self.gpu.read(&self.spins, 0, 4 * (self.side * self.side * self.groups) as u64, TIMEOUT)
    }

    /// Runs `sweeps` sweeps after the `done` ones, which it counts on.
    pub(crate) fn advance(&mut self, seed: u64, done: &mut u64, sweeps: u64) -> Result<()> {
        let epochs = Epochs::new((self.side * self.side) as u32);
        let goal = *done + sweeps;
        while *done < goal {
            let slice = self.slice_sweeps.min(goal - *done).min(epochs.left(*done));
            let begun = Instant::now();
            self.slice(seed, *done, slice)?;
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

    fn slice(&mut self, seed: u64, first: u64, sweeps: u64) -> Result<()> {
        let sites = self.side * self.side;
        let epochs = Epochs::new(sites as u32);
        let (scale, offset) = canary(CANARY_STEPS);
        self.salt = self.salt.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mut settings = vec![0u8; 2 * sweeps as usize * ROW];
        for (row, bytes) in settings.chunks_exact_mut(ROW).enumerate() {
            let row_of_settings = Colour {
                key: key(seed, Stream::Transition, epochs.epoch(first)),
                side: self.side as u32,
                groups: self.groups as u32,
                colour: row as u32 % 2,
                index: epochs.step_in_epoch(first + row as u64 / 2) * sites as u32,
                row: row as u32,
                canary_steps: CANARY_STEPS,
                up: self.up,
                canary_salt: self.salt,
                canary_scale: scale,
                canary_offset: offset,
            };
            bytes[..size_of::<Colour>()].copy_from_slice(bytemuck::bytes_of(&row_of_settings));
        }
        self.gpu.queue().write_buffer(&self.settings, 0, &settings);
        let mut encoder =
            self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("checkerboard") });
        encoder.copy_buffer_to_buffer(&self.spins, 0, &self.before, 0, self.spins.size());
        encoder.clear_buffer(&self.proof, 0, None);
        let invocations = sites / 2 * self.groups;
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&self.pipeline);
            let workgroups = invocations.div_ceil(64) as u32;
            let folds = workgroups.div_ceil(self.gpu.device().limits().max_compute_workgroups_per_dimension);
            for row in 0..2 * sweeps as usize {
                pass.set_bind_group(0, &self.bind, &[(row * ROW) as u32]);
                pass.dispatch_workgroups(workgroups.div_ceil(folds), folds, 1);
            }
        }
        self.gpu.queue().submit([encoder.finish()]);
        let proof: Vec<u32> = self.gpu.read(&self.proof, 0, 8 * sweeps, TIMEOUT)?;
        if proof.iter().all(|&count| count as usize == invocations) {
            return Ok(());
        }
        let mut encoder = self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("restore") });
        encoder.copy_buffer_to_buffer(&self.before, 0, &self.spins, 0, self.spins.size());
        self.gpu.queue().submit([encoder.finish()]);
        Err(Error::CutShort { adapter: self.gpu.info().name.clone(), good_steps: first })
    }
}

/// The WGSL of half a sweep.
fn source() -> String {
    [include_str!("../../shaders/threefry.wgsl"), include_str!("../../shaders/rbm/checkerboard.wgsl")].concat()
}
