//! What the device itself can do: multiply-adds and bytes copied a second, by kernels that prove that they finished.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ergodic::{
    Gpu,
    wgpu::{self, util::DeviceExt as _},
};
use rayon::prelude::*;
use serde::Serialize;

/// Measured rates of a device.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Peak {
    /// Operations a second; a multiply-add is two.
    pub(crate) operations_per_second: f64,
    /// Bytes read and bytes written a second, together, by a copy of 64 MiB.
    pub(crate) bytes_per_second: f64,
}

/// A peak is the best of a few measurements of at least this long.
const LEAST: Duration = Duration::from_millis(200);
const RUNS: usize = 5;

/// The best rate of `work` units a turn, where `run` does so many turns.
fn best(work: f64, mut run: impl FnMut(u32) -> Result<()>) -> Result<f64> {
    let mut timed = |turns: u32| {
        let begun = Instant::now();
        run(turns).map(|()| begun.elapsed())
    };
    let mut turns = 1;
    timed(turns)?;
    while timed(turns)? < LEAST {
        turns *= 2;
    }
    let mut rate = 0f64;
    for _ in 0..RUNS {
        rate = rate.max(work * f64::from(turns) / timed(turns)?.as_secs_f64());
    }
    Ok(rate)
}

/// Independent sums of an invocation, multiply-adds of each in the body of the loop, and turns of the loop. All loops of an
/// invocation stay far below 65,535 turns, where Mesa's llvmpipe would end them silently.
const SUMS: u32 = 8;
const UNROLLED: u32 = 8;
const TURNS: u32 = 512;
const INVOCATIONS: u32 = 1 << 18;
/// Words of the copy.
const WORDS: u32 = 1 << 24;

/// Eight sums a <- a x + y with x = y = 1 (which the compiler cannot know): exact, so that the end proves every turn.
fn multiply_add_text() -> String {
    let each = |line: &dyn Fn(u32) -> String| (0..SUMS).map(line).collect::<String>();
    format!(
        "@group(0) @binding(0) var<storage, read> one: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    let x = one[0];
    let turns = u32(one[1]);
{}    for (var i = 0u; i < turns; i++) {{
{}    }}
    sums[id.x] += u32({});
}}",
        each(&|k| format!("    var a{k} = f32(id.x & {k}u);\n")),
        each(&|k| format!("        a{k} = fma(a{k}, x, x);\n")).repeat(UNROLLED as usize),
        (0..SUMS).map(|k| format!("a{k}")).collect::<Vec<_>>().join(" + "),
    )
}

/// Each word, plus one: the end counts the dispatches.
const COPY_TEXT: &str = "@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> sink: array<vec4<u32>>;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) { sink[id.x] = source[id.x] + 1u; }";

/// Measures a GPU.
pub(crate) fn of_gpu(gpu: &Gpu) -> Result<Peak> {
    let words = |n: u32| vec![0u32; n as usize];

    let buffers = [buffer(gpu, &[1f32, TURNS as f32]), buffer(gpu, &words(INVOCATIONS))];
    let program = Kernel::new(gpu, &multiply_add_text(), INVOCATIONS / 64);
    let bind = program.bind(gpu, [&buffers[0], &buffers[1]]);
    let mut done = 0u32;
    let multiply_adds = f64::from(INVOCATIONS) * f64::from(SUMS * UNROLLED * TURNS);
    let operations_per_second = best(2.0 * multiply_adds, |turns| {
        done += turns;
        program.run(gpu, &[&bind], turns)
    })?;
    for (id, sum) in (0u32..).zip(read(gpu, &buffers[1], INVOCATIONS)?) {
        let start: u32 = (0..SUMS).map(|k| id & k).sum();
        let expected = (start + SUMS * UNROLLED * TURNS).wrapping_mul(done);
        ensure!(sum == expected, "the driver cut the multiply-adds of invocation {id} short: {sum} instead of {expected}");
    }

    let buffers = [buffer(gpu, &words(WORDS)), buffer(gpu, &words(WORDS))];
    let program = Kernel::new(gpu, COPY_TEXT, WORDS / 4 / 256);
    let binds = [program.bind(gpu, [&buffers[0], &buffers[1]]), program.bind(gpu, [&buffers[1], &buffers[0]])];
    let mut done = 0;
    let bytes_per_second = best(16.0 * f64::from(WORDS), |turns| {
        // There and back.
        done += 2 * turns;
        program.run(gpu, &[&binds[0], &binds[1]], turns)
    })?;
    ensure!(read(gpu, &buffers[0], WORDS)?.iter().all(|&word| word == done), "the driver did not copy every word each time");
    Ok(Peak { operations_per_second, bytes_per_second })
}

/// Measures the CPU on the threads of the current rayon pool, in f64 and compiled for the same target as this crate: without
/// special flags x86-64 has vectors of two, and no fused multiply-add.
pub(crate) fn of_cpu() -> Result<Peak> {
    const SUMS: usize = 24;
    const TURNS: u64 = 1 << 20;
    let threads = rayon::current_num_threads();
    let one = std::hint::black_box(1.0);
    let operations_per_second = best(2.0 * SUMS as f64 * TURNS as f64 * threads as f64, |turns| {
        let finished = rayon::broadcast(|_| {
            let mut sums = [0f64; SUMS];
            for _ in 0..u64::from(turns) * TURNS {
                for a in &mut sums {
                    *a = *a * one + one;
                }
            }
            sums == [(u64::from(turns) * TURNS) as f64; SUMS]
        });
        ensure!(finished.into_iter().all(|finished| finished), "a sum of ones is wrong");
        Ok(())
    })?;
    let source = vec![1u8; 4 * WORDS as usize];
    let mut sink = vec![0u8; source.len()];
    let part = source.len() / threads;
    let bytes_per_second = best(2.0 * source.len() as f64, |turns| {
        for _ in 0..turns {
            sink.par_chunks_mut(part).zip(source.par_chunks(part)).for_each(|(sink, source)| sink.copy_from_slice(source));
            std::hint::black_box(&mut sink);
        }
        Ok(())
    })?;
    Ok(Peak { operations_per_second, bytes_per_second })
}

/// A compute pipeline with two bindings: one read, one written.
struct Kernel {
    pipeline: wgpu::ComputePipeline,
    groups: u32,
}

impl Kernel {
    fn new(gpu: &Gpu, text: &str, groups: u32) -> Self {
        let source = wgpu::ShaderSource::Wgsl(text.into());
        let module = gpu.device().create_shader_module(wgpu::ShaderModuleDescriptor { label: Some("peak"), source });
        let pipeline = gpu.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("peak"),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        Self { pipeline, groups }
    }

    fn bind(&self, gpu: &Gpu, buffers: [&wgpu::Buffer; 2]) -> wgpu::BindGroup {
        let [source, sink] = buffers.map(wgpu::Buffer::as_entire_binding);
        gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("peak"),
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: source },
                wgpu::BindGroupEntry { binding: 1, resource: sink },
            ],
        })
    }

    /// Dispatches with each of the bindings in turn, `turns` times, and waits. At most 64 turns a submission.
    fn run(&self, gpu: &Gpu, binds: &[&wgpu::BindGroup], turns: u32) -> Result<()> {
        for first in (0..turns).step_by(64) {
            let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("peak") });
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&self.pipeline);
            for _ in first..turns.min(first + 64) {
                for bind in binds {
                    pass.set_bind_group(0, *bind, &[]);
                    pass.dispatch_workgroups(self.groups, 1, 1);
                }
            }
            drop(pass);
            gpu.queue().submit([encoder.finish()]);
        }
        wait(gpu)
    }
}

fn wait(gpu: &Gpu) -> Result<()> {
    let timeout = Some(Duration::from_secs(120));
    gpu.device().poll(wgpu::PollType::Wait { submission_index: None, timeout }).context("waiting for the device")?;
    Ok(())
}

fn buffer<T: bytemuck::Pod>(gpu: &Gpu, contents: &[T]) -> wgpu::Buffer {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    let contents = bytemuck::cast_slice(contents);
    gpu.device().create_buffer_init(&wgpu::util::BufferInitDescriptor { label: Some("peak"), contents, usage })
}

fn read(gpu: &Gpu, buffer: &wgpu::Buffer, words: u32) -> Result<Vec<u32>> {
    let staging = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("staging"),
        size: u64::from(words) * 4,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("read") });
    encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, u64::from(words) * 4);
    gpu.queue().submit([encoder.finish()]);
    staging.map_async(wgpu::MapMode::Read, .., |_| {});
    wait(gpu)?;
    let view = staging.get_mapped_range(..).context("reading back")?;
    Ok(bytemuck::pod_collect_to_vec(&view))
}
