//! Convex mixtures of the densities of any energies: E(x) = −log Σᵢ wᵢ exp(−Eᵢ(x)).

use std::sync::Arc;

use super::{
    Call, Energy, Params,
    compose::{add_generated, common_dim, offsets, spread_parts, unconstrained},
};
use crate::{Error, Result, error::positive, program::Composer};

/// E(x) = −log Σᵢ wᵢ exp(−Eᵢ(x)): the weighted sum of the unnormalised densities exp(−Eᵢ).
///
/// The share of part i in the normalised density is ∝ wᵢ ∫ exp(−Eᵢ). The sum is taken in log space; the gradient is Σᵢ rᵢ ∇Eᵢ with
/// responsibilities rᵢ = wᵢ exp(E − Eᵢ). A part whose energy is +∞ at x has no density there; NaN and −∞ of any part are
/// passed on. Parameters: log wᵢ of all parts, then the parameters of the parts.
///
/// It has noise levels where all parts have: the convolution of a sum is the sum of the convolutions.
///
/// ```
/// # use ergodic::energy::{Banana, Compose, Energy, Gaussian};
/// let target = Banana::new().mixed_with(0.3, Gaussian::standard(2))?;
/// assert_eq!(target.params().len(), 2 + 2 + 4);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Convex {
    dim: usize,
    log_weights: Vec<f32>,
    parts: Vec<Arc<dyn Energy>>,
    offsets: Vec<usize>,
}

impl Convex {
    /// With weights wᵢ > 0 (any sum), one a part; parts of equal dimension.
    ///
    /// # Errors
    /// [`Error::Setting`] where there is no part or a weight is not above zero; [`Error::Shape`] where lengths or dimensions differ;
    /// [`Error::Unsupported`] where a part is constrained.
    pub fn new(weights: &[f64], parts: impl Into<Vec<Arc<dyn Energy>>>) -> Result<Self> {
        let log = |&weight: &f64| positive("weight of the convex mixture", weight).map(f64::ln);
        Self::with_log_weights(weights.iter().map(log).collect::<Result<_>>()?, parts.into())
    }

    pub(crate) fn with_log_weights(log_weights: Vec<f64>, parts: Vec<Arc<dyn Energy>>) -> Result<Self> {
        unconstrained("convex mixture", &parts)?;
        let dim = common_dim("convex mixture", &parts)?;
        if log_weights.len() != parts.len() {
            return Err(Error::shape("weights of the convex mixture", parts.len(), log_weights.len()));
        }
        let log_weights: Vec<_> = log_weights.iter().map(|&w| w as f32).collect();
        Ok(Self { dim, offsets: offsets(log_weights.len(), &parts), log_weights, parts })
    }

    fn energies<'a>(&'a self, params: Params<'a>, x: &'a [f64]) -> impl Iterator<Item = f64> + Clone + 'a {
        let energy = move |(part, &at): (&Arc<dyn Energy>, &usize)| part.energy(params.from(at), x);
        self.parts.iter().zip(&self.offsets).map(energy)
    }
}

/// −log Σᵢ exp(log wᵢ − Eᵢ). An infinite energy adds nothing; NaN stays NaN.
fn combine(params: Params<'_>, energies: impl Iterator<Item = f64>) -> f64 {
    let terms: Vec<_> = energies.enumerate().map(|(i, energy)| params.get(i) - energy).collect();
    if terms.iter().any(|term| term.is_nan()) {
        return f64::NAN;
    }
    let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top.is_infinite() {
        return -top;
    }
    -(top + terms.iter().map(|term| (term - top).exp()).sum::<f64>().ln())
}

impl Energy for Convex {
    fn name(&self) -> String {
        let names: Vec<_> = self.parts.iter().map(|part| part.name()).collect();
        format!("convex mixture of ({})", names.join(", "))
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn params(&self) -> Vec<f32> {
        self.log_weights.iter().copied().chain(self.parts.iter().flat_map(|part| part.params())).collect()
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        program.add("convex", include_str!("../../shaders/energy/convex.wgsl"))?;
        let mut energy = "    var s = convex_begin();\n".to_owned();
        let mut grad = "    var s = convex_begin();\n    var part: Point;\n    clear(grad);\n".to_owned();
        for (i, (part, at)) in self.parts.iter().zip(&self.offsets).enumerate() {
            let (call, at) = (part.compose(program)?, format!("at + {at}u"));
            energy += &format!("    s = convex_add(s, param(at + {i}u), total({}));\n", call.energy(&at, "x"));
            grad += &format!("    let e{i} = total({});\n", call.energy_and_grad(&at, "x", "&part"));
            grad += &format!("    s = convex_add_grad(s, param(at + {i}u), e{i}, &part, grad);\n");
        }
        energy += "    return once(convex_end(s));\n";
        grad += "    return once(convex_end_grad(s, grad));\n";
        add_generated(program, "convex", &energy, &grad)
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        combine(params, self.energies(params, x))
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let mut grads = vec![0.0; x.len() * self.parts.len()];
        let mut energies = Vec::with_capacity(self.parts.len());
        for ((part, &at), grad) in self.parts.iter().zip(&self.offsets).zip(grads.chunks_mut(x.len())) {
            energies.push(part.energy_and_grad(params.from(at), x, grad));
        }
        let energy = combine(params, energies.iter().copied());
        grad.fill(0.0);
        for (i, (&part_energy, part_grad)) in energies.iter().zip(grads.chunks(x.len())).enumerate() {
            if part_energy < f64::INFINITY {
                let share = (params.get(i) - part_energy + energy).exp();
                grad.iter_mut().zip(part_grad).for_each(|(g, p)| *g += share * p);
            }
        }
        energy
    }

    fn has_noise_levels(&self) -> bool {
        self.parts.iter().all(|part| part.has_noise_levels())
    }

    /// Σᵢ rᵢ (ΔEᵢ − |∇Eᵢ|²) + |∇E|².
    fn laplacian(&self, params: Params<'_>, x: &[f64]) -> Option<f64> {
        let square = |grad: &[f64]| grad.iter().map(|g| g * g).sum::<f64>();
        let mut grad = vec![0.0; x.len()];
        let energy = self.energy_and_grad(params, x, &mut grad);
        let mut sum = square(&grad);
        for (i, (part, &at)) in self.parts.iter().zip(&self.offsets).enumerate() {
            let part_energy = part.energy_and_grad(params.from(at), x, &mut grad);
            let of_part = part.laplacian(params.from(at), x)? - square(&grad);
            if part_energy < f64::INFINITY {
                sum += (params.get(i) - part_energy + energy).exp() * of_part;
            }
        }
        Some(sum)
    }

    fn needs_noise(&self) -> bool {
        self.parts.iter().any(|part| part.needs_noise())
    }

    fn has_twin(&self) -> bool {
        self.parts.iter().all(|part| part.has_twin())
    }

    fn spread(&self) -> Option<Vec<usize>> {
        spread_parts(&self.parts, &self.offsets)
    }

    fn check_gradient(&self) -> bool {
        self.parts.iter().any(|part| part.check_gradient())
    }
}
