//! Energies E(x), each of which defines the density p(x) ∝ exp(−E(x)/T).
//!
//! An energy is an immutable formula with a plain slice of f32 parameters beside it, in the order in which the shader reads
//! them. It has two forms that must agree: WGSL functions (`shaders/energy/<stem>.wgsl`) and an f64 twin in Rust.
//!
//! To add one: `src/energy/<stem>.rs`, `shaders/energy/<stem>.wgsl`, a line here, and a row in `tests/common/cases.rs`.

mod ackley;
mod banana;
mod bernoulli;
mod beta;
mod bridge;
mod cholesky_gaussian;
mod compose;
mod conditioned;
mod constrained;
mod convex;
mod dirichlet;
mod double_well;
mod exponential;
mod family;
mod funnel;
mod gamma;
mod gaussian;
mod half_cauchy;
mod himmelblau;
mod inverse_gamma;
mod mixture;
mod poisson;
mod rastrigin;
mod reparametrised;
mod ring;
mod rosenbrock;
mod softmax_mixture;
mod student_t;
mod two_moons;
mod wgsl;
mod whitened;

pub use ackley::Ackley;
pub use banana::Banana;
pub use bernoulli::Bernoulli;
pub use beta::Beta;
pub(crate) use bridge::Bridge;
pub use cholesky_gaussian::CholeskyGaussian;
pub use compose::{Compose, Scaled, Sum};
pub(crate) use compose::{add_generated, add_generated_jets};
pub use conditioned::Conditioned;
pub use constrained::Constrained;
pub use convex::Convex;
pub use dirichlet::Dirichlet;
pub use double_well::DoubleWell;
pub use exponential::Exponential;
pub use funnel::Funnel;
pub use gamma::Gamma;
pub use gaussian::Gaussian;
pub use half_cauchy::HalfCauchy;
pub use himmelblau::Himmelblau;
pub use inverse_gamma::InverseGamma;
pub use mixture::Mixture;
pub use poisson::Poisson;
pub use rastrigin::Rastrigin;
pub(crate) use reparametrised::Reparametrised;
pub use ring::Ring;
pub use rosenbrock::Rosenbrock;
pub use softmax_mixture::SoftmaxMixture;
pub(crate) use softmax_mixture::{LogSumExp, add_log_sum_exp};
pub use student_t::StudentT;
pub use two_moons::TwoMoons;
pub use wgsl::WgslEnergy;
pub(crate) use wgsl::{Kind, Tokens};

use std::sync::Arc;

use crate::{Result, program::Composer, transform::Constraints};

/// The parameters of an energy as its f64 twin sees them.
#[derive(Debug, Clone, Copy)]
pub struct Params<'a> {
    values: &'a [f32],
    noise_variance: f64,
    bridge: f64,
}

impl<'a> Params<'a> {
    /// Parameters with no noise level.
    pub fn new(values: &'a [f32]) -> Self {
        Self { values, noise_variance: 0.0, bridge: 0.0 }
    }

    /// The same parameters at a noise level σ².
    pub fn at_noise(self, noise_variance: f64) -> Self {
        Self { noise_variance, ..self }
    }

    /// The same parameters at β of a bridge between two energies.
    pub(crate) fn at_bridge(self, bridge: f64) -> Self {
        Self { bridge, ..self }
    }

    /// β of a bridge between two energies.
    pub(crate) fn bridge(&self) -> f64 {
        self.bridge
    }

    /// The parameters from index `at` on: those of a part of a composed energy.
    pub fn from(self, at: usize) -> Self {
        Self { values: &self.values[at..], ..self }
    }

    /// Parameter i.
    pub fn get(&self, i: usize) -> f64 {
        f64::from(self.values[i])
    }

    /// σ² of the noise level at which the energy is evaluated; zero but for annealed Langevin dynamics.
    pub fn noise_variance(&self) -> f64 {
        self.noise_variance
    }
}

/// How WGSL calls an energy: `<stem>_energy(<shape>, at, x)` and `<stem>_energy_and_grad(<shape>, at, x, grad)`; and, where these are
/// the functions of [jets](crate::train::Trainable::compose_jets), `<stem>_jet(<shape>, at, x, v)` and
/// `<stem>_jet_param_grad(<shape>, at, x, v, adjoints)`.
///
/// The shape are numbers that the compiler must know (how many components, say); everything else is a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    stem: String,
    shape: String,
}

impl Call {
    /// A call of the functions of `stem`, with a shape of any number of constants.
    pub fn new(stem: impl Into<String>, shape: &[usize]) -> Self {
        Self { stem: stem.into(), shape: shape.iter().map(|n| format!("{n}u, ")).collect() }
    }

    /// The same call, of functions whose names begin with a prefix.
    pub(crate) fn prefixed(self, prefix: &str) -> Self {
        Self { stem: format!("{prefix}_{}", self.stem), ..self }
    }

    /// The expression of the energy of `x` (a pointer) with its parameters from `at` on.
    pub fn energy(&self, at: &str, x: &str) -> String {
        format!("{}_energy({}{at}, {x})", self.stem, self.shape)
    }

    /// The expression of the energy of `x` that also writes its gradient to `grad` (a pointer).
    pub fn energy_and_grad(&self, at: &str, x: &str, grad: &str) -> String {
        format!("{}_energy_and_grad({}{at}, {x}, {grad})", self.stem, self.shape)
    }

    /// The expression of (φ, φ′, φ″) at `x` along `v` (pointers).
    pub fn jet(&self, at: &str, x: &str, v: &str) -> String {
        format!("{}_jet({}{at}, {x}, {v})", self.stem, self.shape)
    }

    /// The call that adds the gradient in the parameters, from the adjoints of the jet at `x` along `v` (pointers).
    pub fn jet_param_grad(&self, at: &str, x: &str, v: &str, adjoints: &str) -> String {
        format!("{}_jet_param_grad({}{at}, {x}, {v}, {adjoints})", self.stem, self.shape)
    }
}

/// An energy E(x), up to a constant, with its gradient, in WGSL and in f64.
pub trait Energy: std::fmt::Debug + Send + Sync {
    /// The name in reports.
    fn name(&self) -> String;

    /// Number of coordinates of x.
    fn dim(&self) -> usize;

    /// The parameters, in the order in which both forms read them.
    fn params(&self) -> Vec<f32>;

    /// Adds the WGSL parts of this energy to a program and says how to call it.
    ///
    /// # Errors
    /// [`Error::Shader`](crate::Error::Shader) where a part is refused.
    fn compose(&self, program: &mut Composer) -> Result<Call>;

    /// E(x) in f64. Infinity is allowed and means: outside of the support.
    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64;

    /// E(x) in f64; writes ∇E(x) to `grad`, of length dim.
    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64;

    /// Whether both forms know the energy of the density convolved with N(0, σ²I), as annealed Langevin dynamics needs.
    fn has_noise_levels(&self) -> bool {
        false
    }

    /// Whether E(x) itself is known. A learned score is a gradient alone: its energy reads zero, and only kernels with noise levels run
    /// on it.
    fn has_values(&self) -> bool {
        true
    }

    /// Whether there is no law without noise, as of an energy that was learned at noise levels: only kernels with noise levels run on it.
    fn needs_noise(&self) -> bool {
        false
    }

    /// ΔE(x) in f64, the sum of the second derivatives, where the energy knows it: what the divergence of a
    /// [probability flow](crate::diffusion::log_likelihood) is made of.
    fn laplacian(&self, params: Params<'_>, x: &[f64]) -> Option<f64> {
        let _ = (params, x);
        None
    }

    /// Whether there is an f64 twin; an energy given as WGSL text alone has none and runs on a GPU only.
    fn has_twin(&self) -> bool {
        true
    }

    /// Whether the WGSL form also works where each of several invocations holds a share of the coordinates, as is done above 32
    /// dimensions (shaders/contract.wgsl): it asks for no coordinate by its number, adds up by `total()`, and returns its part of the
    /// energy. Then the offsets of all parameters that are vectors of DIM numbers, which it reads by `param_lane()`; else none.
    fn spread(&self) -> Option<Vec<usize>> {
        None
    }

    /// How the free coordinates, in which this is the energy, map to positions, where these are not the same.
    fn constraints(&self) -> Option<&Constraints> {
        None
    }

    /// Whether the gradient is compared with differences of the energy before each run. The energies of this crate
    /// are compared once, in its tests.
    fn check_gradient(&self) -> bool {
        true
    }
}

/// What an energy around another one has of it: everything but the parameters.
macro_rules! like_inner {
    ($this:ident => $inner:expr) => {
        fn name(&$this) -> String {
            $inner.name()
        }

        fn dim(&$this) -> usize {
            $inner.dim()
        }

        fn compose(&$this, program: &mut Composer) -> Result<Call> {
            $inner.compose(program)
        }

        fn energy(&$this, params: Params<'_>, x: &[f64]) -> f64 {
            $inner.energy(params, x)
        }

        fn energy_and_grad(&$this, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
            $inner.energy_and_grad(params, x, grad)
        }

        fn has_noise_levels(&$this) -> bool {
            $inner.has_noise_levels()
        }

        fn has_values(&$this) -> bool {
            $inner.has_values()
        }

        fn needs_noise(&$this) -> bool {
            $inner.needs_noise()
        }

        fn laplacian(&$this, params: Params<'_>, x: &[f64]) -> Option<f64> {
            $inner.laplacian(params, x)
        }

        fn has_twin(&$this) -> bool {
            $inner.has_twin()
        }

        fn spread(&$this) -> Option<Vec<usize>> {
            $inner.spread()
        }

        fn constraints(&$this) -> Option<&crate::transform::Constraints> {
            $inner.constraints()
        }

        fn check_gradient(&$this) -> bool {
            $inner.check_gradient()
        }
    };
}
pub(crate) use like_inner;

/// A shared energy is an energy: wherever one is taken by value, an `Arc` of it will do.
impl<E: Energy + ?Sized> Energy for Arc<E> {
    like_inner!(self => (**self));

    fn params(&self) -> Vec<f32> {
        (**self).params()
    }
}
