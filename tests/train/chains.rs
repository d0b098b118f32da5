//! Chains whose energy gets other parameters, and other positions.

use std::sync::Arc;

use ergodic::{
    Backend, Chains, Collect, Error, Start,
    energy::{Energy, Gaussian},
    kernel::{Hmc, Kernel, Mala, Rwm, Ula, Underdamped},
};

use crate::common::Suite;

const CHAINS: usize = 300;

pub(crate) fn add(suite: Suite) -> Suite {
    suite
        .both("chains with other parameters are those of the energy that has them", same_as_built)
        .both("parameters that do not fit change nothing", refused)
        .both("a chain that stopped goes on from a new position alone", stopped)
}

fn kernels() -> Vec<Arc<dyn Kernel>> {
    vec![
        Arc::new(Rwm::new(1.0)),
        Arc::new(Ula::new(0.1)),
        Arc::new(Mala::new(0.5)),
        Arc::new(Hmc::new(0.3, 4)),
        Arc::new(Underdamped::new(0.2, 1.0)),
    ]
}

fn before() -> Gaussian {
    Gaussian::isotropic([0.0, 0.0], 1.0).unwrap()
}

fn after() -> Gaussian {
    Gaussian::diagonal([3.0, -1.0], &[0.5, 2.0]).unwrap()
}

fn build(backend: &Backend, target: Gaussian, kernel: Arc<dyn Kernel>, start: Start) -> Box<dyn Chains> {
    backend.chains_of(Arc::new(target), kernel).count(CHAINS).seed(5).start(start).build().unwrap()
}

/// Chains that are given parameters and positions before their first step run as if they had been built with them, bit for bit;
/// parameters alone are as good where the positions were right; and steps are counted on.
fn same_as_built(backend: Backend) {
    let start = Start::normal([1.0, 1.0], 2.0);
    for kernel in kernels() {
        let mut built = build(&backend, after(), kernel.clone(), start.clone());
        let positions = built.positions().unwrap();
        let mut changed = build(&backend, before(), kernel.clone(), start.clone());
        changed.set_params(&after().params()).unwrap();
        let mut moved = build(&backend, before(), kernel.clone(), Start::point([0.0]));
        moved.restart(&after().params(), &positions).unwrap();
        assert_eq!(built.energies().unwrap(), changed.energies().unwrap());
        built.advance(20).unwrap();
        for mut chains in [changed, moved] {
            chains.advance(20).unwrap();
            assert_eq!(built.positions().unwrap(), chains.positions().unwrap(), "{}", kernel.name());
            // A second change counts the steps on, also after a collection.
            chains.collect(Collect::draws(3)).unwrap();
            chains.set_params(&before().params()).unwrap();
            chains.advance(7).unwrap();
            assert_eq!(chains.steps(), 30);
            assert_eq!(chains.collect(Collect::draws(5)).unwrap().draws, 5);
        }
    }
}

fn refused(backend: Backend) {
    let mut chains = build(&backend, before(), Arc::new(Mala::new(0.5)), Start::default());
    let mut others = build(&backend, before(), Arc::new(Mala::new(0.5)), Start::default());
    let positions = chains.positions().unwrap();
    let params = before().params();
    assert!(matches!(chains.set_params(&params[1..]), Err(Error::Shape { expected: 4, found: 3, .. })));
    assert!(matches!(chains.set_params(&[0.0, f32::NAN, 1.0, 1.0]), Err(Error::Setting { .. })));
    assert!(matches!(chains.restart(&params, &positions[1..]), Err(Error::Shape { .. })));
    assert!(matches!(chains.restart(&params[1..], &vec![9.0; 2 * CHAINS]), Err(Error::Shape { .. })));
    let mut far = positions.clone();
    far[CHAINS + 7] = f32::INFINITY;
    assert!(matches!(chains.restart(&params, &far), Err(Error::Start { chain: 7, coordinate: Some(1), .. })));
    chains.advance(5).unwrap();
    others.advance(5).unwrap();
    assert_eq!(chains.positions().unwrap(), others.positions().unwrap());
    // An energy that is not usable where a chain stands names the chain; other parameters are taken then.
    assert!(matches!(chains.set_params(&[0.0, 0.0, 1e20, 1e20]), Err(Error::Start { .. })));
    chains.set_params(&params).unwrap();
    others.set_params(&params).unwrap();
    chains.advance(5).unwrap();
    others.advance(5).unwrap();
    assert_eq!(chains.positions().unwrap(), others.positions().unwrap());
}

/// A Langevin step of this size grows without bounds, until every chain stops.
fn stopped(backend: Backend) {
    let mut chains = build(&backend, before(), Arc::new(Ula::new(50.0)), Start::normal([0.0], 1.0));
    chains.advance(200).unwrap();
    let last = chains.positions().unwrap();
    chains.set_params(&Gaussian::isotropic([0.0, 0.0], 3.0).unwrap().params()).unwrap();
    chains.advance(5).unwrap();
    assert_eq!(chains.positions().unwrap(), last);
    chains.restart(&before().params(), &vec![0.5; 2 * CHAINS]).unwrap();
    chains.advance(2).unwrap();
    assert!(chains.positions().unwrap().iter().all(|&x| x != 0.5));
}
