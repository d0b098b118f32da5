//! Whole numbers: the law of Bernoulli and Poisson chains by chi-square, and one transition of exact draws.

use std::sync::Arc;

use ergodic::{
    Backend, Result, Start,
    energy::{Bernoulli, Energy, Poisson},
    kernel::{Kernel, Lattice},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use statrs::distribution::{ChiSquared, ContinuousCDF, Discrete};

use super::common::stats::smallest;

/// A law of whole numbers, the same in every coordinate.
#[derive(Clone)]
pub(crate) struct Whole {
    pub(crate) name: &'static str,
    pub(crate) energy: Arc<dyn Energy>,
    pub(crate) kernel: Arc<dyn Kernel>,
    /// Where chains can start.
    pub(crate) start: f64,
    mass: fn(u64) -> f64,
}

pub(crate) fn laws() -> Result<Vec<Whole>> {
    fn poisson(mean: f64, k: u64) -> f64 {
        statrs::distribution::Poisson::new(mean).unwrap().pmf(k)
    }
    Ok(vec![
        Whole {
            name: "bernoulli",
            energy: Arc::new(Bernoulli::new(3, 0.3)?),
            kernel: Arc::new(Lattice::new(1)),
            start: 1.0,
            mass: |k| [0.7, 0.3].get(k as usize).copied().unwrap_or(0.0),
        },
        Whole {
            name: "poisson of 3.5",
            energy: Arc::new(Poisson::new(2, 3.5)?),
            kernel: Arc::new(Lattice::new(3)),
            start: 0.0,
            mass: |k| poisson(3.5, k),
        },
        Whole {
            name: "poisson of 1000",
            energy: Arc::new(Poisson::new(1, 1000.0)?),
            kernel: Arc::new(Lattice::new(60)),
            start: 990.0,
            mass: |k| poisson(1000.0, k),
        },
    ])
}

impl Whole {
    /// p-value of Pearson's chi-square of counts, over bins of at least ten expected.
    fn chi_square(&self, x: &[f32]) -> f64 {
        let mut counts = vec![0u64; 4096];
        for &x in x {
            if x < 0.0 || x.fract() != 0.0 || x >= 4096.0 {
                return 0.0;
            }
            counts[x as usize] += 1;
        }
        let n = x.len() as f64;
        let (mut statistic, mut bins, mut open) = (0.0, 0, [0.0, 0.0]);
        let mut close = |[seen, expected]: [f64; 2]| {
            statistic += (seen - expected).powi(2) / expected;
            bins += 1;
        };
        let mut tail = [n, n];
        for (k, &count) in counts.iter().enumerate() {
            open[0] += count as f64;
            open[1] += n * (self.mass)(k as u64);
            if open[1] >= 10.0 && tail[1] - open[1] >= 10.0 {
                tail = [tail[0] - open[0], tail[1] - open[1]];
                close(open);
                open = [0.0, 0.0];
            }
        }
        close(tail);
        ChiSquared::new(f64::from(bins - 1)).unwrap().sf(statistic)
    }

    /// Exact draws, [dim][chain], by the inverse of the distribution function.
    fn draws(&self, n: usize) -> Vec<f32> {
        let mut below = Vec::new();
        let mut sum = 0.0;
        for k in 0..4096 {
            sum += (self.mass)(k);
            below.push(sum);
        }
        let mut rng = StdRng::seed_from_u64(8);
        let mut draw = || {
            let u: f64 = rng.random();
            below.partition_point(|&b| b <= u) as f32
        };
        (0..n * self.energy.dim()).map(|_| draw()).collect()
    }

    /// The smallest p-value over the coordinates, from exact draws or from one point, after so many steps.
    pub(crate) fn off(&self, backend: &Backend, chains: usize, exact: bool, steps: u64) -> Result<(String, f64)> {
        let start = if exact { Start::array(self.draws(chains)) } else { Start::point([self.start]) };
        let setup = backend.chains_of(self.energy.clone(), self.kernel.clone()).count(chains).seed(17);
        let mut run = setup.start(start).build()?;
        run.advance(steps)?;
        let mut found = Vec::new();
        if run.report().failed_transitions() > 0 {
            found.push(("transitions failed: their number".into(), 0.0));
        }
        for (i, row) in run.positions()?.chunks(chains).enumerate() {
            found.push((format!("the law of x[{i}] after {steps} steps"), self.chi_square(row)));
        }
        Ok(smallest(found))
    }
}
