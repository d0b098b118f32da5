//! One affine coupling layer over a block of points: both directions, and the reverse pass of each.
//!
//! Loops run over the points of a block innermost, so that the compiler makes vectors of them, and a block's sums have one order.

use crate::net::Real;

/// Points that are worked on together.
pub(super) const POINTS: usize = 64;
/// Log-scales stay within ± this.
pub(super) const MOST_LOG_SCALE: f64 = 2.0;

/// What a hidden unit is given stays within ± this: its square fits an f32.
const MOST_FIELD: f64 = 1e18;

/// One number a point of the block.
pub(super) type Row<T> = [T; POINTS];

/// A layer: which coordinates its perceptron sees, which ones it moves, and where its parameters begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) kept: Vec<usize>,
    pub(super) moved: Vec<usize>,
    pub(super) hidden: usize,
    pub(super) at: usize,
}

/// The parameters of a layer, or their gradient, by what they are.
pub(super) struct Parts<'a, T> {
    /// `[hidden][kept]`
    pub(super) weight: &'a [T],
    /// `[hidden]`
    pub(super) bias: &'a [T],
    /// `[2 moved][hidden]`: first the log-scales, then the shifts.
    pub(super) out_weight: &'a [T],
    /// `[2 moved][kept]`
    pub(super) skip: &'a [T],
    /// `[2 moved]`
    pub(super) out_bias: &'a [T],
}

/// What a reverse pass needs of a layer's pass.
#[derive(Debug)]
pub(super) struct Trace<T> {
    kept: Vec<Row<T>>,
    hidden: Vec<Row<T>>,
    /// 1/√(1 + t²) of each hidden unit.
    hidden_slope: Vec<Row<T>>,
    /// The moved coordinates on the base's side.
    base: Vec<Row<T>>,
    /// exp(log-scale) of each moved coordinate.
    scale: Vec<Row<T>>,
    /// Derivative of each log-scale by what the perceptron gave for it.
    bound_slope: Vec<Row<T>>,
}

/// The perceptron's answer.
struct Answer<T> {
    log_scale: Vec<Row<T>>,
    shift: Vec<Row<T>>,
    trace: Trace<T>,
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

    pub(super) fn parts<'a, T>(&self, params: &'a [T]) -> Parts<'a, T> {
        let [a, b, c, d, e] = self.sizes();
        let (weight, rest) = params[self.at..self.at + a + b + c + d + e].split_at(a);
        let (bias, rest) = rest.split_at(b);
        let (out_weight, rest) = rest.split_at(c);
        let (skip, out_bias) = rest.split_at(d);
        Parts { weight, bias, out_weight, skip, out_bias }
    }

    /// Towards the data: x ← z·exp(s) + t for the moved coordinates; adds Σ s to the log-determinants.
    pub(super) fn forward<T: Real>(&self, params: &[T], x: &mut [Row<T>], log_dets: &mut Row<T>) -> Trace<T> {
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
    pub(super) fn inverse<T: Real>(&self, params: &[T], x: &mut [Row<T>], log_dets: &mut Row<T>) -> Trace<T> {
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
    pub(super) fn reverse_forward<T: Real>(
        &self,
        params: &[T],
        trace: &Trace<T>,
        adjoints: &mut [Row<T>],
        log_dets: &Row<T>,
        grad: &mut [T],
    ) {
        let outputs = self.moved.len();
        let mut raw = vec![[T::zero(); POINTS]; 2 * outputs];
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
    pub(super) fn reverse_inverse<T: Real>(
        &self,
        params: &[T],
        trace: &Trace<T>,
        adjoints: &mut [Row<T>],
        log_dets: &Row<T>,
        grad: &mut [T],
    ) {
        let outputs = self.moved.len();
        let mut raw = vec![[T::zero(); POINTS]; 2 * outputs];
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
    fn answer<T: Real>(&self, params: &[T], x: &[Row<T>]) -> Answer<T> {
        let parts = self.parts(params);
        let kept: Vec<Row<T>> = self.kept.iter().map(|&i| x[i]).collect();
        let mut hidden = Vec::with_capacity(self.hidden);
        let mut hidden_slope = Vec::with_capacity(self.hidden);
        for (weights, &bias) in parts.weight.chunks_exact(kept.len()).zip(parts.bias) {
            let mut h = [bias; POINTS];
            weights.iter().zip(&kept).for_each(|(&w, a)| add(&mut h, w, a));
            let mut slope = [T::zero(); POINTS];
            for (h, slope) in h.iter_mut().zip(&mut slope) {
                let t = bounded(*h);
                *slope = T::one() / (T::one() + t * t).sqrt();
                *h = t * *slope;
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
        let mut log_scale: Vec<Row<T>> = raw.by_ref().take(outputs).collect();
        let shift: Vec<Row<T>> = raw.collect();
        let mut scale = vec![[T::zero(); POINTS]; outputs];
        let mut bound_slope = vec![[T::zero(); POINTS]; outputs];
        for ((s, scale), slope) in log_scale.iter_mut().zip(&mut scale).zip(&mut bound_slope) {
            for p in 0..POINTS {
                let t = bounded(s[p] / T::of(MOST_LOG_SCALE));
                let r = T::one() / (T::one() + t * t).sqrt();
                s[p] = T::of(MOST_LOG_SCALE) * t * r;
                slope[p] = r * r * r;
                scale[p] = s[p].exp_within();
            }
        }
        Answer {
            log_scale,
            shift,
            trace: Trace { kept, hidden, hidden_slope, base: Vec::with_capacity(outputs), scale, bound_slope },
        }
    }

    /// From the adjoints of what the perceptron gave to those of its parameters and of the kept coordinates, added to both.
    fn reverse_answer<T: Real>(&self, params: &[T], trace: &Trace<T>, raw: &[Row<T>], adjoints: &mut [Row<T>], grad: &mut [T]) {
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
            let mut adjoint = [T::zero(); POINTS];
            for (k, raw) in raw.iter().enumerate() {
                out_weight[k * self.hidden + j] += dot(raw, hidden);
                add(&mut adjoint, parts.out_weight[k * self.hidden + j], raw);
            }
            adjoint.iter_mut().zip(slope).for_each(|(v, r)| *v *= *r * *r * *r);
            bias[j] += sum(&adjoint);
            for (i, kept) in trace.kept.iter().enumerate() {
                weight[j * inputs + i] += dot(&adjoint, kept);
                add(&mut adjoints[self.kept[i]], parts.weight[j * inputs + i], &adjoint);
            }
        }
    }
}

/// t, within what an f32 can hold the square of; beyond, u(t) is ±1 to the rounding of an f64 too.
fn bounded<T: Real>(t: T) -> T {
    t.clamp(-T::of(MOST_FIELD), T::of(MOST_FIELD))
}

/// to += w · row.
fn add<T: Real>(to: &mut Row<T>, w: T, row: &Row<T>) {
    to.iter_mut().zip(row).for_each(|(to, v)| *to += w * *v);
}

fn sum<T: Real>(row: &Row<T>) -> T {
    dot(row, &[T::one(); POINTS])
}

/// In eight sums, which the compiler can take in vectors.
fn dot<T: Real>(a: &Row<T>, b: &Row<T>) -> T {
    let mut sums = [T::zero(); 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for l in 0..8 {
            sums[l] += a[l] * b[l];
        }
    }
    sums.into_iter().fold(T::zero(), |all, sum| all + sum)
}
