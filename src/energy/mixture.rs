//! A mixture of Gaussians: E(x) = −log Σⱼ wⱼ N(x; mⱼ, Cⱼ), up to a constant.

use std::sync::Arc;

use super::{Call, Convex, Energy, Gaussian, Params};
use crate::{
    Error, Result,
    error::{countable, finite, positive},
    program::Composer,
};

/// A mixture of Gaussians of any dimension: E(x) = −log Σⱼ wⱼ N(x; mⱼ, Cⱼ), up to a constant, with Cⱼ = sⱼ² I or any covariance.
///
/// At a noise level σ² the energy is that of the density convolved with N(0, σ²I): every Cⱼ grows by σ²I and the weights stay.
///
/// With p = w/Σw the mean is m = Σ pⱼ mⱼ and the covariance Σ pⱼ (Cⱼ + (mⱼ − m)(mⱼ − m)ᵀ).
///
/// ```
/// # use ergodic::energy::{Energy, Mixture};
/// let ring = Mixture::ring(8, 4.0, 0.5)?;
/// let banded = Mixture::with_covariances(&[0.7, 0.3], &[vec![0.0, 0.0], vec![3.0, 1.0]], &[
///     vec![1.0, 0.8, 0.8, 1.0],
///     vec![0.5, 0.0, 0.0, 0.1],
/// ])?;
/// assert_eq!((ring.dim(), banded.dim()), (2, 2));
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Mixture {
    weights: Vec<f64>,
    means: Vec<Vec<f64>>,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// Per component: log weight (with the normaliser of its width), 1/s², mean.
    Isotropic { sds: Vec<f64>, params: Vec<f32> },
    /// A convex mixture of Gaussians, the normaliser of each in its weight.
    Full { covariances: Vec<Vec<f64>>, convex: Convex },
}

impl Mixture {
    /// Components with weights wⱼ > 0 (any sum), means mⱼ of equal length and standard deviations sⱼ > 0.
    ///
    /// # Errors
    /// [`Error::Shape`] where lengths differ; [`Error::Setting`] where a number is out of range.
    pub fn new(weights: &[f64], means: &[Vec<f64>], sds: &[f64]) -> Result<Self> {
        let dim = check_components(weights, means, sds.len())?;
        let mut params = Vec::with_capacity(weights.len() * (2 + dim));
        for ((&weight, mean), &sd) in weights.iter().zip(means).zip(sds) {
            positive("standard deviation of the mixture", sd)?;
            params.push((weight.ln() - dim as f64 * sd.ln()) as f32);
            params.push((sd * sd).recip() as f32);
            params.extend(mean.iter().map(|&m| m as f32));
        }
        let form = Form::Isotropic { sds: sds.to_vec(), params };
        Ok(Self { weights: weights.to_vec(), means: means.to_vec(), form })
    }

    /// Components with weights wⱼ > 0 (any sum), means mⱼ of equal length and symmetric, positive definite covariances Cⱼ,
    /// `[dim][dim]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where lengths differ; [`Error::Setting`] where a number is out of range or a covariance is not positive
    /// definite.
    pub fn with_covariances(weights: &[f64], means: &[Vec<f64>], covariances: &[Vec<f64>]) -> Result<Self> {
        check_components(weights, means, covariances.len())?;
        let mut parts: Vec<Arc<dyn Energy>> = Vec::with_capacity(weights.len());
        let mut log_weights = Vec::with_capacity(weights.len());
        for ((weight, mean), covariance) in weights.iter().zip(means).zip(covariances) {
            let (part, log_det) = Gaussian::full_with_log_det(mean.clone(), covariance)?;
            parts.push(Arc::new(part));
            log_weights.push(weight.ln() - 0.5 * log_det);
        }
        let form = Form::Full { covariances: covariances.to_vec(), convex: Convex::with_log_weights(log_weights, parts)? };
        Ok(Self { weights: weights.to_vec(), means: means.to_vec(), form })
    }

    /// `components` Gaussians of equal weight and standard deviation `sd` on a circle of `radius` in the plane.
    ///
    /// # Errors
    /// [`Error::Setting`] where a number is out of range; [`Error::Limit`] of more than 2²⁴ components.
    pub fn ring(components: usize, radius: f64, sd: f64) -> Result<Self> {
        countable("components of the mixture", components)?;
        let angle = |j: usize| std::f64::consts::TAU * j as f64 / components as f64;
        let means: Vec<_> = (0..components).map(|j| vec![radius * angle(j).cos(), radius * angle(j).sin()]).collect();
        Self::new(&vec![1.0; components], &means, &vec![sd; components])
    }

    /// `rows` × `columns` Gaussians of equal weight and standard deviation `sd` on a square grid in the plane, `spacing` apart,
    /// centred at the origin.
    ///
    /// # Errors
    /// [`Error::Setting`] where a number is out of range; [`Error::Limit`] of more than 2²⁴ components.
    pub fn grid(rows: usize, columns: usize, spacing: f64, sd: f64) -> Result<Self> {
        [rows, columns, rows.saturating_mul(columns)]
            .iter()
            .try_for_each(|&n| countable("components of the grid", n).map(drop))?;
        let at = |i: usize, n: usize| spacing * (i as f64 - 0.5 * (n as f64 - 1.0));
        let means: Vec<_> = (0..rows).flat_map(|i| (0..columns).map(move |j| vec![at(j, columns), at(i, rows)])).collect();
        Self::new(&vec![1.0; means.len()], &means, &vec![sd; means.len()])
    }

    /// The weights wⱼ as they were given.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// The means mⱼ.
    pub fn means(&self) -> &[Vec<f64>] {
        &self.means
    }

    /// The standard deviations sⱼ; none where the components have covariances.
    pub fn sds(&self) -> Option<&[f64]> {
        match &self.form {
            Form::Isotropic { sds, .. } => Some(sds),
            Form::Full { .. } => None,
        }
    }

    /// The covariances Cⱼ, `[dim][dim]`; none where the components have standard deviations.
    pub fn covariances(&self) -> Option<&[Vec<f64>]> {
        match &self.form {
            Form::Isotropic { .. } => None,
            Form::Full { covariances, .. } => Some(covariances),
        }
    }

    /// log wⱼ N(x; mⱼ, (sⱼ² + σ²) I), up to a constant, and 1/(sⱼ² + σ²), of an isotropic component.
    fn term(&self, params: Params<'_>, j: usize, x: &[f64]) -> (f64, f64) {
        let own = params.from(j * (2 + x.len()));
        let f = 1.0 + params.noise_variance() * own.get(1);
        let d2: f64 = x.iter().enumerate().map(|(i, x)| (x - own.get(2 + i)).powi(2)).sum();
        let precision = own.get(1) / f;
        (own.get(0) - 0.5 * x.len() as f64 * f.ln() - 0.5 * precision * d2, precision)
    }

    /// −log of the sum of the terms.
    fn isotropic_energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        let term = |j: usize| self.term(params, j, x).0;
        let top = (0..self.weights.len()).map(term).fold(f64::NEG_INFINITY, f64::max);
        -(top + (0..self.weights.len()).map(|j| (term(j) - top).exp()).sum::<f64>().ln())
    }
}

/// At least one component; as many weights as means and widths; means of equal length, whose length is returned.
fn check_components(weights: &[f64], means: &[Vec<f64>], widths: usize) -> Result<usize> {
    let components = weights.len();
    if components == 0 {
        return Err(Error::setting("components of the mixture", 0, "must be at least one"));
    }
    if means.len() != components || widths != components {
        let found = if means.len() == components { widths } else { means.len() };
        return Err(Error::shape("means and widths of the mixture", components, found));
    }
    let dim = means[0].len();
    for (&weight, mean) in weights.iter().zip(means) {
        positive("weight of the mixture", weight)?;
        if mean.len() != dim {
            return Err(Error::shape("coordinates of a mean of the mixture", dim, mean.len()));
        }
        mean.iter().try_for_each(|&m| finite("mean of the mixture", m).map(drop))?;
    }
    Ok(dim)
}

impl Energy for Mixture {
    fn name(&self) -> String {
        format!("mixture of {}", self.weights.len())
    }

    fn dim(&self) -> usize {
        self.means[0].len()
    }

    fn params(&self) -> Vec<f32> {
        match &self.form {
            Form::Isotropic { params, .. } => params.clone(),
            Form::Full { convex, .. } => convex.params(),
        }
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        if let Form::Full { convex, .. } = &self.form {
            return convex.compose(program);
        }
        let (components, dim) = (self.weights.len(), self.dim());
        program.add("mixture", include_str!("../../shaders/energy/mixture.wgsl"))?;
        let stem = format!("mixture_of_{components}");
        let own = |j: usize| format!("at + {}u", j * (2 + dim));
        let each = |line: &dyn Fn(usize) -> String| (0..components).map(line).collect::<String>();
        // Four squared distances are summed at a time.
        let distance = |j: usize| if j < components { format!("mixture_distance({}, x)", own(j)) } else { "0.0".into() };
        let distances = |j: usize| (j..j + 4).map(distance).collect::<Vec<_>>().join(", ");
        let four = |j: usize| format!("    let d{} = totals4(vec4<f32>({}));\n", j / 4, distances(j));
        // log-sum-exp: the terms, the largest of them, the sum of their exponentials relative to it.
        let sum = (0..components).step_by(4).map(four).collect::<String>()
            + &each(&|j| format!("    let t{j} = mixture_term({}, d{}[{}]);\n", own(j), j / 4, j % 4))
            + "    var top = t0;\n"
            + &(1..components).map(|j| format!("    top = max(top, t{j});\n")).collect::<String>()
            + &each(&|j| format!("    let w{j} = exp(t{j} - top);\n"))
            + "    var sum = w0;\n"
            + &(1..components).map(|j| format!("    sum += w{j};\n")).collect::<String>();
        let grad = each(&|j| format!("    mixture_pull({}, w{j}, x, grad);\n", own(j)));
        program.add(
            &stem,
            &format!(
                "fn {stem}_energy(at: u32, x: ptr<function, Point>) -> f32 {{\n{sum}    return once(-(top + log(sum)));\n}}\n\n\
                 fn {stem}_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {{\n{sum}    \
                 clear(grad);\n{grad}    mixture_divide(sum, grad);\n    return once(-(top + log(sum)));\n}}\n",
            ),
        )?;
        Ok(Call::new(stem, &[]))
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        match &self.form {
            Form::Isotropic { .. } => self.isotropic_energy(params, x),
            Form::Full { convex, .. } => convex.energy(params, x),
        }
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        if let Form::Full { convex, .. } = &self.form {
            return convex.energy_and_grad(params, x, grad);
        }
        let energy = self.isotropic_energy(params, x);
        grad.fill(0.0);
        for j in 0..self.weights.len() {
            let (term, precision) = self.term(params, j, x);
            let pull = (term + energy).exp() * precision;
            let mean = params.from(j * (2 + x.len()) + 2);
            for (i, g) in grad.iter_mut().enumerate() {
                *g += pull * (x[i] - mean.get(i));
            }
        }
        energy
    }

    fn has_noise_levels(&self) -> bool {
        true
    }

    /// With the weight rⱼ and the precision kⱼ of each component: Σⱼ rⱼ (dim kⱼ − kⱼ² |x − mⱼ|²) + |∇E|².
    fn laplacian(&self, params: Params<'_>, x: &[f64]) -> Option<f64> {
        if let Form::Full { convex, .. } = &self.form {
            return convex.laplacian(params, x);
        }
        let mut grad = vec![0.0; x.len()];
        let energy = self.energy_and_grad(params, x, &mut grad);
        let component = |j: usize| {
            let (term, precision) = self.term(params, j, x);
            let mean = params.from(j * (2 + x.len()) + 2);
            let d2: f64 = x.iter().enumerate().map(|(i, x)| (x - mean.get(i)).powi(2)).sum();
            (term + energy).exp() * precision * (x.len() as f64 - precision * d2)
        };
        Some((0..self.weights.len()).map(component).sum::<f64>() + grad.iter().map(|g| g * g).sum::<f64>())
    }

    fn spread(&self) -> Option<Vec<usize>> {
        let means = (0..self.weights.len()).map(|j| j * (2 + self.dim()) + 2).collect();
        self.sds().map(|_| means)
    }

    fn check_gradient(&self) -> bool {
        false
    }
}
