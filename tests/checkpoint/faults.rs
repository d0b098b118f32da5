//! Runs that save themselves, and what is lost with a device, by a cancellation or by a time-out.

use std::{
    ops::ControlFlow,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ergodic::{
    Backend, Collect, Error, Gpu, Warmup,
    chains::Phase,
    energy::Mixture,
    kernel::{Hmc, Mala, Underdamped},
};

use super::{adapter, common::Suite, contents, folder};

pub(crate) fn tests(suite: Suite) -> Suite {
    suite
        .both("one_whole_file_at_any_time", one_whole_file)
        .both("a_run_saves_itself", saves_itself)
        .gpu("a_lost_device_loses_a_slice_at_most", lost_device)
        .gpu("a_lost_device_without_a_copy", lost_without_copy)
        .gpu("a_device_lost_between_calls", lost_between_calls)
        .gpu("a_device_lost_in_a_warm_up", lost_in_warm_up)
        .gpu("a_timeout_loses_nothing", timeout)
}

fn ring() -> Mixture {
    Mixture::ring(8, 4.0, 0.5).unwrap()
}

/// Nothing stands beside the file, an older one is replaced, and where it cannot be written the run goes on.
fn one_whole_file(backend: Backend) {
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    let setup = backend.chains(ring(), Mala::new(0.1)).count(64);
    let mut run = setup.clone().build().unwrap();
    run.save(&path).unwrap();
    run.advance(10).unwrap();
    run.save(&path).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(setup.clone().resume(&path).unwrap().steps(), 10);
    let nowhere = folder.path().join("nowhere").join("run.safetensors");
    let e = run.save(&nowhere).unwrap_err();
    assert!(matches!(&e, Error::Write { path, .. } if *path == nowhere), "{e}");
    // Known before the run begins.
    let e = setup.clone().checkpoint(&nowhere, Duration::ZERO).build().unwrap_err();
    assert!(matches!(&e, Error::Write { path, .. } if *path == nowhere), "{e}");
    assert!(setup.clone().checkpoint(folder.path(), Duration::ZERO).build().is_err());
    run.advance(10).unwrap();
    assert_eq!(run.steps(), 20);
}

/// After every slice, or when it is due; cancelled in the midst of a collection.
fn saves_itself(backend: Backend) {
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    let base = backend.chains(ring(), Mala::new(0.1)).count(100).seed(1);
    let setup = base.clone().checkpoint(&path, Duration::ZERO).slice(Duration::from_micros(500));
    let mut run = setup
        .clone()
        .on_progress(|p| if p.done >= 400 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        .build()
        .unwrap();
    run.advance(100).unwrap();
    let Err(Error::Cancelled { good_steps }) = run.collect(Collect::draws(1 << 20)) else { panic!("not cancelled") };
    drop(run);
    let mut run = setup.resume(&path).unwrap();
    assert_eq!(run.steps(), good_steps);
    let (draws, total) = (good_steps - 100, good_steps + 1000);
    let report = run.collect(Collect::draws(total - draws).go_on()).unwrap();
    let mut whole = base.clone().build().unwrap();
    whole.advance(100).unwrap();
    assert_eq!(report.coordinates, whole.collect(Collect::draws(total)).unwrap().coordinates);
    contents(&*run).assert_same(&contents(&*whole));

    // Where nothing is due, nothing is written.
    let later = folder.path().join("later.safetensors");
    let mut run = base.checkpoint(&later, Duration::from_secs(3600)).build().unwrap();
    run.advance(100).unwrap();
    assert!(!later.exists());
}

/// The device is destroyed between slices, while some are in flight, and from another thread at any moment; with a file beside it and
/// without. The chains stand at the copy: they are saved, and what is resumed on another device has the bits of a run that never was
/// interrupted.
fn lost_device(gpu: Gpu) {
    lost_with(&gpu, Some(Duration::ZERO), None);
    lost_with(&gpu, None, None);
    for after in [3, 20, 300] {
        lost_with(&gpu, None, Some(Duration::from_millis(after)));
    }
}

/// Without a copy, what came since the last save to the file is lost.
fn lost_without_copy(gpu: Gpu) {
    let open = || pollster::block_on(Gpu::from_adapter(&adapter(&gpu))).unwrap();
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    let doomed = open();
    let device = doomed.device().clone();
    let mut run = Backend::gpu_of(doomed).chains(ring(), Mala::new(0.1)).count(100).spare_copy(0).build().unwrap();
    run.advance(10).unwrap();
    device.destroy();
    assert!(matches!(run.advance(10), Err(Error::DeviceLost { good_steps: 10, .. })));
    assert!(matches!(run.save(&path), Err(Error::DeviceLost { .. })));
    assert!(matches!(run.positions(), Err(Error::DeviceLost { .. })));
    assert!(!path.exists());
}

/// Between two calls, and after a warm-up: the first to notice is a save, and the frozen settings are in it.
fn lost_between_calls(gpu: Gpu) {
    let open = || pollster::block_on(Gpu::from_adapter(&adapter(&gpu))).unwrap();
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    let setup = |gpu: &Gpu| Backend::gpu_of(gpu.clone()).chains(ring(), Hmc::adaptive()).count(200).seed(3);
    let mut whole = setup(&gpu).build().unwrap();
    whole.advance(40).unwrap();
    for steps in [0, 40] {
        let doomed = open();
        let mut run = setup(&doomed).build().unwrap();
        run.advance(steps).unwrap();
        doomed.device().destroy();
        run.save(&path).unwrap();
        let (at, positions) = (run.steps(), run.positions().unwrap());
        let mut run = setup(&open()).resume(&path).unwrap();
        assert_eq!((run.steps(), run.positions().unwrap()), (at, positions));
        run.advance(whole.steps() - at).unwrap();
        contents(&*run).assert_same(&contents(&*whole));
    }
}

fn lost_with(gpu: &Gpu, every: Option<Duration>, after: Option<Duration>) {
    let open = || pollster::block_on(Gpu::from_adapter(&adapter(gpu))).unwrap();
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    let setup = |gpu: &Gpu| {
        let chains = Backend::gpu_of(gpu.clone()).chains(ring(), Underdamped::new(0.2, 1.0));
        chains.count(1000).seed(5)
    };
    let doomed = open();
    let device = doomed.device().clone();
    // When so many steps were done.
    let told = Arc::new(Mutex::new(vec![(Instant::now(), 0)]));
    let (tells, base) = (told.clone(), Arc::new(AtomicU64::new(0)));
    let of_call = base.clone();
    let mut watched = setup(&doomed).slice(Duration::from_millis(5)).on_progress(move |p| {
        tells.lock().unwrap().push((Instant::now(), of_call.load(Ordering::Relaxed) + p.done));
        if after.is_none() && p.done > 2000 {
            device.destroy();
        }
        ControlFlow::Continue(())
    });
    if let Some(every) = every {
        watched = watched.checkpoint(&path, every);
    }
    let mut run = watched.build().unwrap();
    run.advance(50).unwrap();
    base.store(50, Ordering::Relaxed);
    let device = doomed.device().clone();
    let destroyer = after.map(|after| {
        std::thread::spawn(move || {
            std::thread::sleep(after);
            device.destroy();
        })
    });
    let e = run.collect(Collect::draws(1 << 30)).unwrap_err();
    if let Some(thread) = destroyer {
        thread.join().unwrap();
    }
    let Error::DeviceLost { good_steps, .. } = e else { panic!("{e}") };
    assert_eq!(good_steps, run.steps());
    let told = told.lock().unwrap().clone();
    let (end, done) = told[told.len() - 1];
    let lost = done - run.steps();
    // Copies are asked for 40 ms apart, and what is in flight then is of three slices.
    let before = told.iter().rev().find(|(at, _)| end - *at > Duration::from_millis(50)).map_or(0, |&(_, done)| done);
    let slice = told.windows(2).map(|pair| pair[1].1 - pair[0].1).max().unwrap_or(0);
    let most = done - before + 3 * slice;
    assert!(lost <= most, "{lost} steps of {done} were lost, {most} at most; slices of {slice}");
    // What the chains have is at hand yet.
    let (positions, energies, tallies) = (run.positions().unwrap(), run.energies().unwrap(), run.tallies());
    assert!(matches!(run.advance(1), Err(Error::DeviceLost { .. })));
    run.save(&path).unwrap();
    assert_eq!(run.report().steps, run.steps());
    drop(run);
    let mut run = setup(&open()).resume(&path).unwrap();
    assert_eq!(run.steps(), good_steps);
    assert!(run.positions().unwrap() == positions && run.energies().unwrap() == energies && run.tallies() == tallies);
    // The copy may be of before the collection.
    run.advance(50u64.saturating_sub(run.steps())).unwrap();
    let draws = run.steps() - 50;
    let report = run.collect(Collect::draws(500).go_on()).unwrap();
    let mut whole = setup(gpu).build().unwrap();
    whole.advance(50).unwrap();
    assert_eq!(whole.collect(Collect::draws(draws + 500)).unwrap().coordinates, report.coordinates);
    contents(&*run).assert_same(&contents(&*whole));
}

/// In the midst of a warm-up: what is lost is what was done since the copy, and resumed on another device the warm-up finds the same.
/// The second device is lost as well.
fn lost_in_warm_up(gpu: Gpu) {
    let open = || pollster::block_on(Gpu::from_adapter(&adapter(&gpu))).unwrap();
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    let setup = |gpu: &Gpu| Backend::gpu_of(gpu.clone()).chains(ring(), Hmc::adaptive()).count(4096).seed(3);
    let mut whole = setup(&gpu).build().unwrap();
    whole.advance(10).unwrap();
    let mut begun = 0;
    for after in [3, 60, 120] {
        let doomed = open();
        let device = doomed.device().clone();
        let told = Arc::new(Mutex::new(vec![(Instant::now(), begun)]));
        let tells = told.clone();
        let watched = setup(&doomed).on_progress(move |p| {
            assert_eq!(p.phase, Phase::WarmUp);
            tells.lock().unwrap().push((Instant::now(), p.done));
            if p.done == begun + after {
                device.destroy();
            }
            ControlFlow::Continue(())
        });
        let mut run = if begun == 0 { watched.build().unwrap() } else { watched.resume(&path).unwrap() };
        let e = run.advance(10).unwrap_err();
        let Error::DeviceLost { good_steps, .. } = e else { panic!("{e}") };
        assert_eq!(good_steps, run.steps());
        assert!(matches!(run.warm_up(Warmup::default()), Err(Error::DeviceLost { .. })));
        let told = told.lock().unwrap();
        let (end, done) = told[told.len() - 1];
        // A copy is asked for with the first step that begins 40 ms after the last.
        let before = told.iter().rev().find(|(at, _)| end - *at > Duration::from_millis(40)).map_or(begun, |&(_, done)| done);
        assert!(run.steps() + 2 >= before && run.steps() <= done, "at {} of {done}, and at {before} 40 ms before", run.steps());
        run.save(&path).unwrap();
        let positions = run.positions().unwrap();
        let resumed = setup(&open()).resume(&path).unwrap();
        assert_eq!((resumed.steps(), resumed.positions().unwrap()), (good_steps, positions));
        begun = good_steps;
    }
    assert!(begun > 60, "{begun}");
    let mut run = setup(&open()).resume(&path).unwrap();
    run.advance(10).unwrap();
    assert_eq!(run.report().adaptation, whole.report().adaptation);
    contents(&*run).assert_same(&contents(&*whole));
}

/// Time-outs in the midst of a collection, and then it goes on.
fn timeout(gpu: Gpu) {
    // A device of its own: waiting for a lock on one that other tests wait on would use the time up.
    let own = pollster::block_on(Gpu::from_adapter(&adapter(&gpu))).unwrap();
    let setup = Backend::gpu_of(own).chains(ring(), Hmc::new(0.1, 100)).count(4096).seed(9);
    let mut whole = setup.clone().build().unwrap();
    whole.collect(Collect::draws(60)).unwrap();
    let mut run = setup.build().unwrap();
    run.collect(Collect::draws(20)).unwrap();
    run.set_timeout(Duration::from_nanos(1));
    let e = run.collect(Collect::draws(40).go_on()).unwrap_err();
    assert!(matches!(e, Error::Timeout { good_steps, .. } if good_steps == run.steps()), "{e}");
    // Again, while what was in flight still runs.
    let _ = run.collect(Collect::draws(60 - run.steps()).go_on());
    run.set_timeout(Duration::from_secs(60));
    if run.steps() < 60 {
        run.collect(Collect::draws(60 - run.steps()).go_on()).unwrap();
    }
    contents(&*run).assert_same(&contents(&*whole));
}
