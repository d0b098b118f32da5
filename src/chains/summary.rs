//! What moments come to over all chains.

use super::{
    Coordinate,
    moments::{Exchanges, Moments},
};

/// A watched value over all chains.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    coordinate: Coordinate,
    /// The variance within a chain, its mean over the chains.
    within: f64,
}

/// What the moments of a collection come to.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    /// Chains that have moments.
    pub(crate) chains: usize,
    pub(crate) draws: u64,
    pub(crate) coordinates: Vec<Coordinate>,
    pub(crate) energy: Coordinate,
    /// Mean squared distance of successive draws, |x′ − x|².
    pub(crate) squared_jump: f64,
    /// The energy's Bayesian fraction of missing information (Betancourt 2016): the mean squared change of the Hamiltonian from
    /// draw to draw over its variance within the chains. None where the kernel has none, or where it never changed.
    pub(crate) e_bfmi: Option<f64>,
    pub(crate) exchanges: Exchanges,
}

impl Summary {
    /// Of all rows: so many coordinates, the energy, and the Hamiltonian where there is one.
    pub(crate) fn of(moments: &Moments, dim: usize, superchains: usize) -> Self {
        Self::new(moments, dim, &lines(moments, superchains))
    }

    /// Of the same rows, and of the sums.
    pub(crate) fn new(sums: &Moments, dim: usize, lines: &[Line]) -> Self {
        let (chains, draws) = (sums.chains() as f64, sums.draws as f64);
        let change = sums.changes / (sums.changes_a_chain as f64 * chains);
        let is_defined = |line: &&Line| sums.changes_a_chain > 0 && line.within > 0.0;
        Self {
            chains: sums.chains(),
            draws: sums.draws,
            coordinates: lines[..dim].iter().map(|line| line.coordinate).collect(),
            energy: lines[dim].coordinate,
            squared_jump: sums.jumps / (draws * chains),
            e_bfmi: lines.get(dim + 1).filter(is_defined).map(|line| change / line.within),
            exchanges: sums.exchanges.clone(),
        }
    }
}

/// The rows of some moments, with chains in `superchains` groups of equal size.
pub(crate) fn lines(moments: &Moments, superchains: usize) -> Vec<Line> {
    let values = moments.draws as f64 * moments.chains() as f64;
    let line = |row| Line {
        coordinate: Coordinate::new(moments, row, superchains),
        within: moments.row(row).1.iter().sum::<f64>() / values,
    };
    (0..moments.rows()).map(line).collect()
}
