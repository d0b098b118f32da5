//! The state of chains on a GPU, in and out of a checkpoint.
//!
//! Of a collection: `moments_mean` and `moments_m2` \[watched, chains\] f64 and `moments_jumps`, `moments_changes` \[1\] f64; of ladders `moments_swaps` \[rungs, 2\] and `moments_round_trips` \[1\] f64 (the
//! segments that were merged), and `moments_open` \[rows, chains\] f32 (the segment that the device carries: the rows of
//! shaders/moments.wgsl).

use std::{borrow::Cow, path::Path, sync::Arc};

use super::{
    Chains, GpuChains, chunk_sizes,
    spare::{Confirmed, Spare},
};
use crate::{
    Gpu, Result, adapt,
    chains::{Setup, chunk::Chunk, moments::Moments},
    store::checkpoint::{Checkpoint, Counters, Draft, write},
};

impl GpuChains {
    /// As [`Setup::resume`].
    ///
    /// # Errors
    /// As [`Setup::resume`].
    pub fn resume(gpu: &Gpu, setup: Setup, path: &Path) -> Result<Self> {
        setup.check_settings()?;
        let chunk_sizes = chunk_sizes(gpu, &setup)?;
        let mut file = Checkpoint::open(path, &setup, "gpu")?;
        let mut chains = Self::without_state(gpu, setup, chunk_sizes.len())?;
        chains.starts_at_one_point = file.counters.starts_at_one_point;
        chains.at.ledger = file.ledger()?;
        chains.at.clock = file.clock(chains.at.clock.device.is_some(), &chains.at.ledger);
        if let Some(frozen) = file.frozen.take() {
            chains.at.warmed_up = frozen.resume(&mut chains);
        }
        chains.at.open_draws = file.counters.open_draws;
        chains.take_moments(&file)?;
        let positions = file.take("positions", &[chains.dim(), chains.count()])?;
        let carry = chains.take_carry(&file)?;
        let all = chains.count();
        let mut first = 0;
        for size in chunk_sizes {
            let of_chunk =
                |values: &[f32]| values.chunks(all).flat_map(|row| row[first..first + size].to_vec()).collect::<Vec<_>>();
            let mut chunk = Chunk::new(gpu, &chains.pipelines, first, chains.ring, &of_chunk(&positions), &[]);
            if chains.at.open_draws > 0 {
                chunk.make_room(gpu, &chains.rows, 0);
            }
            chunk.write_carry(gpu, &of_chunk(&carry));
            chains.chunks.push(chunk);
            first += size;
        }
        adapt::go_on(&mut chains, &mut file)?;
        Ok(chains)
    }

    /// The rows of the carry buffer that mean something: the state, and the open segment's moments where there is one.
    pub(super) fn carried_rows(&self, open_draws: u64) -> usize {
        if open_draws > 0 { self.rows.all() } else { self.rows.moments() }
    }

    /// The rows of the carry buffer, `[row][chain]`, of all chains.
    fn take_carry(&self, file: &Checkpoint) -> Result<Vec<f32>> {
        let (dim, n) = (self.dim(), self.count());
        let mut carry = vec![0f32; self.carried_rows(self.at.open_draws) * n];
        let mut fill = |row: usize, values: Vec<f32>| carry[row * n..row * n + values.len()].copy_from_slice(&values);
        fill(0, file.take("energies", &[n])?);
        if self.setup.kernel.uses_grad() {
            fill(1, file.take("gradients", &[dim, n])?);
        }
        if self.setup.kernel.carries_momentum() {
            fill(self.rows.momentum(), file.take("momenta", &[dim, n])?);
        }
        if self.setup.kernel.is_unadjusted() {
            let stopped: Vec<u8> = file.take("stopped", &[n])?;
            fill(self.rows.stopped(), stopped.into_iter().map(|stopped| f32::from(u8::from(stopped != 0))).collect());
        }
        if self.setup.kernel.ladder().is_some() {
            let ends: Vec<u8> = file.take("ladder_ends", &[n])?;
            fill(self.rows.stage(), ends.into_iter().map(f32::from).collect());
        }
        if self.setup.kernel.bridge().is_some() {
            fill(self.rows.stage(), file.take("bridge", &[3, n])?);
        }
        if self.at.open_draws > 0 {
            fill(self.rows.moments(), file.take("moments_open", &[self.rows.of_moments(), n])?);
        }
        Ok(carry)
    }

    fn take_moments(&mut self, file: &Checkpoint) -> Result<()> {
        let rungs = self.setup.rungs();
        let shape = [self.rows.watched(), self.count() / rungs];
        if file.counters.draws > 0 || self.at.open_draws > 0 {
            self.at.moments = Moments::new(shape[0], self.count(), rungs).into();
        }
        if file.counters.draws > 0 {
            let moments = Arc::make_mut(&mut self.at.moments);
            moments.draws = file.counters.draws;
            moments.mean = file.take("moments_mean", &shape)?;
            moments.m2 = file.take("moments_m2", &shape)?;
            moments.jumps = file.take_one("moments_jumps")?;
            moments.changes = file.take_one("moments_changes")?;
            moments.changes_a_chain = file.counters.changes_a_chain;
            if rungs > 1 {
                let swaps: Vec<f64> = file.take("moments_swaps", &[rungs, 2])?;
                moments.exchanges.swaps = swaps.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
                moments.exchanges.round_trips = file.take_one("moments_round_trips")?;
            }
        }
        Ok(())
    }

    /// Writes the confirmed state, or the copy. Slices in flight read the state and write to other buffers of the ring.
    pub(super) fn write(&self, path: &Path, at: &Confirmed, spare: Option<&Spare>) -> Result<()> {
        let (dim, n) = (self.dim(), self.count());
        // A segment that is taken in part, after an error, is taken whole.
        let (moments, open_draws) = if self.settled > 0 && spare.is_none() {
            (Cow::Owned(self.moments_with_open()?), 0)
        } else {
            (Cow::Borrowed(&*at.moments), at.open_draws)
        };
        let carried = self.carried_rows(open_draws);
        let parts = (0..self.chunks.len()).map(|i| self.carry_of(i, carried, spare)).collect::<Result<Vec<_>>>()?;
        let mut carry = vec![0f32; carried * n];
        for (chunk, part) in self.chunks.iter().zip(&parts) {
            for (all, own) in carry.chunks_mut(n).zip(part.chunks(chunk.chains)) {
                all[chunk.first..chunk.first + chunk.chains].copy_from_slice(own);
            }
        }
        drop(parts);
        let rows = |first: usize, count: usize| &carry[first * n..(first + count) * n];

        let mut draft = Draft::default();
        draft.put("positions", &[dim, n], self.coordinates(spare)?);
        draft.put("energies", &[n], rows(0, 1));
        if self.setup.kernel.uses_grad() {
            draft.put("gradients", &[dim, n], rows(1, dim));
        }
        if self.setup.kernel.carries_momentum() {
            draft.put("momenta", &[dim, n], rows(self.rows.momentum(), dim));
        }
        if self.setup.kernel.is_unadjusted() {
            let stopped = rows(self.rows.stopped(), 1).iter().map(|&stopped| u8::from(stopped != 0.0));
            draft.put("stopped", &[n], stopped.collect::<Vec<_>>());
        }
        if self.setup.kernel.ladder().is_some() {
            let ends = rows(self.rows.stage(), 1).iter().map(|&end| end as u8);
            draft.put("ladder_ends", &[n], ends.collect::<Vec<_>>());
        }
        if self.setup.kernel.bridge().is_some() {
            draft.put("bridge", &[3, n], rows(self.rows.stage(), 3));
        }
        if moments.draws > 0 {
            draft.put("moments_mean", &[self.rows.watched(), n / self.setup.rungs()], &moments.mean);
            draft.put("moments_m2", &[self.rows.watched(), n / self.setup.rungs()], &moments.m2);
            draft.put("moments_jumps", &[1], vec![moments.jumps]);
            draft.put("moments_changes", &[1], vec![moments.changes]);
            if self.setup.kernel.ladder().is_some() {
                draft.put("moments_swaps", &[self.setup.rungs(), 2], moments.exchanges.swaps.concat());
                draft.put("moments_round_trips", &[1], vec![moments.exchanges.round_trips]);
            }
        }
        if open_draws > 0 {
            draft.put("moments_open", &[self.rows.of_moments(), n], rows(self.rows.moments(), self.rows.of_moments()));
        }
        let counters = Counters {
            starts_at_one_point: self.starts_at_one_point,
            draws: moments.draws,
            open_draws,
            changes_a_chain: moments.changes_a_chain,
            ..Counters::new(&at.clock)
        };
        write(path, &self.setup, "gpu", counters, (&at.adapted, at.warmed_up), &at.ledger, draft)
    }
}
