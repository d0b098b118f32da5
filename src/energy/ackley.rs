//! Ackley's function: a funnel in a rippled plain, in any dimension.

use std::f64::consts::{E, PI, TAU};

use super::{Call, Energy, Params};
use crate::{Result, error::positive, program::Composer};

/// E(x) = a (1 − exp(−b √(Σᵢ xᵢ²/dim))) + e − exp(Σᵢ cos(2πxᵢ)/dim) (Ackley 1987), of any dimension; a = 20 and b = 0.2 unless
/// said. The minimum 0 is at the origin, a cusp, where the gradient is taken as zero.
///
/// E stays below a + e, so exp(−E) has no finite integral: add a Gaussian (`.plus(Gaussian::…)`) to sample from it, or
/// use it for annealing. In f32 the waves are lost for |x| above 10⁶.
#[derive(Debug, Clone)]
pub struct Ackley {
    dim: usize,
    depth: f32,
    slope: f32,
}

impl Ackley {
    /// Of `dim` coordinates, with a = 20 and b = 0.2.
    pub fn new(dim: usize) -> Self {
        Self { dim, depth: 20.0, slope: 0.2 }
    }

    /// With depth a > 0 and slope b > 0 of the funnel.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where a number is out of range.
    pub fn shape(self, depth: f64, slope: f64) -> Result<Self> {
        let depth = positive("depth of the Ackley energy", depth)? as f32;
        Ok(Self { depth, slope: positive("slope of the Ackley energy", slope)? as f32, ..self })
    }
}

impl Energy for Ackley {
    fn name(&self) -> String {
        "ackley".into()
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn params(&self) -> Vec<f32> {
        vec![self.depth, self.slope]
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        program.add("ackley", include_str!("../../shaders/energy/ackley.wgsl"))?;
        Ok(Call::new("ackley", &[]))
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        let n = x.len() as f64;
        let r = (x.iter().map(|x| x * x).sum::<f64>() / n).sqrt();
        let waves: f64 = x.iter().map(|x| (PI * (x - x.round())).sin().powi(2)).sum();
        params.get(0) * (1.0 - (-params.get(1) * r).exp()) + E * (1.0 - (-2.0 * waves / n).exp())
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let n = x.len() as f64;
        let r = (x.iter().map(|x| x * x).sum::<f64>() / n).sqrt();
        let waves: f64 = x.iter().map(|x| (PI * (x - x.round())).sin().powi(2)).sum();
        let slope = if r > 0.0 { params.get(0) * params.get(1) * (-params.get(1) * r).exp() / (r * n) } else { 0.0 };
        let swing = TAU * E * (-2.0 * waves / n).exp() / n;
        for (g, x) in grad.iter_mut().zip(x) {
            *g = slope * x + swing * (TAU * (x - x.round())).sin();
        }
        self.energy(params, x)
    }

    fn spread(&self) -> Option<Vec<usize>> {
        Some(Vec::new())
    }

    fn check_gradient(&self) -> bool {
        false
    }
}
