//! So many steps of all chains, in parallel over chains (or ladders of them).

use std::time::Duration;

use rayon::prelude::*;

use super::{CpuChains, gathered::Gathered, position};
use crate::{
    chains::{FailedAt, Setup, tally::SHOWN_FAILURES},
    energy::Params,
    kernel::{Failure, Rungs, State, Step},
    random::{Draws, Epochs, Stream, key},
    store::Storing,
};

/// What one chain did in a slice.
#[derive(Default)]
pub(super) struct Slice {
    pub(super) accepted: u64,
    pub(super) acceptance: f64,
    /// Their number, and the first: step, kind and position.
    pub(super) failures: Option<(u64, u64, Failure, Vec<f64>)>,
    /// Draws to store, `[draw][dim + 1]`.
    pub(super) draws: Vec<f32>,
}

impl CpuChains {
    /// Runs the steps first..first + n of every chain.
    pub(super) fn slice(
        &mut self,
        first: u64,
        n: u64,
        epochs: &Epochs,
        collects: bool,
        storing: Option<&Storing<'_>>,
    ) -> Vec<Slice> {
        let controls = self.setup.controls(first, n);
        let key = key(self.setup.seed, Stream::Transition, epochs.epoch(first));
        let dim = self.target.dim();
        let slots = self.kernel.slots(dim);
        let (target, kernel, params) = (&*self.target, &*self.kernel, Params::new(&self.params));
        let (kernel_params, first_chain) = (self.kernel_params.as_slice(), self.setup.first_chain);
        if !collects {
            // Steps that collect nothing leave the moments alone.
            self.gathered.resize_with(self.states.len(), Gathered::default);
        }
        let stored = storing.map(|storing| (storing.chains.clone(), storing.thin));
        let rungs = self.setup.rungs();
        let ladder = Rungs::of(kernel, kernel_params);
        let kernel_params = ladder.map_or(kernel_params, |ladder| ladder.inner);
        let groups = self.states.par_chunks_mut(rungs).zip(self.stopped.par_chunks_mut(rungs));
        let groups = groups.zip(self.gathered.par_chunks_mut(rungs)).zip(self.ends.par_chunks_mut(rungs));
        let groups = groups.zip(self.weights.par_chunks_mut(rungs)).enumerate();
        let work = groups.map_init(
            || (State::zeros(dim), vec![vec![0.0; dim]; rungs]),
            |(scratch, lasts), (group, ((((states, stopped), gathered), ends), weights))| {
                let mut slices: Vec<_> = (0..rungs).map(|_| Slice::default()).collect();
                for k in 0..n {
                    let control = |k: u64| controls[(k as usize).min(controls.len() - 1)];
                    let step = epochs.step_in_epoch(first + k);
                    let draws = |rung: usize| {
                        let chain = (group * rungs + rung) as u32;
                        Draws::new(key, first_chain.wrapping_add(chain), step * slots)
                    };
                    let level = |k: u64| f64::from(control(k).level);
                    for rung in 0..rungs {
                        let (state, slice, last) = (&mut states[rung], &mut slices[rung], &mut lasts[rung]);
                        last.copy_from_slice(&state.x);
                        let params = match kernel.bridge() {
                            Some(_) => weights[rung].move_on(level(k), target, params, state),
                            None => params.at_noise(level(k + 1)),
                        };
                        if stopped[rung] {
                            continue;
                        }
                        let control = ladder.map_or(control(k), |ladder| ladder.control(control(k), rung));
                        let info = kernel.transition(
                            &Step { target, params, kernel_params, control, draws: draws(rung) },
                            state,
                            scratch,
                        );
                        slice.accepted += u64::from(info.accepted);
                        // In units of 2⁻¹⁶, as on the device: sums are exact, however they are cut.
                        slice.acceptance += (info.acceptance * 65_536.0).round() / 65_536.0;
                        if let Some(kind) = info.failure {
                            slice.failures.get_or_insert_with(|| (0, first + k, kind, last.clone())).0 += 1;
                            stopped[rung] = kernel.is_unadjusted();
                        }
                    }
                    let swapped = ladder.and_then(|ladder| {
                        let temperature = f64::from(control(k).temperature);
                        let round = ladder.round(step)?;
                        Some(ladder.exchange(round, temperature, draws, slots - 1, states, ends))
                    });
                    if collects {
                        for (gathered, (state, last)) in gathered.iter_mut().zip(states.iter().zip(&*lasts)) {
                            let (x, last) = (position(target, &state.x), position(target, last));
                            gathered.add(&x, state, x.iter().zip(&*last).map(|(x, last)| (x - last).powi(2)).sum());
                        }
                        for (gathered, swapped) in gathered.iter_mut().zip(swapped.unwrap_or_default()) {
                            gathered.count(swapped);
                        }
                        // Of a ladder, the coldest chain is the target's.
                        let is_draw = |thin| gathered[0].draws.is_multiple_of(thin);
                        if stored.as_ref().is_some_and(|(groups, thin)| groups.contains(&group) && is_draw(*thin)) {
                            let x = position(target, &states[0].x);
                            slices[0].draws.extend(x.iter().chain([&states[0].energy]).map(|&v| v as f32));
                        }
                    }
                }
                slices
            },
        );
        work.collect::<Vec<_>>().into_iter().flatten().collect()
    }

    /// Counts what the chains did in a slice.
    pub(super) fn count(&mut self, slices: Vec<Slice>) {
        let mut first = Vec::new();
        for (chain, slice) in slices.into_iter().enumerate() {
            self.ledger.accepted[chain] += slice.accepted;
            self.ledger.acceptance += slice.acceptance;
            if let Some((count, step, kind, position)) = slice.failures {
                if !self.ledger.failed.contains_key(&chain) {
                    let position = self::position(&*self.target, &position).into_owned();
                    first.push(FailedAt { chain: u64::from(self.setup.first_chain) + chain as u64, step, kind, position });
                }
                self.ledger.fail(chain, count, step, kind);
            }
        }
        first.sort_by_key(|failed| (failed.step, failed.chain));
        first.truncate(SHOWN_FAILURES - self.ledger.failed_at.len());
        self.ledger.failed_at.extend(first);
    }
}

/// Gradient evaluations of one chain in the steps first..first + n.
pub(crate) fn gradients(setup: &Setup, first: u64, n: u64) -> u64 {
    let (least, most) = setup.kernel.substeps();
    match (setup.kernel.uses_grad(), least == most) {
        (false, _) => 0,
        (true, true) => n * u64::from(most),
        (true, false) => setup.controls(first, n)[..n as usize].iter().map(|c| c.substeps as u64).sum(),
    }
}

/// The next slice's steps, so that it takes about `target`; never more than eight times the last.
pub(crate) fn next_steps(steps: u64, took: Duration, target: Duration) -> u64 {
    let ratio = target.as_secs_f64() / took.as_secs_f64().max(1e-6);
    ((steps as f64 * ratio.min(8.0)) as u64).max(1)
}
