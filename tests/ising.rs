//! The Ising model on a torus against Kaufman's exact energies and heat capacities, on GPU and CPU.

mod common;

use common::Suite;
use ergodic::{
    Backend, Error,
    ising::{Ising, Summary},
};

/// L, K = 1/T, energy and heat capacity a site (Kaufman 1949, as in the shared truth's ising2d_exact.json).
const EXACT: [(usize, f64, f64, f64); 10] = [
    (16, 0.2, -0.4282288387117016, 0.09765219990225199),
    (16, 0.3, -0.7045326708587676, 0.28651899654405083),
    (16, 0.4, -1.1313179844107288, 1.0649768828534352),
    (16, 0.5, -1.7455306689909191, 0.7255087677365641),
    (16, 0.6, -1.9090861748517107, 0.3134454574547365),
    (32, 0.2, -0.42822883324034805, 0.0976521775884798),
    (32, 0.3, -0.7044990717696555, 0.28629021616600586),
    (32, 0.4, -1.107291660977511, 0.8858125010662001),
    (32, 0.5, -1.7455645270345737, 0.7248739781986838),
    (32, 0.6, -1.909086177684075, 0.31344535812616964),
];

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for (side, k, energy, heat_capacity) in EXACT {
        let name = format!("L = {side}, K = {k}: energy and heat capacity within four standard errors");
        let body = move |backend: Backend| {
            let found = sample(&backend, side, k, 256);
            let [e, c] = scores(&found, energy, heat_capacity);
            assert!(e.abs() < 4.0 && c.abs() < 4.0, "{found:?}: {e} and {c} errors off");
            assert!(found.energy_mcse < 0.01 && found.heat_capacity_mcse < 0.1 * heat_capacity, "{found:?}");
        };
        // The twin gives the same bits (below), so the larger torus is left to the device.
        suite = if side == 16 { suite.both(name, body) } else { suite.gpu(name, move |gpu| body(Backend::gpu_of(gpu))) };
    }
    suite
        .test("planted: a temperature 3 % off is found", || {
            let found = sample(&Backend::cpu(), 16, 0.388, 256);
            assert!(scores(&found, EXACT[2].2, EXACT[2].3)[0].abs() > 4.0, "{found:?}");
        })
        .gpu("device and twin agree bit for bit, however cut into calls and however many the chains", |gpu| {
            let run = |backend: &Backend, chains: usize, calls: &[u64]| {
                let mut chains = Ising::new(backend, 10, 2.5, chains, 5).unwrap();
                calls.iter().for_each(|&sweeps| chains.advance(sweeps).unwrap());
                chains.spins().unwrap()
            };
            let gpu = Backend::gpu_of(gpu);
            let all = run(&gpu, 100, &[9]);
            assert_eq!(all, run(&Backend::cpu(), 100, &[9]));
            assert_eq!(all, run(&gpu, 100, &[1, 5, 3]));
            let few: Vec<_> = (0..40).collect();
            assert_eq!(all.select(&few), run(&gpu, 40, &[9]).select(&few));
            assert_ne!(all, run(&gpu, 100, &[10]));
        })
        .both("wrong settings are refused", |backend| {
            for (side, temperature, chains) in [(5, 2.0, 10), (2, 2.0, 10), (8, 0.0, 10), (8, f64::NAN, 10), (8, 2.0, 0)] {
                assert!(matches!(Ising::new(&backend, side, temperature, chains, 1), Err(Error::Setting { .. })));
            }
        })
        .run()
}

/// Starts all up; the slowest of these (K = 0.4) forgets its start within some tens of sweeps.
fn sample(backend: &Backend, side: usize, k: f64, chains: usize) -> Summary {
    let mut chains = Ising::new(backend, side, 1.0 / k, chains, 3).unwrap();
    chains.advance(if k == 0.4 { 500 } else { 150 }).unwrap();
    chains.collect(30, 5).unwrap()
}

fn scores(found: &Summary, energy: f64, heat_capacity: f64) -> [f64; 2] {
    [(found.energy - energy) / found.energy_mcse, (found.heat_capacity - heat_capacity) / found.heat_capacity_mcse]
}
