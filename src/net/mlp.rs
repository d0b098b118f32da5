//! A multilayer perceptron as an energy.

use std::sync::Arc;

use super::{Activation, Langevin, Network, fused, network::Tape, passes::GpuPasses, product::Form, threads::ThreadPasses};
use crate::{
    Backend, Error, Gpu, Result,
    energy::{Call, Energy, Params},
    error::finite,
    program::Composer,
    train::{Block, Order, Passes, Trainable, check_params},
};

/// E(x) = f(x) + ½ c ‖x‖² with a fully connected network f of one output and a confinement c ≥ 0.
///
/// Without confinement ∫ exp(−E) need not be finite: f grows linearly, and may fall. Parameters: those of the network, layer by
/// layer, the weights `[output][input]` before the biases; c is no parameter.
///
/// ```
/// # use ergodic::{energy::Energy, net::{Activation, Mlp}};
/// let target = Mlp::new(2, &[128, 128], Activation::Silu, 7)?.confined(0.1)?;
/// assert_eq!(target.params().len(), 2 * 128 + 128 + 128 * 128 + 128 + 128 + 1);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Mlp {
    network: Network,
    params: Vec<f32>,
    confinement: f32,
}

impl Mlp {
    /// A network from `dim` inputs through `hidden` layers to one output, with PyTorch's initial parameters drawn from a seed
    /// ([`Network::init`]).
    ///
    /// # Errors
    /// [`Error::Setting`] where there is no hidden layer, or a size is zero; [`Error::Limit`] of more than 2²⁴ parameters.
    pub fn new(dim: usize, hidden: &[usize], activation: Activation, seed: u64) -> Result<Self> {
        let sizes: Vec<_> = std::iter::once(dim).chain(hidden.iter().copied()).chain([1]).collect();
        let network = Network::new(sizes, activation)?;
        let params = network.init(seed);
        Ok(Self { network, params, confinement: 0.0 })
    }

    /// With the confinement ½ c ‖x‖², c ≥ 0.
    ///
    /// # Errors
    /// [`Error::Setting`] where c is negative or not finite.
    pub fn confined(self, c: f64) -> Result<Self> {
        let name = "confinement of the network";
        if c < 0.0 {
            return Err(Error::setting(name, c, "must be 0 or above"));
        }
        Ok(Self { confinement: finite(name, c)? as f32, ..self })
    }

    /// The same network with other parameters, in the same order.
    ///
    /// # Errors
    /// [`Error::Shape`] where their number is another; [`Error::Setting`] where one is not finite.
    pub fn with_params(&self, params: &[f32]) -> Result<Self> {
        check_params("network", self.params.len(), params)?;
        Ok(Self { params: params.to_vec(), ..self.clone() })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The confinement c.
    pub fn confinement(&self) -> f64 {
        f64::from(self.confinement)
    }

    /// The passes of training over the layers on a GPU, a software one too.
    pub fn passes_on_gpu(&self, gpu: &Gpu) -> Box<dyn Passes> {
        Box::new(GpuPasses::new(gpu, self, Form::of(gpu)))
    }

    /// The passes of training over the layers on the CPU's threads, in f32: the same bits twice, and for any number of threads.
    pub fn passes_on_threads(&self) -> Box<dyn Passes> {
        Box::new(ThreadPasses::new(self))
    }

    /// The network's tape at x along v, up to an order.
    fn tape(&self, param: &impl Fn(usize) -> f64, x: &[f64], v: &[f64], order: Order) -> Tape {
        let slopes = if order >= Order::Slope { v.to_vec() } else { Vec::new() };
        let curvatures = if order >= Order::Curvature { vec![0.0; x.len()] } else { Vec::new() };
        self.network.forward(param, [x.to_vec(), slopes, curvatures])
    }

    /// (φ, φ′, φ″) of φ(t) = E(x + t v): the network's output and the confinement.
    fn jet_of(&self, tape: &Tape, x: &[f64], v: &[f64]) -> [f64; 3] {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let c = self.confinement();
        let confinement = [0.5 * c * dot(x, x), c * dot(x, v), c * dot(v, v)];
        std::array::from_fn(|part| confinement[part] + tape.output()[part].first().copied().unwrap_or(0.0))
    }
}

impl Energy for Mlp {
    fn name(&self) -> String {
        let sizes: Vec<_> = self.network.sizes().iter().map(usize::to_string).collect();
        format!("mlp {} {}", sizes.join("-"), self.network.activation().name())
    }

    fn dim(&self) -> usize {
        self.network.sizes()[0]
    }

    fn params(&self) -> Vec<f32> {
        self.params.clone()
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        fused::compose(&self.network, self.confinement, program)
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        let tape = self.tape(&|i| params.get(i), x, &[], Order::Value);
        self.jet_of(&tape, x, &[])[0]
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let param = |i| params.get(i);
        let tape = self.tape(&param, x, &[], Order::Value);
        let [below, ..] = self.network.reverse(&param, &tape, [vec![1.0], Vec::new(), Vec::new()], None);
        for ((grad, below), x) in grad.iter_mut().zip(below).zip(x) {
            *grad = below + self.confinement() * x;
        }
        self.jet_of(&tape, x, &[])[0]
    }

    fn check_gradient(&self) -> bool {
        false
    }
}

impl Trainable for Mlp {
    /// `layers.<l>.weight` and `layers.<l>.bias`.
    fn blocks(&self) -> Vec<Block> {
        let layer = |layer: usize| {
            let (inputs, outputs) = self.network.shape(layer);
            let block = |what: &str, shape: Vec<usize>, decays| Block::new(format!("layers.{layer}.{what}"), shape, decays);
            [block("weight", vec![outputs, inputs], true), block("bias", vec![outputs], false)]
        };
        (0..self.network.layers()).flat_map(layer).collect()
    }

    fn with_params(&self, params: &[f32]) -> Result<Arc<dyn Trainable>> {
        Ok(Arc::new(Self::with_params(self, params)?))
    }

    fn jet(&self, params: &[f64], x: &[f64], v: &[f64], order: Order) -> [f64; 3] {
        self.jet_of(&self.tape(&|i| params[i], x, v, order), x, v)
    }

    fn jet_param_grad(&self, params: &[f64], x: &[f64], v: &[f64], adjoints: [f64; 3], grad: &mut [f64]) {
        let order = match adjoints {
            [_, 0.0, 0.0] => Order::Value,
            [_, _, 0.0] => Order::Slope,
            _ => Order::Curvature,
        };
        let param = |i: usize| params[i];
        let tape = self.tape(&param, x, v, order);
        let adjoint = std::array::from_fn(|part| if part <= order as usize { vec![adjoints[part]] } else { Vec::new() });
        self.network.reverse(&param, &tape, adjoint, Some(grad));
    }

    /// On a GPU, but for one in software, whose cores are the CPU's and whose shaders are slower than its threads.
    fn own_passes(&self, backend: &Backend) -> Result<Option<Box<dyn Passes>>> {
        Ok(Some(match hardware(backend) {
            Some(gpu) => self.passes_on_gpu(gpu),
            None => self.passes_on_threads(),
        }))
    }

    /// Where [`own_passes`](Self::own_passes) run.
    fn own_langevin(&self, backend: &Backend) -> Option<Langevin> {
        Some(match hardware(backend) {
            Some(gpu) => Langevin::new(gpu, self),
            None => Langevin::on_threads(self),
        })
    }
}

/// The GPU of a backend, unless it is one in software.
fn hardware(backend: &Backend) -> Option<&Gpu> {
    backend.gpu().filter(|gpu| !gpu.is_software())
}
