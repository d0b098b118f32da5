//! Acceptances and failures, counted a chain at a time.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::kernel::Failure;

/// Acceptances and failures of one chain since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Accepted proposals.
    pub accepted: u64,
    /// Failed transitions.
    pub failures: u64,
    /// The step (from 0) and kind of the first failure.
    pub first_failure: Option<(u64, Failure)>,
}

/// The first failure of a chain, and how many there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) count: u64,
    pub(crate) step: u64,
    pub(crate) kind: Failure,
}

/// Where a chain stood when a transition failed for the first time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailedAt {
    /// Global id of the chain.
    pub chain: u64,
    /// The step, from 0.
    pub step: u64,
    /// What went wrong.
    pub kind: Failure,
    /// Its position, which the failed transition started from and left unchanged.
    pub position: Vec<f64>,
}

/// How many chains' failures are shown with the position.
pub(crate) const SHOWN_FAILURES: usize = 8;

/// The tallies of all chains. Failures are rare: only chains that had one have an entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) accepted: Vec<u64>,
    /// Sum of acceptance probabilities.
    pub(crate) acceptance: f64,
    pub(crate) failed: BTreeMap<usize, Failed>,
    /// The first chains that failed, at most [`SHOWN_FAILURES`].
    pub(crate) failed_at: Vec<FailedAt>,
}

impl Ledger {
    pub(crate) fn new(chains: usize) -> Self {
        Self { accepted: vec![0; chains], ..Self::default() }
    }

    /// Adds failures of a chain, the first of them at `step`.
    pub(crate) fn fail(&mut self, chain: usize, count: u64, step: u64, kind: Failure) {
        self.failed.entry(chain).and_modify(|failed| failed.count += count).or_insert(Failed { count, step, kind });
    }

    pub(crate) fn tallies(&self) -> Vec<Tally> {
        let of = |(chain, &accepted): (usize, &u64)| {
            let failed = self.failed.get(&chain);
            Tally { accepted, failures: failed.map_or(0, |f| f.count), first_failure: failed.map(|f| (f.step, f.kind)) }
        };
        self.accepted.iter().enumerate().map(of).collect()
    }
}
