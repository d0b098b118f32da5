//! Parallel tempering: far modes get their true weights where plain HMC fails, one round of swaps leaves every rung's law alone,
//! and neither the cutting into dispatches nor the device makes a difference.

mod common;

use std::{sync::Arc, time::Duration};

use common::{
    Suite, cases,
    planted::Planted,
    stats::{LEVEL, ks, normal_cdf, p_of_z, smallest, z_of_count},
};
use ergodic::{
    Backend, Collect, Error, Report, Result, Start,
    chains::{Chains, Setup},
    energy::{Energy, Gaussian, Mixture, WgslEnergy},
    evaluate,
    kernel::{Hmc, Kernel, Ladder, Mala, Rwm, Tempering, Ula, Underdamped},
    random::normal_pair,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Two modes of weights 0.75 and 0.25, 16 apart, with a barrier of 32 and more between them.
fn far_modes() -> Mixture {
    Mixture::new(&[0.75, 0.25], &[vec![8.0, 0.0, 1.0], vec![-8.0, 0.0, -1.0]], &[1.0, 0.7]).unwrap()
}

/// After a run in which every chain starts in the lighter mode: the share of the chains at the target's temperature that are in the
/// heavier one, as a score against 0.75, and the report.
fn share(backend: &Backend, kernel: impl Kernel + 'static, rungs: usize) -> (f64, Report) {
    let ladders = if backend.gpu().is_some() { 1024 } else { 128 };
    let setup = backend.chains(far_modes(), kernel).count(ladders * rungs).seed(3).start(Start::normal([-8.0, 0.0, -1.0], 0.5));
    let mut chains = setup.build().unwrap();
    chains.advance(600).unwrap();
    let report = chains.collect(Collect::draws(400)).unwrap();
    let x = chains.positions().unwrap();
    let heavier = x[..ladders * rungs].iter().step_by(rungs).filter(|&&x| x > 0.0).count();
    (z_of_count(heavier as u64, ladders as u64, 0.75), report)
}

fn ladder() -> Ladder {
    Ladder::geometric(64.0, 8).swap_every(2)
}

fn weights(backend: &Backend, kernel: Tempering) {
    let (z, report) = share(backend, kernel, 8);
    println!("{report}");
    assert!(p_of_z(z) >= LEVEL, "the share of the heavier mode is {z} standard deviations off");
    // The moments are of the coldest rung, over independent ladders.
    for (i, mean) in [4.0, 0.0, 0.5].into_iter().enumerate() {
        let x = &report.coordinates[i];
        let z = (x.mean - mean) / x.mcse.unwrap();
        assert!(p_of_z(z) >= LEVEL, "mean of x[{i}]: {} is {z} errors off", x.mean);
    }
    let sd = (0.75 * (1.0 + 64.0) + 0.25 * (0.49 + 64.0) - 16.0f64).sqrt();
    let x = &report.coordinates[0];
    assert!(p_of_z((x.sd - sd) / x.mcse_sd.unwrap()) >= LEVEL, "sd of x[0]: {}, not {sd}", x.sd);
    let tempering = report.tempering.unwrap();
    assert!(tempering.round_trips > 0);
    assert!(tempering.rungs[..7].iter().all(|rung| rung.swaps.is_some_and(|swaps| swaps > 0.05)), "{tempering:?}");
    assert!(tempering.rungs[7].swaps.is_none());
    assert!(tempering.rungs.iter().all(|rung| rung.acceptance > 0.2), "{tempering:?}");
}

const RUNGS: usize = 4;
const MEAN: [f64; 3] = [0.5, -0.3, 1.0];
const SD: f64 = 0.9;

/// A Gaussian, whose law at T is N(mean, T sd²), under swaps alone: the random walk's steps are too small to matter.
fn swaps() -> Arc<dyn Kernel> {
    Arc::new(Tempering::new(Rwm::new(1e-5), Ladder::geometric(5.0, RUNGS as u64).swap_every(1)))
}

/// Exact draws of every rung, [dim][chain].
fn exact_rungs(ladders: usize) -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(12);
    let temperature = |chain: usize| 5f64.powf((chain % RUNGS) as f64 / (RUNGS - 1) as f64);
    let mut draw = |(i, chain): (usize, usize)| {
        let z = normal_pair([rng.random(), rng.random()])[0];
        (MEAN[i] + SD * temperature(chain).sqrt() * z) as f32
    };
    let n = ladders * RUNGS;
    (0..3 * n).map(|at| draw((at / n, at % n))).collect()
}

/// The smallest p-value of each rung's law after one, two and four rounds of swaps from exact draws of all rungs; and that energies
/// belong to their positions.
fn moved(backend: &Backend, kernel: Arc<dyn Kernel>, ladders: usize) -> (String, f64) {
    let target = Gaussian::isotropic(MEAN, SD).unwrap();
    let n = ladders * RUNGS;
    let setup = backend.chains_of(Arc::new(target.clone()), kernel).count(n).seed(8).start(Start::array(exact_rungs(ladders)));
    let mut chains = setup.build().unwrap();
    let mut found = Vec::new();
    for steps in [1, 1, 2] {
        let before = chains.positions().unwrap();
        chains.advance(steps).unwrap();
        let x = chains.positions().unwrap();
        let jumped = x.iter().zip(&before).filter(|(x, before)| (**x - **before).abs() > 0.01).count();
        assert!(jumped > n / 4, "only {jumped} coordinates moved");
        for rung in 0..RUNGS {
            let sd = SD * 5f64.powf(0.5 * rung as f64 / (RUNGS - 1) as f64);
            for (i, row) in x.chunks(n).enumerate() {
                let values: Vec<_> = row[rung..].iter().step_by(RUNGS).map(|&x| f64::from(x)).collect();
                let what = format!("x[{i}] of rung {rung} after {} rounds", chains.steps());
                found.push((what, ks(&values, |x| normal_cdf(x, MEAN[i], sd))));
            }
        }
        let at = evaluate(&Backend::cpu(), target.clone(), &x, 0.0).unwrap();
        let energies = chains.energies().unwrap();
        let stale = energies.iter().zip(&at.energies).filter(|(e, at)| (f64::from(**e) - **at).abs() > 1e-3 * (1.0 + at.abs()));
        found.push(("energies that are not those of their positions".into(), if stale.count() > 0 { 0.0 } else { 1.0 }));
    }
    smallest(found)
}

/// Bits of all positions and energies after some calls.
fn bits(setup: Setup, calls: &[u64]) -> Vec<u32> {
    let mut chains = setup.build().unwrap();
    calls.iter().for_each(|&steps| chains.advance(steps).unwrap());
    of(&*chains)
}

fn of(chains: &dyn Chains) -> Vec<u32> {
    chains.positions().unwrap().into_iter().chain(chains.energies().unwrap()).map(f32::to_bits).collect()
}

fn columns(bits: &[u32], all: usize, chains: std::ops::Range<usize>) -> Vec<u32> {
    bits.chunks(all).flat_map(|row| row[chains.clone()].to_vec()).collect()
}

/// Neither the number of chains nor the cutting of a run makes a difference.
fn same(backend: &Backend, kernel: &Arc<dyn Kernel>) {
    let energy: Arc<dyn Energy> = Arc::new(Mixture::ring(8, 2.0, 0.5).unwrap());
    let setup = || backend.chains_of(energy.clone(), kernel.clone()).seed(9);
    let whole = bits(setup().count(1000), &[41]);
    assert!(columns(&whole, 1000, 0..36) == bits(setup().count(36), &[41]), "36 chains and 1,000 differ");
    assert!(columns(&whole, 1000, 668..1000) == bits(setup().count(332).first_chain(668), &[41]), "chains from 668 on differ");
    assert!(whole == bits(setup().count(1000), &[1, 3, 37]), "41 steps and 1 + 3 + 37 differ");
    assert!(whole == bits(setup().count(1000).slice(Duration::from_nanos(1)), &[41]), "slices of one step make a difference");
    let mut chains = setup().count(1000).build().unwrap();
    chains.advance(7).unwrap();
    chains.collect(Collect::draws(34)).unwrap();
    assert!(whole == of(&*chains), "advance and collect differ");
    let counted = |slice: Duration| {
        let mut chains = setup().count(1000).slice(slice).build().unwrap();
        let report = chains.collect(Collect::draws(1500)).unwrap();
        (report.tempering.unwrap(), report.coordinates)
    };
    assert_eq!(counted(Duration::from_millis(1)), counted(Duration::from_millis(100)), "swaps depend on the cutting");
}

/// The part of the chains that are elsewhere on the GPU than on the CPU, after a few steps and swaps.
fn differing(gpu: &Backend, on_gpu: &Arc<dyn Kernel>, twin: &Arc<dyn Kernel>, energy: &Arc<dyn Energy>) -> f64 {
    const CHAINS: usize = 4096;
    let run = |backend: &Backend, kernel: &Arc<dyn Kernel>| {
        let mut chains = backend.chains_of(energy.clone(), kernel.clone()).count(CHAINS).seed(5).build().unwrap();
        let report = chains.collect(Collect::draws(6)).unwrap();
        (chains.positions().unwrap(), report.tempering.unwrap())
    };
    let ((x, found), (expected, of_twin)) = (run(gpu, on_gpu), run(&Backend::cpu(), twin));
    for (rung, twin) in found.rungs.iter().zip(&of_twin.rungs) {
        let rate = |swaps: Option<f64>| swaps.unwrap_or(0.0);
        if (rate(rung.swaps) - rate(twin.swaps)).abs() > 0.01 || rung.temperature != twin.temperature {
            println!("{rung:?}, but the twin {twin:?}");
            return 1.0;
        }
    }
    let is_near = |chain: &usize| {
        (0..energy.dim()).all(|i| {
            let (x, expected) = (x[i * CHAINS + *chain], expected[i * CHAINS + *chain]);
            (x - expected).abs() <= 1e-3 * (1.0 + expected.abs())
        })
    };
    1.0 - (0..CHAINS).filter(is_near).count() as f64 / CHAINS as f64
}

/// Where swaps are always made, a state climbs a rung a round, so a ladder has a round trip in every second round.
fn every_swap(backend: &Backend) {
    let target = Gaussian::isotropic([0.0, 0.0], 1e6).unwrap();
    let kernel = Tempering::new(Rwm::new(0.5), Ladder::geometric(10.0, 8).swap_every(3));
    let mut chains = backend.chains(target, kernel).count(64).seed(2).build().unwrap();
    chains.advance(3 * 40).unwrap();
    let tempering = chains.collect(Collect::draws(3 * 1600)).unwrap().tempering.unwrap();
    assert!(tempering.rungs[..7].iter().all(|rung| rung.swaps == Some(1.0)), "{tempering:?}");
    assert_eq!(tempering.round_trips, 8 * 800);
    assert!((tempering.round_trips_in_1000_steps - 1e3 / 6.0).abs() < 1e-9);
}

/// Where a chain stood when it failed is found by running its ladder again, and is the same as where it was seen in slices of one
/// step.
fn failures(backend: &Backend) {
    let text = "
        fn edge_energy(at: u32, x: ptr<function, Point>) -> f32 {
            let v = coordinate(x, 0u);
            return select(0.5 * dot((*x)[0], (*x)[0]), bitcast<f32>(bitcast<u32>(v) | 0x7fc00000u), v > 4.5);
        }
        fn edge_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
            (*grad)[0] = (*x)[0];
            return edge_energy(at, x);
        }";
    let run = |slice: Duration| {
        let target = WgslEnergy::from_text("edge", 2, [], text).unwrap();
        let kernel = Tempering::new(Rwm::new(0.5), Ladder::geometric(3.0, 4).swap_every(1));
        let mut chains = backend.chains(target, kernel).count(256).seed(4).slice(slice).build().unwrap();
        chains.advance(3).unwrap();
        chains.advance(200).unwrap();
        chains.report().failed_at
    };
    let (short, long) = (run(Duration::from_nanos(1)), run(Duration::from_secs(1)));
    assert!(short.len() > 3 && short.iter().any(|failed| failed.step > 3), "{short:?}");
    assert_eq!(short, long);
}

fn refusals() {
    let build = |kernel: Result<Tempering>, chains: usize, first_chain: u32| {
        let setup = Backend::cpu().chains(far_modes(), kernel.unwrap()).count(chains).first_chain(first_chain);
        setup.build().map(drop)
    };
    let with = |ladder| Ok(Tempering::new(Rwm::new(0.5), ladder));
    for bad in [
        Ladder::geometric(10.0, 3),
        Ladder::geometric(10.0, 128),
        Ladder::geometric(10.0, 1),
        Ladder::geometric(0.5, 4),
        Ladder::geometric(f64::NAN, 4),
        Ladder::new([2.0, 3.0]),
        Ladder::new([]),
        Ladder::new([1.0, 2.0]).swap_every(0),
        Ladder::new([1.0, 2.0]).step_scales([1.0, 0.0]),
    ] {
        let refused = build(with(bad.clone()), 64, 0);
        assert!(matches!(refused, Err(Error::Setting { .. })), "{bad:?}: {refused:?}");
    }
    assert!(matches!(build(with(Ladder::new([1.0, 2.0]).step_scales([1.0])), 64, 0), Err(Error::Shape { .. })));
    for (chains, first) in [(6, 0), (8, 2)] {
        let refused = build(with(Ladder::geometric(10.0, 4)), chains, first);
        assert!(matches!(refused, Err(Error::Setting { .. })), "{refused:?}");
    }
    let twice = Tempering::new(Tempering::new(Rwm::new(0.5), ladder()), ladder());
    let adaptive = Tempering::new(Hmc::adaptive(), ladder());
    let unadjusted = [Tempering::new(Ula::new(0.1), ladder()), Tempering::new(Underdamped::new(0.1, 1.0), ladder())];
    for kernel in unadjusted.into_iter().chain([twice, adaptive]) {
        let refused = build(Ok(kernel), 64, 0);
        assert!(matches!(refused, Err(Error::Unsupported(_))), "{refused:?}");
    }
    build(with(Ladder::geometric(10.0, 4)), 8, 4).unwrap();
}

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new()
        .both("plain HMC fails on far modes", |backend| {
            let (z, _) = share(&backend, Hmc::new(0.4, 5).jitter(2), 1);
            assert!(z < -15.0, "plain HMC found the heavier mode: {z}");
        })
        .both("hmc finds the weights of far modes", |backend| {
            weights(&backend, Tempering::new(Hmc::new(0.4, 5).jitter(2), ladder()));
        })
        .both("rwm finds the weights of far modes", |backend| weights(&backend, Tempering::new(Rwm::new(1.2), ladder())))
        .both("mala finds the weights of far modes", |backend| weights(&backend, Tempering::new(Mala::new(0.3), ladder())))
        .both("swaps leave the law of every rung alone", |backend| {
            let ladders = if backend.gpu().is_some() { 65_536 } else { 20_000 };
            let (what, p) = moved(&backend, swaps(), ladders);
            assert!(p >= LEVEL, "{what}: p = {p:.3e}");
        })
        .both("every second round is a round trip where all swaps are made", |backend| every_swap(&backend))
        .gpu("a failure is found where it was", |gpu| failures(&Backend::gpu_of(gpu)))
        .test("bad settings are refused", refusals);
    for (name, kernel) in cases::tempered() {
        suite = suite.both(format!("{name} is the same however a run is cut"), move |backend| same(&backend, &kernel));
    }
    for (name, kernel) in cases::tempered() {
        suite = suite.gpu(format!("{name} agrees with its twin"), move |gpu| {
            let gpu = Backend::gpu_of(gpu);
            // Two, five (padded lanes) and 40 dimensions (loops that are not written out).
            let five = cases::energies().into_iter().find(|case| case.0 == "convex_5").unwrap().1;
            let ring: Arc<dyn Energy> = Arc::new(Mixture::ring(8, 2.0, 0.5).unwrap());
            for energy in [ring, five, Arc::new(Gaussian::standard(40))] {
                let part = differing(&gpu, &kernel, &kernel, &energy);
                assert!(part < 0.01, "{part} of the chains are elsewhere on {}", energy.name());
            }
        });
    }
    let faults = [
        ("an inverted ratio of swaps", "(*e - partner_energy) * colder", "(partner_energy - *e) * colder"),
        ("swaps that are always made", "u < exp(min(0.0, log_ratio))", "u < 1.0"),
        ("positions swapped without their energies", "*e = select(*e, partner_energy, is_swapped);", ""),
        ("partners that decide differently", "ladder_decisions[min(place, partner)]", "ladder_decisions[place]"),
        ("temperatures of the wrong rungs", "stored_param(LADDER_AT + min(rung + 1u, RUNGS - 1u))", "stored_param(LADDER_AT)"),
    ];
    for (name, piece, fault) in faults {
        suite = suite.gpu(format!("a planted fault is found: {name}"), move |gpu| {
            let (what, p) = moved(&Backend::gpu_of(gpu), Planted::stage(swaps(), piece, fault), 65_536);
            assert!(p < LEVEL, "not found; the smallest p-value is {p:.3e}, of {what}");
        });
    }
    suite
        .gpu("a planted fault is found by the twin: another uniform", |gpu| {
            let kernel = cases::tempered().remove(0).1;
            let other = Planted::stage(kernel.clone(), "random_bits(chain, step, SLOTS - 1u)", "random_bits(chain, step, 0u)");
            let energy: Arc<dyn Energy> = Arc::new(Mixture::ring(8, 2.0, 0.5).unwrap());
            let part = differing(&Backend::gpu_of(gpu), &other, &kernel, &energy);
            assert!(part > 0.01, "not found: {part}");
        })
        .run()
}
