//! What failed in a slice, and where the first chains stood that did.

use super::{GpuChains, slice::Slice};
use crate::{
    Result,
    chains::{
        FailedAt,
        chunk::{Landing, Run},
        tally::SHOWN_FAILURES,
    },
    kernel::Failure,
    pipelines::Task,
};

impl GpuChains {
    /// The failures of a slice: chain, count, step of the first, its kind.
    pub(super) fn failures(&self, slice: &Slice, landed: &[Landing]) -> Result<Vec<(usize, u64, u64, Failure)>> {
        let mut failures = Vec::new();
        for ((chunk, flight), landing) in self.chunks.iter().zip(&slice.flights).zip(landed) {
            if landing.accepted().iter().all(|flags| flags >> 31 == 0) {
                continue;
            }
            let (counts, steps) = match landing.failures() {
                Some([counts, steps]) => (counts.to_vec(), steps.to_vec()),
                None => chunk.failures(&self.gpu, flight, self.setup.timeout)?,
            };
            for (i, (&count, &step)) in counts.iter().zip(&steps).enumerate() {
                if let Some(kind) = Failure::from_code((count >> 24) as u8) {
                    failures.push((chunk.first + i, u64::from(count & 0xff_ffff), slice.first + u64::from(step), kind));
                }
            }
        }
        Ok(failures)
    }

    /// Where the first chains that ever failed stood: the state before the slice is still there, and the same steps up to the
    /// failure, run again for that chain alone, come to the same place.
    pub(super) fn first_failures(&mut self, slice: &Slice, failures: &[(usize, u64, u64, Failure)]) -> Result<Vec<FailedAt>> {
        let room = SHOWN_FAILURES - self.at.ledger.failed_at.len();
        let mut first: Vec<_> = failures.iter().filter(|(chain, ..)| !self.at.ledger.failed.contains_key(chain)).collect();
        first.sort_unstable_by_key(|&&(chain, _, step, _)| (step, chain));
        let mut failed_at = Vec::new();
        for &&(chain, _, step, kind) in first.iter().take(room) {
            let position = self.position_at(chain, slice.first, step - slice.first)?;
            let chain = u64::from(self.setup.first_chain) + chain as u64;
            failed_at.push(FailedAt { chain, step, kind, position });
        }
        Ok(failed_at)
    }

    /// The position of one chain so many steps after the confirmed state, which is that at step `first`.
    pub(super) fn position_at(&mut self, chain: usize, first: u64, steps: u64) -> Result<Vec<f64>> {
        let timeout = self.setup.timeout;
        let at = self.chunks.partition_point(|chunk| chunk.first <= chain) - 1;
        // With its ladder, where it has one: the rungs depend on each other.
        let rungs = self.setup.rungs();
        let first_chain = chain / rungs * rungs;
        let mut alone = self.chunks[at].some_chains(&self.gpu, &self.pipelines, first_chain, rungs, self.current);
        let mut from = 0;
        if steps > 0 {
            let controls = self.setup.controls(first, steps);
            let run = Run { chains: rungs as u32, ..self.run_of(first_chain, first, steps, &controls) };
            let pipeline = self.pipelines.advance(&self.gpu, Task::Advance)?.clone();
            let flight = alone.fly(&self.gpu, &self.pipelines, &pipeline, 0, run, &controls, None, 0);
            alone.land(&self.gpu, &flight, timeout, self.at.clock.steps)?;
            from = 1;
        }
        let x = alone.read_positions(&self.gpu, self.pipelines.dim(), from, timeout)?;
        let mut x: Vec<_> = x.into_iter().skip(chain - first_chain).step_by(rungs).map(f64::from).collect();
        if let Some(constraints) = self.setup.target.constraints() {
            constraints.place(&mut x);
        }
        Ok(x)
    }
}
