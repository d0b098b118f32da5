//! Langevin chains of a network on a GPU: several steps of all layers in one dispatch.

use super::{Walk, Walked};
use crate::{
    Error, Gpu, Result,
    energy::Energy,
    net::{Mlp, engine::Engine, plan::Kind, product::Form},
    random::{Epochs, Stream, key, normal_slots},
};

/// Steps of a dispatch at first; drivers that cut loops short get fewer.
const STEPS: u32 = 16;
/// Steps of one submission at most.
const MOST_STEPS: u64 = 32;

#[derive(Debug)]
pub(super) struct OnGpu {
    engine: Engine,
    mlp: Mlp,
    steps: u32,
}

impl OnGpu {
    pub(super) fn new(gpu: &Gpu, mlp: &Mlp) -> Self {
        Self { engine: Engine::new(gpu, mlp.network(), &mlp.params(), Form::of(gpu)), mlp: mlp.clone(), steps: STEPS }
    }

    pub(super) fn set_params(&self, params: &[f32]) -> Result<()> {
        self.engine.set_params(params)
    }

    pub(super) fn run(&mut self, x: &[f32], chains: usize, walk: Walk) -> Result<Walked> {
        let mut walked = Walked { positions: x.to_vec(), stopped: 0 };
        let most = self.engine.most_points(Kind::Gradient)?;
        for first in (0..chains).step_by(most) {
            let batch = first..chains.min(first + most);
            let own: Vec<_> = x.chunks_exact(chains).flat_map(|row| &row[batch.clone()]).copied().collect();
            let there =
                self.run_batch(&own, batch.len(), Walk { first_chain: walk.first_chain.wrapping_add(first as u32), ..walk })?;
            for (row, own) in walked.positions.chunks_exact_mut(chains).zip(there.positions.chunks_exact(batch.len())) {
                row[batch.clone()].copy_from_slice(own);
            }
            walked.stopped += there.stopped;
        }
        Ok(walked)
    }

    fn run_batch(&mut self, x: &[f32], chains: usize, walk: Walk) -> Result<Walked> {
        loop {
            match self.attempt(x, chains, walk) {
                // Nothing is kept of a run that was cut short.
                Err(Error::CutShort { .. }) if self.steps > 1 => self.steps /= 2,
                other => return other,
            }
        }
    }

    fn attempt(&mut self, x: &[f32], chains: usize, walk: Walk) -> Result<Walked> {
        let dim = self.mlp.dim();
        let plan = self.engine.plan(Kind::Gradient);
        let columns = self.engine.columns(chains);
        let more = dim + 1;
        let mut rows = vec![0.0; (dim + 1) * columns];
        for (row, own) in rows.chunks_exact_mut(columns).zip(x.chunks_exact(chains)) {
            row[..chains].copy_from_slice(own);
        }
        // The positions before are those at the start; nobody has stopped.
        self.engine.write(&plan, columns, plan.known_rows(), more, &rows);
        self.engine.write(&plan, columns, 0, more, &rows[..dim * columns]);
        let epochs = Epochs::new(normal_slots(dim));
        let mut done = 0;
        while done < walk.steps {
            let mut dispatches = Vec::new();
            let end = walk.steps.min(done + MOST_STEPS);
            while done < end {
                let at = walk.first_step + done;
                let steps = u64::from(self.steps).min(end - done).min(epochs.left(at));
                dispatches.push(self.engine.langevin(&plan, columns, more, |settings| {
                    settings.steps = steps as u32;
                    settings.first_step = epochs.step_in_epoch(at);
                    settings.first_chain = walk.first_chain;
                    settings.dim = dim as u32;
                    settings.key = key(walk.seed, Stream::Transition, epochs.epoch(at));
                    settings.step_size = walk.step_size as f32;
                    settings.noise = (2.0 * walk.step_size * walk.temperature).sqrt() as f32;
                    settings.confinement = self.mlp.confinement() as f32;
                }));
                done += steps;
            }
            self.engine.run_for_rows(&dispatches, columns, 0, 1)?;
        }
        let rows = self.engine.run_for_rows(&[], columns, 0, plan.known_rows() + more)?;
        let positions = (0..dim).flat_map(|i| &rows[i * columns..][..chains]).copied().collect();
        let stopped = rows[(plan.known_rows() + dim) * columns..][..chains].iter().filter(|&&stopped| stopped != 0.0).count();
        Ok(Walked { positions, stopped })
    }
}
