//! What an update of a contest sees: points of data and of noise, with the noise's density.

use std::collections::VecDeque;

use rayon::prelude::*;

use super::{
    Contrast, Flow,
    pair::{narrow, wide},
};
use crate::{
    Result,
    random::{Draws, Stream, key},
    train::side_by_side,
};

/// What it depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) settings: &'a Contrast,
    pub(super) flow: &'a Flow,
    /// Of a batch's noise, the points of the cover.
    pub(super) covering: usize,
}

/// The points of an update, `[dim][point]` each, and in this order log f of the flow and log q of the noise.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) data: Vec<f32>,
    pub(super) draws: Vec<f32>,
    pub(super) cover: Vec<f32>,
    pub(super) log_flow: Vec<f64>,
    pub(super) log_noise: Vec<f64>,
}

impl View<'_> {
    /// What an update sees and what those after it see, up to that one, by the flow as it is. Each depends on its number alone, whatever
    /// others are asked for beside it.
    ///
    /// # Errors
    /// As [`Flow::base`].
    pub(super) fn look(self, data: &[f32], update: u64, until: u64) -> Result<(Seen, VecDeque<Seen>)> {
        let others = || (update + 1..until).into_par_iter().map(|other| self.of(data, other)).collect();
        let (seen, others): (_, Result<_>) = rayon::join(|| self.of(data, update), others);
        Ok((seen?, others?))
    }

    fn of(self, data: &[f32], update: u64) -> Result<Seen> {
        let training = &self.settings.training;
        let data = training.draw(self.flow.dim(), data, update);
        let cover = self.cover(update);
        let drawn = self.flow.sample_in::<f32>(training.batch - self.covering, training.seed, update)?;
        let draws = narrow(&drawn.positions);
        // That of the draws came with them.
        let found = log_densities(self.flow, &[&data, &cover]);
        let (of_data, of_cover) = found.split_at(training.batch);
        let log_flow = [of_data, &drawn.log_densities, of_cover].concat();
        let log_noise = self.log_noise(&[&data, &draws, &cover], &log_flow);
        Ok(Seen { data, draws, cover, log_flow, log_noise })
    }

    /// The cover's points.
    fn cover(self, update: u64) -> Vec<f32> {
        let Some((_, cover)) = &self.settings.cover else { return Vec::new() };
        let key = key(self.settings.training.seed, Stream::Loss, update);
        let points: Vec<_> = (0..self.covering).map(|p| cover.draw(&Draws::new(key, p as u32, 0))).collect();
        (0..cover.dim()).flat_map(|i| points.iter().map(move |point| point[i])).collect()
    }

    /// log q of all points, from parts `[dim][point]` each and their log f.
    fn log_noise(self, parts: &[&[f32]], log_flow: &[f64]) -> Vec<f64> {
        let Some((_, cover)) = &self.settings.cover else { return log_flow.to_vec() };
        let dim = cover.dim();
        let share = self.covering as f64 / self.settings.training.batch as f64;
        let point = |part: &[f32], p: usize| (0..dim).map(|i| part[i * part.len() / dim + p].into()).collect::<Vec<f64>>();
        let points = parts.iter().flat_map(|part| (0..part.len() / dim).map(move |p| point(part, p)));
        let log_q = |(f, x): (&f64, Vec<f64>)| {
            let (f, g) = ((1.0 - share).ln() + f, share.ln() + cover.ln_q(&x));
            f.max(g) + (f.min(g) - f.max(g)).exp().ln_1p()
        };
        log_flow.iter().zip(points).map(log_q).collect()
    }
}

/// log f of all points, from parts `[dim][point]` each.
pub(super) fn log_densities(flow: &Flow, parts: &[&[f32]]) -> Vec<f64> {
    flow.log_density_in::<f32>(&wide(&side_by_side(flow.dim(), parts)))
}
