//! What a warm-up needs of chains on a GPU.

use std::{sync::Arc, time::Instant};

use super::GpuChains;
use crate::{
    Error, Result,
    adapt::{Adapted, Adapting, Trial},
    chains::{FailureRow, report::failures, tally::Ledger},
    kernel::Kernel,
};

impl Adapting for GpuChains {
    fn set_kernel(&mut self, kernel: Arc<dyn Kernel>) {
        self.pipelines.set_kernel(&self.gpu, kernel.clone());
        self.setup.kernel = kernel;
    }

    fn trial(&mut self) -> Result<Trial> {
        let begun = Instant::now();
        self.close_segment()?;
        let first = self.clock.steps;
        // Everything that is to be learnt of a step comes back with it.
        self.chunks.iter_mut().for_each(|chunk| chunk.is_watched = true);
        let submitted = self.submit(first, first + 1, false, self.current, None);
        self.chunks.iter_mut().for_each(|chunk| chunk.is_watched = false);
        let slice = submitted?;
        let Some(landed) = self.land(&slice)? else {
            self.clock.redone += 1;
            return Err(Error::CutShort { adapter: self.gpu.info().name.clone(), good_steps: first });
        };
        self.confirm(&slice, &landed, None)?;
        let (dim, chains) = (self.setup.target.dim(), self.setup.chains);
        let mut trial = Trial {
            positions: vec![0.0; dim * chains],
            acceptance: 0.0,
            accepted: Vec::with_capacity(chains),
            growth: Vec::with_capacity(chains),
        };
        for (chunk, landing) in self.chunks.iter().zip(&landed) {
            let Some(watched) = landing.watched() else { continue };
            trial.growth.extend_from_slice(watched.growths);
            trial.accepted.extend(landing.accepted().iter().map(|flags| flags & 0xffff > 0));
            trial.acceptance += landing.acceptance().iter().map(|&a| f64::from(a)).sum::<f64>() / (65_536.0 * chains as f64);
            for (row, values) in watched.positions.chunks_exact(chunk.chains).enumerate() {
                let at = row * chains + chunk.first;
                trial.positions[at..at + chunk.chains].copy_from_slice(values);
            }
        }
        self.clock.wall += begun.elapsed();
        Ok(trial)
    }

    fn free_coordinates(&self) -> Result<Vec<f32>> {
        self.coordinates()
    }

    fn adapted(&mut self) -> &mut Adapted {
        &mut self.adapted
    }

    fn count_anew(&mut self) -> Vec<FailureRow> {
        let rows = failures(&self.ledger, u64::from(self.setup.first_chain));
        // Acceptances are counted on, since the clock has their sum.
        self.ledger = Ledger { acceptance: self.ledger.acceptance, ..Ledger::new(self.setup.chains) };
        self.warmed_up = self.clock;
        rows
    }
}
