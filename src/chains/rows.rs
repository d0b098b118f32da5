//! The rows of the carry buffer, `[row][chain]`: energy, gradient, momentum, whether the chain stopped, moments. The shader knows
//! them by constants of its header.

use crate::kernel::Kernel;

/// Where what stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rows {
    dim: usize,
    carries_momentum: bool,
    is_unadjusted: bool,
    has_hamiltonian: bool,
}

impl Rows {
    pub(crate) fn new(dim: usize, kernel: &dyn Kernel) -> Self {
        Self {
            dim,
            carries_momentum: kernel.carries_momentum(),
            is_unadjusted: kernel.is_unadjusted(),
            has_hamiltonian: kernel.has_hamiltonian(),
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

    /// The first row of the moments; what stands before is the state.
    pub(crate) fn moments(&self) -> usize {
        self.stopped() + usize::from(self.is_unadjusted)
    }

    /// Watched values: the coordinates, the energy, and the Hamiltonian where the kernel has one.
    pub(crate) fn watched(&self) -> usize {
        self.dim + 1 + usize::from(self.has_hamiltonian)
    }

    /// Rows of moments: shift, mean, m2; squared jumps; for the Hamiltonian, its last value and its squared changes.
    pub(crate) fn of_moments(&self) -> usize {
        3 * self.watched() + 1 + if self.has_hamiltonian { 2 } else { 0 }
    }

    /// All rows.
    pub(crate) fn all(&self) -> usize {
        self.moments() + self.of_moments()
    }
}
