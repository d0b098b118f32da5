//! An energy to be trained times a factor to be trained.

use std::sync::Arc;

use super::{
    Block, Order, Passes, Trainable,
    by_parts::{ScaledPasses, composed_passes},
    check_params,
};
use crate::{
    Backend, Result,
    energy::{Call, Energy, Params, add_generated, add_generated_jets},
    error::positive,
    program::Composer,
};

/// exp(a) E(x): the density to the power exp(a), which is that at temperature exp(−a), at any parameters.
///
/// Parameters: a, then those of E. It has no noise levels: a power of a convolved density is not the convolved power.
///
/// ```
/// # use std::sync::Arc;
/// # use ergodic::{energy::{CholeskyGaussian, Energy}, train::TrainableScaled};
/// let part = CholeskyGaussian::isotropic([0.0, 0.0], 1.0)?;
/// assert_eq!(TrainableScaled::new(1.0, Arc::new(part))?.params(), [0.0; 1 + 5]);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TrainableScaled {
    log_factor: f32,
    part: Arc<dyn Trainable>,
}

impl TrainableScaled {
    /// With a factor exp(a) > 0 to begin with.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where the factor is not above zero.
    pub fn new(factor: f64, part: Arc<dyn Trainable>) -> Result<Self> {
        Ok(Self { log_factor: positive("factor of an energy", factor)?.ln() as f32, part })
    }

    /// The factor exp(a).
    pub fn factor(&self) -> f64 {
        f64::from(self.log_factor).exp()
    }
}

impl Energy for TrainableScaled {
    fn name(&self) -> String {
        format!("{:.3} × {}", self.factor(), self.part.name())
    }

    fn dim(&self) -> usize {
        self.part.dim()
    }

    fn params(&self) -> Vec<f32> {
        [vec![self.log_factor], self.part.params()].concat()
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        let call = self.part.compose(program)?;
        let (energy, energy_and_grad) = (call.energy("at + 1u", "x"), call.energy_and_grad("at + 1u", "x", "grad"));
        let factor = "    let factor = exp(param(at));\n";
        add_generated(
            program,
            "log_scaled",
            &format!("{factor}    return factor * {energy};\n"),
            &format!(
                "{factor}    let e = {energy_and_grad};\n    \
                 for (var b = 0u; b < blocks(); b++) {{ (*grad)[b] *= factor; }}\n    return factor * e;\n"
            ),
        )
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        params.get(0).exp() * self.part.energy(params.from(1), x)
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let (factor, energy) = (params.get(0).exp(), self.part.energy_and_grad(params.from(1), x, grad));
        grad.iter_mut().for_each(|g| *g *= factor);
        factor * energy
    }

    fn has_twin(&self) -> bool {
        self.part.has_twin()
    }

    fn spread(&self) -> Option<Vec<usize>> {
        Some(self.part.spread()?.into_iter().map(|at| at + 1).collect())
    }

    fn check_gradient(&self) -> bool {
        self.part.check_gradient()
    }
}

impl Trainable for TrainableScaled {
    fn blocks(&self) -> Vec<Block> {
        let of_part = self.part.blocks().into_iter().map(|block| Block { name: format!("part.{}", block.name), ..block });
        std::iter::once(Block::new("log_factor", [1], false)).chain(of_part).collect()
    }

    fn with_params(&self, params: &[f32]) -> Result<Arc<dyn Trainable>> {
        check_params("scaled energy", self.params().len(), params)?;
        Ok(Arc::new(Self { log_factor: params[0], part: self.part.with_params(&params[1..])? }))
    }

    fn compose_jets(&self, program: &mut Composer) -> Result<Option<Call>> {
        let Some(call) = self.part.compose_jets(program)? else { return Ok(None) };
        let scaled =
            format!("    let factor = exp(param(at));\n    let scaled = factor * {};\n", call.jet("at + 1u", "x", "v"));
        let reverse = format!(
            "{scaled}    add_param_grad(at, dot(adjoints, scaled));\n    {};\n",
            call.jet_param_grad("at + 1u", "x", "v", "factor * adjoints")
        );
        add_generated_jets(program, "log_scaled_jets", &format!("{scaled}    return scaled;\n"), &reverse).map(Some)
    }

    fn jet(&self, params: &[f64], x: &[f64], v: &[f64], order: Order) -> [f64; 3] {
        self.part.jet(&params[1..], x, v, order).map(|of_part| params[0].exp() * of_part)
    }

    fn jet_param_grad(&self, params: &[f64], x: &[f64], v: &[f64], adjoints: [f64; 3], grad: &mut [f64]) {
        let order = if v.is_empty() { Order::Value } else { Order::Curvature };
        let jet = self.jet(params, x, v, order);
        grad[0] += adjoints.iter().zip(jet).map(|(adjoint, of)| adjoint * of).sum::<f64>();
        let factor = params[0].exp();
        self.part.jet_param_grad(&params[1..], x, v, adjoints.map(|adjoint| factor * adjoint), &mut grad[1..]);
    }

    fn own_passes(&self, backend: &Backend) -> Result<Option<Box<dyn Passes>>> {
        composed_passes(self, std::slice::from_ref(&self.part), backend, ScaledPasses)
    }
}
