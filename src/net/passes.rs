//! The passes of training over an [`Mlp`] on a GPU.

use std::ops::Range;

use super::{Mlp, Network, engine::Engine, product::Form};
use crate::{
    Error, Gpu, Result,
    energy::Energy,
    train::{Adjoints, Jets, Order, Passes, check_params, check_points},
};

/// Batched passes in f32, the batch being cut where it is larger than the buffers.
#[derive(Debug)]
pub(super) struct GpuPasses {
    engine: Engine,
    network: Network,
    confinement: f64,
    /// Points and directions of the last jets, `[dim][point]`.
    x: Vec<f32>,
    v: Vec<f32>,
    order: Order,
    /// Whether the layers of those points are still in the buffers, all in one batch.
    held: bool,
}

impl GpuPasses {
    pub(super) fn new(gpu: &Gpu, mlp: &Mlp, form: Form) -> Self {
        let network = mlp.network().clone();
        Self {
            engine: Engine::new(gpu, &network, &mlp.params(), form),
            network,
            confinement: mlp.confinement(),
            x: Vec::new(),
            v: Vec::new(),
            order: Order::Value,
            held: false,
        }
    }

    fn dim(&self) -> usize {
        self.network.sizes()[0]
    }

    fn batches(&self, points: usize, order: Order) -> Result<Vec<Range<usize>>> {
        let most = self.engine.most_points(order as usize + 1)?;
        Ok((0..points).step_by(most).map(|first| first..(first + most).min(points)).collect())
    }

    /// Writes the input's jets (x, v, 0) of a batch.
    fn write_input(&mut self, x: &[f32], v: &[f32], batch: Range<usize>, order: Order) {
        let (dim, parts) = (self.dim(), order as usize + 1);
        let (points, columns) = (x.len() / dim, self.engine.columns(batch.len()));
        let mut rows = vec![0.0; dim * parts * columns];
        for (i, unit) in rows.chunks_exact_mut(parts * columns).enumerate() {
            for (part, values) in [x, v].into_iter().take(parts).enumerate() {
                let own = &values[i * points..(i + 1) * points][batch.clone()];
                unit[part * columns..][..own.len()].copy_from_slice(own);
            }
        }
        let plan = self.engine.plan(parts);
        self.engine.write(&plan, columns, plan.input(0), 0, &rows);
    }

    /// The jets of a batch that was written: rows of values, slopes and curvatures.
    fn forward(&mut self, points: usize, order: Order) -> Result<Vec<f32>> {
        let plan = self.engine.plan(order as usize + 1);
        let columns = self.engine.columns(points);
        let forward = self.engine.through(&plan, columns, 0..self.network.layers());
        self.engine.run_for_rows(&[forward], columns, plan.output(), plan.parts)
    }
}

impl Passes for GpuPasses {
    fn set_params(&mut self, params: &[f32]) -> Result<()> {
        check_params("network", self.network.params_len(), params)?;
        (self.x, self.v, self.held) = (Vec::new(), Vec::new(), false);
        self.engine.set_params(params)
    }

    fn energy_and_grad(&mut self, x: &[f32]) -> Result<(Vec<f64>, Vec<f32>)> {
        let dim = self.dim();
        let points = check_points(dim, x, &[], Order::Value)?;
        self.held = false;
        let mut energies = Vec::with_capacity(points);
        let mut grads = vec![0.0; x.len()];
        for batch in self.batches(points, Order::Value)? {
            self.write_input(x, &[], batch.clone(), Order::Value);
            let plan = self.engine.plan(1);
            let columns = self.engine.columns(batch.len());
            let pass = self.engine.gradient(&plan, columns);
            // The energy, then its gradient.
            let found = self.engine.run_for_rows(&[pass], columns, plan.output(), 1 + dim)?;
            for (column, point) in batch.enumerate() {
                let mut square = 0.0;
                for i in 0..dim {
                    let at = x[i * points + point];
                    square += f64::from(at).powi(2);
                    grads[i * points + point] = found[(1 + i) * columns + column] + self.confinement as f32 * at;
                }
                energies.push(f64::from(found[column]) + 0.5 * self.confinement * square);
            }
        }
        Ok((energies, grads))
    }

    fn jets(&mut self, x: &[f32], v: &[f32], order: Order) -> Result<Jets> {
        let dim = self.dim();
        let points = check_points(dim, x, v, order)?;
        let batches = self.batches(points, order)?;
        (self.held, self.order) = (false, order);
        (self.x, self.v) = (x.to_vec(), v.to_vec());
        let mut jets = Jets::default();
        for batch in batches.iter().cloned() {
            self.write_input(x, v, batch.clone(), order);
            let found = self.forward(batch.len(), order)?;
            let columns = self.engine.columns(batch.len());
            let dot = |a: &[f32], b: &[f32], point: usize| {
                (0..dim).map(|i| f64::from(a[i * points + point]) * f64::from(b[i * points + point])).sum::<f64>()
            };
            for (column, point) in batch.enumerate() {
                let value = |part: usize| f64::from(found[part * columns + column]);
                jets.values.push(value(0) + 0.5 * self.confinement * dot(x, x, point));
                if order >= Order::Slope {
                    jets.slopes.push(value(1) + self.confinement * dot(x, v, point));
                }
                if order >= Order::Curvature {
                    jets.curvatures.push(value(2) + self.confinement * dot(v, v, point));
                }
            }
        }
        self.held = batches.len() == 1;
        Ok(jets)
    }

    fn param_grad(&mut self, adjoints: &Adjoints) -> Result<Vec<f64>> {
        let points = self.x.len() / self.dim();
        if points == 0 {
            return Err(Error::Unsupported(
                "there is nothing to reverse: call jets first, after the parameters were set".into(),
            ));
        }
        adjoints.check(points)?;
        let mut grad = vec![0.0; self.network.params_len()];
        let plan = self.engine.plan(self.order as usize + 1);
        for batch in self.batches(points, self.order)? {
            if !self.held {
                let (x, v) = (std::mem::take(&mut self.x), std::mem::take(&mut self.v));
                self.write_input(&x, &v, batch.clone(), self.order);
                (self.x, self.v) = (x, v);
            }
            let columns = self.engine.columns(batch.len());
            let mut rows = vec![0.0; plan.parts * columns];
            for (column, point) in batch.enumerate() {
                for (part, adjoint) in adjoints.of(point).into_iter().take(plan.parts).enumerate() {
                    rows[part * columns + column] = adjoint as f32;
                }
            }
            self.engine.write(&plan, columns, plan.adjoint(self.network.layers()), 0, &rows);
            let layers = self.network.layers();
            // Not down to the input.
            let first = if self.held { layers } else { 0 };
            let pass = self.engine.through(&plan, columns, first..2 * layers - 1);
            self.engine.add_param_grad(&plan, columns, &[pass], &mut grad)?;
            // The bias of the output.
            if let Some(bias) = grad.last_mut() {
                *bias += rows[..columns].iter().map(|&adjoint| f64::from(adjoint)).sum::<f64>();
            }
        }
        Ok(grad)
    }
}
