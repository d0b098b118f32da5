//! Draws on their way from the device to a sink.

use super::{GpuChains, slice::Slice};
use crate::{
    Error, Result,
    chains::chunk::{self, Landing},
    store::{BATCH_BYTES, Storing},
};

/// Stored chains in a tile. Twin: shaders/draws.wgsl.
const TILE: usize = 64;

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
        let state = self.setup.chains as u64 * chunk::bytes_a_chain(&self.gpu, self.pipelines.dim(), &self.rows, self.ring);
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

    /// Hands the draws of a slice that is counted to the sink.
    pub(super) fn hand_over(&self, slice: &Slice, landed: &[Landing], storing: &mut Storing<'_>) -> Result<()> {
        let (stored, rungs, dim) = (storing.chains.clone(), storing.rungs, self.pipelines.dim());
        let rows = dim + 1;
        let all = storing.draws(slice.state, slice.state + slice.steps) as usize;
        storing.hand_over(slice.state, slice.state + slice.steps, |draws, room| {
            for (chunk, landing) in self.chunks.iter().zip(landed) {
                let Some(values) = landing.draws() else { continue };
                let of_chunk = chunk.stored(&stored, rungs);
                let column = chunk.first / rungs + of_chunk.start - stored.start;
                for (tile, column) in values.chunks(all * rows * TILE).zip((column..).step_by(TILE)) {
                    let chains = tile.len() / (all * rows);
                    let tile = &tile[draws.start * rows * chains..draws.end * rows * chains];
                    for (to, from) in room.chunks_exact_mut(stored.len()).zip(tile.chunks_exact(chains)) {
                        to[column..column + chains].copy_from_slice(from);
                    }
                }
            }
            if let Some(constraints) = self.setup.target.constraints() {
                // As `positions` maps them, so that the bits are the same.
                for draw in room.chunks_exact_mut(rows * stored.len()) {
                    let x = constraints.positions(&draw[..dim * stored.len()], stored.len())?;
                    draw[..x.len()].copy_from_slice(&x);
                }
            }
            Ok(())
        })
    }
}
