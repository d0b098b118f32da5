//! The way of draws from a slice to the sink.

use std::ops::Range;

use super::{Draw, Shape, Sink};
use crate::{
    Result, Schedule,
    chains::{Collect, Setup},
};

/// The most bytes of draws that a slice hands out, where one draw is not more than that already.
pub(crate) const BATCH_BYTES: u64 = 64 << 20;
/// The most bytes of draws that a sink is given at once, where one draw is not more than that already: they are in the processor's cache.
const HANDED_BYTES: u64 = 4 << 20;

/// A collection that hands its draws to a sink. A draw is known by the number of states that the collection has had by then: every
/// thin-th is one, so draws depend neither on how the run is cut nor on where it was taken up again.
pub(crate) struct Storing<'a> {
    sink: &'a mut dyn Sink,
    pub(crate) thin: u64,
    /// The stored chains; of ladders of temperatures, the stored ladders.
    pub(crate) chains: Range<usize>,
    pub(crate) rungs: usize,
    dim: usize,
    temperature: Schedule,
    /// Steps of the chains before the collection began.
    origin: u64,
    /// For a few draws at a time, `[draw][dim + 1][chain]`.
    room: Vec<f32>,
}

impl<'a> Storing<'a> {
    /// Tells the sink what will come. The collection has `already` states, the chains have done `steps` steps.
    pub(crate) fn begin(sink: &'a mut dyn Sink, collect: &Collect, setup: &Setup, already: u64, steps: u64) -> Result<Self> {
        let rungs = setup.rungs();
        let chains = collect.stored(setup.chains, rungs)?;
        let dim = setup.target.dim();
        let origin = steps - already;
        let before = already / collect.thin;
        sink.begin(&Shape {
            draws: already.saturating_add(collect.draws) / collect.thin - before,
            at_most: collect.goal.is_some() || collect.within.is_some(),
            dim,
            chains: chains.len(),
            first_chain: u64::from(setup.first_chain) + (chains.start * rungs) as u64,
            rungs,
            thin: collect.thin,
            first_step: origin.saturating_add((before + 1).saturating_mul(collect.thin)),
            goes_on: before > 0,
            energy: setup.target.name(),
            kernel: setup.kernel.name(),
            seed: setup.seed,
        })?;
        let temperature = setup.temperature.clone();
        Ok(Self { sink, thin: collect.thin, chains, rungs, dim, temperature, origin, room: Vec::new() })
    }

    /// Bytes of a draw of so many chains.
    pub(crate) fn bytes_a_draw(&self, chains: usize) -> u64 {
        (self.dim as u64 + 1) * chains as u64 * 4
    }

    /// Draws among the states `from..to` of the collection.
    pub(crate) fn draws(&self, from: u64, to: u64) -> u64 {
        to / self.thin - from / self.thin
    }

    /// Steps from the state `from` to the next draw.
    pub(crate) fn until_draw(&self, from: u64) -> u64 {
        self.thin - from % self.thin
    }

    /// The most steps from the state `from` that give no more draws than there is `room` for.
    pub(crate) fn most_steps(&self, from: u64, room: u64) -> u64 {
        (room + 1).saturating_mul(self.thin) - from % self.thin - 1
    }

    /// Hands the draws among the states `from..to` over, a few at a time: `fill` puts those of a range, counted from the first of them,
    /// into room, `[draw][dim + 1][chain]`.
    pub(crate) fn hand_over(
        &mut self,
        from: u64,
        to: u64,
        fill: impl Fn(Range<usize>, &mut [f32]) -> Result<()>,
    ) -> Result<()> {
        let positions = self.dim * self.chains.len();
        let size = positions + self.chains.len();
        let all = self.draws(from, to) as usize;
        let few = (HANDED_BYTES / self.bytes_a_draw(self.chains.len())).max(1) as usize;
        for first in (0..all).step_by(few) {
            let range = first..all.min(first + few);
            self.room.resize(range.len() * size, f32::NAN);
            let numbers = from / self.thin + 1 + first as u64..;
            fill(range, &mut self.room)?;
            let numbered = self.room.chunks_exact(size).zip(numbers);
            let draws: Vec<_> = numbered
                .map(|(draw, number)| {
                    let (positions, energies) = draw.split_at(positions);
                    let step = self.origin + number * self.thin;
                    Draw { step, temperature: self.temperature.at(step - 1), positions, energies }
                })
                .collect();
            self.sink.write(&draws)?;
        }
        Ok(())
    }

    /// Lets the sink finish, also after an error of the run.
    pub(crate) fn end(self) -> Result<()> {
        self.sink.end()
    }
}
