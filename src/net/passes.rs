//! The passes of training over an [`Mlp`] on a GPU.

use std::ops::Range;

use super::{
    Mlp, Network,
    engine::Engine,
    plan::{Kind, Plan},
    points::{PARTS, Points, jets},
    product::Form,
};
use crate::{
    Gpu, Result,
    energy::Energy,
    train::{Adjoints, Jets, Order, Passes, Traces, check_params, check_points, nothing_to_reverse},
};

/// Batched passes in f32, the batch being cut where it is larger than the buffers.
#[derive(Debug)]
pub(super) struct GpuPasses {
    engine: Engine,
    network: Network,
    confinement: f64,
    /// The points of the last jets.
    last: Option<Points>,
    held: Held,
}

/// What the buffers hold of the layers, of a batch that was not cut.
#[derive(Debug)]
enum Held {
    Nothing,
    /// Of the jets of the last points.
    Jets,
    /// Of energies and gradients at points, not those of the last jets unless their slopes were asked for.
    Gradient {
        x: Vec<f32>,
        energies: Vec<f64>,
        grads: Vec<f32>,
    },
}

impl GpuPasses {
    pub(super) fn new(gpu: &Gpu, mlp: &Mlp, form: Form) -> Self {
        let network = mlp.network().clone();
        Self {
            engine: Engine::new(gpu, &network, &mlp.params(), form),
            network,
            confinement: mlp.confinement(),
            last: None,
            held: Held::Nothing,
        }
    }

    fn batches(&self, points: usize, kind: Kind) -> Result<Vec<Range<usize>>> {
        let most = self.engine.most_points(kind)?;
        Ok((0..points).step_by(most).map(|first| first..(first + most).min(points)).collect())
    }

    /// The points of the last jets.
    fn last(&self) -> Result<&Points> {
        self.last.as_ref().ok_or_else(nothing_to_reverse)
    }

    /// The parts of the jets of all points, which are the last from now on.
    fn forward(&mut self, points: Points) -> Result<Vec<Vec<f64>>> {
        (self.last, self.held) = (None, Held::Nothing);
        let dim = self.dim();
        let plan = self.engine.plan(Kind::Jets(points.parts));
        let batches = self.batches(points.count, plan.kind)?;
        let mut parts = vec![Vec::with_capacity(points.count); plan.stride];
        for batch in &batches {
            let columns = write_input(&mut self.engine, &plan, dim, points.input(), batch.clone());
            let forward = self.engine.through(&plan, columns, 0..self.network.layers());
            let found = self.engine.run_for_rows(&[forward], columns, plan.output(), plan.stride)?;
            for (column, point) in batch.clone().enumerate() {
                let squares = points.half_square(point);
                for (part, (all, square)) in parts.iter_mut().zip(squares).enumerate() {
                    all.push(f64::from(found[part * columns + column]) + self.confinement * square);
                }
            }
        }
        if batches.len() == 1 {
            self.held = Held::Jets;
        }
        self.last = Some(points);
        Ok(parts)
    }

    /// The gradient in the parameters from the adjoints of the last points' parts.
    fn reverse(&mut self, adjoints: impl Fn(usize) -> [f64; PARTS]) -> Result<Vec<f64>> {
        let held = matches!(self.held, Held::Jets);
        if !held {
            self.held = Held::Nothing;
        }
        let (dim, layers) = (self.dim(), self.network.layers());
        let points = self.last.as_ref().ok_or_else(nothing_to_reverse)?;
        let mut grad = vec![0.0; self.network.params_len()];
        let plan = self.engine.plan(Kind::Jets(points.parts));
        for batch in self.batches(points.count, plan.kind)? {
            let columns = self.engine.columns(batch.len());
            if !held {
                write_input(&mut self.engine, &plan, dim, points.input(), batch.clone());
            }
            let mut rows = vec![0.0; plan.stride * columns];
            for (column, point) in batch.enumerate() {
                for (part, adjoint) in adjoints(point).into_iter().take(plan.stride).enumerate() {
                    rows[part * columns + column] = adjoint as f32;
                }
            }
            self.engine.write(&plan, columns, plan.adjoint(layers), 0, &rows);
            // Not down to the input.
            let first = if held { layers } else { 0 };
            let pass = self.engine.through(&plan, columns, first..2 * layers - 1);
            self.engine.add_param_grad(&plan, columns, &[pass], &mut grad)?;
            // The bias of the output.
            if let Some(bias) = grad.last_mut() {
                *bias += rows[..columns].iter().map(|&adjoint| f64::from(adjoint)).sum::<f64>();
            }
        }
        Ok(grad)
    }

    /// The gradient in the parameters of the slopes, times their adjoints, at points whose energies and gradients were the last to be
    /// computed: a slope along v times β is one along β v.
    fn along(&mut self, slopes: &[f64]) -> Result<Vec<f64>> {
        let (dim, layers) = (self.dim(), self.network.layers());
        let points = self.last.as_ref().ok_or_else(nothing_to_reverse)?;
        let plan = self.engine.plan(Kind::Along);
        let v: Vec<_> = points.v.iter().zip(slopes.iter().cycle()).map(|(&v, &slope)| (f64::from(v) * slope) as f32).collect();
        let columns = write_input(&mut self.engine, &plan, dim, [&points.x, &v, &[], &[]], 0..points.count);
        // Of the output, the value has no adjoint and the slope has one.
        let adjoint = [vec![0.0; columns], vec![1.0; columns]].concat();
        self.engine.write(&plan, columns, plan.adjoint(layers), 0, &adjoint);
        let pass = self.engine.through(&plan, columns, 0..2 * (layers - 1));
        let mut grad = vec![0.0; self.network.params_len()];
        self.engine.add_param_grad(&plan, columns, &[pass], &mut grad)?;
        Ok(grad)
    }
}

/// Writes what goes into the first layer of a batch, part by part, `[dim][point]`; what is empty is zero. Returns the columns.
fn write_input(engine: &mut Engine, plan: &Plan, dim: usize, parts: [&[f32]; PARTS], batch: Range<usize>) -> usize {
    let (points, columns) = (parts[0].len() / dim, engine.columns(batch.len()));
    let mut rows = vec![0.0; dim * plan.stride * columns];
    for (i, unit) in rows.chunks_exact_mut(plan.stride * columns).enumerate() {
        for (row, values) in unit.chunks_exact_mut(columns).zip(parts).filter(|(_, values)| !values.is_empty()) {
            row[..batch.len()].copy_from_slice(&values[i * points..(i + 1) * points][batch.clone()]);
        }
    }
    engine.write(plan, columns, plan.input(0), 0, &rows);
    columns
}

impl Passes for GpuPasses {
    fn dim(&self) -> usize {
        self.network.sizes()[0]
    }

    fn set_params(&mut self, params: &[f32]) -> Result<()> {
        check_params("network", self.network.params_len(), params)?;
        (self.last, self.held) = (None, Held::Nothing);
        self.engine.set_params(params)
    }

    fn energy_and_grad(&mut self, x: &[f32]) -> Result<(Vec<f64>, Vec<f32>)> {
        let dim = self.dim();
        let points = check_points(dim, x, &[], Order::Value)?;
        self.held = Held::Nothing;
        let mut energies = Vec::with_capacity(points);
        let mut grads = vec![0.0; x.len()];
        let plan = self.engine.plan(Kind::Kept);
        let batches = self.batches(points, Kind::Kept)?;
        for batch in batches.iter().cloned() {
            let columns = write_input(&mut self.engine, &plan, dim, [x, &[], &[], &[]], batch.clone());
            let pass = self.engine.through(&plan, columns, 0..2 * self.network.layers());
            // The energy, then its gradient.
            let found = self.engine.run_for_rows(&[pass], columns, plan.output(), plan.stride * (1 + dim))?;
            for (column, point) in batch.enumerate() {
                let value = |unit: usize| found[plan.stride * unit * columns + column];
                let mut square = 0.0;
                for i in 0..dim {
                    let at = x[i * points + point];
                    square += f64::from(at).powi(2);
                    grads[i * points + point] = value(1 + i) + self.confinement as f32 * at;
                }
                energies.push(f64::from(value(0)) + 0.5 * self.confinement * square);
            }
        }
        if batches.len() == 1 {
            self.held = Held::Gradient { x: x.to_vec(), energies: energies.clone(), grads: grads.clone() };
        }
        Ok((energies, grads))
    }

    fn jets(&mut self, x: &[f32], v: &[f32], order: Order) -> Result<Jets> {
        let points = Points::new(self.dim(), x, v, order)?;
        if let Held::Gradient { x: at, energies, grads } = &self.held
            && order == Order::Slope
            && at == x
        {
            let slopes = (0..points.count).map(|point| points.dot(grads, v, point)).collect();
            let values = energies.clone();
            self.last = Some(points);
            return Ok(Jets { values, slopes, ..Jets::default() });
        }
        Ok(jets(self.forward(points)?))
    }

    fn param_grad(&mut self, adjoints: &Adjoints) -> Result<Vec<f64>> {
        let points = self.last()?;
        let of_parts = points.of_jets(adjoints)?;
        let of_slopes = points.parts == 2 && adjoints.values.is_empty() && !adjoints.slopes.is_empty();
        match &self.held {
            Held::Gradient { x, .. } if of_slopes && *x == points.x => self.along(&adjoints.slopes),
            _ => self.reverse(of_parts),
        }
    }

    fn traces(&mut self, x: &[f32], v: &[f32]) -> Result<Traces> {
        let parts = self.forward(Points::in_directions(self.dim(), x, v)?)?;
        Ok(self.last()?.traces(&parts))
    }

    fn traces_param_grad(&mut self, adjoints: &Traces) -> Result<Vec<f64>> {
        let of_parts = self.last()?.of_traces(adjoints)?;
        self.reverse(of_parts)
    }
}
