//! The compute pipelines of one energy under one kernel; those that collect moments, or store draws as well, are compiled when first
//! asked for.

use std::sync::Arc;

use crate::{
    Error, Gpu, Program, Result,
    chains::rows::Rows,
    dispatch::check_storage,
    energy::Energy,
    kernel::Kernel,
    program::{self, Options},
};

/// What a dispatch does besides its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Nothing.
    Advance,
    /// Moments.
    Collect,
    /// Moments, and draws into a buffer.
    Store,
}

/// What a pipeline binds.
#[derive(Debug)]
struct Layout {
    bindings: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

/// Compiled entry points and the parameters they read.
#[derive(Debug)]
pub(crate) struct Pipelines {
    target: Arc<dyn Energy>,
    kernel: Arc<dyn Kernel>,
    options: Options,
    pub(crate) start: wgpu::ComputePipeline,
    /// One a task.
    advance: [Option<wgpu::ComputePipeline>; 3],
    layout: Layout,
    layout_with_draws: Layout,
    module: wgpu::ShaderModule,
    /// The energy's parameters, then the kernel's.
    pub(crate) params: wgpu::Buffer,
    shares: usize,
    group_chains: usize,
}

impl Pipelines {
    pub(crate) fn new(gpu: &Gpu, target: Arc<dyn Energy>, kernel: Arc<dyn Kernel>, scheduled: bool) -> Result<Self> {
        let options = Options { scheduled, software: gpu.is_software(), subgroup: gpu.subgroup(), ..Options::default() };
        let program = Program::new(&*target, &*kernel, options)?;
        let layout = |store| Layout::new(gpu, program.caches_params(), program::bindings(store));
        let (layout, layout_with_draws) = (layout(false)?, layout(true)?);
        let module = module(gpu, &program);
        // A start is evaluated once: where programs are long, it had better be compiled soon than run fast.
        let start = match options.software && program.shares() > 1 {
            true => self::module(gpu, &Program::new(&*target, &*kernel, Options { rolled: true, ..options })?),
            false => module.clone(),
        };
        let start = compile(gpu, &layout.pipeline, &start, "start")?;
        let shares = program.shares();
        let params = gpu.buffer_with("params", bytemuck::cast_slice(&params(&*target, &*kernel, shares)));
        Ok(Self {
            target,
            kernel,
            options,
            start,
            advance: [None, None, None],
            layout,
            layout_with_draws,
            module,
            params,
            group_chains: program.group_chains(),
            shares,
        })
    }

    /// The pipeline that runs steps.
    pub(crate) fn advance(&mut self, gpu: &Gpu, task: Task) -> Result<&wgpu::ComputePipeline> {
        let slot = &mut self.advance[task as usize];
        match slot {
            Some(pipeline) => Ok(pipeline),
            None => {
                let module = if task == Task::Advance {
                    self.module.clone()
                } else {
                    let options = Options { collect: true, store: task == Task::Store, ..self.options };
                    module(gpu, &Program::new(&*self.target, &*self.kernel, options)?)
                };
                let layout = if task == Task::Store { &self.layout_with_draws } else { &self.layout };
                Ok(slot.insert(compile(gpu, &layout.pipeline, &module, "advance")?))
            }
        }
    }

    /// The layout of the bindings, with a buffer of draws or without.
    pub(crate) fn bindings(&self, draws: bool) -> &wgpu::BindGroupLayout {
        if draws { &self.layout_with_draws.bindings } else { &self.layout.bindings }
    }

    /// Replaces the kernel by one that differs in its settings alone.
    pub(crate) fn set_kernel(&mut self, gpu: &Gpu, kernel: Arc<dyn Kernel>) {
        debug_assert_eq!((kernel.source(), kernel.variant()), (self.kernel.source(), self.kernel.variant()));
        gpu.queue().write_buffer(&self.params, 0, bytemuck::cast_slice(&params(&*self.target, &*kernel, self.shares)));
        self.kernel = kernel;
    }

    /// Replaces the target by one that differs in its parameters alone.
    pub(crate) fn set_target(&mut self, gpu: &Gpu, target: Arc<dyn Energy>) {
        gpu.queue().write_buffer(&self.params, 0, bytemuck::cast_slice(&params(&*target, &*self.kernel, self.shares)));
        self.target = target;
    }

    /// Lanes of a position that an invocation holds.
    pub(crate) fn blocks(&self) -> u32 {
        crate::program::lanes(self.dim()).1.div_ceil(self.shares) as u32
    }

    /// Workgroups that run so many chains.
    pub(crate) fn groups(&self, chains: usize) -> u32 {
        chains.div_ceil(self.group_chains) as u32
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

impl Layout {
    fn new(gpu: &Gpu, uniform_params: bool, bindings: usize) -> Result<Self> {
        let entries: Vec<_> = (0..bindings as u32)
            .map(|binding| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: match binding {
                        0 => wgpu::BufferBindingType::Uniform,
                        1 if uniform_params => wgpu::BufferBindingType::Uniform,
                        1 | 2 | 3 | 5 => wgpu::BufferBindingType::Storage { read_only: true },
                        _ => wgpu::BufferBindingType::Storage { read_only: false },
                    },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        check_storage(gpu, &entries)?;
        let device = gpu.device();
        let bindings =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some("ergodic"), entries: &entries });
        let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("ergodic"),
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: 0,
        });
        Ok(Self { bindings, pipeline })
    }
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
