//! One affine coupling layer over a block of points: both directions, and the reverse pass of each.
//!
//! Loops run over the points of a block innermost, so that the compiler makes vectors of them, and a block's sums have one order.

/// Points that are worked on together.
pub(super) const POINTS: usize = 64;
/// Log-scales stay within ± this.
pub(super) const MOST_LOG_SCALE: f64 = 2.0;

/// One number a point of the block.
pub(super) type Row = [f64; POINTS];

/// A layer: which coordinates its perceptron sees, which ones it moves, and where its parameters begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) kept: Vec<usize>,
    pub(super) moved: Vec<usize>,
    pub(super) hidden: usize,
    pub(super) at: usize,
}

/// The parameters of a layer, or their gradient, by what they are.
pub(super) struct Parts<'a> {
    /// `[hidden][kept]`
    pub(super) weight: &'a [f64],
    /// `[hidden]`
    pub(super) bias: &'a [f64],
    /// `[2 moved][hidden]`: first the log-scales, then the shifts.
    pub(super) out_weight: &'a [f64],
    /// `[2 moved][kept]`
    pub(super) skip: &'a [f64],
    /// `[2 moved]`
    pub(super) out_bias: &'a [f64],
}

/// What a reverse pass needs of a layer's pass.
#[derive(Debug)]
pub(super) struct Trace {
    kept: Vec<Row>,
    hidden: Vec<Row>,
    /// 1/√(1 + t²) of each hidden unit.
    hidden_slope: Vec<Row>,
    /// The moved coordinates on the base's side.
    base: Vec<Row>,
    /// exp(log-scale) of each moved coordinate.
    scale: Vec<Row>,
    /// Derivative of each log-scale by what the perceptron gave for it.
    bound_slope: Vec<Row>,
}

/// The perceptron's answer.
struct Answer {
    log_scale: Vec<Row>,
    shift: Vec<Row>,
    trace: Trace,
}

impl Layer {
    /// Number of parameters.
    pub(super) fn params(&self) -> usize {
        self.sizes().iter().sum()
    }

    /// Numbers of parameters by what they are, in the order of [`Parts`].
    pub(super) fn sizes(&self) -> [usize; 5] {
        let (kept, outputs, hidden) = (self.kept.len(), 2 * self.moved.len(), self.hidden);
        [hidden * kept, hidden, outputs * hidden, outputs * kept, outputs]
    }

    pub(super) fn parts<'a>(&self, params: &'a [f64]) -> Parts<'a> {
        let [a, b, c, d, e] = self.sizes();
        let (weight, rest) = params[self.at..self.at + a + b + c + d + e].split_at(a);
        let (bias, rest) = rest.split_at(b);
        let (out_weight, rest) = rest.split_at(c);
        let (skip, out_bias) = rest.split_at(d);
        Parts { weight, bias, out_weight, skip, out_bias }
    }

    /// Towards the data: x ← z·exp(s) + t for the moved coordinates; adds Σ s to the log-determinants.
    pub(super) fn forward(&self, params: &[f64], x: &mut [Row], log_dets: &mut Row) -> Trace {
        let Answer { log_scale, shift, mut trace } = self.answer(params, x);
        for (k, &i) in self.moved.iter().enumerate() {
            trace.base.push(x[i]);
            for p in 0..POINTS {
                x[i][p] = x[i][p] * trace.scale[k][p] + shift[k][p];
                log_dets[p] += log_scale[k][p];
            }
        }
        trace
    }

    /// Towards the base: z ← (x − t)·exp(−s) for the moved coordinates; takes Σ s from the log-determinants.
    pub(super) fn inverse(&self, params: &[f64], x: &mut [Row], log_dets: &mut Row) -> Trace {
        let Answer { log_scale, shift, mut trace } = self.answer(params, x);
        for (k, &i) in self.moved.iter().enumerate() {
            for p in 0..POINTS {
                x[i][p] = (x[i][p] - shift[k][p]) / trace.scale[k][p];
                log_dets[p] -= log_scale[k][p];
            }
            trace.base.push(x[i]);
        }
        trace
    }

    /// The reverse of [`forward`](Self::forward): takes the adjoints of its outputs to those of its inputs, in place, and adds to
    /// the gradient of all parameters.
    pub(super) fn reverse_forward(
        &self,
        params: &[f64],
        trace: &Trace,
        adjoints: &mut [Row],
        log_dets: &Row,
        grad: &mut [f64],
    ) {
        let outputs = self.moved.len();
        let mut raw = vec![[0.0; POINTS]; 2 * outputs];
        for (k, &i) in self.moved.iter().enumerate() {
            for p in 0..POINTS {
                let adjoint = adjoints[i][p];
                let scaled = adjoint * trace.scale[k][p];
                raw[k][p] = (scaled * trace.base[k][p] + log_dets[p]) * trace.bound_slope[k][p];
                raw[outputs + k][p] = adjoint;
                adjoints[i][p] = scaled;
            }
        }
        self.reverse_answer(params, trace, &raw, adjoints, grad);
    }

    /// The same of [`inverse`](Self::inverse).
    pub(super) fn reverse_inverse(
        &self,
        params: &[f64],
        trace: &Trace,
        adjoints: &mut [Row],
        log_dets: &Row,
        grad: &mut [f64],
    ) {
        let outputs = self.moved.len();
        let mut raw = vec![[0.0; POINTS]; 2 * outputs];
        for (k, &i) in self.moved.iter().enumerate() {
            for p in 0..POINTS {
                let adjoint = adjoints[i][p];
                let scaled = adjoint / trace.scale[k][p];
                raw[k][p] = -(adjoint * trace.base[k][p] + log_dets[p]) * trace.bound_slope[k][p];
                raw[outputs + k][p] = -scaled;
                adjoints[i][p] = scaled;
            }
        }
        self.reverse_answer(params, trace, &raw, adjoints, grad);
    }

    /// Log-scales and shifts from the kept coordinates: one hidden layer of u(t) = t/√(1 + t²), and a linear part beside it.
    fn answer(&self, params: &[f64], x: &[Row]) -> Answer {
        let parts = self.parts(params);
        let kept: Vec<Row> = self.kept.iter().map(|&i| x[i]).collect();
        let mut hidden = Vec::with_capacity(self.hidden);
        let mut hidden_slope = Vec::with_capacity(self.hidden);
        for (weights, &bias) in parts.weight.chunks_exact(kept.len()).zip(parts.bias) {
            let mut h = [bias; POINTS];
            weights.iter().zip(&kept).for_each(|(&w, a)| add(&mut h, w, a));
            let mut slope = [0.0; POINTS];
            for (h, slope) in h.iter_mut().zip(&mut slope) {
                *slope = 1.0 / (1.0 + *h * *h).sqrt();
                *h *= *slope;
            }
            hidden.push(h);
            hidden_slope.push(slope);
        }
        let rows = parts.out_weight.chunks_exact(self.hidden).zip(parts.skip.chunks_exact(kept.len())).zip(parts.out_bias);
        let mut raw = rows.map(|((weights, skip), &bias)| {
            let mut row = [bias; POINTS];
            weights.iter().zip(&hidden).chain(skip.iter().zip(&kept)).for_each(|(&w, h)| add(&mut row, w, h));
            row
        });
        let outputs = self.moved.len();
        let mut log_scale: Vec<Row> = raw.by_ref().take(outputs).collect();
        let shift: Vec<Row> = raw.collect();
        let mut scale = vec![[0.0; POINTS]; outputs];
        let mut bound_slope = vec![[0.0; POINTS]; outputs];
        for ((s, scale), slope) in log_scale.iter_mut().zip(&mut scale).zip(&mut bound_slope) {
            for p in 0..POINTS {
                let t = s[p] / MOST_LOG_SCALE;
                let r = 1.0 / (1.0 + t * t).sqrt();
                s[p] *= r;
                slope[p] = r * r * r;
                scale[p] = s[p].exp();
            }
        }
        Answer {
            log_scale,
            shift,
            trace: Trace { kept, hidden, hidden_slope, base: Vec::with_capacity(outputs), scale, bound_slope },
        }
    }

    /// From the adjoints of what the perceptron gave to those of its parameters and of the kept coordinates, added to both.
    fn reverse_answer(&self, params: &[f64], trace: &Trace, raw: &[Row], adjoints: &mut [Row], grad: &mut [f64]) {
        let parts = self.parts(params);
        let [a, b, c, d, _] = self.sizes();
        let (weight, rest) = grad[self.at..].split_at_mut(a);
        let (bias, rest) = rest.split_at_mut(b);
        let (out_weight, rest) = rest.split_at_mut(c);
        let (skip, out_bias) = rest.split_at_mut(d);
        let inputs = self.kept.len();
        for (k, raw) in raw.iter().enumerate() {
            out_bias[k] += sum(raw);
            for (i, kept) in trace.kept.iter().enumerate() {
                skip[k * inputs + i] += dot(raw, kept);
                add(&mut adjoints[self.kept[i]], parts.skip[k * inputs + i], raw);
            }
        }
        for (j, (hidden, slope)) in trace.hidden.iter().zip(&trace.hidden_slope).enumerate() {
            let mut adjoint = [0.0; POINTS];
            for (k, raw) in raw.iter().enumerate() {
                out_weight[k * self.hidden + j] += dot(raw, hidden);
                add(&mut adjoint, parts.out_weight[k * self.hidden + j], raw);
            }
            adjoint.iter_mut().zip(slope).for_each(|(v, r)| *v *= r * r * r);
            bias[j] += sum(&adjoint);
            for (i, kept) in trace.kept.iter().enumerate() {
                weight[j * inputs + i] += dot(&adjoint, kept);
                add(&mut adjoints[self.kept[i]], parts.weight[j * inputs + i], &adjoint);
            }
        }
    }
}

/// to += w · row.
fn add(to: &mut Row, w: f64, row: &Row) {
    to.iter_mut().zip(row).for_each(|(to, v)| *to += w * v);
}

fn sum(row: &Row) -> f64 {
    dot(row, &[1.0; POINTS])
}

/// In eight sums, which the compiler can take in vectors.
fn dot(a: &Row, b: &Row) -> f64 {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for l in 0..8 {
            sums[l] += a[l] * b[l];
        }
    }
    sums.iter().sum()
}
