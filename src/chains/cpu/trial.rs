//! What a warm-up needs of chains on the CPU.

use std::{sync::Arc, time::Instant};

use super::{CpuChains, gradients};
use crate::{
    Result,
    adapt::{Adapted, Adapting, Trial, WarmUp},
    chains::{Chains as _, FailureRow, report::failures, tally::Ledger},
    kernel::Kernel,
    random::Epochs,
};

impl Adapting for CpuChains {
    fn set_kernel(&mut self, kernel: Arc<dyn Kernel>) {
        self.kernel_params = kernel.params(self.target.dim());
        self.kernel = kernel.clone();
        self.setup.kernel = kernel;
    }

    fn trial(&mut self, plan: &mut WarmUp) -> Result<()> {
        let begun = Instant::now();
        let first = self.clock.steps;
        let epochs = Epochs::new(self.kernel.slots(self.target.dim()));
        let slices = self.slice(first, 1, &epochs, false, None);
        let acceptance = slices.iter().map(|slice| slice.acceptance).sum::<f64>();
        let accepted = slices.iter().map(|slice| slice.accepted > 0).collect();
        let failed = slices.iter().filter(|slice| slice.failures.is_some()).count() as u64;
        self.count(slices);
        self.clock.steps += 1;
        self.clock.slices += 1;
        self.clock.acceptance = self.ledger.acceptance;
        self.clock.gradients += gradients(&self.setup, first, 1);
        self.clock.wall += begun.elapsed();
        plan.learn(Trial {
            positions: self.free_coordinates()?,
            energies: self.energies()?,
            acceptance: acceptance / self.setup.chains as f64,
            accepted,
            failed,
            growth: self.states.iter().map(|state| state.growth as f32).collect(),
        })
    }

    fn free_coordinates(&self) -> Result<Vec<f32>> {
        let dim = self.target.dim();
        Ok((0..dim).flat_map(|i| self.states.iter().map(move |state| state.x[i] as f32)).collect())
    }

    fn relocate(&mut self, moves: &[(usize, usize)]) -> Result<()> {
        for &(to, from) in moves {
            self.states[to] = self.states[from].clone();
        }
        Ok(())
    }

    fn adapted(&mut self) -> &mut Adapted {
        &mut self.adapted
    }

    fn count_anew(&mut self) -> Vec<FailureRow> {
        let rows = failures(&self.ledger, u64::from(self.setup.first_chain));
        // Acceptances are counted on, since the clock has their sum.
        self.ledger = Ledger { acceptance: self.ledger.acceptance, ..Ledger::new(self.setup.chains) };
        self.warmed_up = self.clock;
        rows
    }

    fn save_if_due(&mut self) -> Result<()> {
        if let Some(path) = self.setup.save_due(self.saved) {
            self.save(path)?;
            self.saved = Instant::now();
        }
        Ok(())
    }
}
