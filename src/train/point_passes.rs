//! The passes over any trainable energy on the CPU, a point at a time.

use std::sync::Arc;

use rayon::prelude::*;

use super::{Adjoints, Jets, Order, Passes, Trainable, check_params, check_points};
use crate::{Result, energy::Params};

/// Points that one thread sums up together: sums have a fixed order, so the same parameters come out twice.
const BATCH: usize = 64;

/// The passes over any trainable energy in f64, a point at a time by its jets: the truth that other passes are tested against, and what
/// the CPU runs where nothing is faster.
///
/// A batch is exactly the sum of its points; threads take points in parallel.
#[derive(Debug)]
pub struct PointPasses {
    target: Arc<dyn Trainable>,
    params: Vec<f32>,
    wide_params: Vec<f64>,
    /// Points and directions of the last jets, `[point][dim]`; no directions where only values were asked for.
    x: Vec<f64>,
    v: Vec<f64>,
    traced: usize,
}

impl PointPasses {
    /// The passes over an energy, with its parameters.
    pub fn new(target: Arc<dyn Trainable>) -> Self {
        let params = target.params();
        let wide_params = params.iter().map(|&p| f64::from(p)).collect();
        Self { target, params, wide_params, x: Vec::new(), v: Vec::new(), traced: 0 }
    }

    fn direction(&self, point: usize) -> &[f64] {
        let dim = self.target.dim();
        self.v.get(point * dim..(point + 1) * dim).unwrap_or(&[])
    }
}

/// `[dim][point]` in f32 as `[point][dim]` in f64.
fn by_point(values: &[f32], dim: usize) -> Vec<f64> {
    let points = values.len() / dim;
    (0..values.len()).map(|i| f64::from(values[i % dim * points + i / dim])).collect()
}

impl Passes for PointPasses {
    fn dim(&self) -> usize {
        self.target.dim()
    }

    fn set_params(&mut self, params: &[f32]) -> Result<()> {
        check_params("energy", self.params.len(), params)?;
        self.params.copy_from_slice(params);
        self.wide_params = params.iter().map(|&p| f64::from(p)).collect();
        (self.x, self.v, self.traced) = (Vec::new(), Vec::new(), 0);
        Ok(())
    }

    fn energy_and_grad(&mut self, x: &[f32]) -> Result<(Vec<f64>, Vec<f32>)> {
        let dim = self.target.dim();
        let points = check_points(dim, x, &[], Order::Value)?;
        let (x, params) = (by_point(x, dim), Params::new(&self.params));
        let mut grads = vec![0.0; x.len()];
        let work = x.par_chunks(dim).zip(grads.par_chunks_mut(dim));
        let energies = work.map(|(x, grad)| self.target.energy_and_grad(params, x, grad)).collect();
        Ok((energies, (0..x.len()).map(|i| grads[i % points * dim + i / points] as f32).collect()))
    }

    fn jets(&mut self, x: &[f32], v: &[f32], order: Order) -> Result<Jets> {
        let dim = self.target.dim();
        let points = check_points(dim, x, v, order)?;
        (self.x, self.v, self.traced) = (by_point(x, dim), by_point(v, dim), 0);
        let jet =
            |point: usize| self.target.jet(&self.wide_params, &self.x[point * dim..][..dim], self.direction(point), order);
        let jets: Vec<_> = (0..points).into_par_iter().map(jet).collect();
        let each = |i: usize, wanted: bool| if wanted { jets.iter().map(|jet| jet[i]).collect() } else { Vec::new() };
        Ok(Jets {
            values: each(0, true),
            slopes: each(1, order >= Order::Slope),
            curvatures: each(2, order == Order::Curvature),
        })
    }

    fn traced(&mut self) -> Option<&mut usize> {
        Some(&mut self.traced)
    }

    fn param_grad(&mut self, adjoints: &Adjoints) -> Result<Vec<f64>> {
        let dim = self.target.dim();
        adjoints.check(self.x.len() / dim)?;
        let of_batch = |(batch, points): (usize, &[f64])| {
            let mut grad = vec![0.0; self.params.len()];
            for (i, x) in points.chunks(dim).enumerate() {
                let point = batch * BATCH + i;
                let given = adjoints.of(point);
                if given != [0.0; 3] {
                    self.target.jet_param_grad(&self.wide_params, x, self.direction(point), given, &mut grad);
                }
            }
            grad
        };
        let batches: Vec<_> = self.x.par_chunks(BATCH * dim).enumerate().map(of_batch).collect();
        let mut grad = vec![0.0; self.params.len()];
        for batch in batches {
            grad.iter_mut().zip(batch).for_each(|(sum, part)| *sum += part);
        }
        Ok(grad)
    }
}
