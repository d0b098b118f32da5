//! The open segment of a collection, whose moments the device carries: taken from it, or looked at.

use std::sync::Arc;

use super::GpuChains;
use crate::{
    Result,
    chains::{
        moments::Moments,
        summary::{Summary, lines},
    },
};

/// Bytes of the moments that are merged at a time to look at them.
const LOOK_BYTES: usize = 16 << 20;

impl GpuChains {
    /// Takes the open segment from the device, a chunk at a time, since the moments of all of them at once are many bytes. After an
    /// error it goes on with the chunk that is next: the state that holds them is not written before this is done.
    pub(super) fn settle(&mut self) -> Result<()> {
        while let Some(chunk) = self.chunks.get(self.settled) {
            let values = chunk.moments(&self.gpu, &self.rows, self.current, self.setup.timeout)?;
            Arc::make_mut(&mut self.at.moments).merge_segment(
                &self.rows,
                chunk.first,
                chunk.chains,
                self.at.open_draws,
                &values,
            );
            self.settled += 1;
        }
        Arc::make_mut(&mut self.at.moments).count(self.at.open_draws);
        (self.at.open_draws, self.settled) = (0, 0);
        Ok(())
    }

    /// Steps that collect nothing leave the moments behind.
    pub(super) fn close_segment(&mut self) -> Result<()> {
        if self.at.open_draws > 0 {
            self.settle()?;
        }
        Ok(())
    }

    /// All moments, those of the open segment among them, which stays open.
    pub(super) fn moments_with_open(&self) -> Result<Moments> {
        let mut moments = Moments::clone(&self.at.moments);
        for chunk in &self.chunks[self.settled..] {
            let values = chunk.moments(&self.gpu, &self.rows, self.current, self.setup.timeout)?;
            moments.merge_segment(&self.rows, chunk.first, chunk.chains, self.at.open_draws, &values);
        }
        moments.count(self.at.open_draws);
        Ok(moments)
    }

    /// What they come to, from a few rows at a time: a copy of all of them is as large as they are.
    pub(super) fn summary_with_open(&self) -> Result<Summary> {
        let (dim, superchains, open) = (self.pipelines.dim(), self.setup.superchain_count(), self.at.open_draws);
        if open == 0 {
            return Ok(Summary::of(&self.at.moments, dim, superchains));
        }
        let (watched, timeout) = (self.rows.watched(), self.setup.timeout);
        let at_once = (LOOK_BYTES / (2 * size_of::<f64>() * self.at.moments.chains())).clamp(1, watched);
        let (mut sums, mut found) = (self.at.moments.part(0..0), Vec::with_capacity(watched));
        for first in (0..watched).step_by(at_once) {
            let rows = first..(first + at_once).min(watched);
            let mut part = self.at.moments.part(rows.clone());
            for chunk in &self.chunks[self.settled..] {
                let [values, of_sums] = chunk.some_moments(&self.gpu, &self.rows, rows.clone(), self.current, timeout)?;
                part.merge_rows(chunk.first, chunk.chains, open, &values);
                if first == 0 {
                    sums.add_sums(&self.rows, chunk.chains, &of_sums);
                }
            }
            part.count(open);
            found.extend(lines(&part, superchains));
        }
        sums.count(open);
        Ok(Summary::new(&sums, dim, &found))
    }
}
