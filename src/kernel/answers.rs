//! What kernels of one family answer alike, as macros for their `impl Kernel`.

/// What a kernel around another one has of it; the Hamiltonian is not watched, since stages change the state beside it.
macro_rules! of_inner {
    () => {
        fn name(&self) -> &'static str {
            self.inner.name()
        }

        fn source(&self) -> &'static str {
            self.inner.source()
        }

        fn step_size(&self) -> &Schedule {
            self.inner.step_size()
        }

        fn uses_grad(&self) -> bool {
            self.inner.uses_grad()
        }

        fn temperature(&self) -> Option<&Schedule> {
            self.inner.temperature()
        }

        fn substeps(&self) -> (u32, u32) {
            self.inner.substeps()
        }

        fn variant(&self) -> u32 {
            self.inner.variant()
        }

        fn step_scale(&self, temperature: f64) -> f64 {
            self.inner.step_scale(temperature)
        }

        fn transition(&self, step: &Step<'_>, state: &mut State, scratch: &mut State) -> Info {
            self.inner.transition(step, state, scratch)
        }
    };
}

/// What every kernel of unadjusted Langevin answers; only the schedules differ.
macro_rules! of_langevin {
    () => {
        fn source(&self) -> &'static str {
            include_str!("../../shaders/kernel/ula.wgsl")
        }

        fn slots(&self, dim: usize) -> u32 {
            crate::random::normal_slots(dim)
        }

        fn step_size(&self) -> &Schedule {
            &self.step_size
        }

        fn uses_grad(&self) -> bool {
            true
        }

        fn is_unadjusted(&self) -> bool {
            true
        }

        fn spread(&self, _dim: usize) -> Option<Vec<usize>> {
            Some(Vec::new())
        }

        fn transition(&self, step: &Step<'_>, state: &mut State, scratch: &mut State) -> Info {
            super::ula::langevin(step, state, scratch)
        }
    };
}
