//! A run that is saved and resumed has the bits of one that never was interrupted; a file that is damaged, forged or of another run is
//! an error that says so.

#[path = "../common/mod.rs"]
mod common;
mod damage;
mod faults;
mod file;
mod other;
mod warm_up;

use std::{path::Path, sync::Arc};

use common::{Suite, cases};
use ergodic::{
    Backend, Chains, Collect, Error, Gpu, Schedule, Start,
    chains::{Goal, Setup},
    energy::{DoubleWell, Energy, Gaussian, Mixture},
    kernel::{Hmc, Kernel, Ladder, Mala, Tempering, Ula, Underdamped},
    wgpu,
};
use file::{Contents, File};
use serde_json::json;
use tempfile::TempDir;

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for (name, kernel) in resumable() {
        let forged = kernel.clone();
        suite = suite
            .both(format!("same_bits::{name}"), move |backend| same_bits(&backend, &kernel))
            .both(format!("what_is_forgotten_is_found::{name}"), move |backend| forgotten(&backend, &forged));
    }
    suite = suite
        .both("segments_of_moments_go_on", segments)
        .both("failures_go_on", failures)
        .both("a_goal_is_met_after_a_resumption", goal)
        .gpu("chunks_of_other_sizes_go_on", chunks);
    for tests in [damage::tests, other::tests, faults::tests, warm_up::tests] {
        suite = tests(suite);
    }
    suite.run()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Every kernel, and with schedules.
fn resumable() -> Vec<(&'static str, Arc<dyn Kernel>)> {
    let mut kernels = cases::kernels();
    let tempered = Ula::new(Schedule::polynomial(0.1, 5.0, 0.6)).temperature(Schedule::linear(3.0, 1.0, 71));
    let ladder = Ladder::geometric(6.0, 4).swap_every(2);
    kernels.push(("tempering", Arc::new(Tempering::new(Hmc::new(0.3, 3).jitter(1), ladder.clone()))));
    kernels.push(("tempering_mala", Arc::new(Tempering::new(Mala::new(0.3), ladder))));
    kernels.push(("scheduled_ula", Arc::new(tempered)));
    kernels.push(("scheduled_hmc", Arc::new(Hmc::new(Schedule::cosine(0.3, 0.1, 65), 7).jitter(2))));
    kernels
}

fn setup(backend: &Backend, kernel: &Arc<dyn Kernel>) -> Setup {
    let target: Arc<dyn Energy> = Arc::new(Mixture::ring(3, 2.0, 0.5).unwrap());
    backend.chains_of(target, kernel.clone()).count(80).seed(11).superchains(10)
}

/// All that a run is, but for times and the number of slices.
fn contents(chains: &dyn Chains) -> Contents {
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    chains.save(&path).unwrap();
    File::read(&path).contents()
}

/// Saves and resumes; nothing is different at once.
fn again(chains: Box<dyn Chains>, setup: &Setup) -> Box<dyn Chains> {
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    chains.save(&path).unwrap();
    let resumed = setup.clone().resume(&path).unwrap();
    assert_eq!((resumed.steps(), resumed.report().slices), (chains.steps(), chains.report().slices));
    contents(&*resumed).assert_same(&contents(&*chains));
    resumed
}

/// Why a file is refused.
fn refused(setup: &Setup, path: &Path) -> String {
    match setup.clone().resume(path) {
        Err(e @ Error::Checkpoint { .. }) => e.to_string(),
        Err(e) => panic!("another error: {e}"),
        Ok(_) => panic!("not refused"),
    }
}

fn same_bits(backend: &Backend, kernel: &Arc<dyn Kernel>) {
    let setup = setup(backend, kernel);
    let mut whole = setup.clone().build().unwrap();
    whole.advance(25).unwrap();
    let report = whole.collect(Collect::draws(40)).unwrap();

    let mut run = again(setup.clone().build().unwrap(), &setup);
    run.advance(10).unwrap();
    let mut run = again(run, &setup);
    run.advance(15).unwrap();
    let mut run = again(run, &setup);
    run.collect(Collect::draws(23)).unwrap();
    let mut run = again(run, &setup);
    let resumed = run.collect(Collect::draws(17).go_on()).unwrap();

    assert_eq!(resumed.coordinates, report.coordinates);
    assert_eq!((resumed.draws, resumed.squared_jump, resumed.e_bfmi), (40, report.squared_jump, report.e_bfmi));
    assert_eq!(run.report().mean_acceptance, whole.report().mean_acceptance);
    assert_eq!(run.tallies(), whole.tallies());
    assert_eq!(resumed.tempering, report.tempering);
    contents(&*run).assert_same(&contents(&*whole));
    // And what follows.
    whole.advance(5).unwrap();
    run.advance(5).unwrap();
    contents(&*run).assert_same(&contents(&*whole));
    assert_eq!(run.report().steps, 70);
}

/// Each tensor forgotten, or changed in one bit, and each counter changed by one: the comparison finds it, or the file is refused.
fn forgotten(backend: &Backend, kernel: &Arc<dyn Kernel>) {
    let setup = setup(backend, kernel);
    let mut whole = setup.clone().build().unwrap();
    whole.advance(25).unwrap();
    whole.collect(Collect::draws(23)).unwrap();
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    whole.save(&path).unwrap();
    let sound = File::read(&path);
    let at_once = sound.clone().contents();
    whole.collect(Collect::draws(17).go_on()).unwrap();
    let whole = contents(&*whole);

    let finds = |forged: &File| {
        forged.write(&path);
        match setup.clone().resume(&path) {
            Ok(mut chains) => {
                // The energy of the last state may decide nothing more, so it is compared at once.
                let energies = contents(&*chains).tensor("energies") == at_once.tensor("energies");
                let draws = chains.collect(Collect::draws(17).go_on()).unwrap().draws;
                !energies || draws != 40 || contents(&*chains) != whole
            }
            Err(Error::Checkpoint { .. }) => true,
            Err(e) => panic!("{e}"),
        }
    };
    assert!(!finds(&sound), "a file that the test wrote anew is not the same");
    for (at, (name, _, data)) in sound.tensors.iter().enumerate() {
        let mut changed = sound.clone();
        if let Some(last) = data.len().checked_sub(1) {
            // The last number: of a float the lowest bit of the exponent or near it, of a byte the lowest.
            let (byte, bit) = if name == "stopped" { (last, 1) } else { (last - 1, 0x80) };
            changed.tensors[at].2[byte] ^= bit;
            assert!(finds(&changed), "a changed `{name}` makes no difference");
        }
        if data.iter().any(|&byte| byte != 0) {
            changed.tensors[at].2.fill(0);
            assert!(finds(&changed), "a forgotten `{name}` makes no difference");
        }
    }
    let has = |name: &str| sound.tensors.iter().any(|tensor| tensor.0 == name);
    assert!(["positions", "energies", "accepted", "acceptance"].into_iter().all(has));
    assert_eq!((has("momenta"), has("gradients")), (kernel.carries_momentum(), kernel.uses_grad()));
    assert_eq!((has("stopped"), has("moments_open")), (kernel.is_unadjusted(), backend.gpu().is_some()));
    for counter in ["steps", "draws", "open_draws", "gradients"] {
        let mut changed = sound.clone();
        let value = &mut changed.text["counters"][counter];
        if let Some(less) = value.as_u64().unwrap().checked_sub(1) {
            *value = json!(less);
            assert!(finds(&changed), "a changed counter `{counter}` makes no difference");
        }
    }
    let mut changed = sound.clone();
    changed.text["counters"]["starts_at_one_point"] = json!(true);
    assert!(finds(&changed));
}

/// Across the ends of segments of 1,024 draws, with a Hamiltonian whose changes are summed up.
fn segments(backend: Backend) {
    let target = Gaussian::full([1.0, -2.0], &[2.0, 0.6, 0.6, 0.5]).unwrap();
    let setup = backend.chains(target, Hmc::new(0.4, 3)).count(70).seed(5);
    let mut whole = setup.clone().build().unwrap();
    let report = whole.collect(Collect::draws(2600)).unwrap();
    let mut run = setup.clone().build().unwrap();
    run.collect(Collect::draws(1024)).unwrap();
    let mut run = again(run, &setup);
    run.collect(Collect::draws(1300).go_on()).unwrap();
    // No steps part no collections.
    run.advance(0).unwrap();
    let mut run = again(run, &setup);
    let resumed = run.collect(Collect::draws(276).go_on()).unwrap();
    assert_eq!((resumed.coordinates, resumed.e_bfmi), (report.coordinates, report.e_bfmi));
    contents(&*run).assert_same(&contents(&*whole));
    // Steps that collect nothing, between a collection and its going on.
    whole.advance(3).unwrap();
    run.advance(3).unwrap();
    let mut run = again(run, &setup);
    let resumed = run.collect(Collect::draws(5).go_on()).unwrap();
    assert_eq!(resumed.coordinates, whole.collect(Collect::draws(5).go_on()).unwrap().coordinates);
    contents(&*run).assert_same(&contents(&*whole));
}

/// Chains that escaped stay where they are; the ledger goes on.
fn failures(backend: Backend) {
    let ula: Arc<dyn Kernel> = Arc::new(Ula::new(0.12));
    let underdamped: Arc<dyn Kernel> = Arc::new(Underdamped::new(0.3, 1.0));
    for kernel in [ula, underdamped] {
        let target: Arc<dyn Energy> = Arc::new(DoubleWell::new(2, 1.0).unwrap());
        let start = Start::normal([0.0], 2.0);
        let setup = backend.chains_of(target, kernel).count(200).seed(3).first_chain(40).start(start).temperature(1.5);
        let mut whole = setup.clone().build().unwrap();
        whole.advance(30).unwrap();
        whole.collect(Collect::draws(30)).unwrap();
        let mut run = setup.clone().build().unwrap();
        run.advance(30).unwrap();
        let mut run = again(run, &setup);
        run.collect(Collect::draws(10)).unwrap();
        let mut run = again(run, &setup);
        run.collect(Collect::draws(20).go_on()).unwrap();
        let report = run.report();
        let escaped = report.failures[0].chains;
        assert!(escaped > 0 && escaped < 200, "{report}");
        assert_eq!((&report.failures, &report.failed_at), (&whole.report().failures, &whole.report().failed_at));
        assert!(report.failed_at[0].chain >= 40);
        contents(&*run).assert_same(&contents(&*whole));
        // Chains that come to life again are found.
        let folder = folder();
        let path = folder.path().join("run.safetensors");
        run.save(&path).unwrap();
        let mut forged = File::read(&path);
        forged.tensor("stopped").fill(0);
        forged.write(&path);
        let mut forged = setup.clone().resume(&path).unwrap();
        forged.advance(10).unwrap();
        whole.advance(10).unwrap();
        assert!(contents(&*forged) != contents(&*whole));
    }
}

fn goal(backend: Backend) {
    let target = Gaussian::isotropic([0.5, -1.0], 1.0).unwrap();
    let setup = backend.chains(target, Mala::new(0.5)).count(128).seed(2);
    let mut run = setup.clone().build().unwrap();
    run.collect(Collect::draws(100)).unwrap();
    let mut run = again(run, &setup);
    let report = run.collect(Collect::until(Goal::mcse(0.02)).go_on()).unwrap();
    let mut whole = setup.build().unwrap();
    let draws = whole.collect(Collect::draws(report.draws)).unwrap();
    assert!(report.standing.is_some_and(|standing| standing.value.unwrap() <= 0.02));
    assert_eq!(draws.coordinates, report.coordinates);
}

/// The adapter of a device.
fn adapter(gpu: &Gpu) -> wgpu::Adapter {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    adapters.into_iter().find(|a| a.get_info().name == gpu.info().name).expect("the same adapter")
}

/// A device of the same adapter that takes 16 KiB a binding.
fn small(gpu: &Gpu) -> Gpu {
    let adapter = adapter(gpu);
    let limits = wgpu::Limits::default().or_worse_values_from(&adapter.limits());
    let required_limits = wgpu::Limits { max_storage_buffer_binding_size: 16 << 10, ..limits };
    let descriptor = wgpu::DeviceDescriptor { required_limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    Gpu::from_parts(device, queue, adapter.get_info())
}

/// Chains that stand in one chunk go on in many, and back.
fn chunks(gpu: Gpu) {
    let setup = |gpu: &Gpu| {
        let target = Mixture::ring(8, 4.0, 0.5).unwrap();
        Backend::gpu_of(gpu.clone()).chains(target, Underdamped::new(0.2, 1.0)).count(1000).seed(5)
    };
    let small = small(&gpu);
    let mut whole = setup(&gpu).build().unwrap();
    let report = whole.collect(Collect::draws(40)).unwrap();
    let mut run = setup(&small).build().unwrap();
    run.collect(Collect::draws(10)).unwrap();
    let mut run = again(run, &setup(&gpu));
    run.collect(Collect::draws(10).go_on()).unwrap();
    let mut run = again(run, &setup(&small));
    assert_eq!(run.collect(Collect::draws(20).go_on()).unwrap().coordinates, report.coordinates);
    contents(&*run).assert_same(&contents(&*whole));
}
