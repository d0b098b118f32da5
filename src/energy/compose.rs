//! Energies made of energies: sums (products of experts), scaling and temperature. Convex mixtures are in `convex.rs`.
//!
//! The WGSL of a composed energy is generated: functions with a name of their own that call those of the parts.

use std::{ops::Range, sync::Arc};

use super::{Call, Conditioned, Constrained, Convex, Energy, Params};
use crate::{Error, Result, error::positive, program::Composer, transform::Transform};

/// The dimension of parts, of which there must be at least one and all must agree.
pub(super) fn common_dim(what: &str, parts: &[Arc<dyn Energy>]) -> Result<usize> {
    let Some(first) = parts.first() else {
        return Err(Error::setting(format!("parts of the {what}"), 0, "must be at least one"));
    };
    match parts.iter().find(|part| part.dim() != first.dim()) {
        None => Ok(first.dim()),
        Some(part) => Err(Error::shape(format!("dimension of {}, a part of the {what}", part.name()), first.dim(), part.dim())),
    }
}

/// Refuses parts that are constrained: the sum of energies of free coordinates is not that of positions.
pub(super) fn unconstrained(what: &str, parts: &[Arc<dyn Energy>]) -> Result<()> {
    match parts.iter().find(|part| part.constraints().is_some()) {
        None => Ok(()),
        Some(part) => Err(Error::Unsupported(format!(
            "{} cannot be a part of a {what}: compose energies of positions, then constrain what they make",
            part.name()
        ))),
    }
}

/// Where the parameters of each part begin, if the first part's begin at `own`.
pub(super) fn offsets(own: usize, parts: &[Arc<dyn Energy>]) -> Vec<usize> {
    let next = |at: &mut usize, part: &Arc<dyn Energy>| {
        let begin = *at;
        *at += part.params().len();
        Some(begin)
    };
    parts.iter().scan(own, next).collect()
}

/// [`Energy::spread`] of an energy made of parts whose parameters begin at `offsets`.
pub(super) fn spread_parts(parts: &[Arc<dyn Energy>], offsets: &[usize]) -> Option<Vec<usize>> {
    let mut vectors = Vec::new();
    for (part, offset) in parts.iter().zip(offsets) {
        vectors.extend(part.spread()?.into_iter().map(|at| offset + at));
    }
    Some(vectors)
}

/// Adds two generated functions, given their bodies, and says how to call them.
pub(crate) fn add_generated(program: &mut Composer, stem: &str, energy: &str, energy_and_grad: &str) -> Result<Call> {
    let stem = program.unique(stem);
    let text = format!(
        "fn {stem}_energy(at: u32, x: ptr<function, Point>) -> f32 {{\n{energy}}}\n\n\
         fn {stem}_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {{\n{energy_and_grad}}}\n"
    );
    program.add(&stem, &text)?;
    Ok(Call::new(stem, &[]))
}

/// Adds the two generated functions of jets, given their bodies, and says how to call them.
pub(crate) fn add_generated_jets(program: &mut Composer, stem: &str, jet: &str, jet_param_grad: &str) -> Result<Call> {
    let stem = program.unique(stem);
    program.add(&stem, &jets_text(&stem, jet, jet_param_grad))?;
    Ok(Call::new(stem, &[]))
}

/// The functions of jets of this stem, with these bodies.
pub(super) fn jets_text(stem: &str, jet: &str, jet_param_grad: &str) -> String {
    let given = "at: u32, x: ptr<function, Point>, v: ptr<function, Point>";
    format!(
        "fn {stem}_jet({given}) -> vec3<f32> {{\n{jet}}}\n\n\
         fn {stem}_jet_param_grad({given}, adjoints: vec3<f32>) {{\n{jet_param_grad}}}\n"
    )
}

/// E(x) = Σᵢ Eᵢ(x): the density is the product of those of the parts (a product of experts; Hinton 2002).
///
/// Parameters: those of the parts, one after another. It has no noise levels: a convolved product is no product.
///
/// ```
/// # use ergodic::energy::{Compose, DoubleWell, Energy, Gaussian};
/// let target = DoubleWell::new(2, 1.0)?.plus(Gaussian::isotropic([0.5, 0.5], 2.0)?)?;
/// assert_eq!(target.dim(), 2);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sum {
    dim: usize,
    parts: Vec<Arc<dyn Energy>>,
    offsets: Vec<usize>,
}

impl Sum {
    /// Of at least one part, all of equal dimension.
    ///
    /// # Errors
    /// [`Error::Setting`] where there is no part; [`Error::Shape`] where dimensions differ; [`Error::Unsupported`] where a part is
    /// constrained.
    pub fn new(parts: impl Into<Vec<Arc<dyn Energy>>>) -> Result<Self> {
        let parts = parts.into();
        unconstrained("sum", &parts)?;
        Ok(Self { dim: common_dim("sum", &parts)?, offsets: offsets(0, &parts), parts })
    }

    fn each<'a>(&'a self, params: Params<'a>) -> impl Iterator<Item = (&'a Arc<dyn Energy>, Params<'a>)> {
        self.parts.iter().zip(&self.offsets).map(move |(part, &at)| (part, params.from(at)))
    }
}

impl Energy for Sum {
    fn name(&self) -> String {
        let names: Vec<_> = self.parts.iter().map(|part| part.name()).collect();
        format!("({})", names.join(" + "))
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn params(&self) -> Vec<f32> {
        self.parts.iter().flat_map(|part| part.params()).collect()
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        let mut energy = "    var e = 0.0;\n".to_owned();
        let mut grad = "    var e = 0.0;\n    var part: Point;\n    clear(grad);\n".to_owned();
        for (part, at) in self.parts.iter().zip(&self.offsets) {
            let (call, at) = (part.compose(program)?, format!("at + {at}u"));
            energy += &format!("    e += {};\n", call.energy(&at, "x"));
            grad += &format!("    e += {};\n", call.energy_and_grad(&at, "x", "&part"));
            grad += "    for (var b = 0u; b < blocks(); b++) { (*grad)[b] += part[b]; }\n";
        }
        add_generated(program, "sum", &(energy + "    return e;\n"), &(grad + "    return e;\n"))
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        self.each(params).map(|(part, params)| part.energy(params, x)).sum()
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let mut part_grad = vec![0.0; x.len()];
        let mut energy = 0.0;
        grad.fill(0.0);
        for (part, params) in self.each(params) {
            energy += part.energy_and_grad(params, x, &mut part_grad);
            grad.iter_mut().zip(&part_grad).for_each(|(g, p)| *g += p);
        }
        energy
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

/// c E(x): the density to the power c. With c = 1/T it is that at temperature T.
///
/// Parameters: c, then those of E. It has no noise levels: a power of a convolved density is not the convolved power.
///
/// ```
/// # use ergodic::energy::{Compose, Energy, Himmelblau};
/// assert_eq!(Himmelblau::new().at_temperature(50.0)?.params(), [0.02]);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scaled {
    factor: f32,
    part: Arc<dyn Energy>,
}

impl Scaled {
    /// The energy times `factor` > 0.
    ///
    /// # Errors
    /// [`Error::Setting`] where the factor is not above zero; [`Error::Unsupported`] where the energy is constrained.
    pub fn new(part: Arc<dyn Energy>, factor: f64) -> Result<Self> {
        unconstrained("scaled energy", std::slice::from_ref(&part))?;
        Ok(Self { factor: positive("factor of an energy", factor)? as f32, part })
    }

    /// The energy divided by `temperature` > 0.
    ///
    /// # Errors
    /// [`Error::Setting`] where the temperature is not above zero; [`Error::Unsupported`] where the energy is constrained.
    pub fn at_temperature(part: Arc<dyn Energy>, temperature: f64) -> Result<Self> {
        Self::new(part, positive("temperature of an energy", temperature)?.recip())
    }
}

impl Energy for Scaled {
    fn name(&self) -> String {
        format!("{} × {}", self.factor, self.part.name())
    }

    fn dim(&self) -> usize {
        self.part.dim()
    }

    fn params(&self) -> Vec<f32> {
        [vec![self.factor], self.part.params()].concat()
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        let call = self.part.compose(program)?;
        let (energy, energy_and_grad) = (call.energy("at + 1u", "x"), call.energy_and_grad("at + 1u", "x", "grad"));
        add_generated(
            program,
            "scaled",
            &format!("    return param(at) * {energy};\n"),
            &format!(
                "    let e = {energy_and_grad};\n    for (var b = 0u; b < blocks(); b++) {{ (*grad)[b] *= param(at); }}\n    \
                 return param(at) * e;\n"
            ),
        )
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        params.get(0) * self.part.energy(params.from(1), x)
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let energy = self.part.energy_and_grad(params.from(1), x, grad);
        grad.iter_mut().for_each(|g| *g *= params.get(0));
        params.get(0) * energy
    }

    fn needs_noise(&self) -> bool {
        self.part.needs_noise()
    }

    fn has_twin(&self) -> bool {
        self.part.has_twin()
    }

    fn spread(&self) -> Option<Vec<usize>> {
        spread_parts(std::slice::from_ref(&self.part), &[1])
    }

    fn check_gradient(&self) -> bool {
        self.part.check_gradient()
    }
}

/// Composition as methods of every energy, given by value or as an `Arc`.
pub trait Compose: Energy + Sized + 'static {
    /// The sum with another energy of the same dimension.
    ///
    /// # Errors
    /// As [`Sum::new`].
    fn plus(self, other: impl Energy + 'static) -> Result<Sum> {
        Sum::new([Arc::new(self) as Arc<dyn Energy>, Arc::new(other)])
    }

    /// The convex mixture w exp(−E) + (1 − w) exp(−E′) of both densities, for a `weight` 0 < w < 1 of this one.
    ///
    /// # Errors
    /// As [`Convex::new`].
    fn mixed_with(self, weight: f64, other: impl Energy + 'static) -> Result<Convex> {
        Convex::new(&[weight, 1.0 - weight], [Arc::new(self) as Arc<dyn Energy>, Arc::new(other)])
    }

    /// The energy of the other coordinates, with these `(coordinate, value)` held: the conditional.
    ///
    /// # Errors
    /// As [`Conditioned::new`].
    fn condition(self, held: impl IntoIterator<Item = (usize, f64)>) -> Result<Conditioned> {
        Conditioned::new(Arc::new(self), held)
    }

    /// The energy in free coordinates, with a transform of the coordinates `range` (see [`transform`](crate::transform)).
    ///
    /// # Errors
    /// As [`Constrained::new`].
    fn constrain(self, range: Range<usize>, transform: impl Transform + 'static) -> Result<Constrained> {
        Constrained::new(Arc::new(self), range, transform)
    }

    /// The energy times `factor` > 0.
    ///
    /// # Errors
    /// As [`Scaled::new`].
    fn scaled(self, factor: f64) -> Result<Scaled> {
        Scaled::new(Arc::new(self), factor)
    }

    /// The energy divided by `temperature` > 0.
    ///
    /// # Errors
    /// As [`Scaled::at_temperature`].
    fn at_temperature(self, temperature: f64) -> Result<Scaled> {
        Scaled::at_temperature(Arc::new(self), temperature)
    }
}

impl<E: Energy + 'static> Compose for E {}
