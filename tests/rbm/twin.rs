//! The GPU against the f64 twin from the same random bits; the same chains however many and however cut; faults.

use ergodic::{
    Backend, Error,
    random::{Stream, key, threefry},
    rbm::{Gibbs, Rbm, States},
};

use crate::{common::Suite, machine};

pub(crate) fn add(suite: Suite) -> Suite {
    suite
        .gpu("one sweep differs from the twin only where a draw is within rounding", |gpu| {
            let rbm = machine(97, 130, 0.4, 21);
            let run = |backend: &Backend| {
                let mut chains = Gibbs::new(backend, &rbm, 3_001, 5).unwrap();
                chains.advance(1).unwrap();
                (chains.visible().unwrap(), chains.hidden().unwrap())
            };
            let start = Gibbs::new(&Backend::cpu(), &rbm, 3_001, 5).unwrap().visible().unwrap();
            let (on_gpu, on_cpu) = (run(&Backend::gpu_of(gpu)), run(&Backend::cpu()));
            let mut apart = 0;
            for chain in 0..3_001 {
                let key = key(5, Stream::Transition, 0);
                let fields = rbm.hidden_fields(&start.row(chain));
                let mut same = true;
                for (unit, field) in fields.iter().enumerate() {
                    let word = threefry(key, [chain as u32 / 2, unit as u32])[chain % 2];
                    let rare = 1.0 / (1.0 + field.abs().exp());
                    assert_eq!(on_cpu.1.get(unit, chain), (f64::from(word) < (rare * 2f64.powi(32)).floor()) != (*field > 0.0));
                    if on_gpu.1.get(unit, chain) != on_cpu.1.get(unit, chain) {
                        // f32 sums of 97 terms are off by a few 1e-6; so is the exponential.
                        assert!(
                            (f64::from(word) * 2f64.powi(-32) - rare).abs() < 1e-5 * rare.max(1e-4),
                            "chain {chain}, unit {unit}"
                        );
                        apart += 1;
                        same = false;
                    }
                }
                let differs = (0..97).filter(|&unit| on_gpu.0.get(unit, chain) != on_cpu.0.get(unit, chain)).count();
                apart += if same { differs } else { 0 };
            }
            // Of 681,227 draws, each apart with a probability of about 1e-6.
            assert!(apart < 12, "{apart} draws differ");
        })
        .both("chains are the same however many and however cut into calls", |backend| {
            let rbm = machine(40, 33, 0.5, 2);
            let run = |chains: usize, calls: &[u64]| {
                let mut chains = Gibbs::new(&backend, &rbm, chains, 9).unwrap();
                calls.iter().for_each(|&sweeps| chains.advance(sweeps).unwrap());
                assert_eq!(chains.sweeps(), calls.iter().sum::<u64>());
                (chains.visible().unwrap(), chains.hidden().unwrap())
            };
            let few: Vec<_> = (0..33).collect();
            let (v, h) = run(1_000, &[7]);
            assert_eq!(run(1_000, &[1, 4, 2]), (v.clone(), h.clone()));
            let (few_v, few_h) = run(33, &[7]);
            assert_eq!((v.select(&few), h.select(&few)), (few_v.select(&few), few_h.select(&few)));
            assert_ne!(run(33, &[8]).0, few_v);
        })
        .both("clamped units keep their states, the others move", |backend| {
            let rbm = machine(40, 33, 0.5, 2);
            let mut chains = Gibbs::new(&backend, &rbm, 100, 9).unwrap();
            chains.advance(3).unwrap();
            let marks: Vec<_> = (0..40).map(|unit| unit % 3 == 0).collect();
            let before = chains.visible().unwrap();
            chains.clamp(&marks).unwrap();
            chains.advance(5).unwrap();
            let after = chains.visible().unwrap();
            let moved = |unit: usize| (0..100).filter(|&chain| before.get(unit, chain) != after.get(unit, chain)).count();
            assert!((0..40).all(|unit| (moved(unit) == 0) == marks[unit]));
        })
        .both("faults are typed errors", |backend| {
            let rbm = machine(4, 3, 1.0, 1);
            assert!(matches!(Gibbs::new(&backend, &rbm, 0, 1), Err(Error::Setting { .. })));
            assert!(matches!(
                Gibbs::start(&backend, &rbm, &States::zeros(5, 2).unwrap(), 1),
                Err(Error::Shape { expected: 4, .. })
            ));
            let mut chains = Gibbs::new(&backend, &rbm, 2, 1).unwrap();
            assert!(matches!(chains.clamp(&[true]), Err(Error::Shape { expected: 4, found: 1, .. })));
        })
        .gpu("a thousand sweeps leave no memory behind", |gpu| {
            let resident = || {
                let pages = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse::<f64>().ok()?;
                Some(pages * 4096.0 / 1e6)
            };
            let mut chains = Gibbs::new(&Backend::gpu_of(gpu), &machine(20, 20, 0.5, 2), 64, 9).unwrap();
            chains.advance(300).unwrap();
            let before = resident();
            chains.advance(1_000).unwrap();
            // Other tests run meanwhile; a shader that the driver compiles anew for every dispatch took a thousand MB here.
            if let (Some(before), Some(after)) = (before, resident()) {
                assert!(after - before < 300.0, "{before:.0} MB, then {after:.0} MB");
            }
        })
        .gpu("a layer that the driver cuts short is an error, and the state stays", |gpu| {
            let software = gpu.is_software() && gpu.info().name.contains("llvmpipe");
            let rbm = Rbm::new(vec![0.0; 70_000], vec![0.0; 70_000], [0.0]).unwrap();
            let mut chains = Gibbs::new(&Backend::gpu_of(gpu), &rbm, 32, 1).unwrap();
            let before = chains.visible().unwrap();
            match chains.advance(1) {
                Err(Error::CutShort { good_steps: 0, .. }) => {
                    assert_eq!((chains.visible().unwrap(), chains.sweeps()), (before, 0))
                }
                Ok(()) => assert!(!software, "lavapipe cuts loops of more than 65,535 iterations, and nothing noticed"),
                Err(e) => panic!("{e}"),
            }
        })
}
