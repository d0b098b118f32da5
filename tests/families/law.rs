//! Laws in the coordinates of the user: exact draws stay exact, and independent chains from anywhere come to them.

use std::sync::Arc;

use ergodic::{
    Backend, Result, Start,
    energy::{Compose, Gamma},
    kernel::{Hmc, Kernel, Ladder, Mala, Rwm, Tempering},
    transform::{Log, Transform},
};

use super::{
    common::stats::{ks, p_of_z, smallest, z_of_mean},
    exact::{Family, family},
};

/// Kernels for free coordinates of scale one.
pub(crate) fn kernels() -> Vec<(&'static str, Arc<dyn Kernel>)> {
    vec![("rwm", Arc::new(Rwm::new(1.5))), ("mala", Arc::new(Mala::new(0.4))), ("hmc", Arc::new(Hmc::new(0.4, 5).jitter(2)))]
}

/// The smallest p-value after one transition of exact draws and after three more: of the changes, chain by chain, of u and u² for u the
/// distribution function of a coordinate, and, at the end, of the distance of u from its law, the uniform.
pub(crate) fn moved(backend: &Backend, family: &Family, kernel: Arc<dyn Kernel>, chains: usize) -> Result<(String, f64)> {
    let start = family.draws(chains, 5);
    let setup = backend.chains_of(family.energy.clone(), kernel).count(chains).seed(11);
    let mut run = setup.start(Start::array(start.clone())).build()?;
    let mut found = Vec::new();
    for steps in [1, 3] {
        run.advance(steps)?;
        for (i, (new, old)) in run.positions()?.chunks(chains).zip(start.chunks(chains)).enumerate() {
            let stayed = new.iter().zip(old).filter(|(new, old)| new == old).count();
            if stayed > chains * 9 / 10 {
                found.push((format!("{stayed} of {chains} chains stayed: x[{i}]"), 0.0));
            }
            let (new, old) = (family.uniform(i, new), family.uniform(i, old));
            for power in 1..=2 {
                let change = new.iter().zip(&old).map(|(new, old)| new.powi(power) - old.powi(power));
                found.push((format!("u[{i}]^{power} after {} steps", run.steps()), p_of_z(z_of_mean(change, 0.0))));
            }
            if steps == 3 {
                found.push((format!("the law of x[{i}]"), ks(&new, |u| u)));
            }
        }
    }
    if run.report().failed_transitions() > 0 {
        found.push(("transitions failed: their number".into(), 0.0));
    }
    Ok(smallest(found))
}

/// The smallest p-value of the law of each coordinate over independent chains after so many transitions, from a standard normal in free
/// coordinates on; of ladders, of the coldest chains.
pub(crate) fn came(
    backend: &Backend,
    family: &Family,
    kernel: Arc<dyn Kernel>,
    chains: usize,
    steps: u64,
) -> Result<(String, f64)> {
    let rungs = kernel.ladder().map_or(1, |ladder| ladder.rungs());
    let mut run = backend.chains_of(family.energy.clone(), kernel).count(chains).seed(23).build()?;
    run.advance(steps)?;
    let mut found = Vec::new();
    for (i, row) in run.positions()?.chunks(chains).enumerate() {
        let cold: Vec<_> = row.iter().step_by(rungs).copied().collect();
        found.push((format!("the law of x[{i}]"), ks(&family.uniform(i, &cold), |u| u)));
    }
    Ok(smallest(found))
}

pub(crate) fn tempered() -> Arc<dyn Kernel> {
    Arc::new(Tempering::new(Hmc::new(0.4, 4), Ladder::geometric(4.0, 2).swap_every(1)))
}

/// A transform that forgets its Jacobian: its log in one form, or in all.
#[derive(Debug)]
struct WithoutJacobian(Log);

impl Transform for WithoutJacobian {
    fn stem(&self) -> &'static str {
        "log"
    }
    fn source(&self) -> &'static str {
        let text = super::common::planted::replaced(self.0.source(), "log_det += y;", "");
        super::common::planted::replaced(text, " - 1.0;", ";")
    }
    fn params(&self) -> Vec<f32> {
        self.0.params()
    }
    fn validate(&self, count: usize) -> Result<()> {
        self.0.validate(count)
    }
    fn position(&self, params: ergodic::energy::Params<'_>, x: &mut [f64]) -> f64 {
        self.0.position(params, x);
        0.0
    }
    fn grad(&self, params: ergodic::energy::Params<'_>, y: &[f64], x: &[f64], grad: &mut [f64]) {
        self.0.grad(params, y, x, grad);
        grad.iter_mut().for_each(|g| *g += 1.0);
    }
    fn free(&self, params: ergodic::energy::Params<'_>, x: &mut [f64]) -> Result<(), ergodic::transform::Outside> {
        self.0.free(params, x)
    }
}

/// The gamma with that fault.
pub(crate) fn planted() -> Family {
    let fault = WithoutJacobian(Log::above(0.0));
    family("gamma").of(Gamma::new(1, 2.5, 2.0).unwrap().constrain(0..1, fault).unwrap())
}
