//! Parallel tempering: every level against its exact law and two levels against their joint one; planted faults; PCD with it.

use ergodic::{
    Error,
    random::{Stream, key, threefry},
    rbm::{Data, Negative, Rbm, Tempered, Trainer, Training},
};

use crate::{
    common::{Suite, stats::LEVEL},
    gibbs::p_value,
    machine, train, units,
};

const CHAINS: usize = 1 << 15;
const LEVELS: usize = 3;
const SWEEPS: u64 = 30;
const MEANS: [f64; 3] = [0.3, 0.6, 0.8];

pub(crate) fn add(mut suite: Suite) -> Suite {
    suite = suite
        .test("tempered: all levels, and neighbouring ones together, follow their laws", || {
            let rbm = machine(3, 4, 1.5, 11);
            let mut chains = Tempered::new(&rbm, &MEANS, LEVELS, CHAINS, 3).unwrap();
            chains.advance(SWEEPS).unwrap();
            let levels: Vec<Vec<usize>> = (0..LEVELS)
                .map(|level| {
                    let rows = chains.level(level).unwrap();
                    (0..CHAINS).map(|chain| number(&rows.row(chain))).collect()
                })
                .collect();
            let p = least(&rbm, &levels);
            assert!(p >= LEVEL, "p = {p:.3e}");
            let acceptance = chains.acceptance();
            assert!(acceptance.len() == 2 && acceptance.iter().all(|a| (0.2..0.999).contains(a)), "{acceptance:?}");
        })
        .test("tempered: the planted sampler without a fault passes", || {
            let rbm = machine(3, 4, 1.5, 11);
            let p = least(&rbm, &planted(&rbm, Fault::None));
            assert!(p >= LEVEL, "p = {p:.3e}");
        });
    for fault in [Fault::SharedChains, Fault::SharedBits, Fault::AlwaysExchanged, Fault::WrongSign] {
        suite = suite.test(format!("tempered, planted: {fault:?} is found"), move || {
            let rbm = machine(3, 4, 1.5, 11);
            let p = least(&rbm, &planted(&rbm, fault));
            assert!(p < LEVEL, "p = {p:.3e}");
        });
    }
    suite
        .test("tempered: chains are the same however many and however cut into calls", || {
            let rbm = machine(20, 10, 0.5, 11);
            let run = |chains: usize, calls: &[u64]| {
                let mut chains = Tempered::new(&rbm, &[0.5; 20], 4, chains, 3).unwrap();
                calls.iter().for_each(|&sweeps| chains.advance(sweeps).unwrap());
                chains.level(3).unwrap()
            };
            let all = run(100, &[9]);
            assert_eq!(run(100, &[1, 5, 3]), all);
            let few: Vec<_> = (0..33).collect();
            assert_eq!(run(33, &[9]), all.select(&few));
        })
        .test("tempered PCD converges to the exact gradient as k grows, where PCD does not", modes)
        .test("tempered: wrong settings are refused", || {
            let rbm = machine(3, 2, 1.0, 1);
            assert!(matches!(Tempered::new(&rbm, &MEANS, 1, 4, 1), Err(Error::Setting { .. })));
            assert!(matches!(Tempered::new(&rbm, &MEANS, 3, 0, 1), Err(Error::Setting { .. })));
            assert!(matches!(Tempered::new(&rbm, &[0.5], 3, 4, 1), Err(Error::Shape { .. })));
            assert!(matches!(Tempered::new(&rbm, &[0.5, 1.5, 0.5], 3, 4, 1), Err(Error::Setting { .. })));
            let negative = Negative::Tempered { sweeps: 1, chains: 4, levels: 1 };
            assert!(Trainer::new(rbm, Training { negative, ..Training::default() }).is_err());
        })
}

fn number(v: &[f64]) -> usize {
    v.iter().enumerate().map(|(unit, v)| (*v as usize) << unit).sum()
}

fn base(unit: usize) -> f64 {
    let p = 0.01 + 0.98 * MEANS[unit];
    (p / (1.0 - p)).ln()
}

fn beta(level: usize) -> f64 {
    level as f64 / (LEVELS - 1) as f64
}

/// ln of the law of a level, but for a constant, as the field's papers write it: all states of the hidden units.
fn log_weight(rbm: &Rbm, level: usize, v: usize) -> f64 {
    let (v, beta) = (units(v, 3), beta(level));
    let tilt: f64 = (0..3).map(|i| (1.0 - beta) * base(i) * v[i]).sum();
    let sum: f64 = (0..1 << rbm.hidden()).map(|h| (-beta * rbm.energy(&v, &units(h, rbm.hidden()))).exp()).sum();
    tilt + sum.ln()
}

fn law(rbm: &Rbm, level: usize) -> Vec<f64> {
    let weights: Vec<_> = (0..8).map(|v| log_weight(rbm, level, v).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

/// The smallest p-value: states of neighbouring levels, by chain, are independent draws of their laws.
fn least(rbm: &Rbm, levels: &[Vec<usize>]) -> f64 {
    let laws: Vec<_> = (0..LEVELS).map(|level| law(rbm, level)).collect();
    let of_pair = |low: usize| {
        let joint: Vec<_> = (0..64).map(|state| laws[low][state & 7] * laws[low + 1][state >> 3]).collect();
        let mut counts = vec![0; 64];
        levels[low].iter().zip(&levels[low + 1]).for_each(|(a, b)| counts[a + (b << 3)] += 1);
        p_value(&joint, &counts)
    };
    (0..LEVELS - 1).map(of_pair).fold(1.0, f64::min)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Levels read the same random blocks.
    SharedBits,
    /// After an exchange both levels hold the hotter one's state: one chain stands in two levels.
    SharedChains,
    AlwaysExchanged,
    /// The ratio upside down.
    WrongSign,
}

/// A plain sampler of the same laws, with a fault.
fn planted(rbm: &Rbm, fault: Fault) -> Vec<Vec<usize>> {
    let key = key(17, Stream::Transition, 0);
    let log_weights: Vec<Vec<f64>> = (0..LEVELS).map(|level| (0..8).map(|v| log_weight(rbm, level, v)).collect()).collect();
    let mut levels = vec![vec![0; CHAINS]; LEVELS];
    #[expect(clippy::needless_range_loop, reason = "a column of every level")]
    for chain in 0..CHAINS {
        let mut at = [0; LEVELS];
        for sweep in 0..SWEEPS as usize {
            let uniform = |level: usize, slot: usize| {
                let level = if fault == Fault::SharedBits { 0 } else { level };
                let word = threefry(key, [chain as u32, (((sweep * LEVELS) + level) * 8 + slot) as u32])[0];
                (f64::from(word) + 0.5) / 2f64.powi(32)
            };
            for (level, at) in at.iter_mut().enumerate() {
                let beta = beta(level);
                let on = |x: f64, slot| f64::from(u8::from(uniform(level, slot) < 1.0 / (1.0 + (-x).exp())));
                let h: Vec<_> = rbm.hidden_fields(&units(*at, 3)).iter().enumerate().map(|(j, x)| on(beta * x, j)).collect();
                let fields = rbm.visible_fields(&h);
                *at = (0..3).map(|i| (on(beta * fields[i] + (1.0 - beta) * base(i), 4 + i) as usize) << i).sum();
            }
            for low in (sweep % 2..LEVELS - 1).step_by(2) {
                let (a, b) = (at[low], at[low + 1]);
                let ratio = log_weights[low][b] + log_weights[low + 1][a] - log_weights[low][a] - log_weights[low + 1][b];
                let ratio = if fault == Fault::WrongSign { -ratio } else { ratio };
                if fault == Fault::AlwaysExchanged || uniform(low, 7).ln() < ratio {
                    (at[low], at[low + 1]) = if fault == Fault::SharedChains { (a, a) } else { (b, a) };
                }
            }
        }
        (0..LEVELS).for_each(|level| levels[level][chain] = at[level]);
    }
    levels
}

/// A machine of two far modes, each state of which Gibbs all but never leaves.
fn modes() {
    let rbm = Rbm::new([9.0; 5], [-4.0, -4.2, -4.4, -4.6, -4.8], [-22.3]).unwrap();
    let data = train::images();
    let exact = train::gradient_of(&rbm, &data, 1);
    let step = |negative| train::distance(&train::one_step(&rbm, &data, train::plain(negative)), &exact);
    let chains = 4_000;
    let tempered = |sweeps| step(Negative::Tempered { sweeps, chains, levels: 8 });
    let persistent = step(Negative::Persistent { sweeps: 60, chains });
    // A mean of 4,000 units has a standard error of at most 0.0079; the largest of 11.
    let noise = 5.0 * 0.0079;
    assert!(persistent > 2.0 * noise, "{persistent}");
    let [few, many] = [1, 200].map(tempered);
    assert!(few > many && many < noise, "{few} then {many}");
}
