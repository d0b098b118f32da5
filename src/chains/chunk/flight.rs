//! A submitted dispatch, and what comes back from it.

use std::time::Duration;

use super::Run;
use crate::{Gpu, Result};

/// A submitted dispatch.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) run: Run,
    pub(super) berth: usize,
    pub(super) submission: wgpu::SubmissionIndex,
    pub(super) bytes: u64,
    /// A copy of the staging buffer's handle: unmapped when the flight is dropped, landed or not.
    pub(super) staging: wgpu::Buffer,
    /// Where in it the timestamps are, in words.
    pub(super) stamps_at: usize,
    /// The same of the outcome, where the host reads it where it stands.
    pub(super) outcome: Option<wgpu::Buffer>,
    /// The same of its draws, and their bytes.
    pub(super) draws: Option<(wgpu::Buffer, u64)>,
    /// The same of a copy of the state.
    pub(super) spare: Option<(wgpu::Buffer, u64)>,
}

/// Bytes of the draws of a dispatch, and of the largest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DrawBytes {
    pub(crate) used: u64,
    pub(crate) room: u64,
}

impl Flight {
    /// The state after a dispatch that has landed: positions, `[dim][chain]`, and the first rows of the carry; None where no copy was
    /// asked for.
    pub(crate) fn spare(&self, gpu: &Gpu) -> Result<Option<wgpu::BufferView>> {
        self.spare.as_ref().map(|(staging, bytes)| gpu.view(staging, *bytes)).transpose()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.staging.unmap();
        if let Some(outcome) = &self.outcome {
            outcome.unmap();
        }
        for (staging, _) in [&self.draws, &self.spare].into_iter().flatten() {
            staging.unmap();
        }
    }
}

/// What came back from a dispatch, where the device wrote it: the flight must outlive it.
#[derive(Debug)]
pub(crate) struct Landing {
    /// A copy of the first rows of the outcome, if no view of it is below; timestamps; then what is watched.
    pub(super) view: wgpu::BufferView,
    pub(super) watched_at: usize,
    pub(super) outcome: Option<wgpu::BufferView>,
    pub(super) draws: Option<wgpu::BufferView>,
    pub(super) chains: usize,
    pub(super) stamps: Option<[u64; 2]>,
}

/// See [`Landing::watched`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watched<'a> {
    pub(crate) failures: &'a [u32],
    pub(crate) failure_steps: &'a [u32],
    pub(crate) growths: &'a [f32],
    pub(crate) energies: &'a [f32],
    pub(crate) positions: &'a [f32],
}

impl Landing {
    fn words(&self) -> &[u32] {
        bytemuck::cast_slice(self.outcome.as_ref().unwrap_or(&self.view))
    }

    /// Whether every chain took all its steps and came to the end of its canary.
    pub(crate) fn is_whole(&self, run: &Run) -> bool {
        run.is_proved(&self.words()[..self.chains])
    }

    /// Accepted steps a chain in the low 16 bits; the highest bit is set where a step failed.
    pub(crate) fn accepted(&self) -> &[u32] {
        &self.words()[self.chains..2 * self.chains]
    }

    /// Sums of acceptance probabilities a chain in units of 2⁻¹⁶.
    pub(crate) fn acceptance(&self) -> &[u32] {
        &self.words()[2 * self.chains..3 * self.chains]
    }

    /// Failures | kind << 24, and the step of the first in the dispatch, one a chain; None where they have not come along.
    pub(crate) fn failures(&self) -> Option<[&[u32]; 2]> {
        let in_place = self.outcome.as_ref().map(|_| {
            let (counts, steps) = self.words()[3 * self.chains..5 * self.chains].split_at(self.chains);
            [counts, steps]
        });
        in_place.or_else(|| self.watched().map(|watched| [watched.failures, watched.failure_steps]))
    }

    /// Draws, `[tile][draw][dim + 1][stored chain of the tile]`; None where there are none.
    pub(crate) fn draws(&self) -> Option<&[f32]> {
        self.draws.as_ref().map(|view| bytemuck::cast_slice(view))
    }

    /// What came back of a dispatch that was watched: failures | kind << 24, steps of the first failure, growths, and energies, one a chain;
    /// positions, `[dim][chain]`.
    pub(crate) fn watched(&self) -> Option<Watched<'_>> {
        let words: &[u32] = bytemuck::cast_slice(&self.view);
        let words = words.get(self.watched_at..).filter(|words| !words.is_empty())?;
        let (failures, words) = words.split_at(self.chains);
        let (failure_steps, words) = words.split_at(self.chains);
        let (growths, words) = words.split_at(self.chains);
        let (energies, positions) = words.split_at(self.chains);
        Some(Watched {
            failures,
            failure_steps,
            growths: bytemuck::cast_slice(growths),
            energies: bytemuck::cast_slice(energies),
            positions: bytemuck::cast_slice(positions),
        })
    }

    pub(crate) fn device_time(&self, gpu: &Gpu) -> Option<Duration> {
        let [begin, end] = self.stamps?;
        let nanoseconds = end.saturating_sub(begin) as f64 * f64::from(gpu.queue().get_timestamp_period());
        Some(Duration::from_nanos(nanoseconds as u64))
    }
}
