//! The uniform of a dispatch, and the proof that it ran to its end.

use bytemuck::{Pod, Zeroable};

use crate::{dispatch::canary, kernel::Control};

/// The uniform of a dispatch (the first of two, see there); the same layout as `Run` in shaders/contract.wgsl.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Run {
    pub(crate) key: [u32; 2],
    pub(crate) first_chain: u32,
    pub(crate) chains: u32,
    pub(crate) first_step: u32,
    pub(crate) steps: u32,
    pub(crate) last_control: u32,
    pub(crate) blocks: u32,
    pub(crate) control: Control,
    pub(crate) canary_steps: u32,
    pub(crate) canary_salt: u32,
    pub(crate) first_draw: u32,
    pub(crate) thin: u32,
    pub(crate) until_draw: u32,
    pub(crate) stored_first: u32,
    pub(crate) stored_chains: u32,
    pub(crate) stored_draws: u32,
}

impl Run {
    /// Whether every chain, a word each, came to the end of its canary.
    pub(super) fn is_proved(&self, words: &[u32]) -> bool {
        let (scale, offset) = canary(self.canary_steps);
        let end = |chain: u32| (chain ^ self.canary_salt).wrapping_mul(scale).wrapping_add(offset);
        words.iter().zip(0u32..).all(|(&word, i)| word == end(self.first_chain.wrapping_add(i)))
    }
}
