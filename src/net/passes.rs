//! The passes of training over an [`Mlp`] on a GPU.

use std::ops::Range;

use super::{
    Mlp, Network,
    engine::Engine,
    plan::{Kind, Plan},
    product::Form,
};
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
            x: Vec::new(),
            v: Vec::new(),
            order: Order::Value,
            held: Held::Nothing,
        }
    }

    fn dim(&self) -> usize {
        self.network.sizes()[0]
    }

    fn batches(&self, points: usize, kind: Kind) -> Result<Vec<Range<usize>>> {
        let most = self.engine.most_points(kind)?;
        Ok((0..points).step_by(most).map(|first| first..(first + most).min(points)).collect())
    }

    /// Writes what goes into the first layer, x and v, of a batch; what else a unit has is zero. Returns the columns.
    fn write_input(&mut self, plan: &Plan, x: &[f32], v: &[f32], batch: Range<usize>) -> usize {
        let (dim, stride) = (self.dim(), plan.stride);
        let (points, columns) = (x.len() / dim, self.engine.columns(batch.len()));
        let mut rows = vec![0.0; dim * stride * columns];
        for (i, unit) in rows.chunks_exact_mut(stride * columns).enumerate() {
            for (row, values) in unit.chunks_exact_mut(columns).zip([x, v]).filter(|(_, values)| !values.is_empty()) {
                row[..batch.len()].copy_from_slice(&values[i * points..(i + 1) * points][batch.clone()]);
            }
        }
        self.engine.write(plan, columns, plan.input(0), 0, &rows);
        columns
    }

    /// The gradient in the parameters of the slopes, times their adjoints, at points whose energies and gradients were the last to be
    /// computed: a slope along v times β is one along β v.
    fn along(&mut self, slopes: &[f64]) -> Result<Vec<f64>> {
        let (points, layers) = (slopes.len(), self.network.layers());
        let plan = self.engine.plan(Kind::Along);
        let v: Vec<_> = self.v.iter().zip(slopes.iter().cycle()).map(|(&v, &slope)| (f64::from(v) * slope) as f32).collect();
        let x = std::mem::take(&mut self.x);
        let columns = self.write_input(&plan, &x, &v, 0..points);
        self.x = x;
        // Of the output, the value has no adjoint and the slope has one.
        let adjoint = [vec![0.0; columns], vec![1.0; columns]].concat();
        self.engine.write(&plan, columns, plan.adjoint(layers), 0, &adjoint);
        let pass = self.engine.through(&plan, columns, 0..2 * (layers - 1));
        let mut grad = vec![0.0; self.network.params_len()];
        self.engine.add_param_grad(&plan, columns, &[pass], &mut grad)?;
        Ok(grad)
    }
}

fn kind_of(order: Order) -> Kind {
    Kind::Jets(order as usize + 1)
}

impl Passes for GpuPasses {
    fn set_params(&mut self, params: &[f32]) -> Result<()> {
        check_params("network", self.network.params_len(), params)?;
        (self.x, self.v, self.held) = (Vec::new(), Vec::new(), Held::Nothing);
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
            let columns = self.write_input(&plan, x, &[], batch.clone());
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
        let dim = self.dim();
        let points = check_points(dim, x, v, order)?;
        (self.x, self.v, self.order) = (x.to_vec(), v.to_vec(), order);
        let dot = |a: &[f32], b: &[f32], point: usize| {
            (0..dim).map(|i| f64::from(a[i * points + point]) * f64::from(b[i * points + point])).sum::<f64>()
        };
        if let Held::Gradient { x: at, energies, grads } = &self.held
            && order == Order::Slope
            && at == x
        {
            let slopes = (0..points).map(|point| dot(grads, v, point)).collect();
            return Ok(Jets { values: energies.clone(), slopes, ..Jets::default() });
        }
        self.held = Held::Nothing;
        let plan = self.engine.plan(kind_of(order));
        let batches = self.batches(points, plan.kind)?;
        let mut jets = Jets::default();
        for batch in batches.iter().cloned() {
            let columns = self.write_input(&plan, x, v, batch.clone());
            let forward = self.engine.through(&plan, columns, 0..self.network.layers());
            let found = self.engine.run_for_rows(&[forward], columns, plan.output(), plan.stride)?;
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
        if batches.len() == 1 {
            self.held = Held::Jets;
        }
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
        let of_slopes = self.order == Order::Slope && adjoints.values.is_empty() && !adjoints.slopes.is_empty();
        let held = match &self.held {
            Held::Gradient { x, .. } if of_slopes && *x == self.x => return self.along(&adjoints.slopes),
            held => matches!(held, Held::Jets),
        };
        if !held {
            self.held = Held::Nothing;
        }
        let mut grad = vec![0.0; self.network.params_len()];
        let plan = self.engine.plan(kind_of(self.order));
        for batch in self.batches(points, plan.kind)? {
            if !held {
                let (x, v) = (std::mem::take(&mut self.x), std::mem::take(&mut self.v));
                self.write_input(&plan, &x, &v, batch.clone());
                (self.x, self.v) = (x, v);
            }
            let columns = self.engine.columns(batch.len());
            let mut rows = vec![0.0; plan.stride * columns];
            for (column, point) in batch.enumerate() {
                for (part, adjoint) in adjoints.of(point).into_iter().take(plan.stride).enumerate() {
                    rows[part * columns + column] = adjoint as f32;
                }
            }
            self.engine.write(&plan, columns, plan.adjoint(self.network.layers()), 0, &rows);
            let layers = self.network.layers();
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
}
