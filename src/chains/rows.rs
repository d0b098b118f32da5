//! The rows of the carry buffer, `[row][chain]`: energy, gradient, momentum, whether the chain stopped, what its stage keeps, moments.
//! The shader knows them by constants of its header.

use crate::kernel::Kernel;

/// Where what stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rows {
    dim: usize,
    carries_momentum: bool,
    is_unadjusted: bool,
    has_hamiltonian: bool,
    is_ladder: bool,
    is_bridge: bool,
}

impl Rows {
    pub(crate) fn new(dim: usize, kernel: &dyn Kernel) -> Self {
        Self {
            dim,
            carries_momentum: kernel.carries_momentum(),
            is_unadjusted: kernel.is_unadjusted(),
            has_hamiltonian: kernel.has_hamiltonian(),
            is_ladder: kernel.ladder().is_some(),
            is_bridge: kernel.bridge().is_some(),
        }
    }

    /// The first row of the momentum.
    pub(crate) fn momentum(&self) -> usize {
        1 + self.dim
    }

    /// The row that says whether an unadjusted chain stopped.
    pub(crate) fn stopped(&self) -> usize {
        1 + self.dim * (1 + usize::from(self.carries_momentum))
    }

    /// The first row of what the stage keeps: which end of its ladder a state visited last; or β and the two parts of a log weight.
    pub(crate) fn stage(&self) -> usize {
        self.stopped() + usize::from(self.is_unadjusted)
    }

    /// The first row of the moments; what stands before is the state.
    pub(crate) fn moments(&self) -> usize {
        self.stage() + usize::from(self.is_ladder) + if self.is_bridge { 3 } else { 0 }
    }

    /// Watched values: the coordinates, the energy, and the Hamiltonian where the kernel has one.
    pub(crate) fn watched(&self) -> usize {
        self.dim + 1 + usize::from(self.has_hamiltonian)
    }

    /// The row of the Hamiltonian's squared changes among those of the moments.
    pub(crate) fn changes(&self) -> Option<usize> {
        self.has_hamiltonian.then_some(3 * self.watched() + 2)
    }

    /// The row of the swaps proposed among those of the moments; those made and the round trips follow.
    pub(crate) fn swaps(&self) -> Option<usize> {
        self.is_ladder.then_some(3 * self.watched() + if self.has_hamiltonian { 3 } else { 1 })
    }

    /// Rows of moments: shift, mean, m2; squared jumps; for the Hamiltonian, its last value and its squared changes; for a ladder,
    /// swaps proposed, swaps made, round trips.
    pub(crate) fn of_moments(&self) -> usize {
        3 * self.watched() + 1 + if self.has_hamiltonian { 2 } else { 0 } + if self.is_ladder { 3 } else { 0 }
    }

    /// All rows.
    pub(crate) fn all(&self) -> usize {
        self.moments() + self.of_moments()
    }
}
