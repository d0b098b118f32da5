//! A warm-up finds settings that fit the target, on targets of very different scale: acceptance, masses, trajectories, and the law of
//! the frozen sampler. It records what it found, repeats to the bit, and says what it could not reach.

mod common;

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use common::{
    Suite,
    cases::Case,
    planted::Planted,
    stats::{LEVEL, p_of_z},
};
use ergodic::{
    Backend, Collect, Error, Report, Result, Start, Warmup,
    adapt::{Adaptation, Warning},
    chains::{Chains, Phase},
    energy::{Banana, Call, DoubleWell, Energy, Gaussian, Mixture, Params, WgslEnergy},
    kernel::{Hmc, Info, Kernel, Mala, Rwm},
    program::Composer,
};

const CHAINS: usize = 1024;
const DRAWS: u64 = 250;
/// How close the acceptance must come to its target.
const CLOSE: f64 = 0.02;

/// A target with the exact means and standard deviations of its coordinates, and bounds of the most leapfrog steps that make sense.
struct Target {
    name: &'static str,
    energy: Arc<dyn Energy>,
    means: Vec<f64>,
    sds: Vec<f64>,
    leapfrog_steps: (u32, u32),
}

fn gaussian(name: &'static str, means: Vec<f64>, covariance: &[f64], leapfrog_steps: (u32, u32)) -> Target {
    let dim = means.len();
    let energy = Arc::new(Gaussian::full(means.clone(), covariance).unwrap());
    let sds = (0..dim).map(|i| covariance[i * (dim + 1)].sqrt()).collect();
    Target { name, energy, means, sds, leapfrog_steps }
}

fn diagonal(name: &'static str, means: Vec<f64>, sds: Vec<f64>, leapfrog_steps: (u32, u32)) -> Target {
    Target { name, energy: Arc::new(Gaussian::diagonal(means.clone(), &sds).unwrap()), means, sds, leapfrog_steps }
}

fn scales() -> Target {
    let sds = (0..9).map(|i| 10f64.powi(i - 3)).collect();
    diagonal("scales from 1e-3 to 1e5", vec![0.0; 9], sds, (2, 4))
}

/// C_ij = s_i s_j (0.999 + 0.001 δ_ij) with scales 1, 10 and 100. With unit scales the largest eigenvalue is 2.998, the others 0.001:
/// a trajectory of one to two and a half radians of the slowest takes from 1.7/0.06 to 4.3/0.03 leapfrog steps.
fn correlated() -> Target {
    let sd = [1.0, 10.0, 100.0];
    let covariance: Vec<f64> = (0..9).map(|k| sd[k / 3] * sd[k % 3] * if k / 3 == k % 3 { 1.0 } else { 0.999 }).collect();
    gaussian("a correlation of 0.999", vec![1.0, -10.0, 50.0], &covariance, (28, 144))
}

/// The moments of a coordinate of the double well h (x² − 1)², by the trapezoid rule.
fn double_well(dim: usize, height: f64) -> Target {
    let weight = |x: f64| (-height * (x * x - 1.0).powi(2)).exp();
    let points = || (-4000..=4000).map(|i| f64::from(i) * 1e-3);
    let variance = points().map(|x| x * x * weight(x)).sum::<f64>() / points().map(weight).sum::<f64>();
    Target {
        name: "a double well",
        energy: Arc::new(DoubleWell::new(dim, height).unwrap()),
        means: vec![0.0; dim],
        sds: vec![variance.sqrt(); dim],
        leapfrog_steps: (1, 40),
    }
}

/// Three Gaussians of spread 0.6 on a circle of radius 1.5: the coordinates have variance 1.5²/2 + 0.36.
fn mixture() -> Target {
    Target {
        name: "a mixture",
        energy: Arc::new(Mixture::ring(3, 1.5, 0.6).unwrap()),
        means: vec![0.0; 2],
        sds: vec![(1.125f64 + 0.36).sqrt(); 2],
        leapfrog_steps: (1, 20),
    }
}

/// Five targets of different scale.
fn targets() -> Vec<Target> {
    vec![
        diagonal("a narrow Gaussian", vec![0.01, -0.005, 0.0, 0.002], vec![1e-3; 4], (1, 4)),
        scales(),
        correlated(),
        double_well(16, 1.0),
        mixture(),
    ]
}

fn run(backend: &Backend, target: &Target, kernel: Arc<dyn Kernel>) -> Result<(Box<dyn Chains>, Report)> {
    let mut chains = backend.chains_of(target.energy.clone(), kernel).count(CHAINS).seed(11).build()?;
    let report = chains.collect(Collect::draws(DRAWS))?;
    Ok((chains, report))
}

/// Everything that a warm-up promises; what is wrong with it.
fn check(backend: &Backend, target: &Target, kernel: Arc<dyn Kernel>) -> Result<(), String> {
    let aim = kernel.adaptive().map(|adaptive| adaptive.target_acceptance).unwrap();
    let has_trajectory = kernel.uses_grad() && kernel.substeps().1 > 1;
    let (chains, report) = run(backend, target, kernel).map_err(|e| e.to_string())?;
    let found = report.adaptation.clone().unwrap();
    let fails = |what: String| Err(format!("{what}\n{report}"));
    if report.steps != DRAWS || chains.steps() != DRAWS + found.warm_up_steps {
        return fails("warm-up steps count as draws".into());
    }
    if !found.warnings.is_empty() || report.failed_transitions() > 0 {
        return fails("warnings or failures".into());
    }
    let accepted = chains.tallies().iter().map(|tally| tally.accepted).sum::<u64>() as f64 / (DRAWS as f64 * CHAINS as f64);
    for (what, acceptance) in
        [("reached", found.reached_acceptance), ("of draws", report.mean_acceptance.unwrap()), ("counted", accepted)]
    {
        if (acceptance - aim).abs() > CLOSE {
            return fails(format!("acceptance {what} is {acceptance}, not {aim}"));
        }
    }
    let steps = found.most_leapfrog_steps;
    if has_trajectory && !(target.leapfrog_steps.0..=target.leapfrog_steps.1).contains(&steps) {
        return fails(format!("{steps} leapfrog steps, not {:?}", target.leapfrog_steps));
    }
    for (i, (&mean, &sd)) in target.means.iter().zip(&target.sds).enumerate() {
        let scale = found.inverse_mass[i].sqrt();
        if (scale / sd).ln().abs() > 0.1 {
            return fails(format!("scale {i} is {scale}, not {sd}"));
        }
        let c = report.coordinates[i];
        for (what, z) in [("mean", (c.mean - mean) / c.mcse.unwrap()), ("sd", (c.sd - sd) / c.mcse_sd.unwrap())] {
            if p_of_z(z) < LEVEL {
                return fails(format!("{what} of x[{i}] is off by {z:.1} standard errors"));
            }
        }
    }
    Ok(())
}

/// The same at a temperature: the width of a Gaussian grows as its root.
fn at_temperature(backend: &Backend) {
    let energy = Gaussian::isotropic([0.0; 3], 2.0).unwrap();
    let mut chains = backend.chains(energy, Hmc::adaptive()).temperature(9.0).count(CHAINS).seed(2).build().unwrap();
    let report = chains.collect(Collect::draws(100)).unwrap();
    let found = report.adaptation.as_ref().unwrap();
    assert!((report.mean_acceptance.unwrap() - 0.8).abs() < CLOSE, "{report}");
    found.inverse_mass.iter().for_each(|m| assert!((m.sqrt() / 6.0 - 1.0).abs() < 0.1, "{report}"));
}

fn bits(chains: &dyn Chains) -> Vec<u32> {
    chains.positions().unwrap().into_iter().map(f32::to_bits).collect()
}

/// Twice the same bits: however the run is cut, asked for, or interrupted.
fn repeats(backend: &Backend) {
    let setup = || backend.chains(Mixture::ring(5, 3.0, 0.4).unwrap(), Hmc::adaptive()).count(200).seed(5);
    let after = |mut chains: Box<dyn Chains>| {
        chains.advance(30).unwrap();
        (bits(&*chains), chains.report().adaptation)
    };
    let whole = after(setup().build().unwrap());
    assert!(whole == after(setup().build().unwrap()), "two runs differ");
    assert!(
        whole == after(setup().slice(Duration::from_nanos(1)).build().unwrap()),
        "the cutting into slices makes a difference"
    );
    let mut asked = setup().build().unwrap();
    asked.warm_up(Warmup::default()).unwrap();
    assert_eq!(asked.report().steps, 0);
    assert!(whole == after(asked), "a warm-up that was asked for is another");

    let calls = Arc::new(AtomicU64::new(0));
    let seen = calls.clone();
    let stops = move |progress: ergodic::chains::Progress| {
        let n = seen.fetch_add(1, Ordering::Relaxed);
        assert!(n > 70 || (progress.phase == Phase::WarmUp && progress.done == n + 1 && progress.done <= progress.total));
        if n == 49 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut interrupted = setup().on_progress(stops).build().unwrap();
    let cancelled = interrupted.advance(30);
    assert!(matches!(cancelled, Err(Error::Cancelled { good_steps: 50 })), "{cancelled:?}");
    assert!(interrupted.report().adaptation.is_none());
    assert!(whole == after(interrupted), "a warm-up that was interrupted is another");

    let other = after(setup().seed(6).build().unwrap());
    assert!(whole.1 != other.1, "another seed makes no difference");
}

/// f32 and f64 find the same settings, but for what rounding and the decisions that hang on it do.
fn same_on_both(gpu: Backend) {
    for target in [scales(), double_well(16, 1.0)] {
        let found = [&gpu, &Backend::cpu()]
            .map(|backend| run(backend, &target, Arc::new(Hmc::adaptive())).unwrap().1.adaptation.unwrap());
        let [a, b] = &found;
        assert!((a.step_size / b.step_size).ln().abs() < 0.03, "{found:?}");
        assert!(a.most_leapfrog_steps.abs_diff(b.most_leapfrog_steps) <= 1, "{found:?}");
        let masses = a.inverse_mass.iter().zip(&b.inverse_mass);
        masses.for_each(|(a, b)| assert!((a / b).ln().abs() < 0.1, "{found:?}"));
    }
}

/// The report and its JSON say what was frozen, and failures of the warm-up are counted apart.
fn recorded(backend: &Backend) {
    let target = scales();
    let (_, report) = run(backend, &target, Arc::new(Hmc::adaptive())).unwrap();
    let found = report.adaptation.as_ref().unwrap();
    let failed: u64 = found.failures.iter().map(|row| row.count).sum();
    assert!(
        failed > 0 && report.failed_transitions() == 0,
        "a start a thousand standard deviations out should diverge at first"
    );
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    let record = &json["adaptation"];
    let number = |field: &str| record[field].as_f64().unwrap_or_else(|| panic!("no {field} in {record}"));
    assert_eq!(number("step_size"), found.step_size);
    assert_eq!(number("warm_up_steps") as u64, found.warm_up_steps);
    assert_eq!(number("least_leapfrog_steps"), 1.0);
    assert_eq!(number("most_leapfrog_steps") as u32, found.most_leapfrog_steps);
    assert_eq!(number("target_acceptance"), 0.8);
    assert_eq!(number("reached_acceptance"), found.reached_acceptance);
    assert_eq!(record["inverse_mass"].as_array().unwrap().len(), 9);
    assert_eq!(record["failures"][0]["count"].as_u64(), Some(found.failures[0].count));
    let text = report.to_string();
    assert!(text.contains("step size") && text.contains("warm-up failures"), "{text}");
}

fn adapted(backend: &Backend, energy: impl Energy + 'static, start: Start, chains: usize) -> Result<Adaptation> {
    let mut chains = backend.chains(energy, Hmc::adaptive()).count(chains).start(start).seed(3).build()?;
    chains.warm_up(Warmup::default())?;
    Ok(chains.report().adaptation.unwrap())
}

/// Starts that say nothing about the scale, and few chains.
fn starts(backend: &Backend) {
    let energy = || Gaussian::diagonal([5.0, 0.0, -1.0], &[1e-3, 1.0, 1e4]).unwrap();
    for (start, chains) in [
        (Start::point([0.0]), 512),
        (Start::normal([0.0], 1e-6), 512),
        (Start::normal([0.0], 1e3), 512),
        (Start::default(), 32),
    ] {
        let found = adapted(backend, energy(), start.clone(), chains).unwrap();
        let ratios: Vec<_> = found.inverse_mass.iter().zip([1e-3, 1.0, 1e4]).map(|(m, sd)| m.sqrt() / sd).collect();
        assert!(ratios.iter().all(|r| r.ln().abs() < 0.25), "{start:?}: {ratios:?} {found:?}");
        assert!((found.reached_acceptance - 0.8).abs() < CLOSE, "{found:?}");
    }
    // One chain knows little, but what it says of itself is true.
    let found = adapted(backend, energy(), Start::default(), 1).unwrap();
    assert!((found.reached_acceptance - 0.8).abs() < CLOSE || !found.warnings.is_empty(), "{found:?}");
}

/// No density: the energy is the same everywhere.
#[derive(Debug)]
struct Flat;

impl Energy for Flat {
    fn name(&self) -> String {
        "flat".into()
    }
    fn dim(&self) -> usize {
        2
    }
    fn params(&self) -> Vec<f32> {
        Vec::new()
    }
    fn compose(&self, program: &mut Composer) -> Result<Call> {
        let text = "fn flat_energy(at: u32, x: ptr<function, Point>) -> f32 { return 0.0; }\n\
                    fn flat_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 { clear(grad); return 0.0; }\n";
        program.add("flat", text)?;
        Ok(Call::new("flat", &[]))
    }
    fn energy(&self, _: Params<'_>, _: &[f64]) -> f64 {
        0.0
    }
    fn energy_and_grad(&self, _: Params<'_>, _: &[f64], grad: &mut [f64]) -> f64 {
        grad.fill(0.0);
        0.0
    }
}

/// What cannot be adapted says so.
fn refusals(backend: &Backend) {
    let lost = adapted(backend, Flat, Start::default(), 100);
    assert!(matches!(&lost, Err(Error::Adaptation { why, .. }) if why.contains("without bound")), "{lost:?}");

    let still = Planted::twin(Arc::new(Hmc::adaptive()), |real, step, state, scratch| {
        let (mut state, info) = (state.clone(), real.transition(step, &mut state.clone(), scratch));
        state.growth = 0.0;
        Info { acceptance: 0.0, accepted: false, ..info }
    });
    let energy: Arc<dyn Energy> = Arc::new(DoubleWell::new(2, 1.0).unwrap());
    let refused = Backend::cpu().chains_of(energy.clone(), still).count(64).build().unwrap().advance(1);
    assert!(matches!(&refused, Err(Error::Adaptation { why, .. }) if why.contains("no chain moved")), "{refused:?}");

    let given =
        backend.chains_of(energy.clone(), Arc::new(Hmc::new(0.1, 3))).count(8).build().unwrap().warm_up(Warmup::default());
    assert!(matches!(given, Err(Error::Unsupported(_))), "{given:?}");
    for bad in [0.0, 1.0, -0.5, f64::NAN] {
        for kernel in [
            Arc::new(Hmc::adaptive_to(bad)) as Arc<dyn Kernel>,
            Arc::new(Mala::adaptive_to(bad)),
            Arc::new(Rwm::adaptive_to(bad)),
        ] {
            let refused = backend.chains_of(energy.clone(), kernel).count(8).build().map(drop);
            assert!(matches!(refused, Err(Error::Setting { .. })), "{bad}: {refused:?}");
        }
    }
    let refused = backend.chains_of(energy, Arc::new(Hmc::adaptive().inverse_mass([1.0]))).count(8).build().map(drop);
    assert!(matches!(refused, Err(Error::Setting { .. })), "{refused:?}");
}

/// A warm-up that has too few steps, or whose chains hold on to where they started, says so by name.
fn warnings(backend: &Backend) {
    let energy = || Gaussian::diagonal([0.0; 2], &[1e-3, 1e5]).unwrap();
    let mut chains = backend.chains(energy(), Hmc::adaptive()).count(256).build().unwrap();
    chains.warm_up(Warmup::at_most(1)).unwrap();
    let report = chains.report();
    let found = report.adaptation.as_ref().unwrap();
    assert!(found.warnings.iter().any(|w| matches!(w, Warning::NotSettled { .. })), "{report}");
    assert!(report.to_string().contains("warning: not settled"), "{report}");
    // A second warm-up goes on from there.
    chains.warm_up(Warmup::default()).unwrap();
    assert!(chains.report().adaptation.unwrap().warnings.is_empty());

    // A tenth of the chains starts in a hole that they leave with probability 1e-40.
    let energy = Mixture::new(&[0.5, 0.5], &[vec![0.0, 0.0], vec![3000.0, 0.0]], &[1.0, 1e-2]).unwrap();
    let start: Vec<f32> = (0..1000).map(|k| if k < 50 { 3000.0 } else { 0.0 }).collect();
    let mut chains = backend.chains(energy, Hmc::adaptive()).count(500).start(Start::array(start)).build().unwrap();
    chains.warm_up(Warmup::default()).unwrap();
    let found = chains.report().adaptation.unwrap();
    assert!(
        found
            .warnings
            .iter()
            .any(|w| matches!(w, Warning::OutlyingChains { coordinate: 0, part } if (part - 0.1).abs() < 0.01))
    );
    assert!(found.warnings.iter().any(|w| matches!(w, Warning::StuckChains { .. })), "{found:?}");
}

/// The double well is quartic: at 300 only steps a thousand times smaller than those of the wells are stable. One chain in 32 starts
/// there. What is wrong after a warm-up that relocates none.
fn comes_in(backend: &Backend, kernel: Arc<dyn Kernel>) -> Result<(), String> {
    let energy: Arc<dyn Energy> = Arc::new(DoubleWell::new(2, 1.0).unwrap());
    let start: Vec<f32> = (0..2 * 512).map(|k| if k % 32 == 0 { 300.0 } else { 0.5 + (k % 7) as f32 / 7.0 }).collect();
    let mut chains = backend.chains_of(energy, kernel).count(512).start(Start::array(start)).seed(4).build().unwrap();
    chains.warm_up(Warmup::default().keep_strays()).unwrap();
    let found = chains.report().adaptation.unwrap();
    let farthest = chains.positions().unwrap().into_iter().fold(0f32, |most, x| most.max(x.abs()));
    if found.warnings.is_empty() && farthest < 4.0 { Ok(()) } else { Err(format!("out to {farthest}: {found}")) }
}

/// A mode of no weight, 69 T above the other and walled off by 450 T: the chains that stay in it are named, or relocated and counted.
fn strays(backend: &Backend) {
    let energy = Mixture::new(&[1.0, 1e-30], &[vec![0.0, 0.0], vec![60.0, 0.0]], &[1.0, 1.0]).unwrap();
    let start: Vec<f32> = (0..2 * 256).map(|k| if k < 256 && k % 16 == 0 { 60.0 } else { (k % 9) as f32 / 9.0 }).collect();
    let warmed_up = |warm_up: Warmup| {
        let mut chains =
            backend.chains(energy.clone(), Hmc::adaptive()).count(256).start(Start::array(start.clone())).build().unwrap();
        chains.warm_up(warm_up).unwrap();
        let far = chains.positions().unwrap()[..256].iter().filter(|&&x| x > 30.0).count();
        let report = chains.collect(Collect::draws(200)).unwrap();
        (report.adaptation.clone().unwrap(), far, report)
    };
    let (found, far, _) = warmed_up(Warmup::default().keep_strays());
    assert!(far > 0 && found.relocated == 0, "{far} {found}");
    assert!(found.warnings.iter().any(|w| matches!(w, Warning::StrayChains { chains } if *chains == far as u64)), "{found}");
    let (found, far, report) = warmed_up(Warmup::default());
    assert!(far == 0 && found.relocated > 0 && found.warnings.is_empty(), "{far} {found}");
    assert!(report.to_string().contains("chains stayed"), "{report}");
    for c in &report.coordinates {
        assert!(p_of_z(c.mean / c.mcse.unwrap()) > LEVEL && p_of_z((c.sd - 1.0) / c.mcse_sd.unwrap()) > LEVEL, "{report}");
    }
}

/// The settings of the funnel's mouth do not suit its neck, and the warm-up says so.
fn funnel(backend: &Backend) {
    let mut chains =
        backend.chains(ergodic::energy::Funnel::new(10).unwrap(), Hmc::adaptive()).count(1024).seed(1).build().unwrap();
    let report = chains.collect(Collect::draws(50)).unwrap();
    let found = report.adaptation.unwrap();
    assert!(found.relocated == 0, "{found}");
    assert!(found.warnings.iter().any(|w| matches!(w, Warning::StuckChains { .. })), "{found}");
}

/// A banana's curvature grows towards its tails: a step size whose mean acceptance is 0.8 fails there, and draws lack them.
fn banana(backend: &Backend) {
    const DRAWS: u64 = 1000;
    let sds = [10.0, (1.0f64 + 2.0 * 0.03 * 0.03 * 1e4).sqrt()];
    let run = |kernel: Hmc| {
        let mut chains = backend.chains(Banana::new(), kernel).count(CHAINS).seed(1).build().unwrap();
        let report = chains.collect(Collect::draws(DRAWS)).unwrap();
        let found = report.adaptation.clone().unwrap();
        assert!((found.reached_acceptance - found.target_acceptance).abs() < CLOSE, "{report}");
        let failed = report.failed_transitions() as f64 / (DRAWS as f64 * CHAINS as f64);
        let off =
            report.coordinates.iter().zip(sds).map(|(c, sd)| [c.mean / c.mcse.unwrap(), (c.sd - sd) / c.mcse_sd.unwrap()]);
        let is_right = off.flatten().all(|z| p_of_z(z) > LEVEL);
        let has_mixed = report.coordinates.iter().all(|c| c.rhat.unwrap() < 1.03);
        (report, found, failed, is_right && has_mixed)
    };
    let (report, found, failed, is_right) = run(Hmc::adaptive());
    assert!(failed < 1e-3 && is_right, "{failed}\n{report}");
    assert!(found.raised_from == Some(0.8) && found.target_acceptance > 0.8, "{report}");
    assert!(report.to_string().contains("raised from 0.8"), "{report}");
    // Too low a target, and so too large a step size: a number that was given stays, and the report says what is wrong.
    let (report, found, failed, is_right) = run(Hmc::adaptive_to(0.8));
    assert!(failed > 1e-2 && !is_right, "{failed}\n{report}");
    assert_eq!((found.raised_from, found.target_acceptance), (None, 0.8));
    assert!(report.notes.iter().any(|note| note.contains("transitions failed")), "{report}");
}

/// Half of a Gaussian: trajectories end beyond its edge at any step size, so that a smaller one is of no use.
fn wall(backend: &Backend) {
    let text = "fn half_energy(at: u32, x: ptr<function, Point>) -> f32 {
            let p = (*x)[0];
            if (p.x < 0.0) { return infinity(); }
            return 0.5 * dot(p, p);
        }
        fn half_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
            (*grad)[0] = (*x)[0];
            return half_energy(at, x);
        }";
    let energy = WgslEnergy::from_text("half", 2, vec![], text).unwrap();
    let start: Vec<f32> = (0..2 * 256).map(|k| 0.1 + (k % 16) as f32 / 16.0).collect();
    let mut chains = backend.chains(energy, Hmc::adaptive()).count(256).start(Start::array(start)).build().unwrap();
    let report = chains.collect(Collect::draws(200)).unwrap();
    let found = report.adaptation.as_ref().unwrap();
    assert_eq!((found.raised_from, found.target_acceptance), (None, 0.8), "{report}");
    assert!(report.notes.iter().any(|note| note.contains("transitions failed")), "{report}");
}

/// A gradient of 9,000 loop iterations: llvmpipe finishes no more than seven a dispatch.
fn cut_short(backend: &Backend) {
    let text = "fn slow_sum(x: f32) -> f32 { var s = 0.0; for (var i = 0u; i < u32(param(0u)); i++) { s += x; } return s / param(0u); }
        fn slow_energy(at: u32, x: ptr<function, Point>) -> f32 { let p = (*x)[0]; return 0.5 * p.x * slow_sum(p.x) + 0.5 * p.y * p.y * param(1u); }
        fn slow_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
            let p = (*x)[0];
            let s = slow_sum(p.x);
            (*grad)[0] = vec2<f32>(s, p.y * param(1u));
            return 0.5 * p.x * s + 0.5 * p.y * p.y * param(1u);
        }";
    // A rotation would make it fit the mass; the second coordinate turns a thousand times as fast where x is small only.
    let energy = WgslEnergy::from_text("slow", 2, vec![9000.0, 1.0], text).unwrap();
    let mut chains = backend.chains(energy, Hmc::adaptive_to(0.995)).count(128).build().unwrap();
    let report = chains.collect(Collect::draws(100)).unwrap();
    let found = report.adaptation.as_ref().unwrap();
    if backend.gpu().is_some_and(|gpu| gpu.info().name.contains("llvmpipe")) {
        assert!(found.most_leapfrog_steps <= 7, "{report}");
        let capped = |w: &Warning| matches!(w, Warning::LeapfrogStepsCapped { by_driver: true, .. });
        assert!(found.warnings.iter().any(capped), "{report}");
    }
    for c in &report.coordinates {
        assert!(p_of_z(c.mean / c.mcse.unwrap()) > LEVEL && p_of_z((c.sd - 1.0) / c.mcse_sd.unwrap()) > LEVEL, "{report}");
    }
}

/// Settings changed on their way, and signals with a wrong sign: `check` must find each.
fn faults() -> Vec<(&'static str, Target, Arc<dyn Kernel>)> {
    let hmc = || Arc::new(Hmc::adaptive()) as Arc<dyn Kernel>;
    vec![
        (
            // The error of the acceptance has the other sign.
            "the sign of the dual averaging",
            double_well(16, 1.0),
            Planted::twin(hmc(), |real, step, state, scratch| {
                let info = real.transition(step, state, scratch);
                Info { acceptance: (1.6 - info.acceptance).min(1.0), ..info }
            }),
        ),
        (
            "masses instead of inverse masses",
            scales(),
            Planted::settings(hmc(), |mut settings| {
                settings.inverse_mass.iter_mut().for_each(|m| *m = 1.0 / *m);
                settings
            }),
        ),
        (
            "scales instead of their squares",
            scales(),
            Planted::settings(hmc(), |mut settings| {
                settings.inverse_mass.iter_mut().for_each(|m| *m = m.sqrt());
                settings
            }),
        ),
        (
            "no masses",
            scales(),
            Planted::settings(hmc(), |mut settings| {
                settings.inverse_mass.fill(1.0);
                settings
            }),
        ),
        (
            "a step size that is not taken",
            diagonal("a narrow Gaussian", vec![0.01; 4], vec![1e-3; 4], (1, 4)),
            Planted::settings(hmc(), |settings| ergodic::adapt::Settings { step_size: 0.5, ..settings }),
        ),
        (
            "the sign of the growth",
            correlated(),
            Planted::twin(hmc(), |real, step, state, scratch| {
                let info = real.transition(step, state, scratch);
                state.growth = -state.growth;
                info
            }),
        ),
    ]
}

fn main() -> std::process::ExitCode {
    let kernels: [Case<dyn Kernel>; 3] =
        [("hmc", Arc::new(Hmc::adaptive())), ("mala", Arc::new(Mala::adaptive())), ("rwm", Arc::new(Rwm::adaptive()))];
    let mut suite = Suite::new();
    for (i, target) in targets().into_iter().enumerate() {
        let target = Arc::new(target);
        for (name, kernel) in kernels.clone() {
            // The others mix too slowly for the rest.
            if name != "hmc" && !matches!(i, 0 | 4) {
                continue;
            }
            let target = target.clone();
            suite = suite.both(format!("{name} on {}", target.name), move |backend| {
                if let Err(why) = check(&backend, &target, kernel.clone()) {
                    panic!("{why}");
                }
            });
        }
    }
    for (name, target, kernel) in faults() {
        suite = suite.test(format!("a planted fault is found: {name}"), move || {
            let found = check(&Backend::cpu(), &target, kernel);
            assert!(found.is_err(), "not found");
        });
    }
    suite
        .gpu("a planted fault is found: the sign of the growth in WGSL", |gpu| {
            let kernel = Planted::wgsl(Arc::new(Hmc::adaptive()), "growth += dot(", "growth -= dot(");
            assert!(check(&Backend::gpu_of(gpu), &correlated(), kernel).is_err(), "not found");
        })
        .both("at a temperature", |backend| at_temperature(&backend))
        .both("repeats to the bit", |backend| repeats(&backend))
        .gpu("f32 and f64 find the same", |gpu| same_on_both(Backend::gpu_of(gpu)))
        .both("recorded in the report", |backend| recorded(&backend))
        .both("any start and few chains", |backend| starts(&backend))
        .both("what cannot be adapted is refused", |backend| refusals(&backend))
        .both("warnings", |backend| warnings(&backend))
        .both("chains far out come in", |backend| comes_in(&backend, Arc::new(Hmc::adaptive())).unwrap())
        .test("a planted fault is found: no steps small enough for chains far out", || {
            let coarse = |settings: ergodic::adapt::Settings| ergodic::adapt::Settings {
                step_size: settings.step_size.max(8e-3),
                ..settings
            };
            let found = comes_in(&Backend::cpu(), Planted::settings(Arc::new(Hmc::adaptive()), coarse));
            assert!(found.as_ref().is_err_and(|what| what.contains("stray")), "{found:?}");
        })
        .both("chains in a mode of no weight", |backend| strays(&backend))
        .gpu("the funnel's stuck chains are named", |gpu| funnel(&Backend::gpu_of(gpu)))
        .both("a higher acceptance where trajectories fail", |backend| banana(&backend))
        .gpu("the same acceptance where smaller steps do not help", |gpu| wall(&Backend::gpu_of(gpu)))
        .gpu("trajectories that the driver cuts short", |gpu| cut_short(&Backend::gpu_of(gpu)))
        .run()
}
