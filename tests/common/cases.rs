//! The energies and kernels that every promise is tested on: one row each.

use std::sync::Arc;

use ergodic::{
    energy::{DoubleWell, Energy, Mixture},
    kernel::{Annealed, Drift, Hmc, Independence, Kernel, Mala, Rwm, Ula, Underdamped},
};

/// A named case.
pub type Case<T> = (&'static str, Arc<T>);

/// Every energy, in a dimension or two.
pub fn energies() -> Vec<Case<dyn Energy>> {
    vec![
        ("double_well_1", Arc::new(DoubleWell::new(1, 2.0).unwrap())),
        ("double_well_5", Arc::new(DoubleWell::new(5, 1.0).unwrap())),
        ("mixture_ring", Arc::new(Mixture::ring(8, 4.0, 0.5).unwrap())),
        (
            "mixture_6",
            Arc::new(Mixture::new(&[0.5, 0.3, 0.2], &[vec![-1.0; 6], vec![0.5; 6], vec![2.0; 6]], &[0.6, 1.0, 0.4]).unwrap()),
        ),
    ]
}

/// Every kernel, with settings for targets of scale one.
pub fn kernels() -> Vec<Case<dyn Kernel>> {
    vec![
        ("rwm", Arc::new(Rwm::new(0.8))),
        ("ula", Arc::new(Ula::new(0.05))),
        ("mala", Arc::new(Mala::new(0.1))),
        ("hmc", Arc::new(Hmc::new(0.2, 8).jitter(4))),
        ("hmc_mass", Arc::new(Hmc::new(0.2, 5).inverse_mass([1.3]))),
        ("independence", Arc::new(Independence::new([0.2], [1.5]))),
        ("drift", Arc::new(Drift::new(0.7, [0.4]))),
        ("annealed", Arc::new(Annealed::geometric(2.0, 0.5, 3, 2, 0.05))),
        ("underdamped", Arc::new(Underdamped::new(0.2, 1.5))),
        ("underdamped_mass", Arc::new(Underdamped::new(0.2, 0.5).inverse_mass([1.3]))),
    ]
}
