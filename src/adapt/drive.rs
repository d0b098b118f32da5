//! Runs a warm-up on chains, of the GPU or of the CPU.

use std::sync::Arc;

use super::{
    Adaptation, Settings, Trial,
    warm_up::{WarmUp, Warmup},
};
use crate::{
    Chains, Error, Result,
    chains::{Call, Collecting, FailureRow, Phase},
    kernel::Kernel,
};

/// What a warm-up needs of chains, on the GPU and on the CPU alike.
pub(crate) trait Adapting: Chains + Collecting {
    /// Replaces the kernel by one that differs in its settings alone.
    fn set_kernel(&mut self, kernel: Arc<dyn Kernel>);

    /// Runs one step.
    fn trial(&mut self) -> Result<Trial>;

    /// The coordinates that the kernel moves in, `[dim][chain]`: the positions, but of a constrained energy.
    fn free_coordinates(&self) -> Result<Vec<f32>>;

    /// Gives chains the states of others, as (chain, other).
    fn relocate(&mut self, moves: &[(usize, usize)]) -> Result<()>;

    /// Where a warm-up stands.
    fn adapted(&mut self) -> &mut Adapted;

    /// The warm-up is over: what it did is no longer counted. Returns its failures.
    fn count_anew(&mut self) -> Vec<FailureRow>;
}

/// Where the warm-up of some chains stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Adapted {
    /// A warm-up that an error interrupted.
    plan: Option<WarmUp>,
    /// What the last one found.
    pub(crate) found: Option<Adaptation>,
    /// The settings that it froze.
    settings: Option<Settings>,
}

impl Adapted {
    /// What a checkpoint keeps.
    ///
    /// # Errors
    /// In the midst of a warm-up, whose plan it does not keep.
    pub(crate) fn frozen(&self) -> Result<Option<(Settings, Adaptation)>, String> {
        if self.plan.is_some() {
            return Err("cannot be written in the midst of a warm-up: call warm_up again to end it".into());
        }
        Ok(self.settings.clone().zip(self.found.clone()))
    }
}

/// Takes up what a warm-up found before.
pub(crate) fn resume(chains: &mut impl Adapting, settings: Settings, found: Adaptation) {
    if let Some(kernel) = chains.setup().kernel.with_settings(&settings) {
        chains.set_kernel(kernel);
    }
    *chains.adapted() = Adapted { plan: None, found: Some(found), settings: Some(settings) };
}

/// Runs a warm-up where the kernel wants one and there has been none.
pub(crate) fn ensure(chains: &mut impl Adapting) -> Result<()> {
    if chains.setup().kernel.adaptive().is_none() || chains.adapted().found.is_some() {
        return Ok(());
    }
    warm_up(chains, Warmup::default())
}

/// Runs a warm-up to its end and freezes what it found. After an error of the device or a cancellation another call goes on from
/// there.
pub(crate) fn warm_up(chains: &mut impl Adapting, limits: Warmup) -> Result<()> {
    let base = chains.setup().kernel.clone();
    let Some(adaptive) = base.adaptive() else {
        return Err(Error::Unsupported(format!("all settings of {} were given, so there is nothing to adapt", base.name())));
    };
    let mut plan = match chains.adapted().plan.take() {
        Some(plan) => plan,
        None => {
            let temperature = chains.setup().temperature.at(chains.steps());
            WarmUp::new(&*base, adaptive, limits, chains.free_coordinates()?, &chains.energies()?, temperature)
        }
    };
    if let Err(e) = run(chains, &base, &mut plan) {
        if !matches!(e, Error::Adaptation { .. }) {
            chains.adapted().plan = Some(plan);
        }
        return Err(e);
    }
    let failures = chains.count_anew();
    chains.adapted().settings = Some(plan.settings().clone());
    chains.adapted().found = Some(Adaptation { failures, ..plan.record() });
    Ok(())
}

fn run(chains: &mut impl Adapting, base: &Arc<dyn Kernel>, plan: &mut WarmUp) -> Result<()> {
    let with = |settings: &Settings| base.with_settings(settings).unwrap_or_else(|| base.clone());
    let mut call = Call::new(Phase::WarmUp, plan.progress().1, None);
    while !plan.is_done() {
        let settings = plan.next();
        chains.set_kernel(with(&settings));
        match chains.trial() {
            Ok(trial) => {
                plan.learn(trial)?;
                let moves = plan.take_moves();
                if !moves.is_empty() {
                    chains.relocate(&moves)?;
                }
            }
            Err(Error::CutShort { .. }) if plan.shorten(settings.leapfrog_steps.0) => continue,
            Err(e) => return Err(e),
        }
        (call.done, call.total) = plan.progress();
        call.progress(chains.setup(), 0, chains.steps())?;
    }
    chains.set_kernel(with(plan.settings()));
    Ok(())
}
