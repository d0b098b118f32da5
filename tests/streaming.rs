//! Moments that are streamed in the kernel, and what is told from them: errors, effective sample sizes, nested R-hat, goals.

mod common;

use std::{
    ops::ControlFlow,
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{Suite, streaming::moments_against_positions};
use ergodic::{
    Backend, Chains, Collect, Error, Report, Start,
    chains::{Ended, Goal, Phase, Progress, Quantity, Setup},
    energy::{Banana, Energy, Funnel, Gaussian, Mixture, Params},
    kernel::{Hmc, Mala, Rwm},
};

fn main() -> ExitCode {
    Suite::new()
        .both("moments_are_those_of_the_positions", |backend| moments_are_those_of_the_positions(backend, gaussian()))
        .gpu("moments_are_those_of_the_positions, spread", |gpu| {
            moments_are_those_of_the_positions(Backend::gpu_of(gpu), spread_gaussian())
        })
        .both("moments_do_not_depend_on_the_cutting", |backend| moments_do_not_depend_on_the_cutting(backend, gaussian(), 200))
        .gpu("moments_do_not_depend_on_the_cutting, spread", |gpu| {
            moments_do_not_depend_on_the_cutting(Backend::gpu_of(gpu), spread_gaussian(), 10_000)
        })
        .both("advance_leaves_moments_alone", advance_leaves_moments_alone)
        .test("errors_cover", errors_cover)
        .both("a_goal_is_met", a_goal_is_met)
        .both("limits_end_a_collection", limits_end_a_collection)
        .test("goals_that_cannot_be_judged_are_refused", goals_that_cannot_be_judged_are_refused)
        .both("nested_rhat_sees_separate_modes", nested_rhat_sees_separate_modes)
        .both("superchains_share_a_start", superchains_share_a_start)
        .both("what_is_undefined_says_why", what_is_undefined_says_why)
        .both("no_draws_say_why", no_draws_say_why)
        .both("what_cannot_be_trusted_is_named", what_cannot_be_trusted_is_named)
        .both("words_are_few_and_right", words_are_few_and_right)
        .both("e_bfmi_of_a_gaussian_is_one", e_bfmi_of_a_gaussian_is_one)
        .both("failures_show_where_they_happened", failures_show_where_they_happened)
        .both("progress_tells_how_far", progress_tells_how_far)
        .run()
}

fn gaussian() -> Gaussian {
    Gaussian::full([1.0, -2.0, 0.5], &[2.0, 0.6, 0.0, 0.6, 0.5, 0.1, 0.0, 0.1, 1.0]).unwrap()
}

/// In so many dimensions that a chain is run by two invocations.
fn spread_gaussian() -> Gaussian {
    Gaussian::isotropic(vec![0.5; 35], 1.5).unwrap()
}

fn built(setup: Setup) -> Box<dyn Chains> {
    setup.build().unwrap()
}

fn relative(a: f64, b: f64) -> f64 {
    (a - b).abs() / (1.0 + b.abs())
}

fn moments_are_those_of_the_positions(backend: Backend, target: Gaussian) {
    let worst = moments_against_positions(&backend, Arc::new(target), Arc::new(Mala::new(0.2))).unwrap();
    assert!(worst.1 <= 1.0, "{worst:?}");
}

/// The moments, to the bit.
fn bits(report: &Report) -> Vec<u64> {
    let all = report.coordinates.iter().chain(&report.energy_moments);
    all.flat_map(|c| [c.mean, c.sd, c.mcse.unwrap(), c.mcse_sd.unwrap(), c.rhat.unwrap()]).map(f64::to_bits).collect()
}

/// Slices of other lengths, and a collection in three parts, give the same bits; another number of draws does not.
fn moments_do_not_depend_on_the_cutting(backend: Backend, target: Gaussian, shortest: u64) {
    let setup = |slice| backend.chains(target.clone(), Hmc::new(0.2, 3)).count(130).seed(5).slice(Duration::from_micros(slice));
    let whole = built(setup(75_000)).collect(Collect::draws(2600)).unwrap();
    let short = built(setup(shortest)).collect(Collect::draws(2600)).unwrap();
    let mut run = built(setup(3000));
    run.collect(Collect::draws(900)).unwrap();
    run.collect(Collect::draws(700).go_on()).unwrap();
    let parts = run.collect(Collect::draws(1000).go_on()).unwrap();
    assert_eq!(bits(&whole), bits(&short));
    assert_eq!(bits(&whole), bits(&parts));
    assert_eq!(parts.draws, 2600);
    assert!((whole.e_bfmi.unwrap() - parts.e_bfmi.unwrap()).abs() < 1e-12);
    assert_ne!(bits(&whole), bits(&run.collect(Collect::draws(1).go_on()).unwrap()));
}

fn advance_leaves_moments_alone(backend: Backend) {
    let mut run = built(backend.chains(gaussian(), Rwm::new(0.7)).count(64).seed(1));
    let first = run.collect(Collect::draws(100)).unwrap();
    run.advance(50).unwrap();
    let second = run.collect(Collect::draws(100).go_on()).unwrap();
    let mut fresh = built(backend.chains(gaussian(), Rwm::new(0.7)).count(64).seed(1));
    fresh.advance(150).unwrap();
    let alone = fresh.collect(Collect::draws(100)).unwrap();
    assert_eq!(second.draws, 200);
    for ((a, b), both) in first.coordinates.iter().zip(&alone.coordinates).zip(&second.coordinates) {
        assert!(relative(both.mean, (a.mean + b.mean) / 2.0) < 1e-6);
    }
}

/// Over 1,000 seeds of 20 chains, how often the true mean lies within so many standard errors, and the true standard deviation. A
/// binomial bound at 10⁻⁷ for a t distribution with 19 degrees of freedom; errors of three quarters the size fail it.
fn errors_cover() {
    let backend = Backend::cpu();
    let seeds = 1000;
    // P(|t| < 2.093) = 0.95 with 19 degrees of freedom.
    let covered = |shrink: f64| {
        let mut inside = [0, 0];
        for seed in 0..seeds {
            let target = Gaussian::isotropic([0.5], 2.0).unwrap();
            let start = Start::normal([0.5], 2.0);
            let mut run = built(backend.chains(target, Hmc::new(1.3, 2)).count(20).seed(seed).start(start));
            let x = run.collect(Collect::draws(60)).unwrap().coordinates[0];
            inside[0] += u64::from((x.mean - 0.5).abs() < 2.093 * shrink * x.mcse.unwrap());
            inside[1] += u64::from((x.sd - 2.0).abs() < 2.093 * shrink * x.mcse_sd.unwrap());
        }
        inside.map(|n| (n as f64 / seeds as f64 - 0.95) / (0.95 * 0.05 / seeds as f64).sqrt())
    };
    let [mean, sd] = covered(1.0);
    assert!(mean.abs() < 5.3 && sd.abs() < 5.3, "z of the coverage of the mean {mean}, of the standard deviation {sd}");
    let [mean, sd] = covered(0.75);
    assert!(mean < -5.3 && sd < -5.3, "errors that are too small were not found: {mean}, {sd}");
}

fn a_goal_is_met(backend: Backend) {
    let setup = || backend.chains(gaussian(), Mala::new(0.3)).count(256).seed(9).superchains(16);
    let mut run = built(setup());
    run.advance(200).unwrap();
    let report = run.collect(Collect::until(Goal::mcse(0.01).rhat(1.01))).unwrap();
    assert_eq!(report.ended, Some(Ended::Goal), "{report}");
    assert!(report.coordinates.iter().all(|c| c.mcse.unwrap() <= 0.01 * c.sd && c.rhat.unwrap() <= 1.01), "{report}");
    let last = report.standing.unwrap();
    assert!(last.value.unwrap() <= last.goal.unwrap() && last.coordinate < 3);
    assert!(report.to_string().contains("the goal is met, last by x["), "{report}");
    // It did not go on for long after the goal: half the draws do not meet it.
    let mut half = built(setup());
    half.advance(200).unwrap();
    let half = half.collect(Collect::draws(report.draws / 2)).unwrap();
    assert!(half.coordinates.iter().any(|c| c.mcse.unwrap() > 0.01 * c.sd || c.rhat.unwrap() > 1.01), "{report}\n{half}");
    // The looks do not depend on time.
    let mut again = built(setup());
    again.advance(200).unwrap();
    assert_eq!(again.collect(Collect::until(Goal::mcse(0.01).rhat(1.01))).unwrap().draws, report.draws);
}

fn limits_end_a_collection(backend: Backend) {
    let mut run = built(backend.chains(gaussian(), Mala::new(0.3)).count(64));
    let report = run.collect(Collect::until(Goal::mcse(1e-6)).at_most(300)).unwrap();
    assert_eq!((report.ended, report.draws), (Some(Ended::Draws), 300));
    assert!(report.to_string().contains("the goal is not met by x["), "{report}");
    let report = run.collect(Collect::draws(1 << 40).within(Duration::from_millis(300))).unwrap();
    assert_eq!(report.ended, Some(Ended::Time));
    assert!(report.draws > 0 && report.draws == report.steps, "{report}");
    let z = (report.coordinates[0].mean - 1.0) / report.coordinates[0].mcse.unwrap();
    assert!(z.abs() < 5.5, "{report}");
}

fn goals_that_cannot_be_judged_are_refused() {
    let setup = |chains| Backend::cpu().chains(gaussian(), Rwm::new(0.5)).count(chains);
    for (setup, goal) in [
        (setup(15), Goal::mcse(0.01)),
        (setup(64), Goal::mcse(0.0)),
        (setup(64), Goal::mcse(f64::NAN)),
        (setup(64), Goal::mcse(0.1).rhat(1.0)),
        (setup(64).superchains(1), Goal::mcse(0.1).rhat(1.01)),
        // Of nothing: it would be met at the first look.
        (setup(64), Goal { mcse: None, rhat: None }),
    ] {
        let refused = built(setup).collect(Collect::until(goal));
        assert!(matches!(refused, Err(Error::Setting { .. })), "{goal:?}: {refused:?}");
    }
    for superchains in [0, 7] {
        assert!(matches!(setup(64).superchains(superchains).build(), Err(Error::Setting { .. })));
    }
    assert!(matches!(setup(64).build().unwrap().collect(Collect::draws(0)), Err(Error::Setting { .. })));
}

/// Two modes that no chain leaves: the superchains disagree, and a goal of R-hat is not met. The same target with modes that touch
/// is judged sound.
fn nested_rhat_sees_separate_modes(backend: Backend) {
    let collect = |distance: f64| {
        let modes = [vec![-distance, 0.0], vec![distance, 0.0]];
        let target = Mixture::new(&[0.5, 0.5], &modes, &[1.0, 1.0]).unwrap();
        let start = Start::normal([0.0], 4.0);
        let mut run = built(backend.chains(target, Hmc::new(0.4, 5)).count(1024).superchains(32).start(start).seed(2));
        run.advance(100).unwrap();
        run.collect(Collect::until(Goal::mcse(0.02).rhat(1.01)).at_most(2000)).unwrap()
    };
    let stuck = collect(12.0);
    assert_eq!(stuck.ended, Some(Ended::Draws), "{stuck}");
    assert!(stuck.coordinates[0].rhat.unwrap() > 1.5 && stuck.coordinates[1].rhat.unwrap() < 1.01, "{stuck}");
    let last = stuck.standing.unwrap();
    assert_eq!((last.coordinate, last.quantity), (0, Quantity::Rhat));
    let sound = collect(1.0);
    assert_eq!(sound.ended, Some(Ended::Goal), "{sound}");
}

fn superchains_share_a_start(backend: Backend) {
    let setup = || backend.chains(gaussian(), Rwm::new(0.5)).count(12).seed(4);
    let x = built(setup().superchains(3)).positions().unwrap();
    let alone = built(setup()).positions().unwrap();
    for (row, own) in x.chunks(12).zip(alone.chunks(12)) {
        for (superchain, chains) in row.chunks(4).enumerate() {
            assert!(chains.iter().all(|&x| x == own[4 * superchain]));
        }
    }
    let array: Vec<f32> = (0..9).map(|i| i as f32).collect();
    let x = built(setup().superchains(3).start(Start::array(array))).positions().unwrap();
    assert_eq!(x[..12], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0]);
}

/// One chain; chains that never move; chains that start at one point; a single superchain.
fn what_is_undefined_says_why(backend: Backend) {
    let report = |setup: Setup| built(setup).collect(Collect::draws(50)).unwrap();
    let one = report(backend.chains(gaussian(), Rwm::new(0.5)).count(1));
    assert_eq!((one.coordinates[0].mcse, one.coordinates[0].rhat), (None, None));
    assert!(one.notes.iter().any(|note| note.contains("undefined: there is one chain")), "{one}");
    // Every proposal lands a thousand standard deviations away.
    let still = report(backend.chains(gaussian(), Rwm::new(1e4)).count(8).start(Start::point([1.0, -2.0, 0.5])));
    assert_eq!((still.coordinates[1].mcse, still.coordinates[1].ess, still.coordinates[1].rhat), (None, None, None));
    assert!(still.notes.iter().any(|note| note.contains("x[0], x[1], x[2] are undefined")), "{still}");
    assert!(still.to_string().contains("undefined"), "{still}");
    // They started apart, and their spread is not that of draws.
    let apart = backend.chains(gaussian(), Rwm::new(1e4)).count(64);
    let frozen = built(apart.clone()).collect(Collect::until(Goal::mcse(0.5)).at_most(100)).unwrap();
    assert_eq!((frozen.coordinates[1].mcse, frozen.coordinates[1].mcse_sd, frozen.coordinates[1].ess), (None, None, None));
    assert!(frozen.coordinates[1].sd > 0.0 && frozen.ended == Some(Ended::Draws), "{frozen}");
    assert!(frozen.notes.iter().any(|note| note.contains("x[0], x[1], x[2] are undefined: no chain moved")), "{frozen}");
    let single = built(apart).collect(Collect::draws(1)).unwrap();
    assert!(single.notes.iter().any(|note| note.contains("rhat is undefined: there is one draw a chain")), "{single}");
    let at_one_point = report(backend.chains(gaussian(), Rwm::new(0.5)).count(8).start(Start::point([0.0])));
    assert!(at_one_point.notes.iter().any(|note| note.contains("started at one point")), "{at_one_point}");
    let together = report(backend.chains(gaussian(), Rwm::new(0.5)).count(8).superchains(1));
    assert!(together.coordinates[0].rhat.is_none() && together.notes.iter().any(|note| note.contains("one superchain")));
    let few = built(backend.chains(gaussian(), Rwm::new(1.0)).count(3)).collect(Collect::draws(2_000)).unwrap();
    assert!(matches!(&few.notes[..], [note] if note.contains("mcse and ess are rough") && note.contains("50 %")), "{few}");
    let sound = built(backend.chains(gaussian(), Rwm::new(1.0)).count(16)).collect(Collect::draws(2_000)).unwrap();
    assert!(sound.notes.is_empty(), "{sound}");
}

/// Time that is up before the first draw: no moments, and a note, of whatever kernel.
fn no_draws_say_why(backend: Backend) {
    let at_once = Collect::until(Goal::mcse(0.1)).within(Duration::ZERO);
    let none = built(backend.chains(gaussian(), Hmc::new(0.3, 3)).count(64)).collect(at_once).unwrap();
    assert!(none.coordinates.is_empty() && none.energy_moments.is_none() && none.standing.is_none(), "{none}");
    assert_eq!((none.draws, none.ended), (0, Some(Ended::Time)));
    assert!(none.notes.iter().any(|note| note.contains("time was up before the first; allow more")), "{none}");
    let mut run = built(backend.chains(gaussian(), Hmc::adaptive()).count(64));
    let none = run.collect(at_once).unwrap();
    assert!(none.notes.iter().any(|note| note.contains("time was up in the warm-up; the next call goes on with it")), "{none}");
    for text in [none.to_string(), run.report().to_string(), none.to_json()] {
        assert!(!text.contains("unadjusted") && !text.contains("NaN"), "{text}");
    }
    assert!(none.to_string().contains("note: no draws were collected"), "{none}");
}

/// Chains that stay near their starts; trajectories that overflow in the tails of a banana, where the step size that suits the rest of it
/// is too large.
fn what_cannot_be_trusted_is_named(backend: Backend) {
    let slow = built(backend.chains(gaussian(), Rwm::new(0.01)).count(64)).collect(Collect::draws(50)).unwrap();
    assert!(slow.notes.iter().any(|note| note.contains("the chains have not mixed")), "{slow}");
    assert!(slow.to_string().contains("above 1.1"), "{slow}");

    let neck =
        built(backend.chains(Funnel::new(10).unwrap(), Hmc::new(0.1, 8)).count(64)).collect(Collect::draws(300)).unwrap();
    assert!(neck.notes.iter().any(|note| note.contains("below 0.3: momenta drawn anew hardly change the energy")), "{neck}");

    let banana = |kernel| built(backend.chains(Banana::new(), kernel).count(256)).collect(Collect::draws(200)).unwrap();
    let unstable = banana(Hmc::adaptive_to(0.8));
    let expected = "of the transitions failed: chains hardly come to, or leave, the places where that happens, and the draws may lack them; \
                    aim at a higher acceptance than 0.8 (adaptive_to)";
    assert!(unstable.notes.iter().any(|note| note.contains(expected)), "{unstable}");
    let stable = banana(Hmc::adaptive_to(0.98));
    assert!(stable.notes.is_empty(), "{stable}");
    // The warm-up's own failures do not count.
    assert!(!stable.adaptation.as_ref().unwrap().failures.is_empty(), "{stable}");
    let sd = stable.coordinates[1].sd;
    assert!((sd - 19f64.sqrt()).abs() < 5.0 * stable.coordinates[1].mcse_sd.unwrap(), "{stable}");
}

/// One chain is no "1 chains", and an error that shows chains does not show all that they are made of.
fn words_are_few_and_right(backend: Backend) {
    let mut one = built(backend.chains(gaussian(), Rwm::new(0.5)).count(1));
    let report = one.collect(Collect::draws(1)).unwrap().to_string();
    assert!(report.contains("  1 chain x 1 step in ") && report.contains("  1 draw a chain\n"), "{report}");
    one.advance(1).unwrap();
    let report = one.report().to_string();
    assert!(report.contains("  1 chain x 2 steps in "), "{report}");

    let setup = backend.chains(gaussian(), Rwm::new(0.5)).count(3).seed(9);
    let unbuilt = format!("{setup:?}");
    let mut chains = built(setup);
    chains.advance(2).unwrap();
    for (text, steps) in [(unbuilt, 0), (format!("{chains:?}"), 2)] {
        let what = format!("kernel: \"rwm\", chains: 3, steps: {steps}, seed: 9, backend: \"");
        assert!(text.contains("energy: \"gaussian\"") && text.contains(&what) && text.len() < 400, "{text}");
    }
}

/// H changes from draw to draw by the difference of two kinetic energies, each of variance d/2, independent where trajectories
/// turn by a right angle: the mean squared change is d, and so is the variance of H.
fn e_bfmi_of_a_gaussian_is_one(backend: Backend) {
    let dim = 10;
    let target = || Gaussian::isotropic(vec![0.0; dim], 1.0).unwrap();
    let quarter = std::f64::consts::FRAC_PI_2 / 20.0;
    let mut run = built(backend.chains(target(), Hmc::new(quarter, 20)).count(512).seed(6));
    let e_bfmi = run.collect(Collect::draws(300)).unwrap().e_bfmi.unwrap();
    assert!((e_bfmi - 1.0).abs() < 0.03, "{e_bfmi}");
    let report = built(backend.chains(target(), Mala::new(0.1)).count(64)).collect(Collect::draws(20)).unwrap();
    assert_eq!(report.e_bfmi, None);
}

/// A normal whose energy is NaN beyond 2.
#[derive(Debug)]
struct Torn;

impl Energy for Torn {
    fn name(&self) -> String {
        "torn".into()
    }

    fn dim(&self) -> usize {
        1
    }

    fn params(&self) -> Vec<f32> {
        Vec::new()
    }

    fn compose(&self, program: &mut ergodic::program::Composer) -> ergodic::Result<ergodic::energy::Call> {
        program.add(
            "torn",
            "fn torn_energy(at: u32, x: ptr<function, Point>) -> f32 {
                 let v = (*x)[0].x;
                 return select(0.5 * v * v, bitcast<f32>(0x7fc00000u), v > 2.0);
             }
             fn torn_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
                 (*grad)[0] = Lane((*x)[0].x, 0.0);
                 return torn_energy(at, x);
             }",
        )?;
        Ok(ergodic::energy::Call::new("torn", &[]))
    }

    fn energy(&self, _: Params<'_>, x: &[f64]) -> f64 {
        if x[0] > 2.0 { f64::NAN } else { 0.5 * x[0] * x[0] }
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        grad[0] = x[0];
        self.energy(params, x)
    }
}

/// The positions of the first failures are those at which the chains stood, whatever the cutting.
fn failures_show_where_they_happened(backend: Backend) {
    let setup = || backend.chains(Torn, Rwm::new(0.8)).count(200).seed(8).start(Start::point([0.0]));
    let mut run = built(setup());
    run.advance(60).unwrap();
    let report = run.collect(Collect::draws(40)).unwrap();
    assert_eq!(report.failed_at.len(), 8, "{report}");
    let tallies = run.tallies();
    for failed in &report.failed_at {
        assert_eq!(tallies[failed.chain as usize].first_failure, Some((failed.step, failed.kind)));
        let mut again = built(setup());
        again.advance(failed.step).unwrap();
        assert_eq!(failed.position[0] as f32, again.positions().unwrap()[failed.chain as usize], "{failed:?}");
        // A step of 0.8 reaches beyond 2 from here at all.
        assert!(failed.position[0] > -3.0 && failed.position[0] <= 2.0);
    }
    let first = report.failures.iter().map(|row| row.first_step).min().unwrap();
    assert!(report.failed_at.iter().any(|failed| failed.step == first));
    assert!(report.to_string().contains("stood at ["), "{report}");
}

fn progress_tells_how_far(backend: Backend) {
    let seen: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let sink = seen.clone();
    let mut run =
        built(backend.chains(gaussian(), Mala::new(0.3)).count(128).slice(Duration::from_millis(2)).on_progress(move |p| {
            sink.lock().unwrap().push(p);
            ControlFlow::Continue(())
        }));
    run.advance(100).unwrap();
    run.collect(Collect::until(Goal::mcse(0.02)).at_most(1 << 14)).unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.iter().any(|p| p.phase == Phase::Advance && p.total == 100));
    let collected: Vec<_> = seen.iter().filter(|p| p.phase == Phase::Collect).collect();
    assert!(collected.windows(2).all(|pair| pair[0].done <= pair[1].done));
    // Before the first look nothing tells how far the goal is: the 16,384 draws that are allowed do not.
    assert!(collected.iter().any(|p| p.standing.is_none()));
    assert!(collected.iter().all(|p| p.remaining.is_some() == p.standing.is_some()), "{collected:?}");
    let last = collected.last().unwrap();
    assert!(last.remaining.is_some() && last.standing.is_some_and(|s| s.quantity == Quantity::Mcse && s.goal == Some(0.02)));
    assert!(last.done < 1 << 14);
}
