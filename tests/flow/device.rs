//! The flow as an energy and as a proposal, on the GPU in f32 and on the CPU in f64.

use std::sync::Arc;

use ergodic::{
    Backend, Error, Start,
    energy::{DoubleWell, Energy, Mixture, Params},
    flow::{Flow, Proposal},
    kernel::{Hmc, Kernel},
};

use super::{
    common::{Suite, planted::Planted, stats, twin::compare, twin_energy::agree},
    flow, normals,
};

fn cases() -> Vec<(&'static str, Flow)> {
    vec![
        ("2-D", flow(2, 4, 12, 0.3, 1)),
        ("2-D, an odd number of layers", flow(2, 3, 12, 0.3, 2)),
        ("3-D", flow(3, 3, 8, 0.3, 3)),
        ("5-D", flow(5, 4, 8, 0.3, 4)),
        ("8-D", flow(8, 2, 8, 0.2, 5)),
    ]
}

pub(super) fn add(mut suite: Suite) -> Suite {
    for (name, flow) in cases() {
        let (energy, again): (Arc<dyn Energy>, _) = (Arc::new(flow.clone()), flow.clone());
        suite = suite
            .test(format!("the energy is −log q: {name}"), move || energy_is_density(&again))
            .gpu(format!("energy and gradient: {name}"), move |gpu| agree(&gpu, &energy, &energy, 0.0).unwrap());
        let target: Arc<dyn Energy> = Arc::new(DoubleWell::new(flow.dim(), 0.5).unwrap());
        let kernel: Arc<dyn Kernel> = Arc::new(Proposal::new(flow).unwrap());
        suite = suite.gpu(format!("proposal: {name}"), move |gpu| {
            compare(gpu, &target, &kernel, &kernel).unwrap();
        });
    }
    suite
        .gpu("planted: a parameter a little off is found", |gpu| {
            let right = flow(2, 4, 12, 0.3, 1);
            let mut params = right.params().to_vec();
            params[7] *= 1.001;
            let off = Flow::from_params(2, 4, 12, params).unwrap();
            agree(&gpu, &(Arc::new(right) as Arc<dyn Energy>), &(Arc::new(off) as Arc<dyn Energy>), 0.0).unwrap_err();
        })
        .gpu("planted: the log-determinant's sign of a proposal is found", |gpu| {
            let kernel: Arc<dyn Kernel> = Arc::new(Proposal::new(flow(2, 4, 12, 0.3, 1)).unwrap());
            let wrong = Planted::wgsl(kernel.clone(), "of_base + proposal_forward", "of_base - proposal_forward");
            let target: Arc<dyn Energy> = Arc::new(DoubleWell::new(2, 0.5).unwrap());
            compare(gpu, &target, &wrong, &kernel).unwrap_err();
        })
        .both("one step gives exact draws of the flow", exact_draws)
        .both("a mixture is sampled through a flow that is not it", |backend| mixture(&backend))
        .test("a proposal of another dimension is refused", || {
            let target = DoubleWell::new(3, 1.0).unwrap();
            let refused = Backend::cpu().chains(target, Proposal::new(flow(2, 2, 2, 0.1, 1)).unwrap()).count(2).build();
            assert!(matches!(refused, Err(Error::Shape { .. })));
        })
}

fn energy_is_density(flow: &Flow) {
    let (dim, count) = (flow.dim(), 100);
    let x = normals(dim, count, 1.5, 4);
    let values = Energy::params(flow);
    let mut grads = flow.inverse_pass(&x).unwrap().reverse_density(&vec![1.0; count]).unwrap().positions.into_iter();
    let (mut found_grads, density) = (vec![0.0; dim * count], flow.log_density(&x).unwrap());
    for (p, density) in density.iter().enumerate() {
        let own: Vec<_> = (0..dim).map(|i| x[i * count + p]).collect();
        let mut grad = vec![f64::NAN; dim];
        let energy = flow.energy_and_grad(Params::new(&values), &own, &mut grad);
        assert!((energy + density).abs() < 1e-10 * (1.0 + energy.abs()), "{energy} for {density}");
        assert_eq!(flow.energy(Params::new(&values), &own), energy);
        grad.iter().enumerate().for_each(|(i, g)| found_grads[i * count + p] = *g);
    }
    for found in found_grads {
        let expected = -grads.next().unwrap();
        assert!((found - expected).abs() < 1e-9 * (1.0 + expected.abs()), "{found} for {expected}");
    }
}

/// From anywhere, one step: the base of what comes out is standard normal, and all is accepted.
fn exact_draws(backend: Backend) {
    let flow = flow(3, 4, 8, 0.3, 6);
    let mut chains = backend
        .chains(flow.clone(), Proposal::new(flow.clone()).unwrap())
        .count(100_000)
        .start(Start::normal([2.0], 0.1))
        .seed(3)
        .build()
        .unwrap();
    chains.advance(1).unwrap();
    // The start may be more likely than a draw under the flow's own rounding only.
    let accepted = chains.report().mean_acceptance.unwrap();
    assert!(accepted > 1.0 - 1e-4, "acceptance {accepted}");
    let x: Vec<f64> = chains.positions().unwrap().into_iter().map(f64::from).collect();
    for row in flow.inverse(&x).unwrap().positions.chunks(100_000) {
        stats::accept("the base", stats::ks(row, |z| stats::normal_cdf(z, 0.0, 1.0)));
    }
}

/// Exact draws of a mixture stay exact under steps with proposals of a flow; and so they do mixed with none of HMC's.
fn mixture(backend: &Backend) {
    let target = Mixture::new(&[0.7, 0.3], &[vec![-1.0, 0.0], vec![2.0, 1.0]], &[0.6, 0.9]).unwrap();
    let run = |kernel: Arc<dyn Kernel>, steps| {
        let mut chains = backend.chains_of(Arc::new(target.clone()), kernel).count(20_000).seed(5).build().unwrap();
        chains.advance(steps).unwrap();
        let report = chains.report();
        assert_eq!(report.failed_transitions(), 0);
        chains.positions().unwrap()
    };
    let wide = {
        // Scales and shifts alone: N((0.3, 0.3), 2²).
        let mut params = Flow::new(2, 2, 1, 0).unwrap().params().to_vec();
        for b2 in [6, 14] {
            (params[b2], params[b2 + 1]) = (0.74, 0.3);
        }
        Flow::from_params(2, 2, 1, params).unwrap()
    };
    let x = run(Arc::new(Proposal::new(wide).unwrap()), 60);
    let law = |v: f64| 0.7 * stats::normal_cdf(v, -1.0, 0.6) + 0.3 * stats::normal_cdf(v, 2.0, 0.9);
    let row: Vec<f64> = x[..20_000].iter().map(|&v| f64::from(v)).collect();
    stats::accept("x₀ under a flow's proposals", stats::ks(&row, law));
    // The test can tell: HMC without a bridge between the modes fails it.
    let x = run(Arc::new(Hmc::new(0.1, 3)), 20);
    let row: Vec<f64> = x[..20_000].iter().map(|&v| f64::from(v)).collect();
    assert!(stats::ks(&row, law) < stats::LEVEL);
}
