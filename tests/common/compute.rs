//! Runs a small compute shader once, for tests of WGSL that is no whole program.

use std::time::Duration;

use ergodic::{Gpu, wgpu};

/// Runs `entry` of a WGSL text with `input` as binding 0 and an output of `words` as binding 1, filled with a sentinel before.
pub fn run(gpu: &Gpu, source: &str, entry: &str, input: &[u32], words: usize, groups: u32) -> Vec<u32> {
    use wgpu::BufferUsages as Usage;
    let (device, queue) = (gpu.device(), gpu.queue());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(entry),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(entry),
        layout: None,
        module: &module,
        entry_point: Some(entry),
        compilation_options: Default::default(),
        cache: None,
    });
    let buffer = |bytes: usize, usage: Usage| {
        let descriptor = wgpu::BufferDescriptor { label: Some(entry), size: bytes as u64, usage, mapped_at_creation: false };
        device.create_buffer(&descriptor)
    };
    let input_buffer = buffer(4 * input.len(), Usage::STORAGE | Usage::COPY_DST);
    let output = buffer(4 * words, Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC);
    let staging = buffer(4 * words, Usage::MAP_READ | Usage::COPY_DST);
    queue.write_buffer(&input_buffer, 0, &bytes(input));
    queue.write_buffer(&output, 0, &bytes(&vec![0xdead_beef; words]));
    let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(entry),
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[
            wgpu::BindGroupEntry { binding: 0, resource: input_buffer.as_entire_binding() },
            wgpu::BindGroupEntry { binding: 1, resource: output.as_entire_binding() },
        ],
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bindings, &[]);
        pass.dispatch_workgroups(groups, 1, 1);
    }
    encoder.copy_buffer_to_buffer(&output, 0, &staging, 0, 4 * words as u64);
    let submission = queue.submit([encoder.finish()]);
    staging.map_async(wgpu::MapMode::Read, .., |_| {});
    let timeout = Some(Duration::from_secs(60));
    device.poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout }).unwrap();
    let view = staging.get_mapped_range(..).unwrap();
    view.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
