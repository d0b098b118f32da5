//! What a warm-up needs of chains on a GPU.

use std::{sync::Arc, time::Instant};

use super::{Chains as _, GpuChains};
use crate::{
    Error, Result,
    adapt::{Adapted, Adapting, Trial, WarmUp},
    chains::{FailureRow, report::failures, tally::Ledger},
    kernel::Kernel,
};

impl Adapting for GpuChains {
    fn set_kernel(&mut self, kernel: Arc<dyn Kernel>) {
        self.pipelines.set_kernel(&self.gpu, kernel.clone());
        self.setup.kernel = kernel;
    }

    fn trial(&mut self, plan: &mut WarmUp) -> Result<()> {
        self.close_segment()?;
        self.ensure_spare(Some(plan))?;
        let begun = Instant::now();
        let first = self.at.clock.steps;
        // Everything that is to be learnt of a step comes back with it.
        self.chunks.iter_mut().for_each(|chunk| chunk.is_watched = true);
        let submitted = self.submit(first, first + 1, false, self.current, None);
        self.chunks.iter_mut().for_each(|chunk| chunk.is_watched = false);
        let slice = submitted?;
        let Some(landed) = self.land(&slice)? else {
            self.at.clock.redone += 1;
            return Err(Error::CutShort { adapter: self.gpu.info().name.clone(), good_steps: first });
        };
        self.confirm(&slice, &landed)?;
        let (dim, chains) = (self.setup.target.dim(), self.setup.chains);
        let mut trial = Trial {
            positions: vec![0.0; dim * chains],
            energies: Vec::with_capacity(chains),
            acceptance: 0.0,
            accepted: Vec::with_capacity(chains),
            failed: 0,
            growth: Vec::with_capacity(chains),
        };
        for (chunk, landing) in self.chunks.iter().zip(&landed) {
            let Some(watched) = landing.watched() else { continue };
            trial.energies.extend_from_slice(watched.energies);
            trial.growth.extend_from_slice(watched.growths);
            trial.accepted.extend(landing.accepted().iter().map(|flags| flags & 0xffff > 0));
            trial.failed += landing.accepted().iter().map(|flags| u64::from(flags >> 31)).sum::<u64>();
            trial.acceptance += landing.acceptance().iter().map(|&a| f64::from(a)).sum::<f64>() / (65_536.0 * chains as f64);
            for (row, values) in watched.positions.chunks_exact(chunk.chains).enumerate() {
                let at = row * chains + chunk.first;
                trial.positions[at..at + chunk.chains].copy_from_slice(values);
            }
        }
        plan.learn(trial)?;
        self.take_spare(&slice, Some(plan))?;
        self.at.clock.wall += begun.elapsed();
        Ok(())
    }

    fn free_coordinates(&self) -> Result<Vec<f32>> {
        self.coordinates(None)
    }

    fn relocate(&mut self, moves: &[(usize, usize)]) -> Result<()> {
        // Positions and the state's rows of the carry, a chunk each.
        let rows = self.rows.moments();
        let read = |i| Ok([self.positions_of(i, None)?.into_owned(), self.carry_of(i, rows, None)?.into_owned()]);
        let mut parts = (0..self.chunks.len()).map(read).collect::<Result<Vec<_>>>()?;
        let sizes: Vec<_> = self.chunks.iter().map(|chunk| chunk.chains).collect();
        let place = |chain: usize| {
            let chunk = self.chunks.partition_point(|chunk| chunk.first <= chain) - 1;
            (chunk, chain - self.chunks[chunk].first)
        };
        for &(to, from) in moves {
            let ((to, column), (from, donor)) = (place(to), place(from));
            // The state of `from` is copied first: both may be of one chunk.
            let of_donor =
                parts[from].each_ref().map(|part| part.chunks(sizes[from]).map(|row| row[donor]).collect::<Vec<_>>());
            for (part, values) in parts[to].iter_mut().zip(&of_donor) {
                part.chunks_mut(sizes[to]).zip(values).for_each(|(row, &value)| row[column] = value);
            }
        }
        for (chunk, [positions, carry]) in self.chunks.iter().zip(&parts) {
            chunk.write_state(&self.gpu, self.current, positions, carry);
        }
        Ok(())
    }

    fn adapted(&mut self) -> &mut Adapted {
        &mut self.at.adapted
    }

    fn count_anew(&mut self) -> Vec<FailureRow> {
        let rows = failures(&self.at.ledger, u64::from(self.setup.first_chain));
        // Acceptances are counted on, since the clock has their sum.
        self.at.ledger = Ledger { acceptance: self.at.ledger.acceptance, ..Ledger::new(self.setup.chains) };
        self.at.warmed_up = self.at.clock;
        rows
    }

    fn save_if_due(&mut self) -> Result<()> {
        if let Some(path) = self.setup.save_due(self.saved) {
            let begun = Instant::now();
            self.save(path)?;
            self.saved = Instant::now();
            self.at.clock.wall += self.saved - begun;
        }
        Ok(())
    }
}
