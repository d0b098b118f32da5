//! R-hat and effective sample size once more, sum by sum as the paper has them, with places to plant faults.

/// What may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// √(W/V) for √(V/W), as a library has had it for years.
    UpsideDown,
    /// The chains are not split.
    Whole,
    /// Nothing is folded.
    NoFold,
    /// Raw values instead of ranks.
    NoRanks,
    /// Equal draws get ranks in their order.
    RanksOfTies,
    /// Autocovariance with the denominator n − l.
    ShortDenominator,
    /// A variance with n for n − 1.
    BiasedVariance,
    /// Every chain is centred at the mean of all, so that chains that have not mixed look well.
    CommonMean,
    /// The spread of the chains' means is left out.
    NoSpread,
    /// The sum of autocorrelations ends at the first that is negative, not at the first pair.
    NoPairs,
    /// Pairs may rise again.
    NotMonotone,
    /// Half of τ: the autocorrelations count once.
    OneSided,
}

pub(crate) type Chains = Vec<Vec<f64>>;

pub(crate) fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

fn variance(x: &[f64]) -> f64 {
    let m = mean(x);
    x.iter().map(|x| (x - m).powi(2)).sum::<f64>() / (x.len() - 1) as f64
}

fn split(chains: &Chains, fault: Fault) -> Chains {
    let half = |x: &Vec<f64>| [x[..x.len() / 2].to_vec(), x[x.len().div_ceil(2)..].to_vec()];
    if fault == Fault::Whole { chains.clone() } else { chains.iter().flat_map(half).collect() }
}

/// Each draw's rank by counting, then its normal score.
fn normalised(chains: &Chains, fault: Fault) -> Chains {
    use statrs::distribution::{ContinuousCDF, Normal};
    if fault == Fault::NoRanks {
        return chains.clone();
    }
    let all = chains.concat();
    let n = all.len() as f64;
    let score = |at: usize| {
        let below = all.iter().filter(|&&y| y < all[at]).count() as f64;
        let equal = all.iter().filter(|&&y| y == all[at]).count() as f64;
        let before = all[..at].iter().filter(|&&y| y == all[at]).count() as f64;
        let rank = below + if fault == Fault::RanksOfTies { before + 1.0 } else { 0.5 * (equal + 1.0) };
        Normal::standard().inverse_cdf((rank - 0.375) / (n + 0.25))
    };
    let scores: Vec<_> = (0..all.len()).map(score).collect();
    scores.chunks(chains[0].len()).map(<[f64]>::to_vec).collect()
}

pub(crate) fn quantile(chains: &Chains, p: f64) -> f64 {
    let mut x = chains.concat();
    x.sort_by(f64::total_cmp);
    let at = p * (x.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    x[low] + (at - at.floor()) * (x[high] - x[low])
}

pub(crate) fn map(chains: &Chains, f: impl Fn(f64) -> f64) -> Chains {
    chains.iter().map(|x| x.iter().map(|&x| f(x)).collect()).collect()
}

fn rhat_of(chains: &Chains, fault: Fault) -> f64 {
    let n = chains[0].len() as f64;
    let biased = if fault == Fault::BiasedVariance { (n - 1.0) / n } else { 1.0 };
    let within = biased * mean(&chains.iter().map(|x| variance(x)).collect::<Vec<_>>());
    let between = n * variance(&chains.iter().map(|x| mean(x)).collect::<Vec<_>>());
    let total = (n - 1.0) / n * within + between / n;
    if fault == Fault::UpsideDown { (within / total).sqrt() } else { (total / within).sqrt() }
}

pub(crate) fn split_rhat(chains: &Chains, fault: Fault) -> f64 {
    rhat_of(&split(chains, fault), fault)
}

pub(crate) fn rhat(chains: &Chains, fault: Fault) -> f64 {
    let of = |chains| rhat_of(&normalised(&split(chains, fault), fault), fault);
    let median = quantile(chains, 0.5);
    let bulk = of(chains);
    if fault == Fault::NoFold { bulk } else { bulk.max(of(&map(chains, |x| (x - median).abs()))) }
}

fn covariance(chains: &Chains, lag: usize, fault: Fault) -> f64 {
    let n = chains[0].len();
    let all = mean(&chains.concat());
    let of = |x: &Vec<f64>| {
        let m = if fault == Fault::CommonMean { all } else { mean(x) };
        let sum: f64 = (0..n - lag).map(|t| (x[t] - m) * (x[t + lag] - m)).sum();
        sum / if fault == Fault::ShortDenominator { n - lag } else { n } as f64
    };
    mean(&chains.iter().map(of).collect::<Vec<_>>())
}

fn ess_of(chains: &Chains, fault: Fault) -> f64 {
    let n = chains[0].len();
    let biased = covariance(chains, 0, fault);
    let within = if fault == Fault::BiasedVariance { biased } else { biased * n as f64 / (n as f64 - 1.0) };
    let means: Vec<_> = chains.iter().map(|x| mean(x)).collect();
    let spread = if fault == Fault::NoSpread { 0.0 } else { variance(&means) };
    let total = (n as f64 - 1.0) / n as f64 * within + spread;
    let rho = |lag: usize| if lag == 0 { 1.0 } else { 1.0 - (within - covariance(chains, lag, fault)) / total };
    // As posterior has it: pairs (ρ₀ + ρ₁), (ρ₂ + ρ₃), ... up to the first that is not positive or the end.
    let mut pairs = vec![(1.0, rho(1))];
    let ends = |&(even, odd): &(f64, f64)| if fault == Fault::NoPairs { odd < 0.0 } else { even + odd <= 0.0 };
    while !ends(&pairs[pairs.len() - 1]) && 2 * (pairs.len() - 1) < n - 5 {
        pairs.push((rho(2 * pairs.len()), rho(2 * pairs.len() + 1)));
    }
    let (even, odd) = pairs.pop().unwrap();
    for k in 1..pairs.len() {
        let before = pairs[k - 1].0 + pairs[k - 1].1;
        if fault != Fault::NotMonotone && pairs[k].0 + pairs[k].1 > before {
            pairs[k] = (0.5 * before, 0.5 * before);
        }
    }
    let rest = if even + odd >= 0.0 || even > 0.0 { even } else { 0.0 };
    let sum: f64 = pairs.iter().map(|(even, odd)| even + odd).sum();
    let tau = if fault == Fault::OneSided { sum } else { 2.0 * sum - 1.0 + rest };
    let size = (n * chains.len()) as f64;
    size / tau.max(1.0 / size.log10())
}

pub(crate) fn ess_mean(chains: &Chains, fault: Fault) -> f64 {
    ess_of(&split(chains, fault), fault)
}

pub(crate) fn ess_bulk(chains: &Chains, fault: Fault) -> f64 {
    ess_of(&normalised(&split(chains, fault), fault), fault)
}

pub(crate) fn ess_quantile(chains: &Chains, p: f64, fault: Fault) -> f64 {
    let bound = quantile(chains, p);
    ess_mean(&map(chains, |x| f64::from(u8::from(x <= bound))), fault)
}

pub(crate) fn ess_tail(chains: &Chains, fault: Fault) -> f64 {
    ess_quantile(chains, 0.05, fault).min(ess_quantile(chains, 0.95, fault))
}

pub(crate) fn ess_sd(chains: &Chains, fault: Fault) -> f64 {
    let centre = mean(&chains.concat());
    ess_mean(&map(chains, |x| (x - centre).powi(2)), fault)
}
