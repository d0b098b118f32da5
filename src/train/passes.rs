//! What training needs of an energy: jets along a direction, and their reverse.

use std::{fmt::Debug, sync::Arc};

use super::{jet_passes::JetPasses, point_passes::PointPasses};
use crate::{
    Backend, Error, Result,
    energy::{Call, Energy},
    error::all_finite,
    net::Langevin,
    program::Composer,
};

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

/// Slopes along several directions a point, and curvatures summed up over them; or what a loss changes by with each.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Traces {
    /// v·∇E, `[direction][point]`.
    pub slopes: Vec<f64>,
    /// Σ vᵀ∇²E v over the directions, one a point: of an orthonormal basis, the trace of the Hessian.
    pub curvatures: Vec<f64>,
}

impl Traces {
    /// The number of directions.
    ///
    /// # Errors
    /// [`Error::Shape`] where there is not one curvature for each of so many points, or not one slope for each in each direction.
    pub fn directions(&self, points: usize) -> Result<usize> {
        if points == 0 || self.curvatures.len() != points {
            return Err(Error::shape("curvatures, one a point", points, self.curvatures.len()));
        }
        if self.slopes.is_empty() || !self.slopes.len().is_multiple_of(points) {
            return Err(Error::shape("slopes ([direction][point])", points, self.slopes.len()));
        }
        Ok(self.slopes.len() / points)
    }
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
    /// Coordinates of a point.
    fn dim(&self) -> usize;

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

    /// ∂L/∂params, summed over the points, from the adjoints of the jets of the last call of [`jets`](Self::jets). (After one of
    /// [`traces`](Self::traces) call [`traces_param_grad`](Self::traces_param_grad).)
    ///
    /// # Errors
    /// [`Error::Shape`] where the adjoints are not one a point of that call; errors of the device.
    fn param_grad(&mut self, adjoints: &Adjoints) -> Result<Vec<f64>>;

    /// Slopes at x, `[dim][point]`, along several directions a point, v, `[dim][direction][point]`, and the sums of their curvatures: as by
    /// [`jets`](Self::jets) along each, which it may be cheaper than. Keeps what [`traces_param_grad`](Self::traces_param_grad) needs.
    ///
    /// # Errors
    /// As [`energy_and_grad`](Self::energy_and_grad).
    fn traces(&mut self, x: &[f32], v: &[f32]) -> Result<Traces> {
        let (points, directions) = check_directions(self.dim(), x, v)?;
        let jets = self.jets(&side_by_side(self.dim(), &vec![x; directions]), v, Order::Curvature)?;
        if let Some(traced) = self.traced() {
            *traced = points;
        }
        let mut curvatures = vec![0.0; points];
        for along in jets.curvatures.chunks_exact(points) {
            curvatures.iter_mut().zip(along).for_each(|(sum, curvature)| *sum += curvature);
        }
        Ok(Traces { slopes: jets.slopes, curvatures })
    }

    /// ∂L/∂params, summed over the points, from ∂L/∂ each number of the last call of [`traces`](Self::traces).
    ///
    /// # Errors
    /// [`Error::Shape`] where there are not as many slopes and curvatures as that call returned; [`Error::Unsupported`] where there was none
    /// since the last one of [`set_params`](Self::set_params) or [`jets`](Self::jets); errors of the device.
    fn traces_param_grad(&mut self, adjoints: &Traces) -> Result<Vec<f64>> {
        // Passes that do not note it cannot tell two directions of three points from three of two.
        let points = self.traced().map_or(adjoints.curvatures.len(), |points| *points);
        if points == 0 {
            let why = "call traces first, after the parameters were set, with no call of jets in between";
            return Err(Error::Unsupported(format!("there are no traces to reverse: {why}")));
        }
        let directions = adjoints.directions(points)?;
        let (slopes, curvatures) = (adjoints.slopes.clone(), adjoints.curvatures.repeat(directions));
        self.param_grad(&Adjoints { slopes, curvatures, ..Adjoints::default() })
    }

    /// Where [`traces`](Self::traces) notes its number of points, which [`jets`](Self::jets) and [`set_params`](Self::set_params) set to zero;
    /// none where these passes note nothing, or have `traces` of their own.
    fn traced(&mut self) -> Option<&mut usize> {
        None
    }
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

/// Before any jets, or after other parameters.
pub(crate) fn nothing_to_reverse() -> Error {
    Error::Unsupported("there is nothing to reverse: call jets or traces first, after the parameters were set".into())
}

/// The numbers of points of x, `[dim][point]`, and of directions of v, `[dim][direction][point]`.
pub(crate) fn check_directions(dim: usize, x: &[f32], v: &[f32]) -> Result<(usize, usize)> {
    let points = check_points(dim, x, &[], Order::Value)?;
    if v.is_empty() || !v.len().is_multiple_of(x.len()) {
        let expected = v.len().div_ceil(x.len()).max(1) * x.len();
        return Err(Error::shape("directions ([dim][direction][point])", expected, v.len()));
    }
    Ok((points, v.len() / x.len()))
}

/// Batches, `[dim][point]` each, side by side.
pub(crate) fn side_by_side(dim: usize, batches: &[&[f32]]) -> Vec<f32> {
    let row = |i: usize| {
        batches.iter().flat_map(move |batch| {
            let n = batch.len() / dim;
            &batch[i * n..(i + 1) * n]
        })
    };
    (0..dim).flat_map(row).copied().collect()
}
