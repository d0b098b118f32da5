//! The passes of training over an [`Mlp`] on a GPU.

use std::ops::Range;

use super::{
    Mlp, Network,
    engine::Engine,
    pairs::{self, Pairs},
    plan::{Kind, Plan},
    product::Form,
};
use crate::{
    Error, Gpu, Result,
    energy::Energy,
    train::{Adjoints, Jets, Order, Passes, Traces, check_params, check_points},
};

/// Batched passes in f32, the batch being cut where it is larger than the buffers.
#[derive(Debug)]
pub(super) struct GpuPasses {
    engine: Engine,
    network: Network,
    confinement: f64,
    /// Points and directions of the last jets, `[dim][point]`; second directions where these go in pairs.
    x: Vec<f32>,
    v: Vec<f32>,
    second: Vec<f32>,
    pairs: Option<Pairs>,
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
            second: Vec::new(),
            pairs: None,
            order: Order::Value,
            held: Held::Nothing,
        }
    }

    fn batches(&self, points: usize, kind: Kind) -> Result<Vec<Range<usize>>> {
        let most = self.engine.most_points(kind)?;
        Ok((0..points).step_by(most).map(|first| first..(first + most).min(points)).collect())
    }

    /// Writes what goes into the first layer of a batch, x and the directions; what else a unit has is zero. Returns the columns.
    fn write_input(&mut self, plan: &Plan, x: &[f32], [v, second]: [&[f32]; 2], batch: Range<usize>) -> usize {
        let (dim, stride) = (self.dim(), plan.stride);
        let (points, columns) = (x.len() / dim, self.engine.columns(batch.len()));
        let mut rows = vec![0.0; dim * stride * columns];
        for (i, unit) in rows.chunks_exact_mut(stride * columns).enumerate() {
            for (row, values) in
                unit.chunks_exact_mut(columns).zip([x, v, &[], second]).filter(|(_, values)| !values.is_empty())
            {
                row[..batch.len()].copy_from_slice(&values[i * points..(i + 1) * points][batch.clone()]);
            }
        }
        self.engine.write(plan, columns, plan.input(0), 0, &rows);
        columns
    }

    /// What the last jets are taken by.
    fn kind(&self) -> Kind {
        Kind::Jets(if self.pairs.is_some() { pairs::PARTS } else { self.order as usize + 1 })
    }

    /// Writes what goes into the first layer of a batch of the last jets. Returns the columns.
    fn write_batch(&mut self, plan: &Plan, batch: Range<usize>) -> usize {
        let (x, v, second) = (std::mem::take(&mut self.x), std::mem::take(&mut self.v), std::mem::take(&mut self.second));
        let columns = self.write_input(plan, &x, [&v, &second], batch);
        (self.x, self.v, self.second) = (x, v, second);
        columns
    }

    /// The parts of the jets of all points.
    fn forward(&mut self) -> Result<Vec<Vec<f64>>> {
        let points = self.x.len() / self.dim();
        self.held = Held::Nothing;
        let plan = self.engine.plan(self.kind());
        let batches = self.batches(points, plan.kind)?;
        let mut parts = vec![Vec::with_capacity(points); plan.stride];
        for batch in &batches {
            let columns = self.write_batch(&plan, batch.clone());
            let forward = self.engine.through(&plan, columns, 0..self.network.layers());
            let found = self.engine.run_for_rows(&[forward], columns, plan.output(), plan.stride)?;
            for (part, found) in parts.iter_mut().zip(found.chunks_exact(columns)) {
                part.extend(found[..batch.len()].iter().map(|&of| f64::from(of)));
            }
        }
        if batches.len() == 1 {
            self.held = Held::Jets;
        }
        let (c, x, v, second) = (self.confinement, &self.x, &self.v, &self.second);
        // Of ½ c ‖x‖².
        let confined = [vec![(0.5 * c, x, x)], vec![(c, x, v)], vec![(c, v, v), (c, second, second)], vec![(c, x, second)]];
        for (part, terms) in parts.iter_mut().zip(confined) {
            for (factor, a, b) in terms.into_iter().filter(|(_, _, b)| !b.is_empty()) {
                part.iter_mut().enumerate().for_each(|(point, of)| *of += factor * dot((a, b), points, point));
            }
        }
        Ok(parts)
    }

    /// The gradient in the parameters from the adjoints of a point's parts.
    fn reverse(&mut self, adjoints: impl Fn(usize) -> [f64; 4]) -> Result<Vec<f64>> {
        let (points, layers) = (self.x.len() / self.dim(), self.network.layers());
        let held = matches!(self.held, Held::Jets);
        if !held {
            self.held = Held::Nothing;
        }
        let mut grad = vec![0.0; self.network.params_len()];
        let plan = self.engine.plan(self.kind());
        for batch in self.batches(points, plan.kind)? {
            let columns = self.engine.columns(batch.len());
            if !held {
                self.write_batch(&plan, batch.clone());
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

    fn check_jets(&self) -> Result<usize> {
        match self.x.len() / self.dim() {
            0 => Err(Error::Unsupported("there is nothing to reverse: call jets first, after the parameters were set".into())),
            points => Ok(points),
        }
    }

    /// The gradient in the parameters of the slopes, times their adjoints, at points whose energies and gradients were the last to be
    /// computed: a slope along v times β is one along β v.
    fn along(&mut self, slopes: &[f64]) -> Result<Vec<f64>> {
        let (points, layers) = (slopes.len(), self.network.layers());
        let plan = self.engine.plan(Kind::Along);
        let v: Vec<_> = self.v.iter().zip(slopes.iter().cycle()).map(|(&v, &slope)| (f64::from(v) * slope) as f32).collect();
        let x = std::mem::take(&mut self.x);
        let columns = self.write_input(&plan, &x, [&v, &[]], 0..points);
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

/// Σ aᵢ bᵢ at a point.
fn dot((a, b): (&[f32], &[f32]), points: usize, point: usize) -> f64 {
    let rows = (point..a.len()).step_by(points);
    rows.map(|at| f64::from(a[at]) * f64::from(b[at])).sum()
}

impl Passes for GpuPasses {
    fn dim(&self) -> usize {
        self.network.sizes()[0]
    }

    fn set_params(&mut self, params: &[f32]) -> Result<()> {
        check_params("network", self.network.params_len(), params)?;
        (self.x, self.v, self.second, self.held) = (Vec::new(), Vec::new(), Vec::new(), Held::Nothing);
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
            let columns = self.write_input(&plan, x, [&[], &[]], batch.clone());
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
        let points = check_points(self.dim(), x, v, order)?;
        (self.x, self.v, self.second, self.pairs, self.order) = (x.to_vec(), v.to_vec(), Vec::new(), None, order);
        if let Held::Gradient { x: at, energies, grads } = &self.held
            && order == Order::Slope
            && at == x
        {
            let slopes = (0..points).map(|point| dot((grads, v), points, point)).collect();
            return Ok(Jets { values: energies.clone(), slopes, ..Jets::default() });
        }
        let mut parts = self.forward()?.into_iter();
        let mut next = || parts.next().unwrap_or_default();
        Ok(Jets { values: next(), slopes: next(), curvatures: next() })
    }

    fn param_grad(&mut self, adjoints: &Adjoints) -> Result<Vec<f64>> {
        adjoints.check(self.check_jets()?)?;
        if self.pairs.is_some() {
            return Err(Error::Unsupported(
                "the last call was of traces, whose gradient is another: call traces_param_grad".into(),
            ));
        }
        let of_slopes = self.order == Order::Slope && adjoints.values.is_empty() && !adjoints.slopes.is_empty();
        if let Held::Gradient { x, .. } = &self.held
            && of_slopes
            && *x == self.x
        {
            return self.along(&adjoints.slopes);
        }
        self.reverse(|point| {
            let [value, slope, curvature] = adjoints.of(point);
            [value, slope, curvature, 0.0]
        })
    }

    fn traces(&mut self, x: &[f32], v: &[f32]) -> Result<Traces> {
        if v.len() == x.len() {
            let Jets { slopes, curvatures, .. } = self.jets(x, v, Order::Curvature)?;
            return Ok(Traces { slopes, curvatures });
        }
        let (pairs, columns) = Pairs::new(self.dim(), x, v)?;
        (self.x, self.v, self.second, self.pairs) = (columns.x, columns.v, columns.second, Some(pairs));
        let parts = self.forward()?;
        Ok(pairs.traces([&parts[1], &parts[2], &parts[3]]))
    }

    fn traces_param_grad(&mut self, adjoints: &Traces) -> Result<Vec<f64>> {
        let columns = self.check_jets()?;
        match self.pairs {
            Some(pairs) => self.reverse(pairs.adjoints(adjoints)?),
            None => {
                adjoints.directions(columns)?;
                let Traces { slopes, curvatures } = adjoints.clone();
                self.param_grad(&Adjoints { slopes, curvatures, ..Adjoints::default() })
            }
        }
    }
}
