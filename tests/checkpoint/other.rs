//! Checkpoints of other runs: the error says what differs.

use std::{sync::Arc, time::Duration};

use ergodic::{
    Backend, Error, Gpu, Schedule, Start,
    energy::{DoubleWell, Energy, Mixture},
    kernel::{Hmc, Ladder, Mala, Rwm, Tempering},
};

use super::{common::Suite, folder, refused};

pub(crate) fn tests(suite: Suite) -> Suite {
    suite.both("another_run_is_refused", another_run).gpu("another_backend_is_refused", another_backend)
}

/// One difference after another.
fn another_run(backend: Backend) {
    let ring = || Mixture::ring(8, 4.0, 0.5).unwrap();
    let hmc = || Hmc::new(0.3, 5).inverse_mass([1.0, 2.0]);
    let of = |target: Arc<dyn Energy>, kernel: Hmc| backend.chains_of(target, Arc::new(kernel)).count(64).seed(4);
    let setup = of(Arc::new(ring()), hmc());
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    let mut run = setup.clone().build().unwrap();
    run.advance(3).unwrap();
    run.save(&path).unwrap();
    for (other, names) in [
        (of(Arc::new(Mixture::ring(8, 4.0, 0.6).unwrap()), hmc()), "energy's parameters is "),
        (of(Arc::new(Mixture::ring(7, 4.0, 0.5).unwrap()), hmc()), "energy's WGSL is "),
        (of(Arc::new(DoubleWell::new(2, 1.0).unwrap()), hmc()), "energy is mixture"),
        (of(Arc::new(DoubleWell::new(3, 1.0).unwrap()), Hmc::new(0.3, 5)), "dimension is 2 in the file and 3 here"),
        (of(Arc::new(ring()), Hmc::new(0.3, 5)), "kernel's variant is 1 in the file and 0 here"),
        (of(Arc::new(ring()), Hmc::new(0.3, 5).inverse_mass([1.0, 2.1])), "kernel's parameters is "),
        (of(Arc::new(ring()), Hmc::new(0.300_000_000_1, 5).inverse_mass([1.0, 2.0])), "0.3000000001"),
        (of(Arc::new(ring()), Hmc::new(Schedule::linear(0.3, 0.2, 9), 5).inverse_mass([1.0, 2.0])), "step size is "),
        (of(Arc::new(ring()), hmc().jitter(3)), "leapfrog steps is [5,5] in the file and [3,5] here"),
        (backend.chains(ring(), Rwm::new(0.3)).count(64).seed(4), "kernel is hmc in the file and rwm here"),
        (of(Arc::new(ring()), Hmc::adaptive()), "adaptation is None in the file and Some("),
        (
            backend.chains(ring(), Tempering::new(hmc(), Ladder::geometric(4.0, 2))).count(64).seed(4),
            "ladder is None in the file",
        ),
        (setup.clone().temperature(1.1), "temperature is "),
        (setup.clone().count(65), "number of chains is 64 in the file and 65 here"),
        (setup.clone().count(1 << 20), "number of chains is 64 in the file and 1048576 here"),
        (setup.clone().first_chain(64), "first chain is 0 in the file and 64 here"),
        (setup.clone().superchains(8), "superchains is 64 in the file and 8 here"),
        (setup.clone().seed(5), "seed is 4 in the file and 5 here"),
    ] {
        let why = refused(&other, &path);
        assert!(why.contains("is of another run: ") && why.contains(names), "{names}: {why}");
    }
    // What decides no bits makes no difference, and a bad setting is told as one.
    setup.clone().slice(Duration::from_millis(5)).start(Start::point([1.0])).resume(&path).unwrap();
    assert!(matches!(setup.count(0).resume(&path), Err(Error::Setting { .. })));
}

fn another_backend(gpu: Gpu) {
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    let (gpu, cpu) = (Backend::gpu_of(gpu), Backend::cpu());
    for (from, to) in [(&gpu, &cpu), (&cpu, &gpu)] {
        let setup = |backend: &Backend| backend.chains(Mixture::ring(8, 4.0, 0.5).unwrap(), Mala::new(0.1)).count(64);
        setup(from).build().unwrap().save(&path).unwrap();
        let why = refused(&setup(to), &path);
        assert!(why.contains("backend is ") && why.contains("start anew from the file's positions"), "{why}");
    }
}
