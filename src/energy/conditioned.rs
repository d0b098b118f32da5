//! An energy with some of its coordinates held: the conditional of the others.

use std::{fmt::Write as _, sync::Arc};

use super::{
    Call, Energy, Params,
    compose::{add_generated, unconstrained},
};
use crate::{
    Error, Result,
    error::{countable, finite},
    program::{Composer, lanes},
    random::{Draws, Stream, key},
};

/// E(x) as a function of some coordinates, the free ones, with the others held at values: the energy of the conditional density
/// p(x_free | x_held) ∝ exp(−E(x_free, x_held)/T).
///
/// It is an energy of as many dimensions as there are free coordinates, which keep their order. With [`whole`](Self::whole) its positions
/// come back into the coordinates of E. A chain is run by one invocation in any dimension. It has noise levels only
/// [`with_noise`](Self::with_noise).
///
/// Parameters: the values that are held, in the order of their coordinates, their noise z where there is one, then those of E.
///
/// ```
/// # use ergodic::energy::{Compose, Energy, Gaussian, Params};
/// let joint = Gaussian::full([0.0, 1.0], &[2.0, 0.6, 0.6, 1.0])?;
/// let given = joint.condition([(1, 2.0)])?;
/// assert_eq!((given.dim(), given.free()), (1, &[0][..]));
/// // The mean of x₀ is 0 + 0.6 / 1.0 (2 − 1).
/// let mut grad = [1.0];
/// given.energy_and_grad(Params::new(&given.params()), &[0.6], &mut grad);
/// assert!(grad[0].abs() < 1e-6);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Conditioned {
    energy: Arc<dyn Energy>,
    free: Vec<usize>,
    /// Coordinates and their values, by coordinate.
    held: Vec<(usize, f32)>,
    /// z of each value that is held, or none at all.
    noise: Vec<f32>,
}

impl Conditioned {
    /// With these coordinates of `energy` held at these values.
    ///
    /// # Errors
    /// [`Error::Setting`] where a coordinate is none of the energy's or stands there twice, where a value is not finite, or where no
    /// coordinate is left free; [`Error::Limit`] beyond 2²⁴ dimensions; [`Error::Unsupported`] where the energy is constrained.
    pub fn new(energy: Arc<dyn Energy>, held: impl IntoIterator<Item = (usize, f64)>) -> Result<Self> {
        unconstrained("conditioned energy", std::slice::from_ref(&energy))?;
        let dim = countable("dimension of the conditioned energy", energy.dim())?;
        let mut values = vec![None; dim];
        for (coordinate, value) in held {
            let name = "coordinate that is held";
            let Some(place) = values.get_mut(coordinate) else {
                return Err(Error::setting(
                    name,
                    coordinate,
                    format!("must be below {dim}, the dimension of {}", energy.name()),
                ));
            };
            let value = finite(&format!("value at which coordinate {coordinate} is held"), value)? as f32;
            if place.replace(value).is_some() {
                return Err(Error::setting(name, coordinate, "must be held at one value"));
            }
        }
        let held: Vec<_> = (0..dim).filter_map(|i| Some((i, values[i]?))).collect();
        let free: Vec<_> = (0..dim).filter(|&i| values[i].is_none()).collect();
        match free.is_empty() {
            true => Err(Error::setting("coordinates that are held", dim, "must leave at least one free")),
            false => Ok(Self { energy, free, held, noise: Vec::new() }),
        }
    }

    /// Also at noise levels, of an E that has them: at σ the coordinates are held at v + σz, z being standard normals of this seed. With
    /// p_σ for the density p convolved with N(0, σ²I) the energy at σ is that of p_σ(x_free | v + σz), which goes to p(x_free | v) with σ:
    /// what annealed Langevin dynamics needs for inpainting (Song and Ermon 2019, appendix B.3). It is not the convolution of the
    /// conditional, so a reverse process of a diffusion on it is no exact one.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where E has no noise levels.
    pub fn with_noise(self, seed: u64) -> Result<Self> {
        if !self.energy.has_noise_levels() {
            return Err(Error::Unsupported(format!("{} has no noise levels; condition it without noise", self.energy.name())));
        }
        let mut noise = vec![0.0; self.held.len()];
        Draws::new(key(seed, Stream::Forward, u64::MAX), 0, 0).normals(0, &mut noise);
        Ok(Self { noise: noise.into_iter().map(|z| z as f32).collect(), ..self })
    }

    /// The coordinates of E that are free, in their order.
    pub fn free(&self) -> &[usize] {
        &self.free
    }

    /// Positions of E, `[dim of E][chain]`, from those of the free coordinates, `[dim][chain]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the positions are no multiple of the dimension.
    pub fn whole(&self, positions: &[f32]) -> Result<Vec<f32>> {
        let dim = self.free.len();
        if !positions.len().is_multiple_of(dim) {
            let expected = positions.len().next_multiple_of(dim);
            return Err(Error::shape("positions of the free coordinates ([dim][chain])", expected, positions.len()));
        }
        let chains = positions.len() / dim;
        let mut whole = vec![0.0; self.energy.dim() * chains];
        for (row, &i) in self.free.iter().enumerate() {
            whole[i * chains..][..chains].copy_from_slice(&positions[row * chains..][..chains]);
        }
        for &(i, value) in &self.held {
            whole[i * chains..][..chains].fill(value);
        }
        Ok(whole)
    }

    fn join(&self, params: Params<'_>, x: &[f64]) -> Vec<f64> {
        let mut whole = vec![0.0; self.energy.dim()];
        self.free.iter().zip(x).for_each(|(&i, &x)| whole[i] = x);
        let sigma = params.noise_variance().sqrt();
        for (at, &(i, _)) in self.held.iter().enumerate() {
            let noise = if self.noise.is_empty() { 0.0 } else { params.get(self.held.len() + at) };
            whole[i] = params.get(at) + sigma * noise;
        }
        whole
    }

    /// The parameters of E.
    fn own<'a>(&self, params: Params<'a>) -> Params<'a> {
        params.from(self.held.len() + self.noise.len())
    }

    /// WGSL of lanes of `dim` coordinates, `of(i)` being the expression of one.
    fn lanes_text(to: &str, lane: &str, dim: usize, of: impl Fn(usize) -> String) -> String {
        let (width, blocks) = lanes(dim);
        (0..blocks).fold(String::new(), |mut text, b| {
            let own = (b * width..(b + 1) * width).map(|i| if i < dim { of(i) } else { "0.0".into() });
            let _ = writeln!(text, "    {to}[{b}] = {lane}({});", own.collect::<Vec<_>>().join(", "));
            text
        })
    }
}

impl Energy for Conditioned {
    fn name(&self) -> String {
        format!("{} given {} of {} coordinates", self.energy.name(), self.held.len(), self.energy.dim())
    }

    fn dim(&self) -> usize {
        self.free.len()
    }

    fn params(&self) -> Vec<f32> {
        [self.held.iter().map(|&(_, value)| value).collect(), self.noise.clone(), self.energy.params()].concat()
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        let (dim, whole_dim) = (self.free.len(), self.energy.dim());
        let inner = program.embed(&*self.energy)?;
        let (point, lane) = (inner.own("Point"), inner.own("Lane"));
        let component = |of: &str, dim: usize, i: usize| format!("{of}[{}][{}]", i / lanes(dim).0, i % lanes(dim).0);
        let mut sources = vec![String::new(); whole_dim];
        self.free.iter().enumerate().for_each(|(at, &i)| sources[i] = component("(*x)", dim, at));
        for (at, &(i, _)) in self.held.iter().enumerate() {
            let noise =
                if self.noise.is_empty() { String::new() } else { format!(" + sigma * param(at + {}u)", self.held.len() + at) };
            sources[i] = format!("param(at + {at}u){noise}");
        }
        let sigma = if self.noise.is_empty() { "" } else { "    let sigma = sqrt(noise_variance);\n" };
        let join =
            format!("{sigma}    var whole: {point};\n") + &Self::lanes_text("whole", &lane, whole_dim, |i| sources[i].clone());
        let split = Self::lanes_text("(*grad)", "Lane", dim, |i| component("whole_grad", whole_dim, self.free[i]));
        let at = format!("at + {}u", self.held.len() + self.noise.len());
        add_generated(
            program,
            "conditioned",
            &format!("{join}    return {};\n", inner.call.energy(&at, "&whole")),
            &format!(
                "{join}    var whole_grad: {point};\n    let e = {};\n{split}    return e;\n",
                inner.call.energy_and_grad(&at, "&whole", "&whole_grad")
            ),
        )
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        self.energy.energy(self.own(params), &self.join(params, x))
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let mut whole = vec![0.0; self.energy.dim()];
        let energy = self.energy.energy_and_grad(self.own(params), &self.join(params, x), &mut whole);
        grad.iter_mut().zip(&self.free).for_each(|(g, &i)| *g = whole[i]);
        energy
    }

    fn has_noise_levels(&self) -> bool {
        !self.noise.is_empty()
    }

    fn has_values(&self) -> bool {
        self.energy.has_values()
    }

    fn needs_noise(&self) -> bool {
        self.energy.needs_noise()
    }

    fn has_twin(&self) -> bool {
        self.energy.has_twin()
    }

    fn check_gradient(&self) -> bool {
        self.energy.check_gradient()
    }
}
