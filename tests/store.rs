//! Stored draws: they are the positions, whatever the cutting, in memory, in `.npy` files and in Zarr stores; and what goes wrong.

mod common;

use std::{
    fs,
    ops::ControlFlow,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use common::Suite;
use ergodic::{
    Backend, Chains, Collect, Error, Gpu, Result, Start,
    chains::{Goal, Setup},
    energy::{Energy, Gaussian, Mixture, Rosenbrock},
    kernel::{Hmc, Kernel, Ladder, Mala, Rwm, Tempering, Ula, Underdamped},
    store::{Draw, Draws, Npy, Shape, Sink},
};

fn main() -> ExitCode {
    let suite = Suite::new()
        .both("draws_are_the_positions", draws_are_the_positions)
        .both("draws_do_not_depend_on_the_cutting", draws_do_not_depend_on_the_cutting)
        .both("a_subset_is_columns_of_the_whole", a_subset_is_columns_of_the_whole)
        .both("of_a_ladder_the_coldest_is_stored", of_a_ladder_the_coldest_is_stored)
        .both("storing_changes_nothing", storing_changes_nothing)
        .both("a_slow_sink_gets_every_draw_once", a_slow_sink_gets_every_draw_once)
        .both("a_cancelled_run_goes_on", a_cancelled_run_goes_on)
        .both("a_goal_ends_the_draws", a_goal_ends_the_draws)
        .both("errors_of_a_sink_come_back", errors_of_a_sink_come_back)
        .test("what_cannot_be_stored_is_refused", what_cannot_be_stored_is_refused)
        .both("npy_round_trip", npy_round_trip)
        .gpu("subsets_across_submissions", |gpu| subsets_across_submissions(Backend::gpu_of(gpu)))
        .gpu("draws_by_way_of_a_copy_are_the_same", draws_by_way_of_a_copy)
        .gpu("dispatches_cut_short_store_nothing_twice", |gpu| dispatches_cut_short(Backend::gpu_of(gpu)))
        .gpu("the_memory_budget_counts_draws", |gpu| the_memory_budget_counts_draws(Backend::gpu_of(gpu)));
    #[cfg(feature = "zarr")]
    let suite = zarr::tests(suite);
    suite.run()
}

fn gaussian() -> Gaussian {
    Gaussian::full([1.0, -2.0, 0.5], &[2.0, 0.6, 0.0, 0.6, 0.5, 0.1, 0.0, 0.1, 1.0]).unwrap()
}

fn built(setup: Setup) -> Box<dyn Chains> {
    setup.build().unwrap()
}

/// The bits of all that is stored.
fn bits(draws: &Draws) -> Vec<u32> {
    draws.positions().iter().chain(draws.energies()).map(|v| v.to_bits()).collect()
}

fn stored(chains: &mut dyn Chains, collect: Collect) -> Draws {
    let mut draws = Draws::new();
    chains.collect_into(collect, &mut draws).unwrap();
    draws
}

/// Positions and energies read every third step are the draws thinned by three, to the bit; those read elsewhere are not.
fn draws_are_the_positions(backend: Backend) {
    let ring: Arc<dyn Energy> = Arc::new(Mixture::ring(8, 2.0, 0.5).unwrap());
    let cases: [(Arc<dyn Energy>, Arc<dyn Kernel>); 5] = [
        (Arc::new(gaussian()), Arc::new(Mala::new(0.2))),
        (ring.clone(), Arc::new(Hmc::new(0.2, 4).jitter(2))),
        (ring.clone(), Arc::new(Ula::new(0.05))),
        (ring, Arc::new(Underdamped::new(0.2, 1.5))),
        (Arc::new(Rosenbrock::new(9).unwrap().shape(0.5, 2.0).unwrap()), Arc::new(Rwm::new(0.3))),
    ];
    for (energy, kernel) in cases {
        let setup = || backend.chains_of(energy.clone(), kernel.clone()).count(70).seed(11).start(Start::normal([0.0], 0.5));
        let mut run = built(setup());
        run.advance(5).unwrap();
        let draws = stored(&mut *run, Collect::draws(100).thin(3));
        assert_eq!((draws.count(), draws.dim(), draws.chains()), (33, energy.dim(), 70));
        let mut other = built(setup());
        other.advance(5).unwrap();
        let is = |draw: usize, other: &dyn Chains| {
            let positions = other.positions().unwrap();
            let energies = &draws.energies()[draw * 70..(draw + 1) * 70];
            draws.draw(draw).unwrap() == positions && energies == other.energies().unwrap()
        };
        for draw in 0..33 {
            other.advance(2).unwrap();
            assert!(!is(draw, &*other), "{}: draw {draw} one step too early", kernel.name());
            other.advance(1).unwrap();
            assert!(is(draw, &*other), "{}: draw {draw}", kernel.name());
            assert_eq!(draws.steps()[draw], other.steps());
        }
        assert_eq!(draws.draw(33), None);
    }
}

/// Short slices, calls in parts, and a run taken up again store the same bits; another phase of the thinning does not.
fn draws_do_not_depend_on_the_cutting(backend: Backend) {
    let setup = |slice| backend.chains(gaussian(), Hmc::new(0.2, 3)).count(130).seed(5).slice(Duration::from_micros(slice));
    let collect = Collect::draws(1300).thin(7);
    let whole = stored(&mut *built(setup(75_000)), collect);
    assert_eq!(whole.count(), 185);
    assert_eq!(bits(&whole), bits(&stored(&mut *built(setup(200)), collect)));
    let mut run = built(setup(3000));
    let mut parts = Draws::new();
    for (i, draws) in [3, 4, 6, 7, 1, 900, 379].into_iter().enumerate() {
        let collect = Collect::draws(draws).thin(7);
        run.collect_into(if i == 0 { collect } else { collect.go_on() }, &mut parts).unwrap();
    }
    assert_eq!(bits(&whole), bits(&parts));
    assert_eq!(whole.steps(), parts.steps());

    let mut shifted = built(setup(75_000));
    shifted.advance(1).unwrap();
    assert_ne!(bits(&whole), bits(&stored(&mut *shifted, collect)));
}

fn a_subset_is_columns_of_the_whole(backend: Backend) {
    let setup = || backend.chains(gaussian(), Mala::new(0.2)).count(150).seed(5);
    let whole = stored(&mut *built(setup()), Collect::draws(20));
    for chains in [0..1, 63..65, 149..150, 0..150, 20..120] {
        let part = stored(&mut *built(setup()), Collect::draws(20).stored_chains(chains.clone()));
        let columns: Vec<f32> = whole.positions().chunks(150).flat_map(|row| row[chains.clone()].to_vec()).collect();
        assert_eq!(part.positions(), columns, "{chains:?}");
        let columns: Vec<f32> = whole.energies().chunks(150).flat_map(|row| row[chains.clone()].to_vec()).collect();
        assert_eq!(part.energies(), columns, "{chains:?}");
    }
}

/// Hotter chains have another law than the target's: they are not stored.
fn of_a_ladder_the_coldest_is_stored(backend: Backend) {
    let kernel = || Tempering::new(Rwm::new(0.5), Ladder::geometric(8.0, 4).swap_every(2));
    let setup = || backend.chains(gaussian(), kernel()).count(128).seed(5);
    let mut run = built(setup());
    let draws = stored(&mut *run, Collect::draws(30).thin(10).stored_chains(5..60));
    assert_eq!((draws.count(), draws.chains()), (3, 13));
    let of_coldest = |rows: Vec<f32>| {
        rows.chunks(128).flat_map(|row| row[8..60].iter().step_by(4).copied().collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    assert_eq!(draws.draw(2).unwrap(), of_coldest(run.positions().unwrap()));
    assert_eq!(draws.energies()[2 * 13..], of_coldest(run.energies().unwrap()));
    let error = run.collect_into(Collect::draws(3).stored_chains(5..8), &mut Draws::new()).unwrap_err();
    assert!(error.to_string().contains("coldest"), "{error}");
}

/// Moments and positions are the same with a sink and without.
fn storing_changes_nothing(backend: Backend) {
    let setup = || backend.chains(gaussian(), Mala::new(0.2)).count(130).seed(5);
    let (mut with, mut without) = (built(setup()), built(setup()));
    let a = with.collect_into(Collect::draws(300).thin(4), &mut Draws::new()).unwrap();
    let b = without.collect(Collect::draws(300)).unwrap();
    assert_eq!(a.coordinates, b.coordinates);
    assert_eq!(with.positions().unwrap(), without.positions().unwrap());
    with.advance(10).unwrap();
    without.advance(10).unwrap();
    assert_eq!(with.positions().unwrap(), without.positions().unwrap());
}

fn a_slow_sink_gets_every_draw_once(backend: Backend) {
    let setup = backend.chains(gaussian(), Mala::new(0.2)).count(64).seed(1).slice(Duration::from_millis(1));
    let mut steps = Vec::new();
    let mut last = Vec::new();
    let mut slow = |draw: Draw<'_>| {
        steps.push(draw.step);
        last = draw.positions.to_vec();
        if draw.step.is_multiple_of(50) {
            std::thread::sleep(Duration::from_millis(3));
        }
        Ok(())
    };
    let mut run = built(setup);
    run.collect_into(Collect::draws(2000), &mut slow).unwrap();
    assert_eq!(steps, (1..=2000).collect::<Vec<_>>());
    assert_eq!(last, run.positions().unwrap());
}

/// A cancelled run has handed out the draws so far; going on gives the rest, as if nothing had been.
fn a_cancelled_run_goes_on(backend: Backend) {
    let setup = || backend.chains(gaussian(), Mala::new(0.2)).count(64).seed(1).slice(Duration::from_millis(1));
    let cancels = Arc::new(AtomicBool::new(true));
    let asked = cancels.clone();
    let cancel = move |p: ergodic::chains::Progress| {
        if p.done > 100 && asked.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut run = built(setup().on_progress(cancel));
    let mut draws = Draws::new();
    let error = run.collect_into(Collect::draws(3000).thin(3), &mut draws).unwrap_err();
    let Error::Cancelled { good_steps } = error else { panic!("{error}") };
    assert_eq!(draws.count() as u64, good_steps / 3);
    cancels.store(false, Ordering::Relaxed);
    run.collect_into(Collect::draws(3000 - good_steps).thin(3).go_on(), &mut draws).unwrap();
    assert_eq!(bits(&draws), bits(&stored(&mut *built(setup()), Collect::draws(3000).thin(3))));
}

fn a_goal_ends_the_draws(backend: Backend) {
    let mut run = built(backend.chains(gaussian(), Mala::new(0.5)).count(256).seed(1));
    let mut draws = Draws::new();
    let report = run.collect_into(Collect::until(Goal::mcse(0.05)).thin(2), &mut draws).unwrap();
    assert_eq!(draws.count() as u64, report.draws / 2);
    let mut none = Draws::new();
    run.collect_into(Collect::draws(100).within(Duration::ZERO), &mut none).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(none.count(), 0);
}

/// The run ends with the sink's own error; the chains can be used, and no draw is handed out again.
fn errors_of_a_sink_come_back(backend: Backend) {
    let mut run = built(backend.chains(gaussian(), Mala::new(0.2)).count(64).seed(1).slice(Duration::from_millis(1)));
    let mut steps = Vec::new();
    let mut full = |draw: Draw<'_>| {
        steps.push(draw.step);
        if steps.len() == 250 { Err(Error::Sink("no room left".into())) } else { Ok(()) }
    };
    let error = run.collect_into(Collect::draws(5000), &mut full).unwrap_err();
    assert!(error.to_string().contains("no room left"), "{error}");
    assert_eq!(steps, (1..=250).collect::<Vec<_>>());
    assert!(run.steps() >= 250 && run.steps() < 5000, "{}", run.steps());
    run.advance(10).unwrap();
    let draws = stored(&mut *run, Collect::draws(10));
    assert_eq!(draws.draw(9).unwrap(), run.positions().unwrap());
}

/// Fault 1 and 2: nothing is run, no sink is told.
fn what_cannot_be_stored_is_refused() {
    struct Untouched;
    impl Sink for Untouched {
        fn begin(&mut self, shape: &Shape) -> Result<()> {
            panic!("{shape:?}")
        }
        fn write(&mut self, _: &[Draw<'_>]) -> Result<()> {
            unreachable!("begin panics")
        }
    }
    let mut run = built(Backend::cpu().chains(gaussian(), Mala::new(0.2)).count(64));
    let collect = Collect::draws(1000);
    for (collect, expected) in [
        (collect.thin(0), "thin = 0"),
        (collect.stored_chains(3..3), "stored chains = 3..3"),
        (collect.stored_chains(0..65), "stored chains = 0..65"),
        (Collect::draws(u64::MAX), "draws to store: 18446744073709551615"),
        (Collect::draws(1 << 60), "draws to store"),
    ] {
        for error in [run.stored_bytes(&collect).unwrap_err(), run.collect_into(collect, &mut Untouched).unwrap_err()] {
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
    assert!(run.collect_into(Collect::draws(0), &mut Untouched).is_err());
    // 2^46 draws of 1,024 bytes can be counted but not held.
    let error = run.collect_into(Collect::draws(1 << 46), &mut Draws::new()).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
    assert_eq!(run.steps(), 0);
    assert_eq!(run.stored_bytes(&collect.thin(3).stored_chains(1..5)).unwrap(), 333 * 4 * 4 * 4);

    let mut draws = stored(&mut *run, collect.stored_chains(0..5));
    let error = run.collect_into(collect, &mut draws).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
}

/// What a reader of `.npy` files finds: shape, values.
fn read_npy(path: &std::path::Path) -> (Vec<u64>, Vec<f32>) {
    let file = npyz::NpyFile::new(fs::File::open(path).unwrap()).unwrap();
    (file.shape().to_vec(), file.into_vec().unwrap())
}

fn npy_round_trip(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let setup = || backend.chains(gaussian(), Mala::new(0.2)).count(64).seed(1).slice(Duration::from_millis(1));
    let expected = stored(&mut *built(setup()), Collect::draws(500).thin(5));
    let mut run = built(setup());
    let mut npy = Npy::create(&path).unwrap();
    run.collect_into(Collect::draws(400).thin(5), &mut npy).unwrap();
    run.collect_into(Collect::draws(100).thin(5).go_on(), &mut npy).unwrap();
    // The file is whole while the sink is still open, so after a crash as well.
    let (shape, values) = read_npy(&path);
    assert_eq!(shape, [100, 3, 64]);
    assert_eq!(values, expected.positions());

    // A flipped bit is seen, and bytes of a draw that came after the last whole one are not read.
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend([1; 100]);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(read_npy(&path).1, expected.positions());
    bytes[128 + 4 * 777] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_ne!(read_npy(&path).1, expected.positions());

    let error = Npy::create(&path).unwrap_err();
    assert!(matches!(error, Error::Write { .. }) && error.to_string().contains("x.npy"), "{error}");
    let error = run.collect_into(Collect::draws(5).stored_chains(0..3), &mut npy).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
}

/// On a software GPU 70,000 chains are two submissions: a subset may lie in one of them, or in both.
fn subsets_across_submissions(backend: Backend) {
    let chains = 70_000;
    let setup = || backend.chains(gaussian(), Mala::new(0.2)).count(chains).seed(5);
    let mut run = built(setup());
    run.advance(4).unwrap();
    let (x, e) = (run.positions().unwrap(), run.energies().unwrap());
    for part in [0..chains, 34_990..35_100, 10..20, 69_000..70_000] {
        let draws = stored(&mut *built(setup()), Collect::draws(5).thin(4).stored_chains(part.clone()));
        let columns: Vec<f32> = x.chunks(chains).flat_map(|row| row[part.clone()].to_vec()).collect();
        assert_eq!(draws.count(), 1);
        assert!(draws.positions() == columns && draws.energies() == &e[part.clone()], "{part:?}");
    }
}

/// A GPU with memory of its own has its draws copied for the host; on software the host reads them where they stand.
fn draws_by_way_of_a_copy(gpu: Gpu) {
    let hardware = common::as_hardware(&gpu);
    let [here, copied] = [gpu, hardware].map(|gpu| {
        let setup = Backend::gpu_of(gpu).chains(gaussian(), Mala::new(0.2)).count(150).seed(5);
        stored(&mut *built(setup.slice(Duration::from_millis(1))), Collect::draws(200).thin(3))
    });
    assert_eq!(bits(&here), bits(&copied));
}

/// Fault 23 for draws: slices that the driver cuts short are run again, and hand out what slices of one step do.
fn dispatches_cut_short(backend: Backend) {
    let is_limited = backend.gpu().is_some_and(|gpu| gpu.info().name.contains("llvmpipe"));
    // Many leapfrog steps: a long slice has more loop iterations than the driver grants.
    let target = || Mixture::ring(3, 1.5, 0.6).unwrap();
    let setup = || backend.chains(target(), Hmc::new(0.2, 100)).count(64).seed(3);
    let collect = Collect::draws(6000).thin(7);
    let mut long = built(setup().slice(Duration::from_secs(2)));
    let draws = stored(&mut *long, collect);
    // A step a slice, whatever the time: it must not be cut.
    let mut short = built(setup().slice(Duration::ZERO));
    let expected = stored(&mut *short, collect);
    assert_eq!(short.report().slices_redone, 0);
    assert_eq!(long.report().slices_redone > 0, is_limited);
    assert_eq!(draws.steps(), expected.steps());
    assert_eq!(bits(&draws), bits(&expected));
}

/// Chains that fit a budget do not where draws of them need more; with a little more there is room for a draw a dispatch.
fn the_memory_budget_counts_draws(backend: Backend) {
    let setup = |budget| backend.chains(gaussian(), Mala::new(0.2)).count(4096).seed(5).memory_budget(budget);
    let least = (1..).map(|i| i << 12).find(|&budget| setup(budget).build().is_ok()).unwrap();
    let error = built(setup(least)).collect_into(Collect::draws(10), &mut Draws::new()).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }) && error.to_string().contains("memory budget"), "{error}");
    let narrow = stored(&mut *built(setup(least + 4 * 4096 * 4 * 4)), Collect::draws(10));
    assert_eq!(bits(&narrow), bits(&stored(&mut *built(setup(u64::MAX)), Collect::draws(10))));
}

#[cfg(feature = "zarr")]
mod zarr {
    use std::path::Path;

    use ergodic::store::Zarr;
    use zarrs::{
        array::{Array, ArraySubset},
        filesystem::FilesystemStore,
        group::Group,
    };

    use super::*;

    pub(crate) fn tests(suite: Suite) -> Suite {
        suite
            .both("zarr_round_trip", round_trip)
            .both("zarr_of_a_cancelled_run", of_a_cancelled_run)
            .test("zarr_tells_of_draws_as_they_come", tells_of_draws_as_they_come)
            .both("zarr_goes_on_after_a_resumption", goes_on)
            .test("zarr_refuses_what_does_not_go_on", refuses_what_does_not_go_on)
            .test("zarr_errors_name_the_file", errors_name_the_file)
    }

    /// The shape and the values of an array, as zarrs reads them.
    fn read(path: &Path, array: &str) -> (Vec<u64>, Vec<f32>) {
        let array = Array::open(Arc::new(FilesystemStore::new(path).unwrap()), array).unwrap();
        let values = array.retrieve_array_subset::<Vec<f32>>(&ArraySubset::new_with_shape(array.shape().to_vec())).unwrap();
        (array.shape().to_vec(), values)
    }

    /// `[chain][draw][dim]` of `[draw][dim][chain]`.
    fn turned(draws: &Draws) -> Vec<f32> {
        let (n, dim, chains) = (draws.count(), draws.dim(), draws.chains());
        let at = |c: usize, d: usize, i: usize| draws.positions()[(d * dim + i) * chains + c];
        (0..chains).flat_map(|c| (0..n).flat_map(move |d| (0..dim).map(move |i| at(c, d, i)))).collect()
    }

    fn round_trip(backend: Backend) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("draws.zarr");
        let setup = || backend.chains(gaussian(), Mala::new(0.2)).count(64).seed(1).temperature(2.0).first_chain(128);
        let mut expected = built(setup());
        let warmup = stored(&mut *expected, Collect::draws(20).stored_chains(3..40));
        let draws = stored(&mut *expected, Collect::draws(500).thin(5).stored_chains(3..40));

        let mut run = built(setup());
        let mut store = Zarr::create(&path).unwrap();
        run.collect_into(Collect::draws(20).stored_chains(3..40), &mut store.warmup()).unwrap();
        let collect = |n| Collect::draws(n).thin(5).stored_chains(3..40);
        run.collect_into(collect(400), &mut store).unwrap();
        run.collect_into(collect(100).go_on(), &mut store).unwrap();

        assert_eq!(read(&path, "/posterior/x"), (vec![37, 100, 3], turned(&draws)));
        assert_eq!(read(&path, "/warmup_posterior/x"), (vec![37, 20, 3], turned(&warmup)));
        let (shape, lp) = read(&path, "/sample_stats/lp");
        assert_eq!(shape, [37, 100]);
        for (chain, row) in lp.chunks(100).enumerate() {
            for (draw, &lp) in row.iter().enumerate() {
                assert_eq!(lp, -draws.energies()[draw * 37 + chain] / 2.0);
            }
        }
        let ids = |array: &str| {
            let array = Array::open(Arc::new(FilesystemStore::new(&path).unwrap()), array).unwrap();
            array.retrieve_array_subset::<Vec<i64>>(&ArraySubset::new_with_shape(array.shape().to_vec())).unwrap()
        };
        assert_eq!(ids("/posterior/chain"), (131..168).collect::<Vec<i64>>());
        assert_eq!(ids("/sample_stats/draw"), (0..100).collect::<Vec<i64>>());
        let root = Group::open(Arc::new(FilesystemStore::new(&path).unwrap()), "/").unwrap();
        let all = root.consolidated_metadata().unwrap().metadata;
        assert_eq!(all.len(), 4 + 2 * 7);
        // The consolidated metadata is that of the nodes themselves.
        for (name, node) in &all {
            let text = fs::read(path.join(name).join("zarr.json")).unwrap();
            let alone: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(serde_json::to_value(node).unwrap(), alone, "{name}");
        }
        // Each group stands before what is in it.
        let text = fs::read_to_string(path.join("zarr.json")).unwrap();
        let place = |name: &str| text.find(&format!("\"{name}\": {{")).unwrap();
        for (group, name) in all.keys().filter_map(|name| name.split_once('/').map(|(group, _)| (group, name))) {
            assert!(place(group) < place(name), "{name}");
        }

        // Planted faults: a bit, a chunk in another's place, a chunk that no metadata tells of.
        let chunk = |draw: usize| path.join(format!("posterior/x/c.0.{draw}.0"));
        let whole = fs::read(chunk(7)).unwrap();
        fs::copy(chunk(7), chunk(100)).unwrap();
        assert_eq!(read(&path, "/posterior/x").1, turned(&draws));
        let mut flipped = whole.clone();
        flipped[100] ^= 1;
        for wrong in [flipped, fs::read(chunk(8)).unwrap()] {
            fs::write(chunk(7), wrong).unwrap();
            assert_ne!(read(&path, "/posterior/x").1, turned(&draws));
        }
    }

    fn of_a_cancelled_run(backend: Backend) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("draws.zarr");
        let cancel =
            |p: ergodic::chains::Progress| if p.done > 100 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let setup = || backend.chains(gaussian(), Mala::new(0.2)).count(64).seed(1).slice(Duration::from_millis(1));
        let mut run = built(setup().on_progress(cancel));
        let error = run.collect_into(Collect::draws(3000).thin(3), &mut Zarr::create(&path).unwrap()).unwrap_err();
        let Error::Cancelled { good_steps } = error else { panic!("{error}") };
        let draws = stored(&mut *built(setup()), Collect::draws(good_steps).thin(3));
        assert_eq!(read(&path, "/posterior/x"), (vec![64, good_steps / 3, 3], turned(&draws)));
    }

    /// A tenth of a second after the last time, and not later than the end, the metadata tells of all draws that are written.
    fn tells_of_draws_as_they_come() {
        struct Slow<'a>(Zarr, &'a Path, Vec<[u64; 2]>);
        impl Sink for Slow<'_> {
            fn begin(&mut self, shape: &Shape) -> Result<()> {
                self.0.begin(shape)
            }
            fn write(&mut self, draws: &[Draw<'_>]) -> Result<()> {
                std::thread::sleep(Duration::from_millis(101));
                self.0.write(draws)?;
                let written = draws.last().map_or(0, |draw| draw.step);
                self.2.push([written, read(self.1, "/posterior/x").0[1]]);
                Ok(())
            }
            fn end(&mut self) -> Result<()> {
                self.0.end()
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("draws.zarr");
        let setup = Backend::cpu().chains(gaussian(), Mala::new(0.2)).count(64).slice(Duration::from_micros(1));
        let mut slow = Slow(Zarr::create(&path).unwrap(), &path, Vec::new());
        built(setup).collect_into(Collect::draws(5), &mut slow).unwrap();
        assert!(slow.2.len() > 1, "{:?}", slow.2);
        assert!(slow.2.iter().all(|[written, told]| written == told), "{:?}", slow.2);
        let mut quick = Zarr::create(folder.path().join("quick.zarr")).unwrap();
        let setup = Backend::cpu().chains(gaussian(), Mala::new(0.2)).count(64);
        built(setup).collect_into(Collect::draws(5), &mut quick).unwrap();
        assert_eq!(read(&folder.path().join("quick.zarr"), "/posterior/x").0, [64, 5, 3]);
    }

    /// A store as a crash leaves it: nothing is told at the end.
    struct Crashed(Zarr);

    impl Sink for Crashed {
        fn begin(&mut self, shape: &Shape) -> Result<()> {
            self.0.begin(shape)
        }
        fn write(&mut self, draws: &[Draw<'_>]) -> Result<()> {
            self.0.write(draws)
        }
    }

    /// All files of a folder, by name.
    fn files(path: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
        let mut all = std::collections::BTreeMap::new();
        for entry in fs::read_dir(path).unwrap().map(Result::<_, std::io::Error>::unwrap) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() {
                all.extend(files(&entry.path()).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
            } else {
                all.insert(name, fs::read(entry.path()).unwrap());
            }
        }
        all
    }

    /// A run that crashed after its checkpoint, resumed into its store: every draw is that of a run which was not interrupted, whether
    /// the collection goes on or a new one begins.
    fn goes_on(backend: Backend) {
        let folder = tempfile::tempdir().unwrap();
        let setup = || backend.chains(gaussian(), Mala::new(0.2)).count(64).seed(1).first_chain(128);
        let collect = |n| Collect::draws(n).thin(3).stored_chains(3..40);
        for goes_on in [true, false] {
            let on = |collect: Collect| if goes_on { collect.go_on() } else { collect };
            let place = |name: &str| folder.path().join(format!("{name}_{goes_on}"));
            let mut whole = built(setup());
            let mut store = Zarr::create(place("whole.zarr")).unwrap();
            whole.collect_into(collect(10).thin(1), &mut store.warmup()).unwrap();
            whole.collect_into(collect(100), &mut store).unwrap();
            whole.collect_into(on(collect(50)), &mut store).unwrap();

            let mut run = built(setup());
            let mut store = Zarr::create(place("draws.zarr")).unwrap();
            run.collect_into(collect(10).thin(1), &mut store.warmup()).unwrap();
            let mut store = Crashed(store);
            run.collect_into(collect(100), &mut store).unwrap();
            run.save(&place("run")).unwrap();
            run.collect_into(on(collect(41)), &mut store).unwrap();
            drop((run, store));

            let mut run = setup().resume(place("run")).unwrap();
            let mut store = Zarr::open(place("draws.zarr")).unwrap();
            run.collect_into(on(collect(20)), &mut store).unwrap();
            assert_eq!(read(&place("draws.zarr"), "/warmup_posterior/x"), read(&place("whole.zarr"), "/warmup_posterior/x"));
            run.collect_into(collect(30).go_on(), &mut store).unwrap();
            for array in ["/posterior/x", "/sample_stats/lp"] {
                let (shape, values) = read(&place("draws.zarr"), array);
                assert!(shape[..2] == [37, if goes_on { 50 } else { 49 }] && values.iter().all(|v| v.is_finite()), "{shape:?}");
                assert_eq!((shape, values), read(&place("whole.zarr"), array), "{array}");
            }
            let draws = |name: &str| files(&place(name)).into_iter().filter(|(name, _)| !name.contains("zarr.json")).collect();
            let (found, expected): (Vec<_>, Vec<_>) = (draws("draws.zarr"), draws("whole.zarr"));
            assert!(found == expected, "there are other files");
        }
    }

    /// Another run, a lost draw, and what is no store: nothing is changed, and no step is run.
    fn refuses_what_does_not_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let (path, saved) = (folder.path().join("draws.zarr"), folder.path().join("run"));
        let setup = |seed| Backend::cpu().chains(gaussian(), Mala::new(0.2)).count(64).seed(seed);
        let mut run = built(setup(1));
        run.collect_into(Collect::draws(20), &mut Zarr::create(&path).unwrap()).unwrap();
        run.save(&saved).unwrap();
        let refused = |mut run: Box<dyn Chains>, collect: Collect| {
            let (before, steps) = (files(&path), run.steps());
            let error = run.collect_into(collect, &mut Zarr::open(&path).unwrap()).unwrap_err();
            assert!(matches!(&error, Error::Format { path: of, .. } if *of == path), "{error}");
            assert!(files(&path) == before && run.steps() == steps);
            error.to_string()
        };
        let resumed = || setup(1).resume(&saved).unwrap();
        let on = Collect::draws(20).go_on();
        assert!(refused(built(setup(2)), on).contains("seed is 1 in the store and 2 here"));
        let kernel = Backend::cpu().chains(gaussian(), Rwm::new(0.2)).count(64).seed(1);
        assert!(refused(built(kernel), on).contains("kernel is \"mala\" in the store and \"rwm\" here"));
        assert!(refused(built(setup(1).count(65)), on).contains("other chains"));
        assert!(refused(built(setup(1).first_chain(1)), on).contains("other chains"));
        assert!(refused(resumed(), on.stored_chains(1..64)).contains("other chains"));
        fs::write(path.join("posterior/x/c.0.19.0"), [0; 100]).unwrap();
        assert!(
            refused(resumed(), on)
                .contains("lacks draws that were made before the checkpoint: of those before step 21 it has 19")
        );
        resumed().collect_into(Collect::draws(20), &mut Zarr::open(&path).unwrap()).unwrap();
        assert_eq!(read(&path, "/posterior/x").0, [64, 39, 3]);

        assert!(matches!(Zarr::open(folder.path().join("none")).unwrap_err(), Error::File { .. }));
        assert!(matches!(Zarr::open(folder.path()).unwrap_err(), Error::File { .. }));
        let group = path.join("posterior/zarr.json");
        let text = fs::read_to_string(&group).unwrap();
        for damaged in [text.replace("collections", "selections"), text[..text.len() / 2].to_owned(), String::new()] {
            fs::write(&group, damaged).unwrap();
            assert!(matches!(Zarr::open(&path).unwrap_err(), Error::Format { .. }));
        }
    }

    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("draws.zarr");
        let setup = Backend::cpu().chains(gaussian(), Mala::new(0.2)).count(64).slice(Duration::from_millis(1));
        let mut run = built(setup);
        let mut store = Zarr::create(&path).unwrap();
        let error = Zarr::create(&path).unwrap_err();
        assert!(matches!(error, Error::Write { .. }) && error.to_string().contains("draws.zarr"), "{error}");

        /// Takes the store's folder away in the middle.
        struct Torn<'a>(Zarr, &'a Path);
        impl Sink for Torn<'_> {
            fn begin(&mut self, shape: &Shape) -> Result<()> {
                self.0.begin(shape)
            }
            fn write(&mut self, draws: &[Draw<'_>]) -> Result<()> {
                if draws[0].step > 100 {
                    fs::remove_dir_all(self.1.join("posterior/x")).unwrap();
                }
                self.0.write(draws)
            }
        }
        run.collect_into(Collect::draws(10), &mut store).unwrap();
        let error = run.collect_into(Collect::draws(5000), &mut Torn(store, &path)).unwrap_err();
        assert!(matches!(error, Error::Write { .. }) && error.to_string().contains("posterior/x/c.0."), "{error}");
    }
}
