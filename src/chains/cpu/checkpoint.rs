//! The state of chains on the CPU, in and out of a checkpoint.
//!
//! Of a collection, of every chain: `moments_mean` and `moments_m2` \[watched, chains\], `moments_jumps` \[chains\], of ladders
//! `moments_exchanged` \[3, chains\] (swaps proposed and made, round trips), and, of kernels
//! with a Hamiltonian, `moments_last_hamiltonian` and `moments_changes` \[chains\]; all f64. The Hamiltonian of a state is not kept:
//! each transition begins by setting it.

use std::path::Path;

use super::{Chains, CpuChains, End, Gathered, Rows, Weight, bytes_a_chain};
use crate::{
    Result, adapt,
    chains::Setup,
    kernel::State,
    store::checkpoint::{Checkpoint, Counters, Draft, write},
};

impl CpuChains {
    /// As [`Setup::resume`].
    ///
    /// # Errors
    /// As [`Setup::resume`].
    pub fn resume(setup: Setup, path: &Path) -> Result<Self> {
        setup.check_settings()?;
        setup.check_memory(bytes_a_chain(&setup), true)?;
        let mut file = Checkpoint::open(path, &setup, "cpu")?;
        let mut chains = Self::without_states(setup)?;
        chains.starts_at_one_point = file.counters.starts_at_one_point;
        chains.ledger = file.ledger()?;
        chains.clock = file.clock(false, &chains.ledger);
        if let Some(frozen) = file.frozen.take() {
            chains.warmed_up = frozen.resume(&mut chains);
        }
        chains.take_states(&file)?;
        if file.counters.draws > 0 {
            chains.take_moments(&file)?;
        }
        adapt::go_on(&mut chains, &mut file)?;
        Ok(chains)
    }

    fn take_states(&mut self, file: &Checkpoint) -> Result<()> {
        let (dim, n, kernel) = (self.dim(), self.setup.chains, self.kernel.clone());
        self.states = vec![State::zeros(dim); n];
        let mut fill = |values: Vec<f64>, of: fn(&mut State) -> &mut [f64]| {
            for (row, values) in values.chunks_exact(n).enumerate() {
                self.states.iter_mut().zip(values).for_each(|(state, &value)| of(state)[row] = value);
            }
        };
        fill(file.take("positions", &[dim, n])?, |state| &mut state.x);
        fill(file.take("energies", &[n])?, |state| std::slice::from_mut(&mut state.energy));
        if kernel.uses_grad() {
            fill(file.take("gradients", &[dim, n])?, |state| &mut state.grad);
        }
        if kernel.carries_momentum() {
            fill(file.take("momenta", &[dim, n])?, |state| &mut state.momentum);
        }
        if kernel.ladder().is_some() {
            let end = |code| match code {
                1 => End::Coldest,
                2 => End::Hottest,
                _ => End::None,
            };
            self.ends = file.take::<u8>("ladder_ends", &[n])?.into_iter().map(end).collect();
        }
        if kernel.bridge().is_some() {
            let weights: Vec<f64> = file.take("bridge", &[2, n])?;
            let weight = |chain| Weight { beta: weights[chain], log_weight: weights[n + chain] };
            self.weights = (0..n).map(weight).collect();
        }
        if kernel.is_unadjusted() {
            self.stopped = file.take::<u8>("stopped", &[n])?.into_iter().map(|stopped| stopped != 0).collect();
        }
        Ok(())
    }

    fn take_moments(&mut self, file: &Checkpoint) -> Result<()> {
        let n = self.setup.chains;
        let watched = Rows::new(self.dim(), &*self.kernel).watched();
        self.gathered = vec![Gathered { draws: file.counters.draws, ..Gathered::new(watched) }; n];
        let mut fill = |values: Vec<f64>, of: fn(&mut Gathered) -> &mut [f64]| {
            for (row, values) in values.chunks_exact(n).enumerate() {
                self.gathered.iter_mut().zip(values).for_each(|(gathered, &value)| of(gathered)[row] = value);
            }
        };
        fill(file.take("moments_mean", &[watched, n])?, |gathered| &mut gathered.mean);
        fill(file.take("moments_m2", &[watched, n])?, |gathered| &mut gathered.m2);
        fill(file.take("moments_jumps", &[n])?, |gathered| std::slice::from_mut(&mut gathered.jumps));
        if self.kernel.ladder().is_some() {
            fill(file.take("moments_exchanged", &[3, n])?, |gathered| &mut gathered.exchanged);
        }
        if self.kernel.has_hamiltonian() {
            let last = file.take("moments_last_hamiltonian", &[n])?;
            fill(last, |gathered| std::slice::from_mut(&mut gathered.last_hamiltonian));
            fill(file.take("moments_changes", &[n])?, |gathered| std::slice::from_mut(&mut gathered.changes));
        }
        Ok(())
    }

    /// Writes the state between slices.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let (dim, n) = (self.dim(), self.setup.chains);
        let rows = |count: usize, of: fn(&State, usize) -> f64| {
            (0..count).flat_map(|i| self.states.iter().map(move |state| of(state, i))).collect::<Vec<_>>()
        };
        let mut draft = Draft::default();
        draft.put("positions", &[dim, n], rows(dim, |state, i| state.x[i]));
        draft.put("energies", &[n], rows(1, |state, _| state.energy));
        if self.kernel.uses_grad() {
            draft.put("gradients", &[dim, n], rows(dim, |state, i| state.grad[i]));
        }
        if self.kernel.carries_momentum() {
            draft.put("momenta", &[dim, n], rows(dim, |state, i| state.momentum[i]));
        }
        if self.kernel.is_unadjusted() {
            draft.put("stopped", &[n], self.stopped.iter().map(|&stopped| u8::from(stopped)).collect::<Vec<_>>());
        }
        if self.kernel.ladder().is_some() {
            draft.put("ladder_ends", &[n], self.ends.iter().map(|&end| end as u8).collect::<Vec<_>>());
        }
        if self.kernel.bridge().is_some() {
            let betas = self.weights.iter().map(|weight| weight.beta);
            let weights = betas.chain(self.weights.iter().map(|weight| weight.log_weight));
            draft.put("bridge", &[2, n], weights.collect::<Vec<_>>());
        }
        let draws = self.gathered.first().map_or(0, |gathered| gathered.draws);
        if draws > 0 {
            self.put_moments(&mut draft);
        }
        let counters = Counters { starts_at_one_point: self.starts_at_one_point, draws, ..Counters::new(&self.clock) };
        write(path, &self.setup, "cpu", counters, (&self.adapted, self.warmed_up), &self.ledger, draft)
    }

    fn put_moments(&self, draft: &mut Draft<'_>) {
        let n = self.setup.chains;
        let watched = Rows::new(self.dim(), &*self.kernel).watched();
        let rows = |count: usize, of: fn(&Gathered, usize) -> f64| {
            (0..count).flat_map(|i| self.gathered.iter().map(move |gathered| of(gathered, i))).collect::<Vec<_>>()
        };
        draft.put("moments_mean", &[watched, n], rows(watched, |gathered, i| gathered.mean[i]));
        draft.put("moments_m2", &[watched, n], rows(watched, |gathered, i| gathered.m2[i]));
        draft.put("moments_jumps", &[n], rows(1, |gathered, _| gathered.jumps));
        if self.kernel.ladder().is_some() {
            draft.put("moments_exchanged", &[3, n], rows(3, |gathered, i| gathered.exchanged[i]));
        }
        if self.kernel.has_hamiltonian() {
            draft.put("moments_last_hamiltonian", &[n], rows(1, |gathered, _| gathered.last_hamiltonian));
            draft.put("moments_changes", &[n], rows(1, |gathered, _| gathered.changes));
        }
    }
}
