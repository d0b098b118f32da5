//! A warm-up in progress, in and out of a checkpoint: numbers in the header's text, and of the chains
//!
//! | tensor | shape | |
//! |---|---|---|
//! | `warm_up_idle` | \[chains\] u32 | proposals rejected in a row |
//! | `warm_up_moved` | \[chains\] u8 | whether one was accepted since the step size alone was tuned |
//! | `warm_up_strays` | \[chains\] u8 | in the first stage: whether the chain was far above the others when the sweep began |
//! | `warm_up_moved_at` | \[chains\] u8 | in the first stage: 1 + the least power of the sweep with which it moved, 0 for none |
//! | `warm_up_moves` | \[n, 2\] u64 | what is to be relocated before the next step: chain and donor, from 0 |
//!
//! Where the chains stand is what the checkpoint says of them.

use super::{LEAST_STEP, MOST_STEP, Stage, WarmUp, gather::MOST_POWER, measure::ROUNDS, relocate::MOST_RELOCATIONS};
use crate::{
    Result,
    kernel::Kernel,
    store::checkpoint::{Checkpoint, Draft},
};

impl WarmUp {
    /// The tensors of a checkpoint.
    pub(crate) fn put<'a>(&'a self, draft: &mut Draft<'a>) {
        let n = self.chains;
        draft.put("warm_up_idle", &[n], &self.idle);
        draft.put("warm_up_moved", &[n], self.moved.iter().map(|&moved| u8::from(moved)).collect::<Vec<_>>());
        if self.stage == Stage::Gather {
            let mut strays = vec![0u8; n];
            self.gather.levels.strays.iter().for_each(|&chain| strays[chain] = 1);
            draft.put("warm_up_strays", &[n], strays);
            let moved_at = self.gather.moved_at.iter().map(|power| power.map_or(0, |power| power as u8 + 1));
            draft.put("warm_up_moved_at", &[n], moved_at.collect::<Vec<_>>());
        }
        let moves = self.moves.iter().flat_map(|&(to, from)| [to as u64, from as u64]);
        draft.put("warm_up_moves", &[self.moves.len(), 2], moves.collect::<Vec<_>>());
    }

    /// A plan whose numbers were read from a checkpoint, with its tensors, for chains that stand there, `[dim][chain]`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) where it is not one of these chains.
    pub(crate) fn resume(mut self, kernel: &dyn Kernel, positions: Vec<f32>, file: &Checkpoint) -> Result<Self> {
        let (n, steps) = (file.chains(), file.counters.steps);
        if !self.is_of(kernel, n, positions.len() / n) || !self.is_sound(steps) {
            return Err(file.wrong("contradicts itself in its warm-up"));
        }
        self.positions = positions;
        self.idle = file.take("warm_up_idle", &[n])?;
        self.moved = file.take::<u8>("warm_up_moved", &[n])?.into_iter().map(|moved| moved != 0).collect();
        self.gather.moved_at = vec![None; n];
        if self.stage == Stage::Gather {
            let strays: Vec<u8> = file.take("warm_up_strays", &[n])?;
            self.gather.levels.strays = (0..n).filter(|&chain| strays[chain] != 0).collect();
            let moved_at: Vec<u8> = file.take("warm_up_moved_at", &[n])?;
            self.gather.moved_at = moved_at.into_iter().map(|power| power.checked_sub(1).map(u32::from)).collect();
        }
        let moves: Vec<u64> = file.take("warm_up_moves", &[file.rows("warm_up_moves")?.min(n), 2])?;
        let chain = |i: u64| usize::try_from(i).ok().filter(|&chain| chain < n);
        let moves = moves.chunks_exact(2).map(|pair| chain(pair[0]).zip(chain(pair[1]))).collect::<Option<_>>();
        self.moves = moves.ok_or_else(|| file.wrong("contradicts itself in `warm_up_moves`"))?;
        self.follow_moves();
        Ok(self)
    }

    /// Whether this is a plan for that kernel and so many chains.
    fn is_of(&self, kernel: &dyn Kernel, chains: usize, dim: usize) -> bool {
        let Some(adaptive) = kernel.adaptive() else { return false };
        let spreads = self.short.iter().chain([&self.last, &self.window]);
        (self.adaptive, self.uses_grad) == (adaptive, kernel.uses_grad())
            && (self.chains, self.stretch) == (chains, Self::stretch_of(chains))
            && (self.settings.inverse_mass.len(), self.settings.centre.len()) == (dim, dim)
            && spreads.into_iter().all(|spread| spread.is_of(dim))
            && (1..=adaptive.most_leapfrog_steps.unwrap_or(1)).contains(&self.cap)
    }

    /// Whether every number is one that so many steps can have led to, so that none of those that follow can overflow.
    fn is_sound(&self, steps: u64) -> bool {
        let counts = [self.of_stage, self.moves_noted, self.rescues];
        let (least, most) = self.settings.leapfrog_steps;
        self.done <= steps
            && counts.into_iter().all(|count| count <= self.done)
            && (LEAST_STEP..=MOST_STEP).contains(&self.settings.step_size)
            && least <= most
            && most <= self.cap
            && self.temperature > 0.0
            && self.aim.is_sound(self.cap)
            && self.aim.failed <= self.done.saturating_mul(self.chains as u64)
            && self.gather.is_within(MOST_POWER)
            && self.rounds <= ROUNDS
            && self.relocations <= MOST_RELOCATIONS
            && self.measured_moves <= self.done.saturating_mul(self.chains as u64)
            && self.relocated <= u64::from(MOST_RELOCATIONS) * self.chains as u64
    }
}
