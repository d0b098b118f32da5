//! The leapfrog integrator against published states: Stan's unit tests (stan-dev/stan, src/test/unit/mcmc/hmc,
//! integrators/expl_leapfrog_test.cpp evolve_1..9 and nuts/unit_e_nuts_test.cpp build_tree_test; BSD-3).

mod common;

use common::{
    Suite,
    leapfrog::{BOUND, steps, worst},
};

fn main() -> std::process::ExitCode {
    Suite::new()
        .test("one step", || {
            let worst = worst(|inverse_mass| inverse_mass);
            assert!(worst < BOUND, "{worst}");
        })
        .test("eight steps in three dimensions", || {
            let (q, p) = steps(&[1.0, -1.0, 1.0], &[-1.0, 1.0, -1.0], 0.1, 1.0, 8);
            for (i, sign) in [1.0, -1.0, 1.0].into_iter().enumerate() {
                assert!((q[i] + sign * 0.022019938).abs() < BOUND, "{q:?}");
                assert!((p[i] + sign * 1.4131583).abs() < BOUND, "{p:?}");
            }
        })
        .test("a planted fault is found", || {
            // A mass that is off by 1e-5, where Stan's vectors have one.
            assert!(worst(|inverse_mass| inverse_mass * 1.00001) > BOUND);
        })
        .run()
}
