//! The passes of training on a GPU over any energy whose jets are in WGSL.

use std::{collections::HashMap, ops::Range};

use bytemuck::{Pod, Zeroable};

use super::{Adjoints, Jets, Order, Passes, Trainable, check_params, check_points, nothing_to_reverse};
use crate::{
    Error, Gpu, Program, Result,
    dispatch::{
        Binding::{Read, Uniform, Write},
        Dispatch, Proof, STATE, Submissions, pipeline,
    },
    program::lanes,
};

/// Points of a batch at most; more are passed one batch after another.
const MOST_POINTS: usize = 16_384;
const WORKGROUP: usize = 64;
/// Invocations of a dispatch at most, on software Vulkan and elsewhere: enough to keep the device busy. Each costs a column of gradients.
const MOST_COLUMNS: [usize; 2] = [128, 4096];
/// Sums over columns that the host adds up, a parameter.
const SUMS: usize = 32;
/// A dispatch may be as short as a round, and there is one of sums.
const MOST_DISPATCHES: usize = MOST_POINTS / WORKGROUP + 1;

/// The settings of a dispatch; the same layout as in shaders/train/passes.wgsl.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
struct Settings {
    proof: Proof,
    points: u32,
    columns: u32,
    first_round: u32,
    rounds: u32,
    directions: u32,
    sums: u32,
    params: u32,
    blocks: u32,
}

/// Batched passes in f32; sums over points end in f64.
#[derive(Debug)]
pub(super) struct JetPasses {
    gpu: Gpu,
    dim: usize,
    params_len: usize,
    program: Program,
    module: wgpu::ShaderModule,
    pipelines: HashMap<&'static str, wgpu::ComputePipeline>,
    layout: Option<wgpu::BindGroupLayout>,
    bind: Option<wgpu::BindGroup>,
    submissions: Submissions,
    params: wgpu::Buffer,
    batch: wgpu::Buffer,
    adjoints: wgpu::Buffer,
    found: wgpu::Buffer,
    columns: wgpu::Buffer,
    /// Rounds of a dispatch at most: less than all of them once a driver has cut loops short.
    most_rounds: usize,
    /// Points and directions of the last jets, `[dim][point]`.
    x: Vec<f32>,
    v: Vec<f32>,
    /// Whether those are in the buffer, all in one batch.
    held: bool,
    traced: usize,
}

impl JetPasses {
    /// None where the energy has no jets in WGSL, or so many parameters (some 130,000) that their sums are more than a dispatch.
    pub(super) fn new(gpu: &Gpu, target: &dyn Trainable) -> Result<Option<Self>> {
        let Some(program) = Program::training(target, gpu.is_software())? else { return Ok(None) };
        let module = gpu.device().create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("passes"),
            source: wgpu::ShaderSource::Wgsl(program.source().into()),
        });
        let params_len = target.params().len();
        if (params_len * SUMS).div_ceil(WORKGROUP) > gpu.device().limits().max_compute_workgroups_per_dimension as usize {
            return Ok(None);
        }
        Ok(Some(Self {
            dim: target.dim(),
            params_len,
            program,
            module,
            pipelines: HashMap::new(),
            layout: None,
            bind: None,
            submissions: Submissions::new(gpu, MOST_DISPATCHES),
            params: gpu.buffer_with("params", bytemuck::cast_slice(&padded(&target.params()))),
            batch: gpu.buffer("batch", 0, STATE),
            adjoints: gpu.buffer("adjoints", 0, STATE),
            found: gpu.buffer("found", 4 * (params_len * SUMS) as u64, STATE),
            columns: gpu.buffer("columns", 0, STATE),
            most_rounds: usize::MAX,
            x: Vec::new(),
            v: Vec::new(),
            held: false,
            traced: 0,
            gpu: gpu.clone(),
        }))
    }

    fn compile(&mut self, entry: &'static str) -> Result<()> {
        if self.pipelines.contains_key(entry) {
            return Ok(());
        }
        let params = if self.program.caches_params() { Uniform } else { Read };
        let (layout, pipeline) = pipeline(&self.gpu, entry, &self.module, &[params, Read, Read, Write, Write, Write])?;
        self.layout.get_or_insert(layout);
        self.pipelines.insert(entry, pipeline);
        Ok(())
    }

    /// The batches of so many points: each fits a binding.
    fn batches(&self, points: usize) -> Result<Vec<Range<usize>>> {
        let bytes = 8 * self.padded_dim() as u64;
        let allowed = self.gpu.device().limits().max_storage_buffer_binding_size;
        let most = MOST_POINTS.min((allowed / bytes) as usize / WORKGROUP * WORKGROUP);
        if most == 0 {
            return Err(limit("bytes of a workgroup's points", bytes * WORKGROUP as u64, allowed));
        }
        Ok((0..points).step_by(most).map(|first| first..(first + most).min(points)).collect())
    }

    /// Invocations for a batch of so many points; their gradients fit a binding.
    fn columns_of(&self, points: usize) -> Result<usize> {
        let most = MOST_COLUMNS[usize::from(!self.gpu.is_software())];
        let bytes = 4 * self.params_len.max(1) as u64;
        let allowed = self.gpu.device().limits().max_storage_buffer_binding_size;
        let fitting = (allowed / bytes) as usize / WORKGROUP * WORKGROUP;
        if fitting == 0 {
            return Err(limit("bytes of a workgroup's gradients", bytes * WORKGROUP as u64, allowed));
        }
        Ok(points.next_multiple_of(WORKGROUP).min(most).min(fitting))
    }

    /// Coordinates of a point in whole lanes.
    fn padded_dim(&self) -> usize {
        let (lanes, blocks) = lanes(self.dim);
        lanes * blocks
    }

    /// Writes a range of points out of all, `[dim][point]`, and their directions, where there are any, as lanes, `[block][point]`.
    fn write(&mut self, x: &[f32], v: &[f32], range: &Range<usize>) {
        let (n, all, (lanes, _)) = (range.len(), x.len() / self.dim, lanes(self.dim));
        let padded = self.padded_dim() * n;
        let mut grown = false;
        for (buffer, label, numbers) in [
            (&mut self.batch, "batch", 2 * padded),
            (&mut self.adjoints, "adjoints", 4 * n),
            (&mut self.found, "found", (self.dim + 1).max(3) * n),
        ] {
            grown |= grow(&self.gpu, buffer, label, 4 * numbers as u64);
        }
        if grown {
            self.bind = None;
        }
        let mut packed = vec![0f32; padded * if v.is_empty() { 1 } else { 2 }];
        for (rows, packed) in [x, v].into_iter().zip(packed.chunks_exact_mut(padded)) {
            for (i, row) in rows.chunks_exact(all).enumerate() {
                let block = &mut packed[i / lanes * lanes * n..][..lanes * n];
                block.iter_mut().skip(i % lanes).step_by(lanes).zip(&row[range.clone()]).for_each(|(to, &from)| *to = from);
            }
        }
        self.gpu.queue().write_buffer(&self.batch, 0, bytemuck::cast_slice(&packed));
    }

    /// Runs an entry over a batch that was written, and reads numbers of `found`, or all sums of gradients. Where the driver cuts loops
    /// short, it is run again in smaller parts; the result is the same.
    fn run(&mut self, entry: &'static str, points: usize, numbers: usize) -> Result<Vec<f32>> {
        let columns = self.columns_of(points)?;
        let rounds = points.div_ceil(columns);
        loop {
            match self.run_in(entry, points, columns, self.most_rounds.min(rounds), numbers) {
                Err(Error::CutShort { .. }) if self.most_rounds.min(rounds) > 1 => {
                    self.most_rounds = self.most_rounds.min(rounds) / 2;
                    log::debug!("{entry} was cut short; now {} rounds a dispatch", self.most_rounds);
                }
                result => return result,
            }
        }
    }

    fn run_in(&mut self, entry: &'static str, points: usize, columns: usize, most: usize, numbers: usize) -> Result<Vec<f32>> {
        let all = Settings {
            points: points as u32,
            columns: columns as u32,
            directions: u32::from(!self.v.is_empty()),
            sums: SUMS as u32,
            params: self.params_len as u32,
            blocks: lanes(self.dim).1 as u32,
            ..Settings::default()
        };
        let reverse = entry == "param_grads";
        self.compile(entry)?;
        if reverse {
            self.compile("sum_columns")?;
        }
        if reverse && grow(&self.gpu, &mut self.columns, "columns", 4 * (self.params_len * columns) as u64) {
            self.bind = None;
        }
        let bind = self.bind()?;
        let rounds = points.div_ceil(columns);
        let dispatch = |entry, settings, groups: usize| Dispatch {
            pipeline: &self.pipelines[entry],
            settings,
            groups: [groups as u32, 1, 1],
            invocations: (groups * WORKGROUP) as u32,
        };
        let mut dispatches: Vec<_> = (0..rounds)
            .step_by(most)
            .map(|first| Settings { first_round: first as u32, rounds: most.min(rounds - first) as u32, ..all })
            .map(|settings| dispatch(entry, settings, columns / WORKGROUP))
            .collect();
        if !reverse {
            return self.submissions.run(&bind, &dispatches, |_| {}, &self.found, 0..numbers);
        }
        let sums = self.params_len * SUMS;
        dispatches.push(dispatch("sum_columns", all, sums.div_ceil(WORKGROUP)));
        let clear = |encoder: &mut wgpu::CommandEncoder| encoder.clear_buffer(&self.columns, 0, None);
        self.submissions.run(&bind, &dispatches, clear, &self.found, 0..sums)
    }

    fn bind(&mut self) -> Result<wgpu::BindGroup> {
        if let Some(bind) = &self.bind {
            return Ok(bind.clone());
        }
        let Some(layout) = &self.layout else { return Err(Error::Device("no pass was compiled".into())) };
        let buffers = [&self.params, &self.batch, &self.adjoints, &self.found, &self.columns, self.submissions.proof()];
        let buffers = buffers.map(|buffer| buffer.as_entire_binding());
        let entries: Vec<_> = std::iter::once(self.submissions.settings::<Settings>())
            .chain(buffers)
            .zip(0..)
            .map(|(resource, binding)| wgpu::BindGroupEntry { binding, resource })
            .collect();
        let descriptor = wgpu::BindGroupDescriptor { label: Some("passes"), layout, entries: &entries };
        let bind = self.gpu.device().create_bind_group(&descriptor);
        self.bind = Some(bind.clone());
        Ok(bind)
    }
}

fn limit(what: &str, asked: u64, allowed: u64) -> Error {
    Error::Limit { what: what.into(), asked, allowed, limit: "a storage binding".into() }
}

/// The parameters as the program reads them: whole lanes past the last one, and whole vectors of a uniform.
fn padded(params: &[f32]) -> Vec<f32> {
    let mut values = params.to_vec();
    values.resize((values.len() + 8).next_multiple_of(4), 0.0);
    values
}

/// Replaces a buffer that is too small, and says so.
fn grow(gpu: &Gpu, buffer: &mut wgpu::Buffer, label: &str, bytes: u64) -> bool {
    let small = buffer.size() < bytes;
    if small {
        *buffer = gpu.buffer(label, bytes, STATE);
    }
    small
}

impl Passes for JetPasses {
    fn dim(&self) -> usize {
        self.dim
    }

    fn set_params(&mut self, params: &[f32]) -> Result<()> {
        check_params("energy", self.params_len, params)?;
        (self.x, self.v, self.held, self.traced) = (Vec::new(), Vec::new(), false, 0);
        self.gpu.queue().write_buffer(&self.params, 0, bytemuck::cast_slice(&padded(params)));
        self.gpu.check(0)
    }

    fn energy_and_grad(&mut self, x: &[f32]) -> Result<(Vec<f64>, Vec<f32>)> {
        let dim = self.dim;
        let points = check_points(dim, x, &[], Order::Value)?;
        self.held = false;
        let mut energies = Vec::with_capacity(points);
        let mut grads = vec![0.0; x.len()];
        for batch in self.batches(points)? {
            let n = batch.len();
            self.write(x, &[], &batch);
            let found = self.run("energies_and_grads", n, (1 + dim) * n)?;
            let mut rows = found.chunks_exact(n);
            energies.extend(rows.next().into_iter().flatten().map(|&e| f64::from(e)));
            for (all, own) in grads.chunks_exact_mut(points).zip(rows) {
                all[batch.clone()].copy_from_slice(own);
            }
        }
        Ok((energies, grads))
    }

    fn jets(&mut self, x: &[f32], v: &[f32], order: Order) -> Result<Jets> {
        let points = check_points(self.dim, x, v, order)?;
        let batches = self.batches(points)?;
        (self.held, self.traced) = (false, 0);
        (self.x, self.v) = (x.to_vec(), v.to_vec());
        let (entry, parts) = if order == Order::Value { ("energies", 1) } else { ("jets", order as usize + 1) };
        let mut jets = Jets::default();
        for batch in &batches {
            let n = batch.len();
            self.write(x, v, batch);
            let found = self.run(entry, n, parts * n)?;
            let all = [&mut jets.values, &mut jets.slopes, &mut jets.curvatures];
            for (all, own) in all.into_iter().zip(found.chunks_exact(n)) {
                all.extend(own.iter().map(|&of| f64::from(of)));
            }
        }
        self.held = batches.len() == 1;
        Ok(jets)
    }

    fn traced(&mut self) -> Option<&mut usize> {
        Some(&mut self.traced)
    }

    fn param_grad(&mut self, adjoints: &Adjoints) -> Result<Vec<f64>> {
        let points = self.x.len() / self.dim;
        if points == 0 {
            return Err(nothing_to_reverse());
        }
        adjoints.check(points)?;
        let mut grad = vec![0.0; self.params_len];
        for batch in self.batches(points)? {
            if !self.held {
                let (x, v) = (std::mem::take(&mut self.x), std::mem::take(&mut self.v));
                self.write(&x, &v, &batch);
                (self.x, self.v) = (x, v);
            }
            let narrow = |point| {
                let [values, slopes, curvatures] = adjoints.of(point).map(|adjoint| adjoint as f32);
                [values, slopes, curvatures, 0.0]
            };
            let own: Vec<_> = batch.clone().map(narrow).collect();
            self.gpu.queue().write_buffer(&self.adjoints, 0, bytemuck::cast_slice(&own));
            let sums = self.run("param_grads", batch.len(), 0)?;
            for (grad, sums) in grad.iter_mut().zip(sums.chunks_exact(SUMS)) {
                *grad += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
            }
        }
        Ok(grad)
    }
}
