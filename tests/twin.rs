//! One transition from the same state and the same random bits, on the GPU in f32 and on the CPU in f64, for every energy and
//! kernel (two, where the state has a momentum, which shows in the position of the next step).

mod common;

use std::sync::Arc;

use common::{Suite, cases, cases::Free, planted::Planted, twin::compare};
use ergodic::{
    energy::{Energy, Rosenbrock},
    kernel::{Drift, Hmc, Kernel, Rwm, Ula, Underdamped},
};

/// Faults that show only where several invocations run a chain.
fn spread_faults() -> Vec<Fault> {
    let rwm: Arc<dyn Kernel> = Arc::new(Rwm::new(0.1));
    let hmc: Arc<dyn Kernel> = Arc::new(Hmc::new(0.05, 3));
    vec![
        ("a sum over one share", Planted::wgsl(rwm.clone(), "total(energy(&proposal))", "energy(&proposal)"), rwm.clone()),
        ("numbers of another block", Planted::wgsl(rwm.clone(), "step, 1u, b", "step, 1u + 2u * share, b"), rwm),
        (
            "a part counted by all",
            Planted::wgsl(hmc.clone(), "kinetic += dot(start, start)", "kinetic += total(dot(start, start))"),
            hmc,
        ),
    ]
}

type Fault = (&'static str, Arc<dyn Kernel>, Arc<dyn Kernel>);

/// (what, on the GPU, the twin): pairs that are nearly alike.
fn faults() -> Vec<Fault> {
    let rwm: Arc<dyn Kernel> = Arc::new(Rwm::new(0.8));
    let underdamped: Arc<dyn Kernel> = Arc::new(Underdamped::new(0.2, 1.5));
    vec![
        ("a step size", Arc::new(Ula::new(0.05)), Arc::new(Ula::new(0.05001))),
        ("a trajectory", Arc::new(Hmc::new(0.2, 8)), Arc::new(Hmc::new(0.20001, 8))),
        ("a drift", Arc::new(Drift::new(0.7, [0.4])), Arc::new(Drift::new(0.7, [0.4001]))),
        ("a friction", underdamped.clone(), Arc::new(Underdamped::new(0.2, 1.501))),
        ("another slot", Planted::wgsl(rwm.clone(), "step, 1u, b", "step, 2u, b"), rwm.clone()),
        ("a ratio", Planted::wgsl(rwm.clone(), "(*e - proposed)", "0.999 * (*e - proposed)"), rwm.clone()),
        ("an old energy", Planted::wgsl(rwm.clone(), "select(*e, proposed, info.accepted)", "*e"), rwm),
        ("an old momentum", Planted::wgsl(underdamped.clone(), "move_if(accepted, &v, momentum);", ""), underdamped),
    ]
}

fn main() -> std::process::ExitCode {
    let mut energies = cases::energies();
    // Loops that are not written out.
    energies.push(("rosenbrock_34", Arc::new(Rosenbrock::new(34).unwrap().shape(0.5, 2.0).unwrap())));
    let every = energies.len() + 1;
    energies.extend(cases::spread());
    let mut suite = Suite::new();
    for (i, (energy_name, energy)) in energies.into_iter().enumerate() {
        for (kernel_name, kernel) in cases::kernels() {
            // One spread energy under every kernel, the others under a few: they take long to compile.
            if i >= every && !["rwm", "hmc_mass", "annealed"].contains(&kernel_name) {
                continue;
            }
            if kernel.noise_level().is_some() && !energy.has_noise_levels() {
                continue;
            }
            let energy: Arc<dyn Energy> = Arc::new(Free(energy.clone()));
            suite = suite.gpu(format!("{kernel_name} on {energy_name}"), move |gpu| {
                if let Err(why) = compare(gpu, &energy, &kernel, &kernel) {
                    panic!("{why}");
                }
            });
        }
    }
    for (name, on_gpu, twin) in faults() {
        suite = suite.gpu(format!("a planted fault is found: {name}"), move |gpu| {
            let energy = cases::energies().remove(0).1;
            let flips = compare(gpu, &energy, &on_gpu, &twin);
            assert!(flips.is_err(), "not found: {flips:?}");
        });
    }
    for (name, on_gpu, twin) in spread_faults() {
        suite = suite.gpu(format!("a planted fault is found: {name}"), move |gpu| {
            let energy = cases::spread().remove(0).1;
            compare(gpu.clone(), &energy, &twin, &twin).unwrap();
            let flips = compare(gpu, &energy, &on_gpu, &twin);
            assert!(flips.is_err(), "not found: {flips:?}");
        });
    }
    suite.run()
}
