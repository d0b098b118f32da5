//! Annealed importance sampling against enumeration, with a planted fault.

use ergodic::{
    Error,
    rbm::{Ais, Rbm},
};

use crate::{common::Suite, machine};

pub(crate) fn add(mut suite: Suite) -> Suite {
    for (visible, hidden, spread) in [(20, 16, 0.05), (30, 18, 0.5), (64, 20, 0.4)] {
        suite = suite.test(
            format!("{visible} x {hidden}, weights of {spread}: within three errors of ln Z, both ways"),
            move || {
                let rbm = machine(visible, hidden, spread, 31);
                within(&rbm, &rbm.transposed().unwrap(), rbm.ln_z().unwrap());
            },
        );
    }
    suite
        .test("the mean weight is Z, however few the temperatures", || {
            // Two steps are far too few, and still without bias: 20,000 weights of a small machine.
            let rbm = machine(6, 5, 0.7, 8);
            let found = Ais::new(2, 20_000).base_rates(&[0.3; 6]).run(&rbm, 3).unwrap();
            let z = (found.forward.value - rbm.ln_z().unwrap()) / found.forward.error;
            assert!(z.abs() < 5.0 && found.forward.error < 0.05, "{z} errors off");
        })
        .test("planted: a bias left out is found", || {
            let rbm = machine(30, 18, 0.5, 31);
            let mut b = rbm.hidden_bias().to_vec();
            b[0] += 1.0;
            let faulty = Rbm::new(rbm.weights(), rbm.visible_bias(), b).unwrap();
            let found = Ais::new(1_000, 100).run(&faulty, 5).unwrap().forward;
            assert!((found.value - rbm.ln_z().unwrap()).abs() > 10.0 * found.error);
        })
        .test("784 x 500 from a file, 100 chains through 14,500 temperatures, in under five minutes on two cores", || {
            let path = std::env::temp_dir().join(format!("ergodic-784x500-{}.safetensors", std::process::id()));
            machine(784, 500, 0.05, 2).save(&path).unwrap();
            let begun = std::time::Instant::now();
            let rbm = Rbm::load(&path).unwrap();
            let found = Ais::new(14_500, 100).run(&rbm, 1).unwrap().forward;
            eprintln!("ln Z = {} +- {} in {:.1} s", found.value, found.error, begun.elapsed().as_secs_f64());
            assert!(found.error < 0.1 && begun.elapsed().as_secs() < 300);
        })
        .long()
        .test("wrong settings are refused", || {
            let rbm = machine(3, 2, 1.0, 1);
            assert!(matches!(Ais::new(0, 10).run(&rbm, 1), Err(Error::Setting { .. })));
            assert!(matches!(Ais::new(10, 1).run(&rbm, 1), Err(Error::Setting { .. })));
            assert!(matches!(Ais::new(usize::MAX, 10).run(&rbm, 1), Err(Error::Limit { .. })));
            assert!(matches!(Ais::with_betas([0.0, 0.7, 0.6, 1.0], 10).run(&rbm, 1), Err(Error::Setting { .. })));
            assert!(matches!(Ais::new(10, 10).base_rates(&[0.5]).run(&rbm, 1), Err(Error::Shape { expected: 3, .. })));
            assert!(matches!(Ais::new(10, 10).base_rates(&[0.5, 2.0, 0.5]).run(&rbm, 1), Err(Error::Setting { .. })));
        })
}

fn within(rbm: &Rbm, transposed: &Rbm, exact: f64) {
    for rbm in [rbm, transposed] {
        let found = Ais::new(1_000, 100).reverse(200).run(rbm, 5).unwrap();
        for estimate in [found.forward, found.reverse.unwrap()] {
            let z = (estimate.value - exact) / estimate.error;
            assert!(z.abs() < 3.0 && estimate.error < 0.3, "{estimate:?} for {exact}: {z} errors off");
        }
        let [low, high] = found.bracket();
        assert!(low < exact && exact < high);
    }
}
