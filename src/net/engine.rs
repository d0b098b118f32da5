//! Buffers and pipelines of the passes over a network on a GPU: what they share, whatever they compute.

use std::collections::HashMap;

use bytemuck::{Pod, Zeroable};

use super::{
    Network,
    plan::{Kind, Plan},
    product::Form,
    sums::{SUM_COLUMNS, sum_rows},
};
use crate::{
    Error, Gpu, Result,
    dispatch::{self, Binding, Proof, STATE, Submissions, pipeline},
};

/// Dispatches of one submission at most.
const MOST_DISPATCHES: usize = 64;
/// Points of one pass at most; more are passed one batch after another.
const MOST_POINTS: usize = 4096;
/// Slices of the points times groups of columns of a sum over points: enough to keep the device busy.
const SUM_GROUPS: [usize; 2] = [8, 256];

/// The settings of a dispatch; the same layout as in shaders/net/passes.wgsl.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Settings {
    proof: Proof,
    columns: u32,
    hidden_at: u32,
    hidden_rows: u32,
    first_layer: u32,
    last_layer: u32,
    rows_at: u32,
    rows: u32,
    units_at: u32,
    units: u32,
    sums_at: u32,
    sums_row: u32,
    sums_slice: u32,
    slice_blocks: u32,
    blocks: u32,
    pub(super) steps: u32,
    pub(super) first_step: u32,
    pub(super) first_chain: u32,
    pub(super) dim: u32,
    grad_at: u32,
    pub(super) key: [u32; 2],
    pub(super) step_size: f32,
    pub(super) noise: f32,
    pub(super) confinement: f32,
    state_at: u32,
}

/// What a pipeline does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Pass {
    /// Takes points through layers.
    Layers(Kind),
    /// Sums over points, so many rows a workgroup.
    Sums(Kind, usize),
    /// Langevin steps.
    Langevin,
}

/// One dispatch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dispatch {
    pass: Pass,
    settings: Settings,
    groups: [usize; 3],
}

/// Where the sums over points of a layer stand, and how they are oriented.
#[derive(Debug, Clone, Copy)]
struct LayerSums {
    at: usize,
    row: usize,
    slice: usize,
    slices: usize,
    /// The columns are the layer's outputs, the rows its inputs and, in the end, the bias; else the rows are its outputs.
    by_output: bool,
}

#[derive(Debug)]
pub(super) struct Engine {
    gpu: Gpu,
    pub(super) form: Form,
    network: Network,
    pipelines: HashMap<Pass, wgpu::ComputePipeline>,
    layout: Option<wgpu::BindGroupLayout>,
    weights: wgpu::Buffer,
    work: wgpu::Buffer,
    sums: wgpu::Buffer,
    submissions: Submissions,
    /// The layers, forwards and backwards, of each kind of passes.
    layers: wgpu::Buffer,
    bind: Option<wgpu::BindGroup>,
    /// vec4s of `sums` that are in use.
    sums_len: usize,
}

impl Engine {
    pub(super) fn new(gpu: &Gpu, network: &Network, params: &[f32], form: Form) -> Self {
        let packed = Plan::new(network, form, Kind::Gradient).pack(params);
        let layers: Vec<_> = Kind::ALL.into_iter().flat_map(|kind| Plan::new(network, form, kind).layers()).collect();
        Self {
            form,
            network: network.clone(),
            pipelines: HashMap::new(),
            layout: None,
            weights: gpu.buffer_with("weights", bytemuck::cast_slice(&packed)),
            work: gpu.buffer("work", 0, STATE),
            sums: gpu.buffer("sums", 0, STATE),
            submissions: Submissions::new(gpu, MOST_DISPATCHES),
            layers: gpu.buffer_with("layers", bytemuck::cast_slice(&layers)),
            bind: None,
            sums_len: 0,
            gpu: gpu.clone(),
        }
    }

    pub(super) fn plan(&self, kind: Kind) -> Plan {
        Plan::new(&self.network, self.form, kind)
    }

    pub(super) fn set_params(&self, params: &[f32]) -> Result<()> {
        let packed = self.plan(Kind::Gradient).pack(params);
        self.gpu.queue().write_buffer(&self.weights, 0, bytemuck::cast_slice(&packed));
        self.gpu.check(0)
    }

    /// Points of a batch at most.
    pub(super) fn most_points(&self, kind: Kind) -> Result<usize> {
        let allowed = self.gpu.device().limits().max_storage_buffer_binding_size;
        let plan = self.plan(kind);
        let bytes = 4 * (plan.known_rows() + plan.hidden_rows()) as u64;
        let group = self.plan(Kind::Gradient).points_a_group();
        let points = (allowed / bytes).min(MOST_POINTS as u64) as usize / group * group;
        if points > 0 {
            return Ok(points);
        }
        let (what, asked) = ("bytes of the layers of a workgroup's points".into(), bytes * group as u64);
        Err(Error::Limit { what, asked, allowed, limit: "a storage binding".into() })
    }

    /// Columns of `work` for so many points.
    pub(super) fn columns(&self, points: usize) -> usize {
        points.next_multiple_of(self.plan(Kind::Gradient).points_a_group())
    }

    /// Writes rows of `work` that the host knows, `[row][column]`, from a row on. There may be `more` rows after the plan's own.
    pub(super) fn write(&mut self, plan: &Plan, columns: usize, row: usize, more: usize, values: &[f32]) {
        let bytes = 4 * ((plan.known_rows() + more + plan.hidden_rows()) * columns) as u64;
        if self.work.size() < bytes {
            self.work = self.gpu.buffer("work", bytes, STATE);
            self.bind = None;
        }
        self.gpu.queue().write_buffer(&self.work, 4 * (row * columns) as u64, bytemuck::cast_slice(values));
    }

    /// Settings that all dispatches have.
    fn settings(&self, plan: &Plan, columns: usize, more: usize) -> Settings {
        Settings {
            columns: columns as u32 / 4,
            hidden_at: ((plan.known_rows() + more) * columns / 4) as u32,
            hidden_rows: plan.hidden_rows() as u32,
            ..Settings::default()
        }
    }

    /// Where the layers of passes begin in the buffer of all.
    fn first_layer(&self, plan: &Plan) -> usize {
        2 * self.network.layers() * Kind::ALL.iter().take_while(|&&kind| kind != plan.kind).count()
    }

    /// A dispatch that takes all columns through layers, which count from the first to the last and back to the first.
    pub(super) fn through(&self, plan: &Plan, columns: usize, layers: std::ops::Range<usize>) -> Dispatch {
        let first = self.first_layer(plan);
        let settings = Settings {
            first_layer: (first + layers.start) as u32,
            last_layer: (first + layers.end) as u32,
            ..self.settings(plan, columns, 0)
        };
        Dispatch { pass: Pass::Layers(plan.kind), settings, groups: [columns / plan.points_a_group(), 1, 1] }
    }

    /// A dispatch of Langevin steps of all columns, with `more` rows of state; `set` fills in the rest.
    pub(super) fn langevin(&self, plan: &Plan, columns: usize, more: usize, set: impl FnOnce(&mut Settings)) -> Dispatch {
        let first = self.first_layer(plan);
        let mut settings = Settings {
            first_layer: first as u32,
            last_layer: (first + 2 * self.network.layers()) as u32,
            grad_at: plan.input_adjoint() as u32,
            state_at: plan.known_rows() as u32,
            ..self.settings(plan, columns, more)
        };
        set(&mut settings);
        Dispatch { pass: Pass::Langevin, settings, groups: [columns / plan.points_a_group(), 1, 1] }
    }

    /// Runs dispatches in one submission, proves that they finished, and reads rows of `work` or all sums.
    fn run(&mut self, dispatches: &[Dispatch], read: &Read) -> Result<Vec<f32>> {
        for dispatch in dispatches {
            self.compile(dispatch.pass)?;
        }
        let bind = self.bind()?;
        let of = |dispatch: &Dispatch| dispatch::Dispatch {
            pipeline: &self.pipelines[&dispatch.pass],
            settings: dispatch.settings,
            groups: dispatch.groups.map(|n| n as u32),
            invocations: (dispatch.groups.iter().product::<usize>() * self.form.workgroup()) as u32,
        };
        let dispatches: Vec<_> = dispatches.iter().map(of).collect();
        let (source, range) = match *read {
            Read::Rows { columns, first, count } => (&self.work, first * columns..(first + count) * columns),
            Read::Sums => (&self.sums, 0..4 * self.sums_len),
        };
        self.submissions.run(&bind, &dispatches, |_| {}, source, range)
    }

    /// Runs dispatches and reads rows of `work`.
    pub(super) fn run_for_rows(
        &mut self,
        dispatches: &[Dispatch],
        columns: usize,
        first: usize,
        count: usize,
    ) -> Result<Vec<f32>> {
        self.run(dispatches, &Read::Rows { columns, first, count })
    }

    fn compile(&mut self, pass: Pass) -> Result<()> {
        if self.pipelines.contains_key(&pass) {
            return Ok(());
        }
        let (entry, source) = match pass {
            Pass::Layers(kind) => ("pass_of_layers", self.plan(kind).pass()),
            Pass::Langevin => ("langevin", self.plan(Kind::Gradient).langevin()),
            Pass::Sums(kind, rows) => ("sum_over_points", self.plan(kind).sum_over_points(rows)),
        };
        let module = self.gpu.device().create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(entry),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let (read, write) = (Binding::Read, Binding::Write);
        let (layout, pipeline) = pipeline(&self.gpu, entry, &module, &[read, write, write, write, read])?;
        self.layout.get_or_insert(layout);
        self.pipelines.insert(pass, pipeline);
        Ok(())
    }

    fn bind(&mut self) -> Result<wgpu::BindGroup> {
        if let Some(bind) = &self.bind {
            return Ok(bind.clone());
        }
        let Some(layout) = &self.layout else { return Err(Error::Device("no pass was compiled".into())) };
        let buffers = [&self.weights, &self.work, &self.sums, self.submissions.proof(), &self.layers];
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: self.submissions.settings::<Settings>() }];
        entries.extend(
            buffers
                .iter()
                .zip(1..)
                .map(|(buffer, binding)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() }),
        );
        let descriptor = wgpu::BindGroupDescriptor { label: Some("passes"), layout, entries: &entries };
        let bind = self.gpu.device().create_bind_group(&descriptor);
        self.bind = Some(bind.clone());
        Ok(bind)
    }

    /// From the adjoints of all layers' outputs, as a reverse pass left them, the gradient in the parameters, added to `grad`, but for
    /// the biases of the last layer. The dispatches `before` go into the same submission.
    pub(super) fn add_param_grad(&mut self, plan: &Plan, columns: usize, before: &[Dispatch], grad: &mut [f64]) -> Result<()> {
        let mut dispatches = before.to_vec();
        let mut layers = Vec::new();
        let mut at = 0;
        for layer in 0..self.network.layers() {
            let (inputs, outputs) = self.network.shape(layer);
            let (input, adjoint) = (plan.input(layer), plan.adjoint(layer + 1));
            // The columns are also summed up alone. Of the last layer the caller knows the adjoints, and outputs are few.
            let by_output = layer + 1 < self.network.layers();
            let [(rows_at, rows), (units_at, units)] = match by_output {
                true => [(input, inputs), (adjoint, outputs)],
                false => [(adjoint, outputs), (input, inputs)],
            };
            let groups = units.div_ceil(SUM_COLUMNS * self.form.across);
            let row_groups = rows.div_ceil(self.form.shares * sum_rows(self.form, rows));
            let row = groups * self.form.across * SUM_COLUMNS / 4;
            let blocks = columns / plan.points_a_group();
            let wanted = SUM_GROUPS[usize::from(!self.gpu.is_software())].div_ceil(groups * row_groups).clamp(1, blocks);
            let slice_blocks = blocks.div_ceil(wanted);
            let slices = blocks.div_ceil(slice_blocks);
            let slice = (rows + 1) * row;
            let settings = Settings {
                rows_at: rows_at as u32,
                rows: rows as u32,
                units_at: units_at as u32,
                units: units as u32,
                sums_at: at as u32,
                sums_row: row as u32,
                sums_slice: slice as u32,
                slice_blocks: slice_blocks as u32,
                blocks: blocks as u32,
                ..self.settings(plan, columns, 0)
            };
            dispatches.push(Dispatch {
                pass: Pass::Sums(plan.kind, sum_rows(self.form, rows)),
                settings,
                groups: [groups, row_groups, slices],
            });
            layers.push(LayerSums { at, row, slice, slices, by_output });
            at += slice * slices;
        }
        self.sums_len = at;
        if self.sums.size() < 16 * at as u64 {
            self.sums = self.gpu.buffer("sums", 16 * at as u64, STATE);
            self.bind = None;
        }
        let sums = self.run(&dispatches, &Read::Sums)?;
        for (layer, of_layer) in layers.into_iter().enumerate() {
            let (inputs, outputs) = self.network.shape(layer);
            let own = &mut grad[self.network.layer_range(layer)];
            for slice in 0..of_layer.slices {
                let first = 4 * (of_layer.at + slice * of_layer.slice);
                let sum = |row: usize, column: usize| f64::from(sums[first + 4 * row * of_layer.row + column]);
                let of = |k: usize, o: usize| if of_layer.by_output { sum(k, o) } else { sum(o, k) };
                for o in 0..outputs {
                    let row = &mut own[o * inputs..(o + 1) * inputs];
                    row.iter_mut().enumerate().for_each(|(k, grad)| *grad += of(k, o));
                    if of_layer.by_output {
                        own[inputs * outputs + o] += sum(inputs, o);
                    }
                }
            }
        }
        Ok(())
    }
}

/// What is read after a submission.
#[derive(Debug)]
enum Read {
    Rows { columns: usize, first: usize, count: usize },
    Sums,
}
