//! A copy of the state in host memory, taken while the chains run, that outlives the device.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{GpuChains, Slice};
use crate::{
    Error, Result,
    adapt::{Adapted, WarmUp},
    chains::{moments::Moments, report::Clock, tally::Ledger},
};

/// Copies are at least so long apart: less than a slice unless those were made shorter.
const APART: Duration = Duration::from_millis(40);

/// What the host knows of a confirmed state.
#[derive(Debug, Clone)]
pub(super) struct Confirmed {
    pub(super) clock: Clock,
    pub(super) ledger: Ledger,
    pub(super) adapted: Adapted,
    /// The clock at the end of the warm-up.
    pub(super) warmed_up: Clock,
    /// What the last collection has, but for its open segment, whose moments are carried on the device.
    pub(super) moments: Arc<Moments>,
    pub(super) open_draws: u64,
    /// The clock when the last collection began.
    pub(super) begun: Clock,
}

/// The copy: of each chunk the positions, `[dim][chain]`, and the rows of the carry buffer that mean something.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) at: Confirmed,
    chunks: Vec<[Vec<f32>; 2]>,
}

impl Confirmed {
    /// The same with the warm-up in progress, which is not part of it while a step is made.
    fn in_warm_up(&self, plan: Option<&WarmUp>) -> Self {
        let mut at = self.clone();
        at.adapted.plan = plan.cloned();
        at
    }
}

impl GpuChains {
    /// Where the run stands: at the confirmed state, or, once the device is lost, at the copy.
    pub(super) fn standing(&self) -> (&Confirmed, Option<&Spare>) {
        match &self.spare {
            Some(spare) if self.gpu.is_lost() => (&spare.at, Some(spare)),
            _ => (&self.at, None),
        }
    }

    /// Reads where the run stands; a second time where the device is lost meanwhile.
    pub(super) fn read<T>(&self, read: impl Fn(&Confirmed, Option<&Spare>) -> Result<T>) -> Result<T> {
        let (at, spare) = self.standing();
        match (read(at, spare), self.standing()) {
            (Err(Error::DeviceLost { .. }), (at, Some(spare))) => read(at, Some(spare)),
            (done, _) => done,
        }
    }

    /// The positions of a chunk, `[dim][chain]`.
    pub(super) fn positions_of<'a>(&self, chunk: usize, spare: Option<&'a Spare>) -> Result<Cow<'a, [f32]>> {
        Ok(match spare {
            Some(spare) => Cow::Borrowed(&spare.chunks[chunk][0]),
            None => {
                let dim = self.pipelines.dim();
                Cow::Owned(self.chunks[chunk].read_positions(&self.gpu, dim, self.current, self.setup.timeout)?)
            }
        })
    }

    /// The first rows of a chunk's carry buffer, `[row][chain]`.
    pub(super) fn carry_of<'a>(&self, chunk: usize, rows: usize, spare: Option<&'a Spare>) -> Result<Cow<'a, [f32]>> {
        let read = &self.chunks[chunk];
        Ok(match spare {
            Some(spare) => Cow::Borrowed(&spare.chunks[chunk][1][..rows * read.chains]),
            None => Cow::Owned(read.read_carry(&self.gpu, rows, self.current, self.setup.timeout)?),
        })
    }

    /// Whether the setup allows a copy of that size.
    fn has_spare(&self) -> bool {
        4 * self.setup.chains as u64 * (self.pipelines.dim() + self.rows.all()) as u64 <= self.setup.spare_copy
    }

    /// The rows of the carry buffer that the next slice shall copy; none where that is not due.
    pub(super) fn spare_rows(&self, collects: bool) -> usize {
        if self.has_spare() && self.spared.elapsed() >= APART { self.carried_rows(u64::from(collects)) } else { 0 }
    }

    /// A first copy, of where the chains start and of where a warm-up left them, or, resumed, stands; nothing is in flight.
    pub(super) fn ensure_spare(&mut self, plan: Option<&WarmUp>) -> Result<()> {
        let is_there = self.spare.as_ref().is_some_and(|spare| spare.at.warmed_up.steps == self.at.warmed_up.steps);
        if is_there || !self.has_spare() {
            return Ok(());
        }
        let rows = self.carried_rows(self.at.open_draws);
        let read = |i| Ok([self.positions_of(i, None)?.into_owned(), self.carry_of(i, rows, None)?.into_owned()]);
        let chunks = (0..self.chunks.len()).map(read).collect::<Result<Vec<_>>>()?;
        self.spare = Some(Spare { at: self.at.in_warm_up(plan), chunks });
        Ok(())
    }

    /// Takes the copy of a slice that has been counted, and which the plan of a warm-up has learnt from, where it has one.
    pub(super) fn take_spare(&mut self, slice: &Slice, plan: Option<&WarmUp>) -> Result<()> {
        let views = slice.flights.iter().map(|flight| flight.spare(&self.gpu)).collect::<Result<Option<Vec<_>>>>()?;
        let (Some(views), Some(spare)) = (views, &mut self.spare) else { return Ok(()) };
        for (view, [positions, carry]) in views.iter().zip(&mut spare.chunks) {
            let values: &[f32] = bytemuck::cast_slice(view);
            let (x, rest) = values.split_at(positions.len());
            positions.copy_from_slice(x);
            carry.clear();
            carry.extend_from_slice(rest);
        }
        spare.at = self.at.in_warm_up(plan);
        Ok(())
    }

    /// The next copy is due a while after this one was asked for.
    pub(super) fn spare_asked(&mut self) {
        self.spared = Instant::now();
    }
}
