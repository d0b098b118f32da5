//! Checkpoints after a warm-up, and in the midst of one: it goes on with the same bits, and all that it has learnt is in the file.

use std::{
    ops::ControlFlow,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ergodic::{
    Backend, Chains, Collect, Error, Start, Warmup,
    adapt::Adaptation,
    chains::{Ended, Phase, Setup},
    energy::{Banana, Energy, Gaussian, Mixture},
    kernel::{Hmc, Kernel, Mala, Rwm},
};
use serde_json::json;

use super::{
    again,
    common::Suite,
    contents,
    file::{Contents, File},
    folder, refused,
};

pub(crate) fn tests(suite: Suite) -> Suite {
    let mut suite = suite
        .both("a_warm_up_is_kept", is_kept)
        .both("a_warm_up_saves_itself", saves_itself)
        .both("a_warm_up_in_a_time_budget", in_a_time_budget)
        .both("a_second_warm_up_goes_on", second)
        .test("a_forged_warm_up_is_refused", forged)
        .test("what_is_forgotten_of_a_warm_up_is_found", forgotten)
        .test("what_is_forgotten_of_the_acceptance_aimed_at_is_found", forgotten_aim)
        .long();
    let kernels: [(&str, Arc<dyn Kernel>); 3] =
        [("hmc", Arc::new(Hmc::adaptive())), ("mala", Arc::new(Mala::adaptive())), ("rwm", Arc::new(Rwm::adaptive()))];
    for (name, kernel) in kernels {
        suite = suite.both(format!("a_warm_up_goes_on::{name}"), move |backend| {
            goes_on(hard(&backend, &kernel), |found| found.relocated > 0);
        });
    }
    suite.both("a_warm_up_goes_on::to_a_higher_acceptance", |backend| {
        goes_on(failing(&backend), |found| found.raised_from.is_some());
    })
}

/// Two modes, one of no weight that a part of the chains starts in, and starts so far out that chains must come in first: a warm-up has
/// all of its stages there, and relocates.
fn hard(backend: &Backend, kernel: &Arc<dyn Kernel>) -> Setup {
    let energy = Mixture::new(&[1.0, 1e-30], &[vec![0.0, 0.0], vec![60.0, 0.0]], &[1.0, 1.0]).unwrap();
    let start: Vec<f32> = (0..2 * 128)
        .map(|k| match k % 32 {
            0 if k < 128 => 60.0,
            1 => 900.0,
            _ => (k % 9) as f32 / 9.0,
        })
        .collect();
    backend.chains_of(Arc::new(energy), kernel.clone()).count(128).seed(4).start(Start::array(start))
}

/// A warm-up that has to aim at a higher acceptance, since trajectories fail.
fn failing(backend: &Backend) -> Setup {
    backend.chains(Banana::new(), Hmc::adaptive()).count(256).seed(4)
}

/// Cancels a warm-up that comes to so many steps.
fn until(setup: Setup, steps: u64) -> (Setup, Arc<AtomicU64>) {
    let limit = Arc::new(AtomicU64::new(steps));
    let of_call = limit.clone();
    let cancel = move |p: ergodic::chains::Progress| {
        let is_there = p.phase == Phase::WarmUp && p.done >= of_call.load(Ordering::Relaxed);
        if is_there { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    (setup.on_progress(cancel), limit)
}

/// A run that is cancelled after so many steps of its warm-up.
fn cancelled(setup: &Setup, steps: u64) -> Box<dyn Chains> {
    let mut run = until(setup.clone(), steps).0.build().unwrap();
    let e = run.advance(1).unwrap_err();
    assert!(matches!(e, Error::Cancelled { good_steps } if good_steps == steps), "{e}");
    run
}

/// A small run in the midst of its warm-up, and its file.
pub(crate) fn small_file(path: &Path) -> (Setup, Vec<u8>) {
    let setup = Backend::cpu().chains(Gaussian::isotropic([0.0], 1.0).unwrap(), Mala::adaptive()).count(3);
    cancelled(&setup, 20).save(path).unwrap();
    (setup, std::fs::read(path).unwrap())
}

fn found(run: &dyn Chains) -> Adaptation {
    run.report().adaptation.unwrap()
}

/// Cancelled, saved and resumed every few steps, a warm-up finds the same, and what follows has the same bits.
fn goes_on(setup: Setup, is_full: impl Fn(&Adaptation) -> bool) {
    let mut whole = setup.clone().build().unwrap();
    let report = whole.collect(Collect::draws(40)).unwrap();
    let steps = found(&*whole).warm_up_steps;
    assert!(is_full(&found(&*whole)) && steps > 150, "{report}");

    let (cancelling, limit) = until(setup, 1);
    let mut run = cancelling.clone().build().unwrap();
    let mut cuts = 0;
    while run.steps() < steps {
        let e = run.advance(40).unwrap_err();
        assert!(matches!(e, Error::Cancelled { good_steps } if good_steps == limit.load(Ordering::Relaxed)), "{e}");
        run = again(run, &cancelling);
        limit.fetch_add(1 + cuts % 23, Ordering::Relaxed);
        cuts += 1;
        if limit.load(Ordering::Relaxed) > steps {
            break;
        }
    }
    assert!(cuts > 15, "{cuts}");
    let resumed = run.collect(Collect::draws(40)).unwrap();
    assert_eq!(found(&*run), found(&*whole));
    assert_eq!(resumed.coordinates, report.coordinates);
    contents(&*run).assert_same(&contents(&*whole));
}

/// What a warm-up found goes on, and so does a run that was saved before its warm-up.
fn is_kept(backend: Backend) {
    for adaptive in [Hmc::adaptive(), Hmc::adaptive_to(0.7)] {
        let target: Arc<dyn Energy> = Arc::new(Gaussian::full([1.0, -2.0], &[2.0, 0.6, 0.6, 0.5]).unwrap());
        let setup = backend.chains_of(target, Arc::new(adaptive)).count(128).seed(8);
        let mut whole = setup.clone().build().unwrap();
        whole.collect(Collect::draws(40)).unwrap();
        let mut run = again(setup.clone().build().unwrap(), &setup);
        run.advance(0).unwrap();
        let mut run = again(run, &setup);
        run.collect(Collect::draws(23)).unwrap();
        let mut run = again(run, &setup);
        run.collect(Collect::draws(17).go_on()).unwrap();
        contents(&*run).assert_same(&contents(&*whole));
        assert!(run.report().adaptation.is_some());
        assert_eq!(run.report().adaptation, whole.report().adaptation);
        assert_eq!((run.report().steps, run.report().mean_acceptance), (40, whole.report().mean_acceptance));
        // Settings that are forgotten, or a little different, are found.
        let folder = folder();
        let path = folder.path().join("run.safetensors");
        run.save(&path).unwrap();
        run.advance(5).unwrap();
        let sound = File::read(&path);
        let step_size = sound.text["warm_up"]["settings"]["step_size"].as_f64().unwrap();
        for (what, value) in [("settings", json!(step_size * 1.001)), ("all", json!(null))] {
            let mut forged = sound.clone();
            match what {
                "settings" => forged.text["warm_up"]["settings"]["step_size"] = value,
                _ => forged.text["warm_up"] = value,
            }
            forged.write(&path);
            let mut forged = setup.clone().resume(&path).unwrap();
            forged.advance(5).unwrap();
            assert!(contents(&*forged) != contents(&*run), "{what}");
        }
        let mut forged = sound.clone();
        forged.text["warm_up"]["settings"]["inverse_mass"] = json!([1.0]);
        forged.write(&path);
        assert!(refused(&setup, &path).contains("another dimension"));
        sound.write(&path);
        let other = setup.clone().seed(9);
        assert!(refused(&other, &path).contains("seed is 8 in the file and 9 here"));
    }
}

/// After every step, and the file is where the cancelled warm-up was.
fn saves_itself(backend: Backend) {
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    let kernel: Arc<dyn Kernel> = Arc::new(Hmc::adaptive());
    let base = hard(&backend, &kernel);
    drop(cancelled(&base.clone().checkpoint(&path, Duration::ZERO), 77));
    let mut run = base.clone().resume(&path).unwrap();
    assert_eq!(run.steps(), 77);
    // Any call ends it.
    run.warm_up(Warmup::at_most(1)).unwrap();
    let mut whole = base.build().unwrap();
    whole.warm_up(Warmup::default()).unwrap();
    contents(&*run).assert_same(&contents(&*whole));
}

/// Time that is up before the warm-up ends it is no error: there are no draws yet, and the next call goes on.
fn in_a_time_budget(backend: Backend) {
    let kernel: Arc<dyn Kernel> = Arc::new(Hmc::adaptive());
    let setup = hard(&backend, &kernel);
    let mut run = setup.clone().build().unwrap();
    for time in [Duration::ZERO, Duration::from_millis(2), Duration::from_millis(1)] {
        let report = run.collect(Collect::draws(40).within(time)).unwrap();
        assert_eq!((report.draws, report.ended), (0, Some(Ended::Time)), "{report}");
        run = again(run, &setup);
    }
    let report = run.collect(Collect::draws(40).within(Duration::MAX)).unwrap();
    let mut whole = setup.build().unwrap();
    assert_eq!(whole.collect(Collect::draws(40)).unwrap().coordinates, report.coordinates);
    contents(&*run).assert_same(&contents(&*whole));
}

/// What the first warm-up froze is in the file beside the second one.
fn second(backend: Backend) {
    let kernel: Arc<dyn Kernel> = Arc::new(Mala::adaptive());
    let setup = hard(&backend, &kernel);
    let mut whole = setup.clone().build().unwrap();
    whole.collect(Collect::draws(40)).unwrap();
    let (cancelling, limit) = until(setup.clone(), u64::MAX);
    let mut run = cancelling.build().unwrap();
    run.collect(Collect::draws(40)).unwrap();
    limit.store(30, Ordering::Relaxed);
    assert!(matches!(run.warm_up(Warmup::default()), Err(Error::Cancelled { .. })));
    assert_eq!(found(&*run), found(&*whole));
    let mut run = again(run, &setup);
    run.advance(5).unwrap();
    whole.warm_up(Warmup::default()).unwrap();
    whole.advance(5).unwrap();
    contents(&*run).assert_same(&contents(&*whole));
}

/// What stays as it began, and what decides something in other warm-ups alone: where there is a third relocation, a driver that cuts
/// short, a warning; where trajectories fail, see `forgotten_aim`.
const EXEMPT: [&str; 14] = [
    "adaptive",
    "aim",
    "chains",
    "most_steps",
    "keeps_strays",
    "relocations",
    "stretch",
    "temperature",
    "cap",
    "cut_by_driver",
    "uses_grad",
    "moves_noted",
    "measured_moves",
    "warnings",
];

/// Files of a warm-up at its beginning, in each stage a few, and where a relocation and a rescue are planned.
fn of_each_stage(setup: &Setup, path: &Path) -> Vec<File> {
    let mut files: Vec<File> = Vec::new();
    let has_rescue = |file: &File| !file.text["warming_up"]["rescue"].is_null();
    let (cancelling, limit) = until(setup.clone(), 0);
    let mut run = cancelling.build().unwrap();
    for i in 0.. {
        if !matches!(run.advance(1), Err(Error::Cancelled { .. })) {
            break;
        }
        run.save(path).unwrap();
        let mut file = File::read(path);
        let is_rescued = has_rescue(&file) && !files.iter().any(has_rescue);
        let is_planned = !file.tensor("warm_up_moves").is_empty() || is_rescued;
        let stage = file.text["warming_up"]["stage"].clone();
        let is_new = files.last().is_none_or(|last| last.text["warming_up"]["stage"] != stage);
        if is_planned || is_new || i % 6 == 0 {
            files.push(file);
        }
        // Relocations are planned at the end of a window there.
        limit.fetch_add(if stage == "search" { 1 } else { 5 }, Ordering::Relaxed);
    }
    for stage in ["gather", "search", "shape", "tune", "measure"] {
        assert!(files.iter().any(|file| file.text["warming_up"]["stage"] == stage), "{stage} is not among them");
    }
    files
}

/// Each part of the plan set back to what it was when the warm-up began, and each tensor changed: the run that follows is another, or
/// the file is refused.
fn forgotten() {
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    let mut missed: Option<Vec<String>> = None;
    // The second takes longer trajectories, the first more rounds of measurement.
    for kernel in [Hmc::adaptive(), Hmc::adaptive_to(0.97)] {
        let kernel: Arc<dyn Kernel> = Arc::new(kernel);
        let setup = hard(&Backend::cpu(), &kernel);
        let ended = |path: &Path| -> Option<Contents> {
            match setup.clone().resume(path) {
                Ok(mut run) => Some(run.advance(3).map_or_else(|e| panic!("{e}"), |()| contents(&*run))),
                Err(Error::Checkpoint { .. }) => None,
                Err(e) => panic!("{e}"),
            }
        };
        let files = of_each_stage(&setup, &path);
        let mut whole = setup.clone().build().unwrap();
        whole.advance(3).unwrap();
        let whole = contents(&*whole);
        let finds = |file: &File| {
            file.write(&path);
            ended(&path).is_none_or(|contents| contents != whole)
        };
        assert!(!finds(&files[files.len() / 2]), "a file that the test wrote anew is not the same");

        let begun = files[0].text["warming_up"].as_object().unwrap();
        let is_missed = |name: &String| {
            let forget = |file: &File| {
                let mut changed = file.clone();
                changed.text["warming_up"][name] = begun[name].clone();
                (file.text["warming_up"][name] != begun[name]).then_some(changed)
            };
            !files.iter().rev().filter_map(forget).any(|file| finds(&file))
        };
        let names = missed.unwrap_or_else(|| begun.keys().filter(|name| !EXEMPT.contains(&name.as_str())).cloned().collect());
        missed = Some(names.into_iter().filter(is_missed).collect());

        // Whether chains moved decides a warning alone.
        for name in ["warm_up_idle", "warm_up_strays", "warm_up_moved_at", "warm_up_moves"] {
            let change = |file: &File| {
                let mut changed = file.clone();
                let (_, _, data) = changed.tensors.iter_mut().find(|tensor| tensor.0 == name)?;
                data.iter_mut().step_by(if name == "warm_up_idle" { 4 } else { 1 }).for_each(|byte| *byte ^= 15);
                (!data.is_empty()).then_some(changed)
            };
            assert!(files.iter().rev().filter_map(change).any(|file| finds(&file)), "a changed `{name}` makes no difference");
        }
    }
    assert_eq!(missed.unwrap(), Vec::<String>::new());
}

/// The same of each part of the acceptance aimed at.
fn forgotten_aim() {
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    let setup = failing(&Backend::cpu());
    let ended = |setup: Setup| {
        let mut run = setup.resume(&path).unwrap();
        run.warm_up(Warmup::default()).unwrap();
        (contents(&*run), found(&*run))
    };
    let (cancelling, limit) = until(setup.clone(), 1);
    let mut run = cancelling.build().unwrap();
    let mut missed = vec!["target", "failed", "before"];
    while let Err(Error::Cancelled { .. }) = run.advance(1) {
        limit.fetch_add(16, Ordering::Relaxed);
        run.save(&path).unwrap();
        let file = File::read(&path);
        let aim = file.text["warming_up"]["aim"].clone();
        let begun = json!({ "target": 0.8, "failed": 0, "before": null });
        missed.retain(|&part| {
            let mut file = file.clone();
            let is_trying = !aim["before"].is_null();
            // What was aimed at before decides where a try is of no use: none is where nothing had failed before it.
            if part == "target" && is_trying {
                file.text["warming_up"]["aim"]["before"]["failed"] = json!(0.0);
            }
            let ended_with = |file: &File| {
                file.write(&path);
                ended(setup.clone())
            };
            let whole = ended_with(&file);
            let is_begun = aim[part] == begun[part];
            file.text["warming_up"]["aim"][part] = begun[part].clone();
            is_begun || ended_with(&file) == whole
        });
    }
    assert_eq!(missed, Vec::<&str>::new());
}

/// Numbers that no warm-up of these chains can have.
fn forged() {
    let folder = folder();
    let path = folder.path().join("run.safetensors");
    let kernel: Arc<dyn Kernel> = Arc::new(Hmc::adaptive());
    let setup = hard(&Backend::cpu(), &kernel);
    cancelled(&setup, 3).save(&path).unwrap();
    let sound = File::read(&path);
    for (at, value) in [
        ("/settings/step_size", json!(0.0)),
        ("/settings/step_size", json!(-1.0)),
        ("/settings/step_size", json!(1e300)),
        ("/settings/step_size", json!(null)),
        ("/settings/inverse_mass", json!([1.0])),
        ("/settings/centre", json!([1.0, 2.0, 3.0])),
        ("/settings/leapfrog_steps", json!([1, 1_000_000])),
        ("/settings/leapfrog_steps", json!([2, 1])),
        ("/window/mean", json!([])),
        ("/short/1/m2", json!([0.0])),
        ("/cap", json!(0)),
        ("/cap", json!(u32::MAX)),
        ("/chains", json!(127)),
        ("/chains", json!(0)),
        ("/stretch", json!(u64::MAX)),
        ("/done", json!(u64::MAX)),
        ("/of_stage", json!(4)),
        ("/rounds", json!(200)),
        ("/relocations", json!(4)),
        ("/relocated", json!(u64::MAX)),
        ("/rescues", json!(u64::MAX)),
        ("/measured_moves", json!(u64::MAX)),
        ("/moves_noted", json!(u64::MAX)),
        ("/temperature", json!(0.0)),
        ("/gather/power", json!(26)),
        ("/gather/last", json!(u32::MAX)),
        ("/gather/temperature", json!(-1.0)),
        ("/adaptive/target_acceptance", json!(0.9)),
        ("/adaptive/raises", json!(false)),
        ("/aim/target", json!(-0.1)),
        ("/aim/target", json!(1.1)),
        ("/aim/failed", json!(u64::MAX)),
        ("/aim/before", json!({ "step_size": 0.0, "leapfrog_steps": [1, 2], "acceptance": 0.8, "failed": 0.1 })),
        ("/aim/before", json!({ "step_size": 1.0, "leapfrog_steps": [1, 2000], "acceptance": 0.8, "failed": 0.1 })),
        ("/aim/before", json!({ "step_size": 1.0, "leapfrog_steps": [1, 2], "acceptance": 0.8, "failed": 1.1 })),
        ("/uses_grad", json!(false)),
        ("/stage", json!("unheard")),
    ] {
        let mut forged = sound.clone();
        *forged.text["warming_up"].pointer_mut(at).unwrap_or_else(|| panic!("{at}")) = value.clone();
        forged.write(&path);
        let why = refused(&setup, &path);
        assert!(why.contains("contradicts itself") || why.contains("is no checkpoint"), "{at} = {value}: {why}");
    }
    // Of a kernel that does not adapt, or in another dimension, the settings differ already; a tensor of other chains, or none.
    for name in ["warm_up_idle", "warm_up_moved", "warm_up_strays", "warm_up_moved_at", "warm_up_moves"] {
        let mut forged = sound.clone();
        forged.tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap().0.push('x');
        forged.write(&path);
        assert!(refused(&setup, &path).contains(&format!("has no tensor `{name}`")));
    }
    let mut forged = sound.clone();
    let moves = forged.tensors.iter_mut().find(|tensor| tensor.0 == "warm_up_moves").unwrap();
    assert!(moves.2.is_empty(), "no relocation is planned so early");
    let at = moves.1.data_offsets.0;
    moves.1.shape = vec![1, 2];
    moves.1.data_offsets.1 = at + 16;
    moves.2 = [3u64, 128].iter().flat_map(|i| i.to_le_bytes()).collect();
    let behind = forged.tensors.iter().position(|tensor| tensor.0 == "warm_up_moves").unwrap() + 1;
    assert_eq!(behind, forged.tensors.len(), "it is the last tensor");
    forged.write(&path);
    assert!(refused(&setup, &path).contains("contradicts itself in `warm_up_moves`"));
}
