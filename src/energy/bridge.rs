//! A bridge between two energies, on which annealed importance sampling goes from the one to the other.

use std::sync::Arc;

use super::{
    Call, Energy, Params,
    compose::{add_generated, common_dim},
};
use crate::{Result, program::Composer};

/// E_β(x) = (1 − β) E₀(x) + β E₁(x), the geometric path exp(−E₀)^(1−β) exp(−E₁)^β; β is given a step at a time, beside the parameters.
///
/// Parameters: those of E₀, then those of E₁.
#[derive(Debug, Clone)]
pub(crate) struct Bridge {
    from: Arc<dyn Energy>,
    to: Arc<dyn Energy>,
    /// Where the parameters of E₁ begin.
    at: usize,
}

impl Bridge {
    pub(crate) fn new(from: Arc<dyn Energy>, to: Arc<dyn Energy>) -> Result<Self> {
        common_dim("bridge", &[from.clone(), to.clone()])?;
        Ok(Self { at: from.params().len(), from, to })
    }
}

/// E_β from E₀ and E₁. A part of weight zero has no say, even where it is infinite.
fn between(params: Params<'_>, from: f64, to: f64) -> f64 {
    match params.bridge() {
        0.0 => from,
        1.0 => to,
        beta => (1.0 - beta) * from + beta * to,
    }
}

impl Energy for Bridge {
    fn name(&self) -> String {
        format!("bridge from {} to {}", self.from.name(), self.to.name())
    }

    fn dim(&self) -> usize {
        self.to.dim()
    }

    fn params(&self) -> Vec<f32> {
        [self.from.params(), self.to.params()].concat()
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        program.add("bridge", include_str!("../../shaders/energy/bridge.wgsl"))?;
        let (from, to) = (self.from.compose(program)?, self.to.compose(program)?);
        let at = format!("at + {}u", self.at);
        add_generated(
            program,
            "bridge",
            &format!("    let e0 = {};\n    return bridge_between(e0, {});\n", from.energy("at", "x"), to.energy(&at, "x")),
            &format!(
                "    var part: Point;\n    let e0 = {};\n    let e1 = {};\n    \
                 for (var b = 0u; b < blocks(); b++) {{ (*grad)[b] = bridge_between_grads(part[b], (*grad)[b]); }}\n    \
                 return bridge_between(e0, e1);\n",
                from.energy_and_grad("at", "x", "&part"),
                to.energy_and_grad(&at, "x", "grad"),
            ),
        )
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        between(params, self.from.energy(params, x), self.to.energy(params.from(self.at), x))
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let mut part = vec![0.0; x.len()];
        let from = self.from.energy_and_grad(params, x, &mut part);
        let to = self.to.energy_and_grad(params.from(self.at), x, grad);
        grad.iter_mut().zip(part).for_each(|(g, p)| *g = between(params, p, *g));
        between(params, from, to)
    }

    fn needs_noise(&self) -> bool {
        self.from.needs_noise() || self.to.needs_noise()
    }

    fn has_twin(&self) -> bool {
        self.from.has_twin() && self.to.has_twin()
    }

    /// Whatever the gradient, a Metropolis transition is exact.
    fn check_gradient(&self) -> bool {
        false
    }
}
