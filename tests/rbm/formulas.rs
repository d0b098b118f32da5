//! Energies, conditionals and ln Z against sums over all states.

use ergodic::{Error, rbm::Rbm};

use crate::{common::Suite, machine, units};

pub(crate) fn add(suite: Suite) -> Suite {
    suite
        .test("free energy and conditionals against enumeration", || {
            for (visible, hidden) in [(1, 1), (3, 5), (6, 4)] {
                against_enumeration(&machine(visible, hidden, 1.5, 3));
            }
        })
        .test("ln Z by the smaller layer equals the sum over all states", || {
            for (visible, hidden) in [(1, 1), (2, 13), (13, 2), (7, 7), (4, 9)] {
                let rbm = machine(visible, hidden, 1.0, 5);
                let brute = ln_z(&rbm);
                for of in [&rbm, &rbm.transposed().unwrap()] {
                    let found = of.ln_z().unwrap();
                    assert!((found - brute).abs() < 1e-10 * brute.abs().max(1.0), "{visible} x {hidden}: {found} for {brute}");
                }
            }
        })
        .test("ln Z of machines without weights is known", || {
            let rbm = Rbm::new(vec![0.0; 30 * 24], vec![0.5; 30], vec![-90.0; 24]).unwrap();
            let exact = 30.0 * (1.0 + 0.5f64.exp()).ln() + 24.0 * (-90f64).exp().ln_1p();
            assert!((rbm.ln_z().unwrap() - exact).abs() < 1e-9);
        })
        .long()
        .test("wrong machines are refused", || {
            assert!(matches!(Rbm::new([], [], [0.0]), Err(Error::Setting { .. })));
            assert!(matches!(Rbm::new([0.0; 5], [0.0; 2], [0.0; 3]), Err(Error::Shape { expected: 6, found: 5, .. })));
            let error = Rbm::new([0.0, f32::NAN], [0.0], [0.0; 2]).unwrap_err().to_string();
            assert!(error.contains("W[1]"), "{error}");
            assert!(matches!(Rbm::for_data(&[0.5; 3], usize::MAX, 0.1, 1), Err(Error::Limit { .. })));
            assert!(matches!(Rbm::for_data(&[], usize::MAX, 0.1, 1), Err(Error::Limit { .. })));
            assert!(matches!(Rbm::for_reals(&[0.5; 3], &[1.0; 3], usize::MAX, 0.1, 1), Err(Error::Limit { .. })));
            assert!(matches!(machine(25, 25, 0.1, 1).ln_z(), Err(Error::Limit { asked: 25, allowed: 24, .. })));
        })
}

/// ln Z as a sum over all states of both layers.
pub(crate) fn ln_z(rbm: &Rbm) -> f64 {
    let (visible, hidden) = (rbm.visible(), rbm.hidden());
    let states = (0..1 << visible).flat_map(|v| (0..1 << hidden).map(move |h| (v, h)));
    let energies: Vec<_> = states.map(|(v, h)| -rbm.energy(&units(v, visible), &units(h, hidden))).collect();
    let most = energies.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + energies.iter().map(|e| (e - most).exp()).sum::<f64>().ln()
}

fn against_enumeration(rbm: &Rbm) {
    let (visible, hidden) = (rbm.visible(), rbm.hidden());
    let weight = |v: &[f64], h: usize| (-rbm.energy(v, &units(h, hidden))).exp();
    for state in 0..1 << visible {
        let v = units(state, visible);
        let sum: f64 = (0..1 << hidden).map(|h| weight(&v, h)).sum();
        assert!((rbm.free_energy(&v) + sum.ln()).abs() < 1e-12);
        for (j, mean) in rbm.hidden_means(&v).into_iter().enumerate() {
            let on: f64 = (0..1 << hidden).filter(|h| h >> j & 1 == 1).map(|h| weight(&v, h)).sum();
            assert!((mean - on / sum).abs() < 1e-12);
        }
    }
    // The other layer's are those of the transposed machine.
    for state in 0..1 << hidden {
        let h = units(state, hidden);
        assert_eq!(rbm.visible_means(&h).len(), visible);
        for (i, mean) in rbm.visible_means(&h).into_iter().enumerate() {
            assert!((mean - rbm.transposed().unwrap().hidden_means(&h)[i]).abs() < 1e-12);
        }
    }
}
