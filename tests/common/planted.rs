//! Kernels with a planted fault, which the tests must find.

use std::sync::Arc;

use ergodic::{
    Result, Schedule,
    adapt::{Adaptive, Settings},
    energy::Energy,
    kernel::{Info, Kernel, Ladder, State, Step},
};

/// A change of what the twin reads, or of the whole transition.
type Twin = fn(&dyn Kernel, &Step<'_>, &mut State, &mut State) -> Info;

/// A change of what a warm-up found.
type Twist = fn(Settings) -> Settings;

/// A kernel with a fault in its WGSL text, its twin, or both.
#[derive(Debug)]
pub struct Planted {
    real: Arc<dyn Kernel>,
    source: &'static str,
    stage: &'static str,
    twin: Twin,
    settings: Twist,
}

impl Planted {
    /// The real kernel with one piece of its WGSL text replaced.
    pub fn wgsl(real: Arc<dyn Kernel>, piece: &str, fault: &str) -> Arc<dyn Kernel> {
        let source = replaced(real.source(), piece, fault);
        let twin: Twin = |real, step, state, scratch| real.transition(step, state, scratch);
        Arc::new(Self { source, stage: real.stage(), real, twin, settings: |s| s })
    }

    /// The real kernel with another twin.
    pub fn twin(real: Arc<dyn Kernel>, twin: Twin) -> Arc<dyn Kernel> {
        Arc::new(Self { source: real.source(), stage: real.stage(), real, twin, settings: |s| s })
    }

    /// The real kernel, but a warm-up's settings are changed on their way to it.
    pub fn settings(real: Arc<dyn Kernel>, settings: Twist) -> Arc<dyn Kernel> {
        let twin: Twin = |real, step, state, scratch| real.transition(step, state, scratch);
        Arc::new(Self { source: real.source(), stage: real.stage(), real, twin, settings })
    }

    /// The real kernel with one piece of the WGSL text of its stage replaced.
    pub fn stage(real: Arc<dyn Kernel>, piece: &str, fault: &str) -> Arc<dyn Kernel> {
        let twin: Twin = |real, step, state, scratch| real.transition(step, state, scratch);
        Arc::new(Self { source: real.source(), stage: replaced(real.stage(), piece, fault), real, twin, settings: |s| s })
    }
}

/// A text with one piece of it replaced; leaked, since the trait wants one that lives as long as the program.
pub fn replaced(text: &'static str, piece: &str, fault: &str) -> &'static str {
    assert!(text.contains(piece), "there is no `{piece}` any more; plant its fault another way");
    Box::leak(text.replace(piece, fault).into_boxed_str())
}

impl Kernel for Planted {
    fn name(&self) -> &'static str {
        self.real.name()
    }
    fn source(&self) -> &'static str {
        self.source
    }
    fn validate(&self, target: &dyn Energy) -> Result<()> {
        self.real.validate(target)
    }
    fn slots(&self, dim: usize) -> u32 {
        self.real.slots(dim)
    }
    fn step_size(&self) -> &Schedule {
        self.real.step_size()
    }
    fn uses_grad(&self) -> bool {
        self.real.uses_grad()
    }
    fn carries_momentum(&self) -> bool {
        self.real.carries_momentum()
    }
    fn is_unadjusted(&self) -> bool {
        self.real.is_unadjusted()
    }
    fn temperature(&self) -> Option<&Schedule> {
        self.real.temperature()
    }
    fn noise_level(&self) -> Option<&Schedule> {
        self.real.noise_level()
    }
    fn substeps(&self) -> (u32, u32) {
        self.real.substeps()
    }
    fn spread(&self, dim: usize) -> Option<Vec<usize>> {
        self.real.spread(dim)
    }
    fn variant(&self) -> u32 {
        self.real.variant()
    }
    fn params(&self, dim: usize) -> Vec<f32> {
        self.real.params(dim)
    }
    fn adaptive(&self) -> Option<Adaptive> {
        self.real.adaptive()
    }
    fn with_settings(&self, settings: &Settings) -> Option<Arc<dyn Kernel>> {
        let real = self.real.with_settings(&(self.settings)(settings.clone()))?;
        Some(Arc::new(Self { real, source: self.source, stage: self.stage, twin: self.twin, settings: self.settings }))
    }
    fn step_scale(&self, temperature: f64) -> f64 {
        self.real.step_scale(temperature)
    }
    fn ladder(&self) -> Option<&Ladder> {
        self.real.ladder()
    }
    fn stage(&self) -> &'static str {
        self.stage
    }
    fn transition(&self, step: &Step<'_>, state: &mut State, scratch: &mut State) -> Info {
        (self.twin)(&*self.real, step, state, scratch)
    }
}
