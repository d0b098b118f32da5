//! The faults of a run that must be survived: each is a typed error or a right result, never a panic.

mod common;

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use common::{Suite, cases};
use ergodic::{
    AnnealedImportance, Backend, Base, Chains, Collect, Error, Gpu, Schedule, Start,
    chains::{GpuChains, Setup},
    energy::{Ackley, Conditioned, Constrained, DoubleWell, Energy, Gaussian, Mixture, Poisson},
    kernel::{Annealed, Hmc, Ladder, Lattice, Mala, Rwm, Tempering, Ula},
    net::{Activation, Mlp},
    rbm::{Ais, Rbm},
    transform::Log,
    wgpu,
};

fn ring() -> Mixture {
    Mixture::ring(8, 4.0, 0.5).unwrap()
}

fn main() -> std::process::ExitCode {
    if std::env::var_os("ERGODIC_TEST_OPEN").is_some() {
        // The child of `no_adapter`.
        println!("{}", Gpu::open().map_or_else(|e| e.to_string(), |gpu| gpu.describe()));
        return std::process::ExitCode::SUCCESS;
    }
    Suite::new()
        .both("zero chains, dimensions or draws are refused", zeros)
        .both("counts that overflow are refused before anything is allocated", overflow)
        .both("a dimension that does not fit is refused with the limit named", large_dimension)
        .both("bad starts name chain and coordinate", bad_starts)
        .both("bad settings are refused", bad_settings)
        .both("progress is told, and a run can be cancelled and goes on", cancel)
        .gpu("512 dimensions run within the default limits", high_dimension)
        .gpu("a buffer over the binding limit is cut into chunks with the same draws", chunks)
        .gpu("dispatches beyond the workgroup limit are folded", folded)
        .gpu("any number of chains", odd_counts)
        .gpu("nothing is written past chains that step alone, and a stray word would be seen", guard_words)
        .test("no adapter: an error that says what was tried", no_adapter)
        .gpu("a destroyed device is an error with the last good step", destroyed)
        .gpu("a timeout can be continued with the same result", timeout)
        .gpu("many steps in one call are cut into short slices", slices)
        .gpu("a memory budget is kept", budget)
        .both("a memory budget is kept before anything is allocated", small_budget)
        .both("chains that no memory holds are refused", no_memory)
        .test("absurd sizes are refused", absurd_sizes)
        .gpu("creating and dropping leaks nothing", leaks)
        .gpu("two threads on one device, and a drop with work in flight", threads)
        .gpu("a device that the program owns", from_parts)
        .run()
}

fn build(setup: Setup) -> Result<Box<dyn Chains>, Error> {
    setup.build()
}

fn zeros(backend: Backend) {
    assert!(matches!(build(backend.chains(ring(), Rwm::new(0.5)).count(0)), Err(Error::Setting { .. })));
    let flat = DoubleWell::new(0, 1.0).map(|target| backend.chains(target, Rwm::new(0.5)).build());
    assert!(matches!(flat, Err(Error::Setting { .. }) | Ok(Err(Error::Setting { .. }))));
    let mut chains = backend.chains(ring(), Rwm::new(0.5)).count(8).build().unwrap();
    assert!(matches!(chains.collect(Collect::draws(0)), Err(Error::Setting { .. })));
    chains.advance(0).unwrap();
    assert_eq!(chains.steps(), 0);
}

fn overflow(backend: Backend) {
    for count in [usize::MAX, usize::MAX / 4, 1 << 33] {
        let built = build(backend.chains(ring(), Rwm::new(0.5)).count(count));
        assert!(matches!(built, Err(Error::Limit { .. })), "{count}");
    }
    let built = build(backend.chains(ring(), Rwm::new(0.5)).count(2).first_chain(u32::MAX));
    assert!(matches!(built, Err(Error::Limit { .. })));
}

fn large_dimension(backend: Backend) {
    let built = build(backend.chains(DoubleWell::new(10_000, 1.0).unwrap(), Rwm::new(0.5)).count(8));
    let Err(e @ Error::Limit { asked: 10_000, .. }) = built else { panic!("not refused") };
    assert!(e.to_string().contains("8,192 bytes"), "{e}");
}

fn bad_starts(backend: Backend) {
    for bad in [f32::NAN, f32::INFINITY, 1e38] {
        let mut x = vec![0.5f32; 2 * 8];
        x[8 + 3] = bad;
        let built = build(backend.chains(ring(), Mala::new(0.1)).count(8).start(Start::array(x)));
        assert!(matches!(built, Err(Error::Start { chain: 3, coordinate: Some(1), .. })), "{bad}");
    }
    let built = build(backend.chains(ring(), Rwm::new(0.1)).count(8).start(Start::array([0.0; 5])));
    assert!(matches!(built, Err(Error::Shape { expected: 16, found: 5, .. })));
    let built = build(backend.chains(ring(), Rwm::new(0.1)).start(Start::point([1.0, 2.0, 3.0])));
    assert!(matches!(built, Err(Error::Shape { .. })));
    let built = build(backend.chains(ring(), Rwm::new(0.1)).start(Start::uniform([1.0], [0.0])));
    assert!(matches!(built, Err(Error::Setting { .. })));
    // x^4 overflows f32 here, and so does the gradient.
    let far = DoubleWell::new(2, 1.0).unwrap();
    let built = build(backend.chains(far, Mala::new(0.1)).count(4).start(Start::point([1e20])));
    assert!(matches!(built, Err(Error::Start { chain: 0, .. })));
}

fn bad_settings(backend: Backend) {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e30] {
        assert!(matches!(build(backend.chains(ring(), Rwm::new(bad))), Err(Error::Setting { .. })), "{bad}");
        assert!(matches!(build(backend.chains(ring(), Mala::new(bad))), Err(Error::Setting { .. })), "{bad}");
        assert!(matches!(build(backend.chains(ring(), Ula::new(bad))), Err(Error::Setting { .. })), "{bad}");
        assert!(matches!(build(backend.chains(ring(), Hmc::new(bad, 3))), Err(Error::Setting { .. })), "{bad}");
        assert!(matches!(build(backend.chains(ring(), Rwm::new(0.5)).temperature(bad)), Err(Error::Setting { .. })), "{bad}");
        let mass = Hmc::new(0.1, 3).inverse_mass([1.0, bad]);
        assert!(matches!(build(backend.chains(ring(), mass)), Err(Error::Setting { .. })), "{bad}");
    }
    assert!(matches!(build(backend.chains(ring(), Hmc::new(0.1, 0))), Err(Error::Setting { .. })));
    assert!(matches!(build(backend.chains(ring(), Hmc::new(0.1, 3).jitter(4))), Err(Error::Setting { .. })));
    assert!(matches!(build(backend.chains(ring(), Hmc::new(0.1, 3).inverse_mass([1.0; 3]))), Err(Error::Shape { .. })));
    assert!(matches!(build(backend.chains(ring(), Rwm::new(Schedule::list([])))), Err(Error::Setting { .. })));
}

fn cancel(backend: Backend) {
    let last = Arc::new(AtomicU64::new(0));
    let seen = last.clone();
    let setup = backend.chains(ring(), Rwm::new(0.5)).count(64).seed(3);
    let mut chains = setup
        .clone()
        .on_progress(move |p| {
            assert!(p.done <= p.total);
            seen.store(p.done, Ordering::Relaxed);
            if p.total == 1_000_000_000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .build()
        .unwrap();
    let Err(Error::Cancelled { good_steps }) = chains.advance(1_000_000_000) else { panic!("not cancelled") };
    assert_eq!(good_steps, chains.steps());
    assert!(good_steps > 0 && good_steps == last.load(Ordering::Relaxed));
    chains.advance(500).unwrap();
    let mut whole = setup.build().unwrap();
    whole.advance(good_steps + 500).unwrap();
    assert_eq!(chains.positions().unwrap(), whole.positions().unwrap());
}

fn high_dimension(gpu: Gpu) {
    let target = DoubleWell::new(512, 1.0).unwrap();
    let setup = Backend::gpu_of(gpu).chains(target, Mala::new(0.01)).count(1024).seed(1);
    let mut chains = setup.start(Start::normal([1.0], 0.1)).build().unwrap();
    chains.advance(2).unwrap();
    let report = chains.collect(Collect::draws(3)).unwrap();
    assert_eq!(report.coordinates.len(), 512);
    assert_eq!(report.failed_transitions(), 0);
}

/// The adapter of a device.
fn adapter(gpu: &Gpu) -> wgpu::Adapter {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    adapters.into_iter().find(|a| a.get_info().name == gpu.info().name).expect("the same adapter")
}

/// A device of the same adapter with other limits.
fn limited(gpu: &Gpu, limit: impl Fn(&mut wgpu::Limits)) -> Gpu {
    let adapter = adapter(gpu);
    let mut limits = wgpu::Limits::default().or_worse_values_from(&adapter.limits());
    limit(&mut limits);
    let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    Gpu::from_parts(device, queue, adapter.get_info())
}

/// Positions and energies after some steps, and the mean of coordinate 0.
#[derive(Debug)]
struct Outcome {
    positions: Vec<f32>,
    energies: Vec<f32>,
    mean: f64,
}

impl Outcome {
    /// The same bits; means are sums over slices, whose cut depends on the clock, so they agree to rounding.
    fn equals(&self, other: &Self) -> bool {
        self.positions == other.positions && self.energies == other.energies && (self.mean - other.mean).abs() < 1e-5
    }
}

fn result(gpu: &Gpu, count: usize) -> Outcome {
    let mut chains = Backend::gpu_of(gpu.clone()).chains(ring(), Mala::new(0.1)).count(count).seed(5).build().unwrap();
    chains.advance(7).unwrap();
    let report = chains.collect(Collect::draws(20)).unwrap();
    assert_eq!(report.failed_transitions(), 0);
    Outcome { positions: chains.positions().unwrap(), energies: chains.energies().unwrap(), mean: report.coordinates[0].mean }
}

fn chunks(gpu: Gpu) {
    let small = limited(&gpu, |limits| limits.max_storage_buffer_binding_size = 16 << 10);
    let setup = Backend::gpu_of(small.clone()).chains(ring(), Mala::new(0.1)).count(1000);
    assert!(GpuChains::new(&small, setup).unwrap().position_buffers().len() > 1);
    assert!(result(&small, 1000).equals(&result(&gpu, 1000)));
    let tiny = limited(&gpu, |limits| limits.max_storage_buffer_binding_size = 1 << 10);
    assert!(matches!(build(Backend::gpu_of(tiny).chains(ring(), Mala::new(0.1))), Err(Error::Limit { .. })));
}

fn folded(gpu: Gpu) {
    let narrow = limited(&gpu, |limits| limits.max_compute_workgroups_per_dimension = 5);
    assert!(result(&narrow, 1000).equals(&result(&gpu, 1000)));
    // The same where several invocations run a chain.
    let positions = |gpu: &Gpu| {
        let wells = DoubleWell::new(70, 1.0).unwrap();
        let mut chains = Backend::gpu_of(gpu.clone()).chains(wells, Mala::new(0.02)).count(500).build().unwrap();
        chains.advance(5).unwrap();
        chains.positions().unwrap()
    };
    assert!(positions(&narrow) == positions(&gpu));
}

fn odd_counts(gpu: Gpu) {
    let all = result(&gpu, 257).positions;
    for count in [1, 63, 65] {
        let some = result(&gpu, count).positions;
        for row in 0..2 {
            assert_eq!(some[row * count..(row + 1) * count], all[row * 257..row * 257 + count], "{count}");
        }
    }
}

/// Buffers are of whole pairs of words, and of four at least: odd numbers of chains and dimensions leave guard words. Tempering has even
/// numbers of chains, and so none.
fn guard_words(gpu: Gpu) {
    let mut cases: Vec<_> = cases::kernels().into_iter().map(|(_, kernel)| (kernel, false)).collect();
    cases.push((Arc::new(Lattice::new(2)), true));
    for (kernel, counts) in cases {
        for (dim, count) in [(1, 1), (1, 65), (1, 257), (3, 63)] {
            let target: Arc<dyn Energy> = match counts {
                true => Arc::new(Poisson::new(dim, 3.5).unwrap()),
                false => Arc::new(Gaussian::standard(dim)),
            };
            let start = Start::point([if counts { 2.0 } else { 0.5 }]);
            let setup = Backend::gpu_of(gpu.clone()).chains_of(target, kernel.clone()).count(count).start(start);
            let mut chains = GpuChains::new(&gpu, setup).unwrap();
            // Round the ring of buffers.
            for _ in 0..4 {
                chains.advance(5).unwrap();
                let words = words(&gpu, chains.position_buffers()[0]);
                let own = &words[..dim * count];
                let what = format!("{} {dim} {count}", kernel.name());
                assert_eq!(own, chains.positions().unwrap(), "{what}");
                assert!(own.iter().all(|&x| x != 0.0) || counts, "{what}: {own:?}");
                assert!(is_clean(&words, dim * count), "{what}: {words:?}");
            }
            // The planted fault: a word that a stray invocation would have written.
            let buffer = chains.position_buffers()[0];
            gpu.queue().write_buffer(buffer, (dim * count * size_of::<f32>()) as u64, bytemuck::bytes_of(&1f32));
            assert!(!is_clean(&words(&gpu, buffer), dim * count), "{}", kernel.name());
        }
    }
}

/// Whether there are guard words after one's own, and all are as they were made.
fn is_clean(words: &[f32], own: usize) -> bool {
    words.len() > own && words[own..].iter().all(|&word| word == 0.0)
}

/// Everything in a buffer.
fn words(gpu: &Gpu, buffer: &wgpu::Buffer) -> Vec<f32> {
    let staging = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: buffer.size(),
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
    gpu.queue().submit([encoder.finish()]);
    staging.map_async(wgpu::MapMode::Read, .., |_| {});
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    bytemuck::pod_collect_to_vec(&staging.get_mapped_range(..).unwrap())
}

fn no_adapter() {
    for (name, value) in [("WGPU_BACKEND", "bogus"), ("WGPU_BACKEND", "metal,dx12"), ("WGPU_ADAPTER_NAME", "no such adapter")] {
        if cfg!(any(target_os = "macos", target_os = "windows")) && value.contains("metal") {
            continue;
        }
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .env("ERGODIC_TEST_OPEN", "1")
            .env(name, value)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && said.contains("no GPU adapter was found") && said.contains(value),
            "{name}={value}: {said}"
        );
    }
}

fn destroyed(gpu: Gpu) {
    // A device that this crate opens has its error handlers; with wgpu's default ones the next call would panic.
    let own = pollster::block_on(Gpu::from_adapter(&adapter(&gpu))).unwrap();
    let setup = |gpu: &Gpu| Backend::gpu_of(gpu.clone()).chains(ring(), Mala::new(0.1)).count(64);
    // Without a copy in host memory the steps are known, and the state is gone; with one the chains stand at it.
    let mut alone = setup(&own).spare_copy(0).build().unwrap();
    let mut copied = setup(&own).build().unwrap();
    alone.advance(10).unwrap();
    copied.advance(10).unwrap();
    own.device().destroy();
    let e = alone.advance(10).unwrap_err();
    assert!(matches!(e, Error::DeviceLost { good_steps: 10, .. }), "{e}");
    assert!(alone.positions().is_err());
    let e = copied.advance(10).unwrap_err();
    assert!(matches!(e, Error::DeviceLost { good_steps, .. } if good_steps == copied.steps() && good_steps <= 10), "{e}");
    let mut whole = setup(&gpu).build().unwrap();
    whole.advance(copied.steps()).unwrap();
    assert_eq!(copied.positions().unwrap(), whole.positions().unwrap());
}

fn timeout(gpu: Gpu) {
    // A device of its own: waiting for a lock on one that other tests wait on would use the time up.
    let own = limited(&gpu, |_| {});
    let setup = Backend::gpu_of(own).chains(ring(), Hmc::new(0.1, 100)).count(4096).seed(9);
    let mut whole = setup.clone().build().unwrap();
    whole.advance(60).unwrap();
    let mut chains = setup.build().unwrap();
    chains.advance(20).unwrap();
    chains.set_timeout(Duration::from_nanos(1));
    let e = chains.advance(40).unwrap_err();
    assert!(matches!(e, Error::Timeout { good_steps, .. } if good_steps == chains.steps()), "{e}");
    chains.set_timeout(Duration::from_secs(60));
    chains.advance(60 - chains.steps()).unwrap();
    assert_eq!(chains.positions().unwrap(), whole.positions().unwrap());
}

fn slices(gpu: Gpu) {
    // 10^9 steps in one call, cancelled after a second and a half: the call returns after every slice.
    let begun = Instant::now();
    let longest = Arc::new(AtomicU64::new(0));
    let (seen, last) = (longest.clone(), AtomicU64::new(0));
    let setup = Backend::gpu_of(gpu.clone()).chains(ring(), Mala::new(0.1)).count(16_384);
    let mut chains = setup
        .on_progress(move |p| {
            let now = p.elapsed.as_millis() as u64;
            seen.fetch_max(now - last.swap(now, Ordering::Relaxed), Ordering::Relaxed);
            if p.elapsed > Duration::from_millis(1500) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .build()
        .unwrap();
    assert!(matches!(chains.advance(1_000_000_000), Err(Error::Cancelled { .. })));
    let longest = longest.load(Ordering::Relaxed);
    // 250 ms are asked for; other work on the machine may stretch a slice, so the mean must keep it and no slice may pass 2 s.
    let mean = begun.elapsed().as_millis() as u64 / chains.report().slices;
    assert!(mean < 250 && longest < 2000, "mean {mean} ms, longest {longest} ms");
}

fn budget(gpu: Gpu) {
    let setup = Backend::gpu_of(gpu.clone()).chains(DoubleWell::new(128, 1.0).unwrap(), Mala::new(0.1)).count(1 << 20);
    let before = resident();
    let e = build(setup.memory_budget(64 << 20)).unwrap_err();
    assert!(matches!(e, Error::Limit { allowed: 0x400_0000, .. }), "{e}");
    assert!(resident() < before + (1 << 30));
    let setup = Backend::gpu_of(gpu).chains(ring(), Rwm::new(0.5)).count(1024).memory_budget(64 << 20);
    setup.build().unwrap().advance(3).unwrap();
}

/// Their starts alone would take 16 GiB, more than this machine may have.
fn small_budget(backend: Backend) {
    let before = resident();
    let setup = backend.chains(ring(), Mala::new(0.1)).memory_budget(1 << 20);
    let e = build(setup.clone().count(1 << 31)).unwrap_err();
    assert!(matches!(e, Error::Limit { asked, allowed: 0x10_0000, .. } if asked > 1 << 34), "{e}");
    assert!(resident() < before + (1 << 28));
    // A checkpoint is not even read.
    let e = setup.clone().count(1 << 31).resume("no such file").unwrap_err();
    assert!(matches!(e, Error::Limit { .. }), "{e}");
    setup.count(64).build().unwrap().advance(3).unwrap();
}

/// Their state would take terabytes.
fn no_memory(backend: Backend) {
    if backend.gpu().is_some_and(|gpu| !gpu.is_software()) {
        return; // The host does not hold the state, and wgpu does not tell how much the device can.
    }
    let before = resident();
    let e = build(backend.chains(DoubleWell::new(512, 1.0).unwrap(), Mala::new(0.1)).count(u32::MAX as usize)).unwrap_err();
    assert!(matches!(&e, Error::Setting { name, why, .. } if name == "chains" && why.contains("no memory")), "{e}");
    assert!(resident() < before + (1 << 28));
}

/// Everything that makes as many numbers as an argument says.
fn absurd_sizes() {
    let limit = |what: &str, found: Option<Error>| {
        assert!(matches!(found, Some(Error::Limit { .. })), "{what}: {found:?}");
    };
    let cpu = Backend::cpu();
    let built = |target: Arc<dyn Energy>| build(cpu.chains_of(target, Arc::new(Rwm::new(0.5))).count(2)).err();
    let rbm = Rbm::for_data(&[0.5; 4], 2, 0.1, 1).unwrap();
    for n in [usize::MAX, (1 << 24) + 1] {
        limit("standard Gaussian", built(Arc::new(Gaussian::standard(n))));
        limit("Ackley", built(Arc::new(Ackley::new(n))));
        let wells = Arc::new(DoubleWell::new(n, 1.0).unwrap());
        limit("double well", built(wells.clone()));
        limit("conditioned energy", Conditioned::new(wells.clone(), [(0, 1.0)]).err());
        limit("constrained energy", built(Arc::new(Constrained::new(wells, 0..n, Log::above(0.0)).unwrap())));
        limit("ring", Mixture::ring(n, 4.0, 0.5).err());
        limit("rows of a grid", Mixture::grid(n, 0, 1.0, 0.5).err());
        limit("columns of a grid", Mixture::grid(1, n, 1.0, 0.5).err());
        limit("grid", Mixture::grid(1 << 13, n / (1 << 12), 1.0, 0.5).err());
        limit("network", Mlp::new(2, &[n], Activation::Silu, 1).err());
        limit("deep network", Mlp::new(2, &[n.min(1 << 12); 3], Activation::Silu, 1).err());
        limit("Boltzmann machine", Rbm::for_data(&[0.5; 4], n, 0.1, 1).err());
        limit("real Boltzmann machine", Rbm::for_reals(&[0.5; 4], &[1.0; 4], n, 0.1, 1).err());
        limit("inverse temperatures", Ais::new(n, 2).run(&rbm, 1).err());
        let levels = Annealed::geometric(1.0, 0.01, n as u64, 1, 2e-5);
        limit("noise levels", build(cpu.chains(ring(), levels).count(2)).err());
        let ladder = Tempering::new(Rwm::new(0.5), Ladder::geometric(10.0, n as u64));
        assert!(matches!(build(cpu.chains(ring(), ladder).count(64)), Err(Error::Setting { .. })), "ladder");
        for path in
            [AnnealedImportance::linear(n), AnnealedImportance::geometric(1e-3, n as u64), AnnealedImportance::sigmoid(n, 4.0)]
        {
            let base = Base::normal([0.0, 0.0], [1.0]).unwrap();
            limit("path", path.chains(2).forward(&cpu, ring(), &base, Arc::new(Rwm::new(0.5))).err());
        }
        // These are a formula, and may be as long as they like.
        let slow = Rwm::new(Schedule::geometric(0.5, 0.1, n as u64));
        build(cpu.chains(ring(), slow).count(2)).unwrap().advance(3).unwrap();
    }
}

/// Resident memory of this process in bytes; 0 where the system does not say.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn leaks(gpu: Gpu) {
    let cycle = || {
        let setup = Backend::gpu_of(gpu.clone()).chains(ring(), Mala::new(0.1)).count(65_536);
        let mut chains = setup.build().unwrap();
        chains.advance(2).unwrap();
        chains.collect(Collect::draws(2)).unwrap();
    };
    (0..10).for_each(|_| cycle());
    let before = resident();
    (0..40).for_each(|_| cycle());
    // One set of chains takes about 10 MB; forty leaked ones would take 400.
    let grown = resident().saturating_sub(before) >> 20;
    assert!(grown < 100, "{grown} MiB more after 40 cycles");
}

fn threads(gpu: Gpu) {
    let serial = result(&gpu, 1000);
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..2).map(|_| scope.spawn(|| result(&gpu, 1000))).collect();
        // Dropped with two slices in flight.
        let setup = Backend::gpu_of(gpu.clone()).chains(ring(), Hmc::new(0.1, 100)).count(16_384);
        let mut chains = setup.build().unwrap();
        chains.advance(2).unwrap();
        chains.set_timeout(Duration::from_nanos(1));
        let _ = chains.advance(1000);
        drop(chains);
        for run in runs {
            assert!(run.join().unwrap().equals(&serial));
        }
    });
}

fn from_parts(gpu: Gpu) {
    let own = limited(&gpu, |_| {});
    let setup = Backend::gpu_of(own.clone()).chains(ring(), Mala::new(0.1)).count(256).seed(5);
    let mut chains = GpuChains::new(&own, setup).unwrap();
    chains.advance(27).unwrap();
    assert_eq!(chains.positions().unwrap(), result(&gpu, 256).positions);
    // The program binds the positions itself.
    let [buffer] = chains.position_buffers()[..] else { panic!("one buffer") };
    assert!(buffer.usage().contains(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::VERTEX));
    assert_eq!(buffer.size(), 256 * 2 * 4);
    // Of fewer storage buffers than WebGPU promises.
    let small = limited(&gpu, |limits| limits.max_storage_buffers_per_shader_stage = 4);
    let built = Backend::gpu_of(small.clone()).chains(ring(), Mala::new(0.1)).count(256).build();
    assert!(matches!(built, Err(Error::Limit { allowed: 4, .. })), "{built:?}");
    let network = Mlp::new(2, &[4], Activation::Silu, 1).unwrap();
    let found = network.passes_on_gpu(&small).energy_and_grad(&[0.0; 2]);
    assert!(matches!(found, Err(Error::Limit { allowed: 4, .. })), "{found:?}");
}
