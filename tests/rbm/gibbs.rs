//! Every state's frequency after k sweeps against its exact law, by chi-square, on GPU and CPU; and samplers with planted faults,
//! which the same test must find.

use ergodic::{
    Backend, Error,
    random::{Stream, key, threefry},
    rbm::{Dbn, Gibbs, Rbm, Reals, States},
};
use statrs::distribution::{ChiSquared, ContinuousCDF};

use crate::{
    common::{Suite, stats::LEVEL},
    machine, units,
};

const CHAINS: usize = 1 << 16;

pub(crate) fn add(mut suite: Suite) -> Suite {
    for (visible, hidden) in [(1, 1), (5, 4), (6, 6), (3, 9)] {
        suite = suite.both(format!("{visible} x {hidden}: all states after 1, 2 and 40 sweeps"), move |backend| {
            let rbm = machine(visible, hidden, 1.0, 11);
            for sweeps in [1, 2, 40] {
                let p = p_value(&law(&rbm, sweeps), &counts(&backend, &rbm, sweeps as u64));
                assert!(p >= LEVEL, "{sweeps} sweeps: p = {p:.3e}");
            }
        });
    }
    suite = suite
        .test("the exact law after many sweeps is Boltzmann's", || {
            let rbm = machine(5, 4, 1.0, 11);
            let ln_z = rbm.ln_z().unwrap();
            for (state, p) in law(&rbm, 200).into_iter().enumerate() {
                let boltzmann = (-rbm.energy(&units(state & 31, 5), &units(state >> 5, 4)) - ln_z).exp();
                assert!((p - boltzmann).abs() < 1e-9, "{state}: {p} for {boltzmann}");
            }
        })
        .test("the planted sampler without a fault passes, and equals the twin bit for bit", || {
            let rbm = machine(5, 4, 1.0, 11);
            let found = planted(&rbm, 3, Fault::None);
            let p = p_value(&law(&rbm, 3), &found);
            assert!(p >= LEVEL, "p = {p:.3e}");
            assert_eq!(found, counts(&Backend::cpu(), &rbm, 3));
        });
    for fault in [Fault::SameBlock, Fault::SameSweep, Fault::MeanOfHidden, Fault::SharedByChains] {
        suite = suite.test(format!("planted: {fault:?} is found"), move || {
            let rbm = machine(5, 4, 1.0, 11);
            let p = p_value(&law(&rbm, 3), &planted(&rbm, 3, fault));
            assert!(p < LEVEL, "p = {p:.3e}");
        });
    }
    suite = suite
        .test("a deep belief network draws data from its law; without a layer's bias it does not", || {
            let (below, top) = (machine(5, 6, 1.0, 4), machine(6, 3, 1.0, 5));
            let network = |below: &Rbm| Dbn::new([below.clone(), top.clone()]).unwrap();
            let found = tally_of(&network(&below).sample(&Backend::cpu(), CHAINS, 60, 3).unwrap());
            // The law of the top machine's visible units, then down.
            let ln_z = top.ln_z().unwrap();
            let down: Vec<_> = (0..64).map(|h| below.visible_means(&units(h, 6))).collect();
            let law: Vec<f64> = (0..32)
                .map(|v| {
                    let given = |means: &[f64]| -> f64 {
                        (0..5).map(|i| if v >> i & 1 == 1 { means[i] } else { 1.0 - means[i] }).product()
                    };
                    (0..64).map(|h| (-top.free_energy(&units(h, 6)) - ln_z).exp() * given(&down[h])).sum()
                })
                .collect();
            assert!(p_value(&law, &found) >= LEVEL);
            let faulty = Rbm::new(below.weights(), [0.0; 5], below.hidden_bias()).unwrap();
            let found = tally_of(&network(&faulty).sample(&Backend::cpu(), CHAINS, 60, 3).unwrap());
            assert!(p_value(&law, &found) < LEVEL);
            let (v, features) = (units(9, 5), network(&below).features(&units(9, 5)));
            assert_eq!(features, top.hidden_means(&below.hidden_means(&v)));
            assert_eq!(network(&below).reconstruct(&v), below.visible_means(&top.visible_means(&features)));
        })
        .test("stacks that do not fit are refused", || {
            assert!(matches!(Dbn::new([]), Err(Error::Setting { .. })));
            for (units, chains) in [(usize::MAX, 64), (64, usize::MAX), (usize::MAX, usize::MAX)] {
                assert!(matches!(States::zeros(units, chains), Err(Error::Limit { .. })));
            }
            assert!(matches!(Reals::new([], 3), Err(Error::Shape { expected: 3, found: 0, .. })));
            let layers = [machine(5, 4, 1.0, 1), machine(5, 4, 1.0, 1)];
            assert!(matches!(Dbn::new(layers), Err(Error::Shape { expected: 4, found: 5, .. })));
            assert!(matches!(machine(5, 4, 1.0, 1).draw_hidden(&States::zeros(4, 2).unwrap(), 1, 0), Err(Error::Shape { .. })));
        });
    suite.both("planted: a bias left out, its sign, W transposed, are found", |backend| {
        let rbm = machine(5, 5, 1.0, 11);
        let law = law(&rbm, 3);
        let with = |bias: f32| {
            let mut b = rbm.hidden_bias().to_vec();
            b[0] *= bias;
            Rbm::new(rbm.weights(), rbm.visible_bias(), b).unwrap()
        };
        let transposed = Rbm::new(rbm.transposed().unwrap().weights(), rbm.visible_bias(), rbm.hidden_bias()).unwrap();
        assert!(p_value(&law, &counts(&backend, &with(1.0), 3)) >= LEVEL);
        for faulty in [with(0.0), with(-1.0), transposed] {
            let p = p_value(&law, &counts(&backend, &faulty, 3));
            assert!(p < LEVEL, "p = {p:.3e}");
        }
    })
}

/// The law of (v, h) after some sweeps from fair coins; state v + h 2^V.
fn law(rbm: &Rbm, sweeps: usize) -> Vec<f64> {
    let (visible, hidden) = (rbm.visible(), rbm.hidden());
    let table = |given: usize, of: usize, means: &dyn Fn(&[f64]) -> Vec<f64>| -> Vec<Vec<f64>> {
        let p = |state: usize, means: &[f64]| {
            means.iter().enumerate().map(|(u, m)| if state >> u & 1 == 1 { *m } else { 1.0 - m }).product::<f64>()
        };
        (0..1 << given)
            .map(|given_state| {
                let means = means(&units(given_state, given));
                (0..1 << of).map(|state| p(state, &means)).collect()
            })
            .collect()
    };
    let up = table(visible, hidden, &|v| rbm.hidden_means(v));
    let down = table(hidden, visible, &|h| rbm.visible_means(h));
    let apply = |law: &[f64], rows: &[Vec<f64>]| -> Vec<f64> {
        (0..rows[0].len()).map(|to| law.iter().zip(rows).map(|(p, row)| p * row[to]).sum()).collect()
    };
    let mut v = vec![1.0 / (1u64 << visible) as f64; 1 << visible];
    let mut h = Vec::new();
    for _ in 0..sweeps {
        h = apply(&v, &up);
        v = apply(&h, &down);
    }
    h.iter().zip(&down).flat_map(|(p, row)| row.iter().map(move |q| p * q)).collect()
}

fn counts(backend: &Backend, rbm: &Rbm, sweeps: u64) -> Vec<u64> {
    let mut chains = Gibbs::new(backend, rbm, CHAINS, 3).unwrap();
    chains.advance(sweeps).unwrap();
    tally(&chains.visible().unwrap(), &chains.hidden().unwrap())
}

fn tally(v: &States, h: &States) -> Vec<u64> {
    let mut counts = vec![0; 1 << (v.units() + h.units())];
    for chain in 0..v.chains() {
        let state = (0..v.units()).map(|u| usize::from(v.get(u, chain)) << u).sum::<usize>();
        counts[state + (0..h.units()).map(|u| usize::from(h.get(u, chain)) << (u + v.units())).sum::<usize>()] += 1;
    }
    counts
}

pub(crate) fn tally_of(v: &States) -> Vec<u64> {
    tally(v, &States::zeros(0, v.chains()).unwrap())
}

/// Pearson's chi-square of independent chains; states expected fewer than ten times are taken together.
pub(crate) fn p_value(law: &[f64], counts: &[u64]) -> f64 {
    let n = counts.iter().sum::<u64>() as f64;
    let (mut cells, mut rest) = (Vec::new(), (0.0, 0.0));
    for (p, &count) in law.iter().zip(counts) {
        if n * p < 10.0 {
            rest = (rest.0 + n * p, rest.1 + count as f64);
        } else {
            cells.push((n * p, count as f64));
        }
    }
    if rest.0 >= 10.0 {
        cells.push(rest);
    }
    let distance: f64 = cells.iter().map(|(e, o)| (o - e).powi(2) / e).sum();
    ChiSquared::new((cells.len() - 1) as f64).unwrap().sf(distance)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Both layers of a sweep read the same random blocks.
    SameBlock,
    /// Every sweep reads the random blocks of the first.
    SameSweep,
    /// The visible units are drawn given the hidden means, not the hidden sample.
    MeanOfHidden,
    /// All chains read the random blocks of the first pair.
    SharedByChains,
}

/// A plain sampler of the same contract, with a fault.
fn planted(rbm: &Rbm, sweeps: u32, fault: Fault) -> Vec<u64> {
    let (visible, hidden) = (rbm.visible(), rbm.hidden());
    let start = Gibbs::new(&Backend::cpu(), rbm, CHAINS, 3).unwrap().visible().unwrap();
    let (mut vs, mut hs) = (States::zeros(visible, CHAINS).unwrap(), States::zeros(hidden, CHAINS).unwrap());
    let key = key(3, Stream::Transition, 0);
    for chain in 0..CHAINS {
        let draw = |sweep: u32, slot: usize, mean: f64| {
            let sweep = if fault == Fault::SameSweep { 0 } else { sweep };
            let chain = if fault == Fault::SharedByChains { chain % 2 } else { chain };
            let index = sweep * (visible + hidden) as u32 + slot as u32;
            let word = threefry(key, [chain as u32 / 2, index])[chain % 2];
            let rare = (mean.min(1.0 - mean) * 4_294_967_296.0) as u32;
            f64::from(u8::from((word < rare) != (mean > 0.5)))
        };
        let mut v = start.row(chain);
        let mut h = Vec::new();
        for sweep in 0..sweeps {
            let means = rbm.hidden_means(&v);
            h = means.iter().enumerate().map(|(j, &mean)| draw(sweep, j, mean)).collect();
            let given = if fault == Fault::MeanOfHidden { &means } else { &h };
            let first = if fault == Fault::SameBlock { 0 } else { hidden };
            v = rbm.visible_means(given).into_iter().enumerate().map(|(i, mean)| draw(sweep, first + i, mean)).collect();
        }
        v.iter().enumerate().for_each(|(i, &on)| vs.set(i, chain, on > 0.0));
        h.iter().enumerate().for_each(|(j, &on)| hs.set(j, chain, on > 0.0));
    }
    tally(&vs, &hs)
}
