//! Chains that stay far above the others are set to where others stand, counted.

use super::{Trial, WarmUp, gather::Levels};

/// How often.
pub(super) const MOST_RELOCATIONS: u32 = 3;

impl WarmUp {
    /// Plans to set each stray to where a chain of the lower half of the energies stands, evenly chosen. Says whether there are any.
    /// The warm-up is not counted, so no law is touched; the copies part ways, since each chain draws numbers of its own.
    pub(super) fn relocate(&mut self, trial: &Trial) -> bool {
        let strays = Levels::new(&trial.energies, self.temperature).strays;
        if strays.is_empty() || self.keeps_strays || self.relocations == MOST_RELOCATIONS {
            return false;
        }
        let mut donors: Vec<_> = (0..self.chains).collect();
        donors.sort_by(|&a, &b| trial.energies[a].total_cmp(&trial.energies[b]));
        donors.truncate(self.chains / 2);
        donors.sort_unstable();
        self.relocations += 1;
        self.relocated += strays.len() as u64;
        let count = strays.len();
        self.moves = strays.into_iter().enumerate().map(|(i, stray)| (stray, donors[i * donors.len() / count])).collect();
        true
    }

    /// What is to be relocated before the next step, as (chain, donor).
    pub(crate) fn moves(&self) -> &[(usize, usize)] {
        &self.moves
    }

    /// They are.
    pub(crate) fn moved(&mut self) {
        self.moves.clear();
    }

    /// The chains' positions here follow.
    pub(super) fn follow_moves(&mut self) {
        for &(to, from) in &self.moves {
            self.positions.chunks_exact_mut(self.chains).for_each(|row| row[to] = row[from]);
            self.idle[to] = 0;
        }
    }
}
