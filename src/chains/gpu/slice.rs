//! Slices: so many steps of all chains, one submission a chunk, counted when they are proved whole.

use std::time::{Duration, Instant};

use super::GpuChains;
use crate::{
    Result,
    chains::{
        chunk::{CANARY_STEPS, DrawBytes, Flight, Landing, Run},
        cpu::gradients,
        moments::SEGMENT,
    },
    kernel::Control,
    pipelines::Task,
    random::{Epochs, Stream, key},
    store::Storing,
};

/// A slice in flight: one submission a chunk.
pub(super) struct Slice {
    pub(super) first: u64,
    pub(super) steps: u64,
    pub(super) collects: bool,
    /// States of the collection before it.
    pub(super) state: u64,
    submitted: Instant,
    /// Steps that were in flight before it.
    behind: u64,
    pub(super) flights: Vec<Flight>,
}

impl Slice {
    /// How long the device was at it, as far as the host can tell: the time since it took the slice before, or, where that is more,
    /// a share of the time since the submission. A host that comes late finds the next slice done at once; by the first alone it
    /// would then take eight times as many steps, and again.
    pub(super) fn took(&self, now: Instant, last_confirmed: Instant) -> Duration {
        let share = self.steps as f64 / (self.behind + self.steps) as f64;
        (now - self.submitted.max(last_confirmed)).max((now - self.submitted).mul_f64(share))
    }
}

impl GpuChains {
    /// Submits the next slice from `first` on; it reads the ring's buffer `from` and writes the next.
    pub(super) fn submit(
        &mut self,
        first: u64,
        goal: u64,
        collects: bool,
        from: usize,
        storing: Option<&Storing<'_>>,
    ) -> Result<Slice> {
        let epochs = Epochs::new(self.setup.kernel.slots(self.setup.target.dim()));
        // A segment of moments ends with a slice.
        let state = self.at.moments.draws + self.at.open_draws + first - self.at.clock.steps;
        let first_draw = (self.at.open_draws + first - self.at.clock.steps) % SEGMENT;
        let cap = if collects { self.step_cap.min(SEGMENT - first_draw) } else { self.step_cap };
        let room = storing.map_or(Ok(0), |storing| self.draw_room(storing))?;
        let cap = storing.map_or(cap, |storing| cap.min(storing.most_steps(state, room)));
        let steps = self.slice_steps[usize::from(collects)].min(cap).min(goal - first).min(epochs.left(first));
        let controls = self.setup.controls(first, steps);
        let pipeline = self.pipelines.advance(&self.gpu, if collects { Task::Collect } else { Task::Advance })?.clone();
        let storing_pipeline = match storing {
            Some(_) => self.pipelines.advance(&self.gpu, Task::Store)?.clone(),
            None => pipeline.clone(),
        };
        let spare_rows = self.spare_rows(collects);
        if spare_rows > 0 {
            self.spare_asked();
        }
        let submitted = Instant::now();
        let mut flights = Vec::with_capacity(self.chunks.len());
        for i in 0..self.chunks.len() {
            let run = Run { first_draw: first_draw as u32, ..self.run_of(self.chunks[i].first, first, steps, &controls) };
            let chunk = &mut self.chunks[i];
            let mut run = Run { chains: chunk.chains as u32, ..run };
            let stored = storing.map_or(0..0, |storing| chunk.stored(&storing.chains, storing.rungs));
            let mut draws = None;
            if let Some(storing) = storing.filter(|_| !stored.is_empty()) {
                run.thin = storing.thin.try_into().unwrap_or(u32::MAX);
                run.until_draw = storing.until_draw(state).try_into().unwrap_or(u32::MAX);
                (run.stored_first, run.stored_chains) = (stored.start as u32, stored.len() as u32);
                let (bytes, count) = (storing.bytes_a_draw(stored.len()), storing.draws(state, state + steps));
                run.stored_draws = count as u32;
                draws = Some(DrawBytes { used: count * bytes, room: room * bytes });
            }
            let pipeline = if draws.is_some() { &storing_pipeline } else { &pipeline };
            flights.push(chunk.fly(&self.gpu, &self.pipelines, pipeline, from % self.ring, run, &controls, draws, spare_rows));
        }
        self.gpu.check(self.at.clock.steps)?;
        Ok(Slice { first, steps, collects, state, submitted, behind: first - self.at.clock.steps, flights })
    }

    /// The uniform of a dispatch of chains from `first_chain` (of these) on.
    pub(super) fn run_of(&mut self, first_chain: usize, first: u64, steps: u64, controls: &[Control]) -> Run {
        let epochs = Epochs::new(self.setup.kernel.slots(self.setup.target.dim()));
        self.salt = self.salt.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Run {
            key: key(self.setup.seed, Stream::Transition, epochs.epoch(first)),
            first_chain: self.setup.first_chain.wrapping_add(first_chain as u32),
            chains: 1,
            first_step: epochs.step_in_epoch(first),
            steps: steps as u32,
            last_control: controls.len() as u32 - 1,
            blocks: self.pipelines.blocks(),
            control: controls[0],
            canary_steps: CANARY_STEPS,
            canary_salt: self.salt,
            first_draw: 0,
            thin: 0,
            until_draw: 0,
            stored_first: 0,
            stored_chains: 0,
            stored_draws: 0,
        }
    }

    /// Waits for a slice. None: the driver cut it short.
    pub(super) fn land(&self, slice: &Slice) -> Result<Option<Vec<Landing>>> {
        let mut landed = Vec::with_capacity(slice.flights.len());
        for (chunk, flight) in self.chunks.iter().zip(&slice.flights) {
            let landing = chunk.land(&self.gpu, flight, self.setup.timeout, self.at.clock.steps)?;
            if !landing.is_whole(&flight.run) {
                return Ok(None);
            }
            landed.push(landing);
        }
        Ok(Some(landed))
    }

    /// Counts a slice that is whole.
    pub(super) fn confirm(&mut self, slice: &Slice, landed: &[Landing]) -> Result<()> {
        // All that can fail comes first: a slice is counted whole or not at all.
        let written = (self.current + 1) % self.ring;
        let failures = self.failures(slice, landed)?;

        let failed_at = self.first_failures(slice, &failures)?;
        self.at.ledger.failed_at.extend(failed_at);
        for (chain, count, step, kind) in failures {
            self.at.ledger.fail(chain, count, step, kind);
        }
        for (chunk, landing) in self.chunks.iter().zip(landed) {
            for (i, (&flags, &acceptance)) in landing.accepted().iter().zip(landing.acceptance()).enumerate() {
                self.at.ledger.accepted[chunk.first + i] += u64::from(flags & 0xffff);
                self.at.ledger.acceptance += f64::from(acceptance) / 65_536.0;
            }
            if let (Some(total), Some(device)) = (self.at.clock.device.as_mut(), landing.device_time(&self.gpu)) {
                *total += device;
            }
        }
        if slice.collects {
            self.at.open_draws += slice.steps;
        }
        self.current = written;
        self.at.clock.steps += slice.steps;
        self.at.clock.slices += slice.flights.len() as u64;
        self.at.clock.acceptance = self.at.ledger.acceptance;
        self.at.clock.gradients += gradients(&self.setup, slice.first, slice.steps);
        Ok(())
    }
}
