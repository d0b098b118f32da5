//! The buffers that belong to a slice in flight.

use super::{CONTROLS, MOST_BOUND};
use crate::{Gpu, kernel::Control, pipelines::Pipelines};

/// What belongs to a slice in flight.
#[derive(Debug)]
pub(super) struct Berth {
    pub(super) run: wgpu::Buffer,
    pub(super) controls: wgpu::Buffer,
    pub(super) outcome: wgpu::Buffer,
    /// Bind groups by the buffers they bind, one for each place in the ring. Software Vulkan takes a third of a megabyte for one and
    /// does not give it back.
    pub(super) bound: Vec<(Vec<wgpu::Buffer>, wgpu::BindGroup)>,
    pub(super) staging: Option<wgpu::Buffer>,
    pub(super) stamps: Option<(wgpu::QuerySet, wgpu::Buffer)>,
    /// Where a dispatch puts draws, and where the host reads them: the same buffer where it can.
    pub(super) draws: Option<[wgpu::Buffer; 2]>,
    /// Where the host reads a copy of the state.
    pub(super) spare: Option<wgpu::Buffer>,
}

impl Berth {
    /// Binds the state [positions in, positions out, carry in, carry out] and what else a dispatch needs.
    pub(super) fn bind(
        &mut self,
        gpu: &Gpu,
        pipelines: &Pipelines,
        controls: &[Control],
        state: [&wgpu::Buffer; 4],
        with_draws: bool,
    ) -> wgpu::BindGroup {
        let rows: &[u8] = bytemuck::cast_slice(controls);
        if (self.controls.size() as usize) < rows.len() {
            self.controls = gpu.buffer("controls", rows.len().next_power_of_two() as u64, CONTROLS);
        }
        gpu.queue().write_buffer(&self.controls, 0, rows);
        let [positions_in, positions_out, carry_in, carry_out] = state;
        let mut buffers =
            vec![&self.run, &pipelines.params, &self.controls, positions_in, positions_out, carry_in, carry_out, &self.outcome];
        buffers.extend(self.draws.as_ref().filter(|_| with_draws).map(|[draws, _]| draws));
        if let Some((_, bound)) = self.bound.iter().find(|(of, _)| of.iter().eq(buffers.iter().copied())) {
            return bound.clone();
        }
        let entries: Vec<_> = buffers
            .iter()
            .zip(0..)
            .map(|(buffer, binding)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let bound = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("ergodic"),
            layout: pipelines.bindings(with_draws),
            entries: &entries,
        });
        if self.bound.len() == MOST_BOUND {
            self.bound.remove(0);
        }
        self.bound.push((buffers.into_iter().cloned().collect(), bound.clone()));
        bound
    }
}
