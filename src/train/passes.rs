//! What training needs of an energy: jets along a direction, and their reverse.

use std::{fmt::Debug, sync::Arc};

use rayon::prelude::*;

use super::jet_passes::JetPasses;
use crate::{
    Backend, Error, Result,
    energy::{Call, Energy, Params},
    error::all_finite,
    net::Langevin,
    program::Composer,
};

/// Points that one thread sums up together: sums have a fixed order, so the same parameters come out twice.
const BATCH: usize = 64;

/// Derivatives of φ(t) = E(x + t v) at t = 0 that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// φ = E(x) alone; there is no direction.
    Value,
    /// Also φ′ = v·∇E.
    Slope,
    /// Also φ″ = vᵀ∇²E v.
    Curvature,
}

/// φ, φ′, φ″, one a point each; empty beyond the order asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Jets {
    /// φ = E(x).
    pub values: Vec<f64>,
    /// φ′ = v·∇E.
    pub slopes: Vec<f64>,
    /// φ″ = vᵀ∇²E v.
    pub curvatures: Vec<f64>,
}

/// ∂L/∂φ, ∂L/∂φ′, ∂L/∂φ″, one a point each; empty means zero.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Adjoints {
    /// ∂L/∂φ.
    pub values: Vec<f64>,
    /// ∂L/∂φ′.
    pub slopes: Vec<f64>,
    /// ∂L/∂φ″.
    pub curvatures: Vec<f64>,
}

impl Adjoints {
    /// Those of one point, zero where there are none.
    pub fn of(&self, point: usize) -> [f64; 3] {
        [&self.values, &self.slopes, &self.curvatures].map(|all| all.get(point).copied().unwrap_or(0.0))
    }

    /// Checks that each is empty or has one number a point.
    ///
    /// # Errors
    /// [`Error::Shape`] where it does not.
    pub fn check(&self, points: usize) -> Result<()> {
        let all = [&self.values, &self.slopes, &self.curvatures];
        match all.into_iter().find(|all| !all.is_empty() && all.len() != points) {
            None => Ok(()),
            Some(all) => Err(Error::shape("adjoints, one a point", points, all.len())),
        }
    }
}

/// Batched passes over a trainable energy: in f64 a point at a time ([`PointPasses`]), in f32 elsewhere.
pub trait Passes: Send + Debug {
    /// Replaces the parameters; the points of the last [`jets`](Self::jets) are forgotten.
    ///
    /// # Errors
    /// [`Error::Shape`] where their number is wrong; errors of the device.
    fn set_params(&mut self, params: &[f32]) -> Result<()>;

    /// E, and ∇E as `[dim][point]`, at x, `[dim][point]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where x is no multiple of the dimension; errors of the device.
    fn energy_and_grad(&mut self, x: &[f32]) -> Result<(Vec<f64>, Vec<f32>)>;

    /// Jets at x, `[dim][point]`, along v of the same shape (empty for [`Order::Value`]). Keeps what the reverse pass needs. Slopes at
    /// points that [`energy_and_grad`](Self::energy_and_grad) had just before may be had more cheaply than others.
    ///
    /// # Errors
    /// As [`energy_and_grad`](Self::energy_and_grad).
    fn jets(&mut self, x: &[f32], v: &[f32], order: Order) -> Result<Jets>;

    /// ∂L/∂params, summed over the points, from the adjoints of the jets of the last call of [`jets`](Self::jets).
    ///
    /// # Errors
    /// [`Error::Shape`] where the adjoints are not one a point of that call; errors of the device.
    fn param_grad(&mut self, adjoints: &Adjoints) -> Result<Vec<f64>>;
}

/// A block of parameters: one tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its name, as PyTorch users expect it (`layers.0.weight`).
    pub name: String,
    /// Its shape, row by row; the product is its length.
    pub shape: Vec<usize>,
    /// Whether weight decay pulls it to zero.
    pub decays: bool,
}

impl Block {
    /// A block that decays or not.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>, decays: bool) -> Self {
        Self { name: name.into(), shape: shape.into(), decays }
    }

    /// Its number of parameters.
    pub fn count(&self) -> usize {
        self.shape.iter().fold(1, |count, &side| count.saturating_mul(side))
    }
}

/// An energy that can be trained.
///
/// The jets take parameters in f64, so that they can be checked against finite differences; they must agree with the energy at
/// parameters that are exact in f32.
pub trait Trainable: Energy {
    /// The blocks of the parameters, in the order of [`Energy::params`] and together all of them.
    fn blocks(&self) -> Vec<Block>;

    /// The same energy with other parameters.
    ///
    /// # Errors
    /// [`Error::Shape`] where their number is wrong; [`Error::Setting`] where one is not finite.
    fn with_params(&self, params: &[f32]) -> Result<Arc<dyn Trainable>>;

    /// (φ, φ′, φ″) at x along v in f64; what is beyond the order is not read. For [`Order::Value`] v may be empty.
    fn jet(&self, params: &[f64], x: &[f64], v: &[f64], order: Order) -> [f64; 3];

    /// Adds ∂L/∂params of one point to `grad`, given the adjoints of (φ, φ′, φ″) at x along v. Where only the first is not zero, v may
    /// be empty.
    fn jet_param_grad(&self, params: &[f64], x: &[f64], v: &[f64], adjoints: [f64; 3], grad: &mut [f64]);

    /// Adds the WGSL of the jets to a program that has the text of the energy itself, and says how to call it
    /// (`jet`, `jet_param_grad`); then [`passes`] run on a GPU. None where the energy has no jets in WGSL.
    ///
    /// The text declares two functions, the twins of [`jet`](Self::jet) and [`jet_param_grad`](Self::jet_param_grad), which stand on
    /// what every energy stands on (shaders/point.wgsl, shaders/value.wgsl) and, the second, on `add_param_grad(i, value)` and
    /// `add_param_grad_lane(i, block, value)`, which add to the gradient in parameter i, or in a block of DIM parameters from i on:
    ///
    /// ```wgsl
    /// fn valley_jet(at: u32, x: ptr<function, Point>, v: ptr<function, Point>) -> vec3<f32>
    /// fn valley_jet_param_grad(at: u32, x: ptr<function, Point>, v: ptr<function, Point>, adjoints: vec3<f32>)
    /// ```
    ///
    /// # Errors
    /// [`Error::Shader`] where a part is refused.
    fn compose_jets(&self, _program: &mut Composer) -> Result<Option<Call>> {
        Ok(None)
    }

    /// Batched passes of its own, where they are better than those of [`passes`].
    ///
    /// # Errors
    /// Errors of the device.
    fn own_passes(&self, _backend: &Backend) -> Result<Option<Box<dyn Passes>>> {
        Ok(None)
    }

    /// Langevin chains of its own, where they are better than the engine's.
    fn own_langevin(&self, _backend: &Backend) -> Option<Langevin> {
        None
    }
}

/// Batched passes over an energy on a backend: its own ones, else those over its jets in WGSL where the backend is a GPU, else a point
/// at a time on the CPU ([`PointPasses`]). A network's own go over its layers: on a GPU, and on the CPU's threads in f32 where there is
/// none or one in software ([`Mlp::passes_on_gpu`](crate::net::Mlp::passes_on_gpu) and
/// [`passes_on_threads`](crate::net::Mlp::passes_on_threads) ask for one of them). On software Vulkan the CPU also has the other
/// energies that it is faster at: of more than 32 coordinates or 256 parameters, and of parameters that are read in loops
/// ([`Program::training`](crate::Program::training)).
///
/// # Errors
/// [`Error::Shader`] where the jets' text is wrong; errors of the device.
pub fn passes(target: &Arc<dyn Trainable>, backend: &Backend) -> Result<Box<dyn Passes>> {
    if let Some(own) = target.own_passes(backend)? {
        return Ok(own);
    }
    if let Some(gpu) = backend.gpu()
        && let Some(passes) = JetPasses::new(gpu, &**target)?
    {
        return Ok(Box::new(passes));
    }
    Ok(Box::new(PointPasses::new(target.clone())))
}

/// As many finite numbers as there are parameters.
pub(crate) fn check_params(what: &str, expected: usize, params: &[f32]) -> Result<()> {
    if params.len() != expected {
        return Err(Error::shape(format!("parameters of the {what}"), expected, params.len()));
    }
    all_finite(params, |at| format!("parameter {at} of the {what}"))
}

/// The number of points of x, `[dim][point]`, along v.
pub(crate) fn check_points(dim: usize, x: &[f32], v: &[f32], order: Order) -> Result<usize> {
    if x.is_empty() || !x.len().is_multiple_of(dim) {
        return Err(Error::shape("points ([dim][point])", x.len().div_ceil(dim).max(1) * dim, x.len()));
    }
    let expected = if order == Order::Value { 0 } else { x.len() };
    if v.len() != expected {
        return Err(Error::shape("directions ([dim][point])", expected, v.len()));
    }
    Ok(x.len() / dim)
}

/// The passes over any trainable energy in f64, a point at a time by its jets: the truth that other passes are tested against, and what
/// the CPU runs where nothing is faster.
///
/// A batch is exactly the sum of its points; threads take points in parallel.
#[derive(Debug)]
pub struct PointPasses {
    target: Arc<dyn Trainable>,
    params: Vec<f32>,
    wide_params: Vec<f64>,
    /// Points and directions of the last jets, `[point][dim]`; no directions where only values were asked for.
    x: Vec<f64>,
    v: Vec<f64>,
}

impl PointPasses {
    /// The passes over an energy, with its parameters.
    pub fn new(target: Arc<dyn Trainable>) -> Self {
        let params = target.params();
        let wide_params = params.iter().map(|&p| f64::from(p)).collect();
        Self { target, params, wide_params, x: Vec::new(), v: Vec::new() }
    }

    fn direction(&self, point: usize) -> &[f64] {
        let dim = self.target.dim();
        self.v.get(point * dim..(point + 1) * dim).unwrap_or(&[])
    }
}

/// `[dim][point]` in f32 as `[point][dim]` in f64.
fn by_point(values: &[f32], dim: usize) -> Vec<f64> {
    let points = values.len() / dim;
    (0..values.len()).map(|i| f64::from(values[i % dim * points + i / dim])).collect()
}

impl Passes for PointPasses {
    fn set_params(&mut self, params: &[f32]) -> Result<()> {
        check_params("energy", self.params.len(), params)?;
        self.params.copy_from_slice(params);
        self.wide_params = params.iter().map(|&p| f64::from(p)).collect();
        (self.x, self.v) = (Vec::new(), Vec::new());
        Ok(())
    }

    fn energy_and_grad(&mut self, x: &[f32]) -> Result<(Vec<f64>, Vec<f32>)> {
        let dim = self.target.dim();
        let points = check_points(dim, x, &[], Order::Value)?;
        let (x, params) = (by_point(x, dim), Params::new(&self.params));
        let mut grads = vec![0.0; x.len()];
        let work = x.par_chunks(dim).zip(grads.par_chunks_mut(dim));
        let energies = work.map(|(x, grad)| self.target.energy_and_grad(params, x, grad)).collect();
        Ok((energies, (0..x.len()).map(|i| grads[i % points * dim + i / points] as f32).collect()))
    }

    fn jets(&mut self, x: &[f32], v: &[f32], order: Order) -> Result<Jets> {
        let dim = self.target.dim();
        let points = check_points(dim, x, v, order)?;
        (self.x, self.v) = (by_point(x, dim), by_point(v, dim));
        let jet =
            |point: usize| self.target.jet(&self.wide_params, &self.x[point * dim..][..dim], self.direction(point), order);
        let jets: Vec<_> = (0..points).into_par_iter().map(jet).collect();
        let each = |i: usize, wanted: bool| if wanted { jets.iter().map(|jet| jet[i]).collect() } else { Vec::new() };
        Ok(Jets {
            values: each(0, true),
            slopes: each(1, order >= Order::Slope),
            curvatures: each(2, order == Order::Curvature),
        })
    }

    fn param_grad(&mut self, adjoints: &Adjoints) -> Result<Vec<f64>> {
        let dim = self.target.dim();
        adjoints.check(self.x.len() / dim)?;
        let of_batch = |(batch, points): (usize, &[f64])| {
            let mut grad = vec![0.0; self.params.len()];
            for (i, x) in points.chunks(dim).enumerate() {
                let point = batch * BATCH + i;
                let given = adjoints.of(point);
                if given != [0.0; 3] {
                    self.target.jet_param_grad(&self.wide_params, x, self.direction(point), given, &mut grad);
                }
            }
            grad
        };
        let batches: Vec<_> = self.x.par_chunks(BATCH * dim).enumerate().map(of_batch).collect();
        let mut grad = vec![0.0; self.params.len()];
        for batch in batches {
            grad.iter_mut().zip(batch).for_each(|(sum, part)| *sum += part);
        }
        Ok(grad)
    }
}
