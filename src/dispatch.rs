//! Dispatches that are no steps of chains: their pipelines, and submissions that prove their completion.

use std::{ops::Range, time::Duration};

use bytemuck::{Pod, Zeroable};

use crate::{Error, Gpu, Result};

const TIMEOUT: Duration = Duration::from_secs(60);
const CANARY_STEPS: u32 = 12;
/// Settings of one dispatch stand so far apart (WebGPU's alignment of dynamic offsets).
const ROW: usize = 256;

/// What a shader does with a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding {
    /// Reads a uniform buffer.
    Uniform,
    /// Reads a storage buffer.
    Read,
    /// Reads and writes a storage buffer.
    Write,
}

/// Buffers that shaders write and the host reads.
pub(crate) const STATE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

/// Where the canary ends: its steps, x -> a x + c each, are one step of x -> scale x + offset.
pub(crate) fn canary(steps: u32) -> (u32, u32) {
    (0..steps).fold((1u32, 0u32), |(scale, offset), _| {
        (scale.wrapping_mul(1_664_525), offset.wrapping_mul(1_664_525).wrapping_add(1_013_904_223))
    })
}

/// A pipeline with settings at binding 0, which a dynamic offset chooses, and buffers from 1 on.
pub(crate) fn pipeline(
    gpu: &Gpu,
    entry: &str,
    module: &wgpu::ShaderModule,
    buffers: &[Binding],
) -> Result<(wgpu::BindGroupLayout, wgpu::ComputePipeline)> {
    let device = gpu.device();
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let entries: Vec<_> = std::iter::once(&Binding::Read)
        .chain(buffers)
        .zip(0..)
        .map(|(buffer, binding)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: match buffer {
                    Binding::Uniform => wgpu::BufferBindingType::Uniform,
                    Binding::Read => wgpu::BufferBindingType::Storage { read_only: true },
                    Binding::Write => wgpu::BufferBindingType::Storage { read_only: false },
                },
                has_dynamic_offset: binding == 0,
                min_binding_size: None,
            },
            count: None,
        })
        .collect();
    check_storage(gpu, &entries)?;
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(entry), entries: &entries });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(entry),
        layout: Some(&device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(entry),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        })),
        module,
        entry_point: Some(entry),
        compilation_options: Default::default(),
        cache: None,
    });
    match pollster::block_on(scope.pop()) {
        None => Ok((layout, pipeline)),
        Some(error) => Err(Error::Device(error.to_string())),
    }
}

/// That a device takes as many storage buffers: one that a program owns may have limits below WebGPU's default.
pub(crate) fn check_storage(gpu: &Gpu, entries: &[wgpu::BindGroupLayoutEntry]) -> Result<()> {
    let is_storage = |entry: &&wgpu::BindGroupLayoutEntry| {
        matches!(entry.ty, wgpu::BindingType::Buffer { ty: wgpu::BufferBindingType::Storage { .. }, .. })
    };
    let (asked, allowed) =
        (entries.iter().filter(is_storage).count(), gpu.device().limits().max_storage_buffers_per_shader_stage);
    if asked as u64 <= u64::from(allowed) {
        return Ok(());
    }
    Err(Error::Limit {
        what: "storage buffers of a program".into(),
        asked: asked as u64,
        allowed: u64::from(allowed),
        limit: "the device's max_storage_buffers_per_shader_stage".into(),
    })
}

/// The first member of the settings of a dispatch; the same layout as `Proof` in shaders/proof.wgsl.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Proof {
    row: u32,
    canary_steps: u32,
    canary_salt: u32,
    canary_scale: u32,
    canary_offset: u32,
}

/// One dispatch: its settings, which begin with a [`Proof`] that is filled in here, and how many invocations must prove their end.
#[derive(Debug)]
pub(crate) struct Dispatch<'a, T> {
    pub(crate) pipeline: &'a wgpu::ComputePipeline,
    pub(crate) settings: T,
    pub(crate) groups: [u32; 3],
    pub(crate) invocations: u32,
}

/// Submissions of dispatches, of which each has a row of settings and a word of proof.
#[derive(Debug)]
pub(crate) struct Submissions {
    gpu: Gpu,
    settings: wgpu::Buffer,
    proof: wgpu::Buffer,
    staging: wgpu::Buffer,
    salt: u32,
}

impl Submissions {
    /// With at most so many dispatches in one.
    pub(crate) fn new(gpu: &Gpu, most: usize) -> Self {
        Self {
            settings: gpu.buffer("settings", (most * ROW) as u64, STATE),
            proof: gpu.buffer("proof", 4 * most as u64, STATE),
            staging: staging(gpu, 0),
            salt: 0,
            gpu: gpu.clone(),
        }
    }

    /// What binding 0 is: one row of the settings.
    pub(crate) fn settings<T: Pod>(&self) -> wgpu::BindingResource<'_> {
        let size = std::num::NonZeroU64::new(size_of::<T>() as u64);
        wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &self.settings, offset: 0, size })
    }

    /// What shaders add to where an invocation ran to its end: a word a dispatch.
    pub(crate) fn proof(&self) -> &wgpu::Buffer {
        &self.proof
    }

    /// Runs what `before` records, then the dispatches, if any, and reads a range of the numbers of a buffer.
    ///
    /// # Errors
    /// [`Error::CutShort`] where not all invocations ran to their end; errors of the device.
    pub(crate) fn run<T: Pod>(
        &mut self,
        bind: &wgpu::BindGroup,
        dispatches: &[Dispatch<'_, T>],
        before: impl FnOnce(&mut wgpu::CommandEncoder),
        read: &wgpu::Buffer,
        range: Range<usize>,
    ) -> Result<Vec<f32>> {
        let mut settings = vec![0u8; dispatches.len() * ROW];
        let (canary_scale, canary_offset) = canary(CANARY_STEPS);
        for (row, (dispatch, bytes)) in dispatches.iter().zip(settings.chunks_exact_mut(ROW)).enumerate() {
            self.salt = self.salt.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (row, canary_salt) = (row as u32, self.salt);
            let proof = Proof { row, canary_steps: CANARY_STEPS, canary_salt, canary_scale, canary_offset };
            bytes[..size_of::<T>()].copy_from_slice(bytemuck::bytes_of(&dispatch.settings));
            bytes[..size_of::<Proof>()].copy_from_slice(bytemuck::bytes_of(&proof));
        }
        if !settings.is_empty() {
            self.gpu.queue().write_buffer(&self.settings, 0, &settings);
        }
        let (bytes, proof_bytes) = (4 * range.len() as u64, 4 * dispatches.len() as u64);
        if self.staging.size() < bytes + proof_bytes {
            self.staging = staging(&self.gpu, bytes + proof_bytes);
        }
        let mut encoder = self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("passes") });
        encoder.clear_buffer(&self.proof, 0, None);
        before(&mut encoder);
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for (row, dispatch) in dispatches.iter().enumerate() {
                pass.set_pipeline(dispatch.pipeline);
                pass.set_bind_group(0, bind, &[(row * ROW) as u32]);
                let [x, y, z] = dispatch.groups;
                pass.dispatch_workgroups(x, y, z);
            }
        }
        encoder.copy_buffer_to_buffer(read, 4 * range.start as u64, &self.staging, 0, bytes);
        if proof_bytes > 0 {
            encoder.copy_buffer_to_buffer(&self.proof, 0, &self.staging, bytes, proof_bytes);
        }
        let submission = self.gpu.queue().submit([encoder.finish()]);
        self.staging.map_async(wgpu::MapMode::Read, .., |_| {});
        if let Err(e) = self.gpu.wait(&submission, TIMEOUT, 0) {
            // The device may write to it yet.
            self.staging = staging(&self.gpu, bytes + proof_bytes);
            return Err(e);
        }
        let mut words: Vec<u32> = self.gpu.mapped(&self.staging, bytes + proof_bytes)?;
        self.staging.unmap();
        let proof = words.split_off(range.len());
        if !proof.iter().eq(dispatches.iter().map(|dispatch| &dispatch.invocations)) {
            return Err(Error::CutShort { adapter: self.gpu.info().name.clone(), good_steps: 0 });
        }
        Ok(words.into_iter().map(f32::from_bits).collect())
    }
}

fn staging(gpu: &Gpu, bytes: u64) -> wgpu::Buffer {
    gpu.buffer("staging", bytes, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)
}
