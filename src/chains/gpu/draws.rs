//! Draws on their way from the device to a sink.

use super::{GpuChains, slice::Slice};
use crate::{
    Error, Result,
    chains::chunk,
    store::{BATCH_BYTES, Storing},
};

impl GpuChains {
    /// The most draws of a slice, so that their buffers are of bounded size and fit the device and the memory budget.
    pub(super) fn draw_room(&self, storing: &Storing<'_>) -> Result<u64> {
        let limits = self.gpu.device().limits();
        let binding = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let largest = self.chunks.iter().map(|chunk| chunk.stored(&storing.chains, storing.rungs).len()).max().unwrap_or(0);
        let (all, largest) = (storing.bytes_a_draw(storing.chains.len()), storing.bytes_a_draw(largest));
        let room = (BATCH_BYTES / all).max(1).min(binding / largest);
        let Some(budget) = self.setup.memory_budget else { return Ok(room) };
        // A buffer, and its staging if any, for each slice in flight.
        let copies = if self.gpu.maps_storage() { 1 } else { 2 } * (self.ring as u64 - 1);
        let state = self.setup.chains as u64 * chunk::bytes_a_chain(self.pipelines.dim(), &self.rows, self.ring);
        let room = room.min(budget.saturating_sub(state) / (copies * all));
        if room > 0 {
            return Ok(room);
        }
        Err(Error::Limit {
            what: "bytes of device memory for chains and draws".into(),
            asked: state.saturating_add(copies * all),
            allowed: budget,
            limit: "the memory budget".into(),
        })
    }

    /// Copies the draws of a slice that has landed.
    pub(super) fn take_draws(&self, slice: &Slice, storing: &mut Storing<'_>) -> Result<()> {
        let views = slice.flights.iter().map(|flight| flight.draws(&self.gpu)).collect::<Result<Vec<_>>>()?;
        let (stored, rungs, end) = (storing.chains.clone(), storing.rungs, slice.state + slice.steps);
        let ready = storing.ready(slice.state, end);
        for (chunk, view) in self.chunks.iter().zip(&views) {
            let Some(view) = view else { continue };
            let of_chunk = chunk.stored(&stored, rungs);
            let column = chunk.first / rungs + of_chunk.start - stored.start;
            let rows: &[f32] = bytemuck::cast_slice(view);
            for (to, from) in ready.chunks_exact_mut(stored.len()).zip(rows.chunks_exact(of_chunk.len())) {
                to[column..column + from.len()].copy_from_slice(from);
            }
        }
        if let Some(constraints) = self.setup.target.constraints() {
            // As `positions` maps them, so that the bits are the same.
            let positions = self.pipelines.dim() * stored.len();
            for draw in ready.chunks_exact_mut(positions + stored.len()) {
                let x = constraints.positions(&draw[..positions], stored.len())?;
                draw[..positions].copy_from_slice(&x);
            }
        }
        Ok(())
    }
}
