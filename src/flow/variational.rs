//! Variational training: a flow that comes to an energy's density from the energy alone.

use std::sync::Arc;

use rayon::prelude::*;

use super::{
    Flow, Pass, Training,
    descent::{Descent, means},
};
use crate::{
    Error, Result,
    energy::{Energy, Params},
};

/// A flow q in training on an energy alone: minimises the free energy F = ⟨E⟩ − H(q) = ⟨E + log q⟩ over q, through x = f(z)
/// (Rezende and Mohamed 2015). F is −ln Z + KL(q ‖ p), so −F is a bound of ln Z from below, and exact where q is p.
///
/// The divergence is that of the flow from the energy, which forgives modes that the flow leaves out. The energy is evaluated in f64
/// by its twin.
///
/// ```
/// # use ergodic::{energy::Gaussian, flow::{Flow, Training, Variational}, train::Optimizer};
/// let target = Gaussian::diagonal([1.0, 0.0], &[0.5, 2.0])?;              // ln Z = ln 2π
/// let settings = Training { optimizer: Optimizer::adam(0.02), ..Default::default() };
/// let mut trainer = Variational::new(target, Flow::new(2, 2, 4, 1)?, settings)?;
/// trainer.advance(300)?;
/// assert!((trainer.advance(10)? + std::f64::consts::TAU.ln()).abs() < 0.02);
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug)]
pub struct Variational {
    pub(super) settings: Training,
    pub(super) energy: Arc<dyn Energy>,
    pub(super) flow: Flow,
    pub(super) descent: Descent,
}

impl Variational {
    /// Starts to train a flow.
    ///
    /// # Errors
    /// [`Error::Shape`] where the dimensions differ; [`Error::Setting`] where a setting is outside of its range;
    /// [`Error::Unsupported`] where the energy has no f64 twin.
    pub fn new(energy: impl Energy + 'static, flow: Flow, settings: Training) -> Result<Self> {
        let descent = settings.descent(&flow)?;
        if energy.dim() != flow.dim() {
            return Err(Error::shape("coordinates of the flow", energy.dim(), flow.dim()));
        }
        if !energy.has_twin() {
            let name = energy.name();
            return Err(Error::Unsupported(format!("{name} is given as WGSL text alone; a flow is trained on its f64 twin")));
        }
        Ok(Self { settings, energy: Arc::new(energy), flow, descent })
    }

    /// The flow as it is now.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Updates so far.
    pub fn updates(&self) -> u64 {
        self.descent.memory.steps
    }

    /// Updates by batches of the flow's draws; the mean F of the batches, each before its update.
    ///
    /// # Errors
    /// [`Error::Setting`] where the parameters would leave the finite range, or where the energy of a draw is not finite (the state is
    /// then that before this update).
    pub fn advance(&mut self, updates: u64) -> Result<f64> {
        Ok(means(updates, || self.update())?[0])
    }

    fn update(&mut self) -> Result<[f64; 1]> {
        let pass =
            self.flow.forward_in_training(&self.flow.base(self.settings.batch, self.settings.seed, self.updates())?)?;
        let (energies, pulls) = at(&*self.energy, &pass.mapped.positions);
        let (free_energy, moved, descent) = descend(&pass, &energies, &pulls, &self.descent)?;
        self.flow.set_params(&moved)?;
        self.descent = descent;
        Ok([free_energy])
    }
}

/// E and ∇E, `[dim][point]`, in f64.
fn at(energy: &dyn Energy, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (dim, values) = (energy.dim(), energy.params());
    let count = x.len() / dim;
    let one = |p: usize| {
        let x: Vec<_> = (0..dim).map(|i| x[i * count + p]).collect();
        let mut grad = vec![0.0; dim];
        (energy.energy_and_grad(Params::new(&values), &x, &mut grad), grad)
    };
    let (energies, grads): (Vec<_>, Vec<_>) = (0..count).into_par_iter().map(one).unzip();
    (energies, (0..dim).flat_map(|i| grads.iter().map(move |grad| grad[i])).collect())
}

/// A step down F, given E and ∇E at the draws: F, and the parameters and optimiser after it.
pub(super) fn descend(pass: &Pass<'_>, energies: &[f64], pulls: &[f64], descent: &Descent) -> Result<(f64, Vec<f32>, Descent)> {
    let n = energies.len() as f64;
    let free_energy = energies.iter().zip(pass.log_densities()).map(|(e, q)| e + q).sum::<f64>() / n;
    // log q(f(z)) = log N(z) − log-determinant.
    let by_x: Vec<_> = pulls.iter().map(|g| g / n).collect();
    let grad = pass.reverse(&by_x, &vec![-n.recip(); energies.len()])?.params;
    let (moved, descent) = descent.step(pass.flow().params(), free_energy, &grad)?;
    Ok((free_energy, moved, descent))
}
