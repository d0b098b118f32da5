//! The compute pipelines of one energy under one kernel; the one that collects moments is compiled when first asked for.

use std::sync::Arc;

use crate::{Error, Gpu, Program, Result, chains::rows::Rows, energy::Energy, kernel::Kernel, program::Options};

/// Compiled entry points and the parameters they read.
#[derive(Debug)]
pub(crate) struct Pipelines {
    target: Arc<dyn Energy>,
    kernel: Arc<dyn Kernel>,
    options: Options,
    pub(crate) start: wgpu::ComputePipeline,
    advance: Option<wgpu::ComputePipeline>,
    collect: Option<wgpu::ComputePipeline>,
    pub(crate) bindings: wgpu::BindGroupLayout,
    layout: wgpu::PipelineLayout,
    module: wgpu::ShaderModule,
    /// The energy's parameters, then the kernel's.
    pub(crate) params: wgpu::Buffer,
    shares: usize,
}

impl Pipelines {
    pub(crate) fn new(gpu: &Gpu, target: Arc<dyn Energy>, kernel: Arc<dyn Kernel>, scheduled: bool) -> Result<Self> {
        let options = Options { collect: false, scheduled, software: gpu.is_software() };
        let program = Program::new(&*target, &*kernel, options)?;
        let device = gpu.device();
        let entries: Vec<_> = (0..8)
            .map(|binding| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: match binding {
                        0 => wgpu::BufferBindingType::Uniform,
                        1 if program.caches_params() => wgpu::BufferBindingType::Uniform,
                        1 | 2 | 3 | 5 => wgpu::BufferBindingType::Storage { read_only: true },
                        _ => wgpu::BufferBindingType::Storage { read_only: false },
                    },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let bindings =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some("ergodic"), entries: &entries });
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("ergodic"),
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: 0,
        });
        let module = module(gpu, &program);
        let start = compile(gpu, &layout, &module, "start")?;
        let shares = program.shares();
        let params = gpu.buffer_with("params", bytemuck::cast_slice(&params(&*target, &*kernel, shares)));
        let mut pipelines =
            Self { target, kernel, options, start, advance: None, collect: None, bindings, layout, module, params, shares };
        pipelines.advance(gpu, false)?;
        Ok(pipelines)
    }

    /// The pipeline that runs steps.
    pub(crate) fn advance(&mut self, gpu: &Gpu, collect: bool) -> Result<&wgpu::ComputePipeline> {
        let slot = if collect { &mut self.collect } else { &mut self.advance };
        match slot {
            Some(pipeline) => Ok(pipeline),
            None => {
                let module = if collect {
                    module(gpu, &Program::new(&*self.target, &*self.kernel, Options { collect, ..self.options })?)
                } else {
                    self.module.clone()
                };
                Ok(slot.insert(compile(gpu, &self.layout, &module, "advance")?))
            }
        }
    }

    /// Replaces the kernel by one that differs in its settings alone.
    pub(crate) fn set_kernel(&mut self, gpu: &Gpu, kernel: Arc<dyn Kernel>) {
        debug_assert_eq!((kernel.source(), kernel.variant()), (self.kernel.source(), self.kernel.variant()));
        gpu.queue().write_buffer(&self.params, 0, bytemuck::cast_slice(&params(&*self.target, &*kernel, self.shares)));
        self.kernel = kernel;
    }

    /// Lanes of a position.
    pub(crate) fn blocks(&self) -> u32 {
        crate::program::lanes(self.dim()).1 as u32
    }

    /// Workgroups that run so many chains.
    pub(crate) fn groups(&self, chains: usize) -> u32 {
        chains.div_ceil(64 / self.shares) as u32
    }

    pub(crate) fn dim(&self) -> usize {
        self.target.dim()
    }

    /// The rows of the carry buffer.
    pub(crate) fn rows(&self) -> Rows {
        Rows::new(self.dim(), &*self.kernel)
    }

    pub(crate) fn kernel(&self) -> &dyn Kernel {
        &*self.kernel
    }
}

/// The contents of the parameter buffer.
fn params(target: &dyn Energy, kernel: &dyn Kernel, shares: usize) -> Vec<f32> {
    let mut values = target.params();
    values.extend(kernel.params(target.dim()));
    // Whole lanes are read past the last parameter, a uniform binding holds whole vectors, and none may be empty.
    values.resize((values.len() + 8 * shares).next_multiple_of(4), 0.0);
    values
}

fn module(gpu: &Gpu, program: &Program) -> wgpu::ShaderModule {
    gpu.device().create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("ergodic"),
        source: wgpu::ShaderSource::Wgsl(program.source().into()),
    })
}

fn compile(
    gpu: &Gpu,
    layout: &wgpu::PipelineLayout,
    module: &wgpu::ShaderModule,
    entry: &str,
) -> Result<wgpu::ComputePipeline> {
    let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
    let pipeline = gpu.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(entry),
        layout: Some(layout),
        module,
        entry_point: Some(entry),
        compilation_options: wgpu::PipelineCompilationOptions { zero_initialize_workgroup_memory: false, ..Default::default() },
        cache: None,
    });
    match pollster::block_on(scope.pop()) {
        None => Ok(pipeline),
        Some(error) => Err(Error::Device(error.to_string())),
    }
}
