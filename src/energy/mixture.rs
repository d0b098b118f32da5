//! A mixture of Gaussians: E(x) = −log Σⱼ wⱼ N(x; mⱼ, Cⱼ), up to a constant.

use super::{Call, Energy, Params};
use crate::{
    Error, Result,
    error::{finite, positive},
    program::Composer,
};

/// A mixture of Gaussians of any dimension: E(x) = −log Σⱼ wⱼ N(x; mⱼ, sⱼ² I), up to a constant.
#[derive(Debug, Clone)]
pub struct Mixture {
    dim: usize,
    components: usize,
    params: Vec<f32>,
}

impl Mixture {
    /// Components with weights wⱼ > 0 (any sum), means mⱼ of equal length and standard deviations sⱼ > 0.
    ///
    /// # Errors
    /// [`Error::Shape`] where lengths differ; [`Error::Setting`] where a number is out of range.
    pub fn new(weights: &[f64], means: &[Vec<f64>], sds: &[f64]) -> Result<Self> {
        let components = weights.len();
        if components == 0 {
            return Err(Error::setting("components of the mixture", 0, "must be at least one"));
        }
        if means.len() != components || sds.len() != components {
            let found = if means.len() == components { sds.len() } else { means.len() };
            return Err(Error::shape("means and standard deviations of the mixture", components, found));
        }
        let dim = means[0].len();
        let mut params = Vec::with_capacity(components * (2 + dim));
        for ((&weight, mean), &sd) in weights.iter().zip(means).zip(sds) {
            if mean.len() != dim {
                return Err(Error::shape("coordinates of a mean of the mixture", dim, mean.len()));
            }
            positive("weight of the mixture", weight)?;
            positive("standard deviation of the mixture", sd)?;
            params.push((weight.ln() - dim as f64 * sd.ln()) as f32);
            params.push((sd * sd).recip() as f32);
            for &m in mean {
                params.push(finite("mean of the mixture", m)? as f32);
            }
        }
        Ok(Self { dim, components, params })
    }

    /// `components` Gaussians of equal weight and standard deviation `sd` on a circle of `radius` in the plane.
    pub fn ring(components: usize, radius: f64, sd: f64) -> Result<Self> {
        let angle = |j: usize| std::f64::consts::TAU * j as f64 / components as f64;
        let means: Vec<_> = (0..components).map(|j| vec![radius * angle(j).cos(), radius * angle(j).sin()]).collect();
        Self::new(&vec![1.0; components], &means, &vec![sd; components])
    }
}

impl Energy for Mixture {
    fn name(&self) -> String {
        format!("mixture of {}", self.components)
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn params(&self) -> Vec<f32> {
        self.params.clone()
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        program.add("mixture", include_str!("../../shaders/energy/mixture.wgsl"))?;
        let stem = format!("mixture_of_{}", self.components);
        let own = |j: usize| format!("at + {}u", j * (2 + self.dim));
        let each = |line: &dyn Fn(usize) -> String| (0..self.components).map(line).collect::<String>();
        // log-sum-exp: the terms, the largest of them, the sum of their exponentials relative to it.
        let sum = each(&|j| format!("    let t{j} = mixture_term({}, x);\n", own(j)))
            + "    var top = t0;\n"
            + &(1..self.components).map(|j| format!("    top = max(top, t{j});\n")).collect::<String>()
            + &each(&|j| format!("    let w{j} = exp(t{j} - top);\n"))
            + "    var sum = w0;\n"
            + &(1..self.components).map(|j| format!("    sum += w{j};\n")).collect::<String>();
        let grad = each(&|j| format!("    mixture_pull({}, w{j}, x, grad);\n", own(j)));
        program.add(
            &stem,
            &format!(
                "fn {stem}_energy(at: u32, x: ptr<function, Point>) -> f32 {{\n{sum}    return -(top + log(sum));\n}}\n\n\
                 fn {stem}_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {{\n{sum}    \
                 clear(grad);\n{grad}    mixture_divide(sum, grad);\n    return -(top + log(sum));\n}}\n",
            ),
        )?;
        Ok(Call::new(stem, &[]))
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        let term = |j: usize| {
            let own = params.from(j * (2 + self.dim));
            let d2: f64 = x.iter().enumerate().map(|(i, x)| (x - own.get(2 + i)).powi(2)).sum();
            own.get(0) - 0.5 * own.get(1) * d2
        };
        let top = (0..self.components).map(term).fold(f64::NEG_INFINITY, f64::max);
        -(top + (0..self.components).map(|j| (term(j) - top).exp()).sum::<f64>().ln())
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let energy = self.energy(params, x);
        grad.fill(0.0);
        for j in 0..self.components {
            let own = params.from(j * (2 + self.dim));
            let d2: f64 = x.iter().enumerate().map(|(i, x)| (x - own.get(2 + i)).powi(2)).sum();
            let weight = (own.get(0) - 0.5 * own.get(1) * d2 + energy).exp();
            for (i, g) in grad.iter_mut().enumerate() {
                *g += weight * own.get(1) * (x[i] - own.get(2 + i));
            }
        }
        energy
    }

    fn check_gradient(&self) -> bool {
        false
    }
}
