//! A Gaussian to be trained, by its mean and the Cholesky factor of its precision.

use std::{fmt::Write as _, sync::Arc};

use super::{Call, Energy, Params, compose::jets_text};
use crate::{
    Error, Result,
    error::{finite, positive},
    program::{Composer, lanes},
    train::{Block, Order, Trainable, check_params},
};

/// The text is written out coordinate by coordinate.
const MOST_DIM: usize = 32;
/// Above, jets are loops: software Vulkan takes half a second to compile them written out in 8 dimensions, 9 s in 24.
const MOST_WRITTEN: usize = 12;

/// E(x) = ½ |Lᵀ(x − m)|², L being lower triangular with the diagonal exp(l): the Gaussian of mean m and precision L Lᵀ, at any
/// parameters.
///
/// Parameters: m `[dim]`, l `[dim]`, then the rows of L below its diagonal, one after another. ln ∫ exp(−E) = ½ dim ln 2π − Σ l.
///
/// ```
/// # use ergodic::energy::{CholeskyGaussian, Energy};
/// let start = CholeskyGaussian::isotropic([0.0, 0.0], 2.0)?;
/// assert_eq!(start.params().len(), 2 + 2 + 1);
/// assert!((start.precision()[3] - 0.25).abs() < 1e-6);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct CholeskyGaussian {
    dim: usize,
    params: Vec<f32>,
}

impl CholeskyGaussian {
    /// Of this mean, with standard deviation `sd` > 0 in every direction.
    ///
    /// # Errors
    /// [`Error::Setting`] where a number is out of range; [`Error::Limit`] above 32 dimensions.
    pub fn isotropic(mean: impl Into<Vec<f64>>, sd: f64) -> Result<Self> {
        let mean = mean.into();
        let dim = mean.len();
        if dim == 0 {
            return Err(Error::setting("dimension of the Gaussian", 0, "must be at least 1"));
        }
        if dim > MOST_DIM {
            let limit = "the text of a trained Gaussian, which is written out".to_owned();
            return Err(Error::Limit { what: "dimension".into(), asked: dim as u64, allowed: MOST_DIM as u64, limit });
        }
        mean.iter().try_for_each(|&m| finite("mean of the Gaussian", m).map(drop))?;
        let log_diagonal = -positive("standard deviation of the Gaussian", sd)?.ln();
        let mut params: Vec<_> = mean.iter().map(|&m| m as f32).collect();
        params.resize(2 * dim, log_diagonal as f32);
        params.resize(2 * dim + dim * (dim - 1) / 2, 0.0);
        Ok(Self { dim, params })
    }

    /// The Gaussian of these parameters.
    ///
    /// # Errors
    /// [`Error::Shape`] where their number is wrong; [`Error::Setting`] where one is not finite.
    pub fn reparametrised(&self, params: &[f32]) -> Result<Self> {
        check_params("Gaussian", self.params.len(), params)?;
        Ok(Self { dim: self.dim, params: params.to_vec() })
    }

    /// The mean.
    pub fn mean(&self) -> Vec<f64> {
        self.params[..self.dim].iter().map(|&m| f64::from(m)).collect()
    }

    /// The precision L Lᵀ, `[dim][dim]`.
    pub fn precision(&self) -> Vec<f64> {
        let params: Vec<_> = self.params.iter().map(|&p| f64::from(p)).collect();
        let factor = |i: usize, j: usize| self.factor(&params, i, j);
        let entry = |i: usize, j: usize| (0..=i.min(j)).map(|k| factor(i, k) * factor(j, k)).sum();
        (0..self.dim * self.dim).map(|at| entry(at / self.dim, at % self.dim)).collect()
    }

    /// ln ∫ exp(−E).
    pub fn ln_z(&self) -> f64 {
        let logs: f64 = self.params[self.dim..2 * self.dim].iter().map(|&l| f64::from(l)).sum();
        0.5 * self.dim as f64 * std::f64::consts::TAU.ln() - logs
    }

    /// Where L_ij, or for i = j its logarithm, stands among the parameters.
    fn at(&self, i: usize, j: usize) -> usize {
        if i == j { self.dim + i } else { 2 * self.dim + i * (i - 1) / 2 + j }
    }

    /// L_ij for i ≥ j.
    fn factor(&self, params: &[f64], i: usize, j: usize) -> f64 {
        let p = params[self.at(i, j)];
        if i == j { p.exp() } else { p }
    }

    /// Lᵀ y.
    fn whiten(&self, params: &[f64], y: &[f64]) -> Vec<f64> {
        (0..self.dim).map(|j| (j..self.dim).map(|i| self.factor(params, i, j) * y[i]).sum()).collect()
    }

    /// x − m.
    fn centre(&self, params: &[f64], x: &[f64]) -> Vec<f64> {
        x.iter().zip(params).map(|(x, m)| x - m).collect()
    }

    fn all(&self, params: Params<'_>) -> Vec<f64> {
        (0..self.params.len()).map(|i| params.get(i)).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Energy for CholeskyGaussian {
    fn name(&self) -> String {
        "Gaussian by its Cholesky factor".into()
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn params(&self) -> Vec<f32> {
        self.params.clone()
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        let stem = format!("cholesky_gaussian_{}", self.dim);
        let body = whitened_text(self, "x", "z", true) + &format!("    let e = {};\n", half_square("z", self.dim));
        let (lanes, blocks) = lanes(self.dim);
        let mut grad = body.clone();
        for b in 0..blocks {
            let of = |i: usize| if i < self.dim { unwhitened_text(self, "z", i) } else { "0.0".into() };
            let own: Vec<_> = (b * lanes..(b + 1) * lanes).map(of).collect();
            let _ = writeln!(grad, "    (*grad)[{b}] = Lane({});", own.join(", "));
        }
        program.add(
            &stem,
            &format!(
                "fn {stem}_energy(at: u32, x: ptr<function, Point>) -> f32 {{\n{body}    return e;\n}}\n\n\
                 fn {stem}_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {{\n{grad}    \
                 return e;\n}}\n"
            ),
        )?;
        Ok(Call::new(stem, &[]))
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        self.jet(&self.all(params), x, &[], Order::Value)[0]
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let params = self.all(params);
        let z = self.whiten(&params, &self.centre(&params, x));
        for (i, g) in grad.iter_mut().enumerate() {
            *g = (0..=i).map(|j| self.factor(&params, i, j) * z[j]).sum();
        }
        0.5 * dot(&z, &z)
    }

    fn check_gradient(&self) -> bool {
        false
    }
}

/// WGSL of z = Lᵀ(x − m) or, not centred, Lᵀ x: one variable a coordinate.
fn whitened_text(gaussian: &CholeskyGaussian, x: &str, z: &str, centred: bool) -> String {
    let (dim, (lanes, _)) = (gaussian.dim, lanes(gaussian.dim));
    let mut text = String::new();
    for i in 0..dim {
        let centre = if centred { format!(" - param(at + {i}u)") } else { String::new() };
        let _ = writeln!(text, "    let {z}_{i}_of = (*{x})[{}][{}]{centre};", i / lanes, i % lanes);
    }
    for j in 0..dim {
        let terms: Vec<_> = (j..dim).map(|i| format!("{} * {z}_{i}_of", factor_text(gaussian, i, j))).collect();
        let _ = writeln!(text, "    let {z}_{j} = {};", terms.join(" + "));
    }
    text
}

/// WGSL of coordinate i of L z.
fn unwhitened_text(gaussian: &CholeskyGaussian, z: &str, i: usize) -> String {
    (0..=i).map(|j| format!("{} * {z}_{j}", factor_text(gaussian, i, j))).collect::<Vec<_>>().join(" + ")
}

fn factor_text(gaussian: &CholeskyGaussian, i: usize, j: usize) -> String {
    let p = format!("param(at + {}u)", gaussian.at(i, j));
    if i == j { format!("exp({p})") } else { p }
}

fn half_square(z: &str, dim: usize) -> String {
    format!("0.5 * ({})", product(z, z, dim))
}

fn product(a: &str, b: &str, dim: usize) -> String {
    (0..dim).map(|i| format!("{a}_{i} * {b}_{i}")).collect::<Vec<_>>().join(" + ")
}

/// WGSL of what an adjoint of z_j, `a_j`, and one of w_j, `b_j`, add to the gradient in L_ij, i ≥ j.
fn factor_grad_text(gaussian: &CholeskyGaussian, i: usize, j: usize) -> String {
    let scale = if i == j { format!("{} * ", factor_text(gaussian, i, i)) } else { String::new() };
    format!("    add_param_grad(at + {}u, {scale}(a_{j} * z_{i}_of + b_{j} * w_{i}_of));\n", gaussian.at(i, j))
}

impl Trainable for CholeskyGaussian {
    fn blocks(&self) -> Vec<Block> {
        let below = self.dim * (self.dim - 1) / 2;
        vec![
            Block::new("mean", [self.dim], false),
            Block::new("log_diagonal", [self.dim], false),
            Block::new("lower", [below], false),
        ]
    }

    fn with_params(&self, params: &[f32]) -> Result<Arc<dyn Trainable>> {
        Ok(Arc::new(self.reparametrised(params)?))
    }

    fn compose_jets(&self, program: &mut Composer) -> Result<Option<Call>> {
        let dim = self.dim;
        if dim > MOST_WRITTEN {
            program.runs_over_params();
            program.add("cholesky_gaussian_jets", include_str!("../../shaders/train/cholesky_gaussian.wgsl"))?;
            return Ok(Some(Call::new("cholesky_gaussian_jets", &[])));
        }
        let stem = format!("cholesky_gaussian_jets_{dim}");
        let body = whitened_text(self, "x", "z", true) + &whitened_text(self, "v", "w", false);
        let jet = format!(
            "{body}    return vec3<f32>({}, {}, {});\n",
            half_square("z", dim),
            product("z", "w", dim),
            product("w", "w", dim)
        );
        let mut reverse = body;
        for j in 0..dim {
            let _ = writeln!(reverse, "    let a_{j} = adjoints.x * z_{j} + adjoints.y * w_{j};");
            let _ = writeln!(reverse, "    let b_{j} = adjoints.y * z_{j} + 2.0 * adjoints.z * w_{j};");
        }
        for i in 0..dim {
            let _ = writeln!(reverse, "    add_param_grad(at + {i}u, -({}));", unwhitened_text(self, "a", i));
        }
        reverse.extend((0..dim).flat_map(|j| (j..dim).map(move |i| factor_grad_text(self, i, j))));
        program.add(&stem, &jets_text(&stem, &jet, &reverse))?;
        Ok(Some(Call::new(stem, &[])))
    }

    fn jet(&self, params: &[f64], x: &[f64], v: &[f64], order: Order) -> [f64; 3] {
        let z = self.whiten(params, &self.centre(params, x));
        let value = 0.5 * dot(&z, &z);
        if order == Order::Value {
            return [value, 0.0, 0.0];
        }
        let w = self.whiten(params, v);
        [value, dot(&z, &w), dot(&w, &w)]
    }

    fn jet_param_grad(&self, params: &[f64], x: &[f64], v: &[f64], adjoints: [f64; 3], grad: &mut [f64]) {
        let [by_value, by_slope, by_curvature] = adjoints;
        let y = self.centre(params, x);
        let z = self.whiten(params, &y);
        let still = vec![0.0; self.dim];
        let v = if v.is_empty() { &still } else { v };
        let w = self.whiten(params, v);
        for j in 0..self.dim {
            let by_z = by_value * z[j] + by_slope * w[j];
            let by_w = by_slope * z[j] + 2.0 * by_curvature * w[j];
            for i in j..self.dim {
                let factor = self.factor(params, i, j);
                grad[i] -= factor * by_z;
                let own = by_z * y[i] + by_w * v[i];
                grad[self.at(i, j)] += if i == j { factor * own } else { own };
            }
        }
    }
}
