//! Dirichlet densities.

use super::{Call, Energy, Params};
use crate::{Error, Result, error::positive, program::Composer};

/// E(x) = −Σₖ (αₖ − 1) log xₖ for K positive numbers of sum one: the Dirichlet with concentrations α, of means αₖ/Σα.
///
/// Where an xₖ is not above zero, E = +∞. The sum is not looked at: chains run on the simplex by
/// [`StickBreaking`](crate::transform::StickBreaking), of all coordinates.
///
/// ```
/// # use ergodic::{energy::{Compose, Dirichlet, Energy}, transform::StickBreaking};
/// let target = Dirichlet::new(&[2.0, 3.0, 4.0])?;
/// assert_eq!(target.params(), [1.0, 2.0, 3.0]);
/// let target = target.constrain(0..3, StickBreaking)?;
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Dirichlet {
    /// α − 1.
    powers: Vec<f32>,
}

impl Dirichlet {
    /// With K ≥ 2 concentrations αₖ > 0.
    ///
    /// # Errors
    /// [`Error::Setting`] where there are fewer than two, or one is not above zero.
    pub fn new(concentrations: &[f64]) -> Result<Self> {
        if concentrations.len() < 2 {
            return Err(Error::setting("concentrations of the Dirichlet", concentrations.len(), "must be at least two"));
        }
        let power = |&alpha: &f64| Ok((positive("concentration of the Dirichlet", alpha)? - 1.0) as f32);
        Ok(Self { powers: concentrations.iter().map(power).collect::<Result<_>>()? })
    }
}

impl Energy for Dirichlet {
    fn name(&self) -> String {
        "dirichlet".into()
    }

    fn dim(&self) -> usize {
        self.powers.len()
    }

    fn params(&self) -> Vec<f32> {
        self.powers.clone()
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        program.add("dirichlet", include_str!("../../shaders/energy/dirichlet.wgsl"))?;
        Ok(Call::new("dirichlet", &[]))
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        if x.iter().any(|&x| x <= 0.0) {
            return f64::INFINITY;
        }
        -x.iter().enumerate().map(|(k, x)| params.get(k) * x.ln()).sum::<f64>()
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        for (k, (g, x)) in grad.iter_mut().zip(x).enumerate() {
            *g = -params.get(k) / x;
        }
        self.energy(params, x)
    }

    fn spread(&self) -> Option<Vec<usize>> {
        Some(vec![0])
    }

    fn check_gradient(&self) -> bool {
        false
    }
}
