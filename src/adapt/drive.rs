//! Runs a warm-up on chains, of the GPU or of the CPU.

use std::sync::Arc;

use super::{
    Adaptation, Settings,
    warm_up::{WarmUp, Warmup},
};
use crate::{
    Chains, Error, Result,
    chains::{Call, Collecting, FailureRow},
    kernel::Kernel,
    store::checkpoint::Checkpoint,
};

/// What a warm-up needs of chains, on the GPU and on the CPU alike.
pub(crate) trait Adapting: Chains + Collecting {
    /// Replaces the kernel by one that differs in its settings alone.
    fn set_kernel(&mut self, kernel: Arc<dyn Kernel>);

    /// Runs one step, which the plan learns from.
    fn trial(&mut self, plan: &mut WarmUp) -> Result<()>;

    /// The coordinates that the kernel moves in, `[dim][chain]`: the positions, but of a constrained energy.
    fn free_coordinates(&self) -> Result<Vec<f32>>;

    /// Gives chains the states of others, as (chain, other).
    fn relocate(&mut self, moves: &[(usize, usize)]) -> Result<()>;

    /// Where a warm-up stands.
    fn adapted(&mut self) -> &mut Adapted;

    /// The warm-up is over: what it did is no longer counted. Returns its failures.
    fn count_anew(&mut self) -> Vec<FailureRow>;

    /// Saves the run where that is due.
    fn save_if_due(&mut self) -> Result<()>;
}

/// Where the warm-up of some chains stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Adapted {
    /// The warm-up in progress.
    pub(crate) plan: Option<WarmUp>,
    /// What the last one found.
    pub(crate) found: Option<Adaptation>,
    /// The settings that it froze.
    settings: Option<Settings>,
}

impl Adapted {
    /// What the last warm-up froze and found.
    pub(crate) fn frozen(&self) -> Option<(Settings, Adaptation)> {
        self.settings.clone().zip(self.found.clone())
    }
}

/// Takes up what a warm-up found before.
pub(crate) fn resume(chains: &mut impl Adapting, settings: Settings, found: Adaptation) {
    if let Some(kernel) = chains.setup().kernel.with_settings(&settings) {
        chains.set_kernel(kernel);
    }
    *chains.adapted() = Adapted { plan: None, found: Some(found), settings: Some(settings) };
}

/// Takes up a warm-up in the midst of which a checkpoint was made; the chains stand where it has them.
pub(crate) fn go_on(chains: &mut impl Adapting, file: &mut Checkpoint) -> Result<()> {
    if let Some(plan) = file.warming_up.take() {
        let plan = plan.resume(&*chains.setup().kernel, chains.free_coordinates()?, file)?;
        chains.adapted().plan = Some(plan);
    }
    Ok(())
}

/// Runs a warm-up where one is in progress, or where the kernel wants one and there has been none.
pub(crate) fn ensure(chains: &mut impl Adapting, call: &Call) -> Result<()> {
    let is_wanted = chains.setup().kernel.adaptive().is_some() && chains.adapted().found.is_none();
    if is_wanted || chains.adapted().plan.is_some() { warm_up(chains, Warmup::default(), call) } else { Ok(()) }
}

/// Runs a warm-up to its end and freezes what it found. After an error of the device, a cancellation, or when the call's time is up,
/// another call goes on from there.
pub(crate) fn warm_up(chains: &mut impl Adapting, limits: Warmup, call: &Call) -> Result<()> {
    let base = chains.setup().kernel.clone();
    let Some(adaptive) = base.adaptive() else {
        return Err(Error::Unsupported(format!("all settings of {} were given, so there is nothing to adapt", base.name())));
    };
    if chains.adapted().plan.is_none() {
        let temperature = chains.setup().temperature.at(chains.steps());
        let plan = WarmUp::new(&*base, adaptive, limits, chains.free_coordinates()?, &chains.energies()?, temperature);
        chains.adapted().plan = Some(plan);
    }
    let mut call = call.of_warm_up();
    while let Some(mut plan) = chains.adapted().plan.take() {
        if plan.is_done() {
            chains.set_kernel(with(&base, plan.settings()));
            let failures = chains.count_anew();
            chains.adapted().settings = Some(plan.settings().clone());
            chains.adapted().found = Some(Adaptation { failures, ..plan.record() });
            break;
        }
        let is_over = call.is_over();
        let stepped = if is_over { Ok(()) } else { step(chains, &base, &mut plan) };
        (call.done, call.total) = plan.progress();
        // One that finds nothing is of no further use.
        if !matches!(stepped, Err(Error::Adaptation { .. })) {
            chains.adapted().plan = Some(plan);
        }
        stepped?;
        if is_over {
            break;
        }
        chains.save_if_due()?;
        call.progress(chains.setup(), 0, chains.steps())?;
    }
    Ok(())
}

fn with(base: &Arc<dyn Kernel>, settings: &Settings) -> Arc<dyn Kernel> {
    base.with_settings(settings).unwrap_or_else(|| base.clone())
}

/// One step of the chains, or a shorter trajectory where the driver does not finish it.
fn step(chains: &mut impl Adapting, base: &Arc<dyn Kernel>, plan: &mut WarmUp) -> Result<()> {
    // Here and not after the step that planned them: what is kept of a warm-up between steps may have moves to make yet.
    if !plan.moves().is_empty() {
        chains.relocate(plan.moves())?;
        plan.moved();
    }
    let settings = plan.next();
    chains.set_kernel(with(base, &settings));
    match chains.trial(plan) {
        Err(Error::CutShort { .. }) if plan.shorten(settings.leapfrog_steps.0) => Ok(()),
        done => done,
    }
}
