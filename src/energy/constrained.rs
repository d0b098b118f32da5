//! An energy on a constrained support, as its free coordinates see it.

use std::{ops::Range, sync::Arc};

use super::{Call, Energy, Params, compose::unconstrained};
use crate::{
    Result,
    program::Composer,
    transform::{Constraints, Transform},
};

/// E(T(y)) − log|det ∂x/∂y| in free coordinates y of x = T(y) (see [`transform`](crate::transform)).
///
/// Chains run in free coordinates: step sizes, scales, masses, means of a kernel are of y, and energies, and gradients as
/// [`evaluate`](crate::evaluate) gives them, are those of y (as Stan's `lp__`). All that a user sees of positions is x: starts, the report,
/// stored draws, [`Chains::positions`](crate::Chains::positions), the positions of failures; but not the device's own buffers
/// ([`position_buffers`](crate::chains::GpuChains::position_buffers)) and a checkpoint, which hold y. Where no start is given, y is standard
/// normal.
///
/// A temperature of y is none of x, so a run must have temperature 1 (ladders of temperatures do): scale the energy before it is
/// constrained. It runs in one invocation a chain in any dimension. Parameters: those of the transforms, then those of E.
#[derive(Debug, Clone)]
pub struct Constrained {
    constraints: Constraints,
    energy: Arc<dyn Energy>,
}

impl Constrained {
    /// With a transform of the coordinates `range`.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where the transform cannot act there; [`Error::Unsupported`](crate::Error::Unsupported)
    /// where a part of the energy is constrained.
    pub fn new(energy: Arc<dyn Energy>, range: Range<usize>, transform: impl Transform + 'static) -> Result<Self> {
        unconstrained("constrained energy", std::slice::from_ref(&energy))?;
        Self { constraints: Constraints::none(energy.dim()), energy }.constrain(range, transform)
    }

    /// With one more transform, of coordinates that have none.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where the transform cannot act there.
    pub fn constrain(self, range: Range<usize>, transform: impl Transform + 'static) -> Result<Self> {
        Ok(Self { constraints: self.constraints.and(range, Arc::new(transform))?, ..self })
    }

    /// The parameters of E.
    fn own<'a>(&self, params: Params<'a>) -> Params<'a> {
        params.from(self.constraints.params().len())
    }
}

impl Energy for Constrained {
    fn name(&self) -> String {
        format!("{} ({})", self.energy.name(), self.constraints.describe())
    }

    fn dim(&self) -> usize {
        self.energy.dim()
    }

    fn params(&self) -> Vec<f32> {
        [self.constraints.params(), &self.energy.params()].concat()
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        self.constraints.compose(program)?;
        let (call, at) = (self.energy.compose(program)?, format!("at + {}u", self.constraints.params().len()));
        let position = "    var position: Point;\n    let log_det = constraints_position(at, x, &position);\n";
        super::compose::add_generated(
            program,
            "constrained",
            &format!("{position}    return {} - log_det;\n", call.energy(&at, "&position")),
            &format!(
                "{position}    let e = {};\n    constraints_grad(at, x, &position, grad);\n    return e - log_det;\n",
                call.energy_and_grad(&at, "&position", "grad")
            ),
        )
    }

    fn energy(&self, params: Params<'_>, y: &[f64]) -> f64 {
        let mut x = y.to_vec();
        let log_det = self.constraints.position_with(params, &mut x);
        self.energy.energy(self.own(params), &x) - log_det
    }

    fn energy_and_grad(&self, params: Params<'_>, y: &[f64], grad: &mut [f64]) -> f64 {
        let mut x = y.to_vec();
        let log_det = self.constraints.position_with(params, &mut x);
        let energy = self.energy.energy_and_grad(self.own(params), &x, grad);
        self.constraints.grad_with(params, y, &x, grad);
        energy - log_det
    }

    fn constraints(&self) -> Option<&Constraints> {
        Some(&self.constraints)
    }

    fn needs_noise(&self) -> bool {
        self.energy.needs_noise()
    }

    fn has_twin(&self) -> bool {
        self.energy.has_twin()
    }

    fn check_gradient(&self) -> bool {
        self.energy.check_gradient()
    }
}
