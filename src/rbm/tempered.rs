//! Parallel tempering of a Boltzmann machine: chains at inverse temperatures from 0 to 1 that exchange states.
//!
//! Source: Desjardins, Courville, Bengio, Vincent, Delalleau: Parallel tempering for training of restricted Boltzmann machines (2010).

use rayon::prelude::*;

use super::{
    Rbm,
    fields::{Fields, draw, sum_softplus},
    gibbs,
    sampler::Numbering,
};
use crate::{Error, Result, error::room, random::threefry};

/// Chains whose levels one thread runs together.
const BATCH: usize = 16;

/// Chains of block Gibbs, each with a ladder of levels. The law at level l of L is p(v, h) ∝ exp(((1−β) a₀ + βa)ᵀv + β (bᵀh + vᵀWh)) with
/// β = l / (L − 1), as in [`Ais`](super::Ais): level 0 is the base-rate model, which forgets its state in one sweep, and the last is the
/// machine's. After each sweep neighbouring levels exchange their visible states with the probability min(1, r),
/// r = p_l(v') p_(l+1)(v) / (p_l(v) p_(l+1)(v')), hidden units summed over: even levels with the next after even sweeps, odd ones after odd.
///
/// It runs on the CPU in f32, acceptance in f64.
///
/// ```
/// # use ergodic::rbm::{Rbm, Tempered};
/// let rbm = Rbm::new([4.0, -4.0, 4.0, -4.0], [0.0, 0.0], [-4.0, 4.0])?;
/// let mut chains = Tempered::new(&rbm, &[0.5, 0.5], 5, 100, 7)?;
/// chains.advance(50)?;
/// println!("{:?} of exchanges accepted", chains.acceptance());
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tempered {
    rbm: Rbm,
    ladder: Ladder,
    rows: Vec<f32>,
    numbering: Numbering,
    sweeps: u64,
    /// Accepted and tried, by lower level.
    exchanges: Vec<[u64; 2]>,
}

impl Tempered {
    /// `chains` chains of `levels` levels each; `means` are those of the base-rate model, as [`Ais::base_rates`](super::Ais::base_rates)
    /// takes them.
    ///
    /// # Errors
    /// [`Error::Setting`] with fewer than 2 levels, without chains, or with a mean outside of its range; [`Error::Shape`] where there is not
    /// one mean a visible unit; [`Error::Limit`] beyond 2³² rows.
    pub fn new(rbm: &Rbm, means: &[f64], levels: usize, chains: usize, seed: u64) -> Result<Self> {
        let ladder = Ladder::new(rbm, means, levels)?;
        let rows = start(rbm, chains, levels, seed)?;
        let numbering = Numbering::new(seed, [rbm.visible, rbm.hidden]);
        Ok(Self { rbm: rbm.clone(), ladder, rows, numbering, sweeps: 0, exchanges: vec![[0; 2]; levels - 1] })
    }

    /// Runs sweeps, each with its exchanges.
    ///
    /// # Errors
    /// None today: on the CPU nothing fails.
    pub fn advance(&mut self, sweeps: u64) -> Result<()> {
        let exchanges = self.ladder.advance(&Fields::of(&self.rbm), &mut self.rows, sweeps, self.numbering, 3 * self.sweeps);
        self.sweeps += sweeps;
        for (sum, new) in self.exchanges.iter_mut().zip(exchanges) {
            *sum = [sum[0] + new[0], sum[1] + new[1]];
        }
        Ok(())
    }

    /// The visible units of all chains at one level, `[chain][visible]`, in the units of the data.
    ///
    /// # Errors
    /// [`Error::Setting`] where there is no such level.
    pub fn level(&self, level: usize) -> Result<super::Reals> {
        if level >= self.ladder.levels {
            return Err(Error::setting("level", level, format!("must be below {}", self.ladder.levels)));
        }
        let mut rows = self.ladder.level(&self.rows, self.rbm.visible, level);
        if let Some(sds) = &self.rbm.sds {
            rows.iter_mut().zip(sds.iter().cycle()).for_each(|(x, sd)| *x *= sd);
        }
        super::Reals::new(rows, self.rbm.visible)
    }

    /// The part of exchanges that were accepted, by the lower level of each pair; NaN where none was tried.
    pub fn acceptance(&self) -> Vec<f64> {
        self.exchanges.iter().map(|[accepted, tried]| *accepted as f64 / *tried as f64).collect()
    }
}

/// Where ladders start: `[chain][level][visible]`.
pub(crate) fn start(rbm: &Rbm, chains: usize, levels: usize, seed: u64) -> Result<Vec<f32>> {
    if chains == 0 {
        return Err(Error::setting("chains", 0, "must be at least 1"));
    }
    let rows = chains.saturating_mul(levels);
    room("chains times levels", rows, rbm.visible.saturating_mul(size_of::<f64>() + size_of::<f32>()))?;
    Ok(gibbs::start(rbm, rows, seed).rows(0..rows).into_iter().map(|x| x as f32).collect())
}

/// The levels: how many, and a₀.
#[derive(Debug, Clone)]
pub(crate) struct Ladder {
    levels: usize,
    base: Vec<f32>,
}

impl Ladder {
    pub(crate) fn new(rbm: &Rbm, means: &[f64], levels: usize) -> Result<Self> {
        if levels < 2 {
            return Err(Error::setting("levels", levels, "must be at least 2"));
        }
        Ok(Self { levels, base: rbm.base(means)?.into_iter().map(|a| a as f32).collect() })
    }

    fn beta(&self, level: usize) -> f32 {
        level as f32 / (self.levels - 1) as f32
    }

    /// The rows of one level.
    fn level(&self, rows: &[f32], visible: usize, level: usize) -> Vec<f32> {
        rows.chunks_exact(visible).skip(level).step_by(self.levels).flatten().copied().collect()
    }

    /// The rows of the machine itself.
    pub(crate) fn coldest(&self, rows: &[f32], visible: usize) -> Vec<f32> {
        self.level(rows, visible, self.levels - 1)
    }

    /// Runs sweeps with exchanges on `[chain][level][visible]`; three halves of random blocks a sweep. Exchanges accepted and tried.
    pub(crate) fn advance(
        &self,
        fields: &Fields<'_, f32>,
        rows: &mut [f32],
        sweeps: u64,
        numbering: Numbering,
        drawn: u64,
    ) -> Vec<[u64; 2]> {
        let batch = BATCH * self.levels;
        let run = |(number, v): (usize, &mut [f32])| {
            let mut counts = vec![[0; 2]; self.levels - 1];
            let mut batch = Batch { ladder: self, fields, numbering, first_row: number * batch, v: v.to_vec(), x: Vec::new() };
            fields.hidden(&batch.v, &mut batch.x);
            for sweep in 0..sweeps {
                let half = drawn + 3 * sweep;
                batch.sweep(half);
                batch.exchange(half + 2, &mut counts);
            }
            v.copy_from_slice(&batch.v);
            counts
        };
        let counts: Vec<_> = rows.par_chunks_mut(batch * fields.units()[0]).enumerate().map(run).collect();
        counts.into_iter().fold(vec![[0; 2]; self.levels - 1], |sum, new| {
            sum.iter().zip(new).map(|(a, b)| [a[0] + b[0], a[1] + b[1]]).collect()
        })
    }
}

/// The ladders of some chains.
struct Batch<'a> {
    ladder: &'a Ladder,
    fields: &'a Fields<'a, f32>,
    numbering: Numbering,
    first_row: usize,
    /// `[chain][level][visible]`.
    v: Vec<f32>,
    /// b + Wᵀv, `[chain][level][hidden]`.
    x: Vec<f32>,
}

impl Batch<'_> {
    fn sweep(&mut self, half: u64) {
        let ([visible, hidden], levels) = (self.fields.units(), self.ladder.levels);
        let mut h = std::mem::take(&mut self.x);
        for (row, h) in h.chunks_exact_mut(hidden).enumerate() {
            let beta = self.ladder.beta(row % levels);
            h.iter_mut().for_each(|x| *x *= beta);
        }
        draw(self.numbering.bits(half, self.first_row), hidden, &mut h);
        self.fields.visible(&h, &mut self.v);
        for (row, v) in self.v.chunks_exact_mut(visible).enumerate() {
            let beta = self.ladder.beta(row % levels);
            v.iter_mut().zip(&self.ladder.base).for_each(|(x, base)| *x = beta * *x + (1.0 - beta) * base);
        }
        self.fields.draw_visible(self.numbering.bits(half + 1, self.first_row), &mut self.v);
        self.fields.hidden(&self.v, &mut h);
        self.x = h;
    }

    /// ln p of a row at a level, but for what all levels have in common.
    fn log_weight(&self, row: usize, level: usize) -> f64 {
        let [visible, hidden] = self.fields.units();
        let beta = f64::from(self.ladder.beta(level));
        let tilts = self.fields.visible_bias().iter().zip(&self.ladder.base).zip(&self.v[row * visible..][..visible]);
        let tilt: f64 =
            tilts.map(|((&a, &base), &v)| ((1.0 - beta) * f64::from(base) + beta * f64::from(a)) * f64::from(v)).sum();
        tilt + sum_softplus(self.x[row * hidden..][..hidden].iter().map(|&x| beta * f64::from(x)))
    }

    fn exchange(&mut self, half: u64, counts: &mut [[u64; 2]]) {
        let ([visible, hidden], levels) = (self.fields.units(), self.ladder.levels);
        let bits = self.numbering.bits(half, self.first_row);
        for first in (0..self.v.len() / visible).step_by(levels) {
            for level in ((half / 3 % 2) as usize..levels - 1).step_by(2) {
                let (low, high) = (first + level, first + level + 1);
                let [at_home, exchanged] = [(low, high), (high, low)]
                    .map(|(at_low, at_high)| self.log_weight(at_low, level) + self.log_weight(at_high, level + 1));
                let row = bits.first_chain + low as u32;
                let word = threefry(bits.key, [row / 2, bits.index])[row as usize % 2];
                let uniform = (f64::from(word) + 0.5) / 4_294_967_296.0;
                counts[level][1] += 1;
                if uniform.ln() < exchanged - at_home {
                    counts[level][0] += 1;
                    swap(&mut self.v, visible, low);
                    swap(&mut self.x, hidden, low);
                }
            }
        }
    }
}

/// Exchanges a row with the next.
fn swap(rows: &mut [f32], width: usize, low: usize) {
    let (a, b) = rows[low * width..][..2 * width].split_at_mut(width);
    a.swap_with_slice(b);
}
