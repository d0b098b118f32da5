//! A network that predicts noise, as a score or as an energy at every noise level.

use std::fmt::Write as _;

use crate::{
    Error, Result,
    energy::{Call, Energy, Params},
    net::{Activation, Network, Real, fused, network::Jet},
    program::Composer,
};

/// Doublings of the angle that tells the network the noise level.
const DOUBLINGS: usize = 6;

/// A network that predicts the noise ε(x, θ) in x = √ᾱ x₀ + √(1 − ᾱ) z, with the angle θ of cos θ = √ᾱ and sin θ = √(1 − ᾱ) for the time.
///
/// It sees x and the embedding cos 2ᵏθ, sin 2ᵏθ for k = 0, …, 5: for a cosine schedule the sinusoidal embedding of t, for any other a
/// function of t. Its output v(x, θ) stands for cos θ z − sin θ x₀, so that ε = sin θ x + cos θ v (Salimans and Ho 2022): where nearly
/// all of x is noise, what it has not learned hardly matters. As an [`Energy`] it is at each noise level σ = tan θ what the reverse
/// process and annealed Langevin dynamics need, in the coordinates y = x/√ᾱ ([`diffusion`](crate::diffusion)):
///
/// - [`new`](Self::new): `dim` outputs v, and ∇E_σ(y) = ε/σ. The score alone is known; the energy reads zero.
/// - [`energy`](Self::energy): one output u, v = ∇ₓu, E_σ(y) = (½ sin θ ‖x‖² + cos θ u(x, θ))/sin θ, so that ε = σ ∇E_σ(y): relative
///   probabilities stay available, at the price of a reverse pass.
///
/// At σ = 0, where there is no noise to predict, both are zero.
///
/// Parameters: those of [`Network`]. Data should have about unit scale.
#[derive(Debug, Clone)]
pub struct NoiseNetwork {
    network: Network,
    dim: usize,
    params: Vec<f32>,
}

impl NoiseNetwork {
    /// From `dim` coordinates and the embedding through `hidden` layers to `dim` outputs, with initial parameters from a seed.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn new(dim: usize, hidden: &[usize], activation: Activation, seed: u64) -> Result<Self> {
        Self::with_outputs(dim, dim, hidden, activation, seed)
    }

    /// The same with one output, of which an energy is made.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn energy(dim: usize, hidden: &[usize], activation: Activation, seed: u64) -> Result<Self> {
        if dim == 1 {
            // One output would mean two things.
            return Err(Error::setting("dimension of a noise network as an energy", dim, "must be at least 2"));
        }
        Self::with_outputs(dim, 1, hidden, activation, seed)
    }

    fn with_outputs(dim: usize, outputs: usize, hidden: &[usize], activation: Activation, seed: u64) -> Result<Self> {
        if dim == 0 {
            return Err(Error::setting("dimension of the noise network", 0, "must be at least 1"));
        }
        let sizes: Vec<_> =
            [dim.saturating_add(2 * DOUBLINGS)].into_iter().chain(hidden.iter().copied()).chain([outputs]).collect();
        let network = Network::new(sizes, activation)?;
        let params = network.init(seed);
        Ok(Self { network, dim, params })
    }

    /// The same network with other parameters, in the same order.
    ///
    /// # Errors
    /// [`Error::Shape`] where their number is another; [`Error::Setting`] where one is not finite.
    pub fn with_params(&self, params: &[f32]) -> Result<Self> {
        crate::train::check_params("noise network", self.params.len(), params)?;
        Ok(Self { params: params.to_vec(), ..self.clone() })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Whether it is an energy, and no score alone.
    pub fn is_energy(&self) -> bool {
        self.dim > 1 && self.network.sizes()[self.network.layers()] == 1
    }

    /// Appends what the network sees of y at a noise level: √ᾱ y and the embedding.
    pub(super) fn inputs<T: Real>(&self, sigma: f64, y: impl Iterator<Item = f64>, inputs: &mut Vec<T>) {
        let kept = (1.0 + sigma * sigma).sqrt().recip();
        inputs.extend(y.map(|y| T::of(kept * y)));
        let (mut c, mut s) = (kept, sigma * kept);
        for _ in 0..DOUBLINGS {
            inputs.extend([T::of(c), T::of(s)]);
            (c, s) = (c * c - s * s, 2.0 * c * s);
        }
    }

    /// ε of points, `[point][dim]`, from v and what the network saw of them, `[point][unit]`.
    pub(super) fn noises_of<T: Real>(&self, inputs: &[T], mut v: Vec<T>) -> Vec<T> {
        for (v, seen) in v.chunks_exact_mut(self.dim).zip(inputs.chunks_exact(self.network.sizes()[0])) {
            let (c, s) = (seen[self.dim], seen[self.dim + 1]);
            v.iter_mut().zip(seen).for_each(|(v, &x)| *v = s * x + c * *v);
        }
        v
    }

    fn seen(&self, sigma: f64, y: &[f64]) -> Vec<f64> {
        let mut inputs = Vec::new();
        self.inputs(sigma, y.iter().copied(), &mut inputs);
        inputs
    }

    /// ε at y and σ > 0, and E for an energy, else zero.
    fn predict(&self, params: Params<'_>, sigma: f64, y: &[f64]) -> (Vec<f64>, f64) {
        let param = |i: usize| params.get(i);
        let inputs = self.seen(sigma, y);
        let tape = self.network.forward(&param, [inputs.clone(), Vec::new(), Vec::new()]);
        let mut noise = tape.output()[0].clone();
        let mut energy = 0.0;
        if self.is_energy() {
            energy = energy_of(&inputs[..self.dim], sigma, noise[0]);
            [noise, ..] = self.network.reverse(&param, &tape, [vec![1.0], Vec::new(), Vec::new()], None);
            noise.truncate(self.dim);
        }
        (self.noises_of(&inputs, noise), energy)
    }
}

/// E = ½ ‖x‖² + u/tan θ.
fn energy_of(x: &[f64], sigma: f64, u: f64) -> f64 {
    0.5 * x.iter().map(|x| x * x).sum::<f64>() + u / sigma
}

impl Energy for NoiseNetwork {
    fn name(&self) -> String {
        let sizes: Vec<_> = self.network.sizes().iter().map(usize::to_string).collect();
        let kind = if self.is_energy() { "noise energy" } else { "noise network" };
        format!("{kind} {} {}", sizes.join("-"), self.network.activation().name())
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn params(&self) -> Vec<f32> {
        self.params.clone()
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        fused::add_activation(&self.network, program)?;
        let stem = program.unique("noise");
        let mut inputs = "    let sigma = sqrt(noise_variance);\n    let kept = 1.0 / sqrt(1.0 + noise_variance);\n".to_owned();
        for i in 0..self.dim {
            let _ = writeln!(inputs, "    a[{i}] = kept * coordinate(x, {i}u);");
        }
        inputs += "    var c = kept;\n    var s = sigma * kept;\n";
        for k in 0..DOUBLINGS {
            let at = self.dim + 2 * k;
            let _ = writeln!(inputs, "    a[{at}] = c;\n    a[{}] = s;", at + 1);
            inputs += "    { let t = c * c - s * s; s = 2.0 * c * s; c = t; }\n";
        }
        let mut square = "    var square = 0.0;\n".to_owned();
        for i in 0..self.dim {
            let _ = writeln!(square, "    {{ let x{i} = kept * coordinate(x, {i}u); square += x{i} * x{i}; }}");
        }
        if self.is_energy() {
            inputs += &square;
        }
        let energy = |at: &str| match self.is_energy() {
            true => format!("select(0.0, 0.5 * square + {at}[0] / max(sigma, 1e-30), sigma > 0.0)"),
            false => "0.0".into(),
        };
        let (forward, at) = fused::forward(&self.network, &inputs, false);
        let mut text = format!(
            "fn {stem}_energy(at: u32, x: ptr<function, Point>) -> f32 {{\n{forward}    return {};\n}}\n\n",
            energy(at)
        );
        let (forward, at) = fused::forward(&self.network, &inputs, self.is_energy());
        let _ = write!(
            text,
            "fn {stem}_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {{\n{forward}    let e = {};\n",
            energy(at)
        );
        let (reverse, noise) = if self.is_energy() { fused::reverse(&self.network) } else { (String::new(), at) };
        text += &reverse;
        // ε/σ = cos θ x + cos θ v/σ.
        text += "    clear(grad);\n    let on = select(0.0, kept, sigma > 0.0);\n    let scale = on / max(sigma, 1e-30);\n";
        for i in 0..self.dim {
            let _ = writeln!(text, "    set_coordinate(grad, {i}u, on * kept * coordinate(x, {i}u) + scale * {noise}[{i}]);");
        }
        text += "    return e;\n}\n";
        program.add(&stem, &text)?;
        Ok(Call::new(stem, &[]))
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        let sigma = params.noise_variance().sqrt();
        if !self.is_energy() || sigma == 0.0 {
            return 0.0;
        }
        let inputs = self.seen(sigma, x);
        let input: Jet = [inputs.clone(), Vec::new(), Vec::new()];
        let tape = self.network.forward(&|i| params.get(i), input);
        energy_of(&inputs[..self.dim], sigma, tape.output()[0][0])
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let sigma = params.noise_variance().sqrt();
        if sigma == 0.0 {
            grad.fill(0.0);
            return 0.0;
        }
        let (noise, energy) = self.predict(params, sigma, x);
        grad.iter_mut().zip(noise).for_each(|(g, noise)| *g = noise / sigma);
        energy
    }

    fn has_noise_levels(&self) -> bool {
        true
    }

    fn has_values(&self) -> bool {
        self.is_energy()
    }

    fn needs_noise(&self) -> bool {
        true
    }

    /// (√ᾱ/σ) Σᵢ ∂εᵢ/∂xᵢ = √ᾱ (√ᾱ dim + √ᾱ Σᵢ ∂vᵢ/∂xᵢ / σ), by the jets along the axes.
    fn laplacian(&self, params: Params<'_>, x: &[f64]) -> Option<f64> {
        let sigma = params.noise_variance().sqrt();
        if sigma == 0.0 {
            return Some(0.0);
        }
        let inputs = self.seen(sigma, x);
        let along = |i: usize| {
            let mut axis = vec![0.0; inputs.len()];
            axis[i] = 1.0;
            let second = if self.is_energy() { vec![0.0; inputs.len()] } else { Vec::new() };
            let tape = self.network.forward(&|p| params.get(p), [inputs.clone(), axis, second]);
            let output = tape.output();
            if self.is_energy() { output[2][0] } else { output[1][i] }
        };
        let divergence = (0..x.len()).map(along).sum::<f64>();
        Some((x.len() as f64 + divergence / sigma) / (1.0 + sigma * sigma))
    }

    fn check_gradient(&self) -> bool {
        false
    }
}
