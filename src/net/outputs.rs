//! The passes of training on a GPU over a network of any number of outputs, for losses that are no energy's.

use super::{Network, engine::Engine, plan::Kind, product::Form};
use crate::{Gpu, Result};

/// Passes from inputs to outputs and back to the parameters, in f32; a batch is cut where it is larger than the buffers.
#[derive(Debug)]
pub(crate) struct OutputPasses {
    engine: Engine,
    network: Network,
}

impl OutputPasses {
    pub(crate) fn new(gpu: &Gpu, network: &Network, params: &[f32]) -> Self {
        Self { engine: Engine::new(gpu, network, params, Form::of(gpu)), network: network.clone() }
    }

    pub(crate) fn set_params(&self, params: &[f32]) -> Result<()> {
        self.engine.set_params(params)
    }

    /// Adds the gradient in the parameters of a sum over points, at inputs `[unit][point]`. `adjoint(first, outputs)` tells the sum's
    /// derivatives by the outputs of some points from `first` on, in place of these outputs: both `[output][point]`.
    pub(crate) fn add_param_grad(
        &mut self,
        inputs: &[f32],
        mut adjoint: impl FnMut(usize, &mut [f32]),
        grad: &mut [f64],
    ) -> Result<()> {
        let (layers, plan) = (self.network.layers(), self.engine.plan(Kind::Jets(1)));
        let (units, outputs) = (self.network.sizes()[0], self.network.sizes()[layers]);
        let points = inputs.len() / units;
        let most = self.engine.most_points(Kind::Jets(1))?;
        for first in (0..points).step_by(most) {
            let own = most.min(points - first);
            let columns = self.engine.columns(own);
            let mut rows = vec![0.0; units * columns];
            for (row, all) in rows.chunks_exact_mut(columns).zip(inputs.chunks_exact(points)) {
                row[..own].copy_from_slice(&all[first..first + own]);
            }
            self.engine.write(&plan, columns, plan.input(0), 0, &rows);
            let forward = self.engine.through(&plan, columns, 0..layers);
            let mut found = self.engine.run_for_rows(&[forward], columns, plan.output(), outputs)?;
            let mut of_points: Vec<_> = found.chunks_exact(columns).flat_map(|row| &row[..own]).copied().collect();
            adjoint(first, &mut of_points);
            // Columns past the last point have no say.
            for (row, own_row) in found.chunks_exact_mut(columns).zip(of_points.chunks_exact(own)) {
                row[..own].copy_from_slice(own_row);
                row[own..].fill(0.0);
            }
            self.engine.write(&plan, columns, plan.adjoint(layers), 0, &found);
            let reverse = self.engine.through(&plan, columns, layers..2 * layers - 1);
            self.engine.add_param_grad(&plan, columns, &[reverse], grad)?;
            // The biases of the outputs stand last.
            let biases = grad.len() - outputs;
            for (bias, row) in grad[biases..].iter_mut().zip(found.chunks_exact(columns)) {
                *bias += row[..own].iter().map(|&adjoint| f64::from(adjoint)).sum::<f64>();
            }
        }
        Ok(())
    }
}
