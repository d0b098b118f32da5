//! A flow written point by point, as its formula stands, for numbers that carry derivatives too.

use num_dual::DualNum;

/// What a flow does to one point. Parameters in the order of `Flow::params`.
pub(super) struct Plain<'a, D> {
    pub(super) dim: usize,
    pub(super) layers: usize,
    pub(super) hidden: usize,
    pub(super) params: &'a [D],
}

fn u<D: DualNum<Primitive = f64> + Copy>(t: D) -> D {
    t / (t * t + 1.0).sqrt()
}

impl<D: DualNum<Primitive = f64> + Copy> Plain<'_, D> {
    /// The log-scales and shifts of layer l for the moved coordinates, whose numbers come with them.
    fn layer(&self, l: usize, x: &[D]) -> Vec<(usize, D, D)> {
        let of = |l: usize| -> (Vec<usize>, Vec<usize>) { (0..self.dim).partition(|i| (i + l).is_multiple_of(2)) };
        let size = |l: usize| {
            let (kept, moved) = of(l);
            self.hidden * (kept.len() + 1) + 2 * moved.len() * (self.hidden + kept.len() + 1)
        };
        let (kept, moved) = of(l);
        let mut params = self.params[(0..l).map(size).sum()..].iter().copied();
        let mut take = |n: usize| -> Vec<D> { params.by_ref().take(n).collect() };
        let (w1, b1) = (take(self.hidden * kept.len()), take(self.hidden));
        let (w2, a) = (take(2 * moved.len() * self.hidden), take(2 * moved.len() * kept.len()));
        let b2 = take(2 * moved.len());
        let a_in: Vec<D> = kept.iter().map(|&i| x[i]).collect();
        let product = |row: &[D], v: &[D]| row.iter().zip(v).fold(D::from(0.0), |sum, (&w, &v)| sum + w * v);
        let hidden: Vec<D> = w1.chunks(kept.len()).zip(&b1).map(|(row, &b)| u(product(row, &a_in) + b)).collect();
        let raw = |k: usize| {
            let (w, skip) = (&w2[k * self.hidden..(k + 1) * self.hidden], &a[k * kept.len()..(k + 1) * kept.len()]);
            product(w, &hidden) + product(skip, &a_in) + b2[k]
        };
        let outputs = moved.len();
        moved.iter().enumerate().map(|(k, &i)| (i, u(raw(k) / 2.0) * 2.0, raw(outputs + k))).collect()
    }

    /// f(z) and its log-determinant.
    pub(super) fn forward(&self, z: &[D]) -> (Vec<D>, D) {
        let (mut x, mut log_det) = (z.to_vec(), D::from(0.0));
        for l in 0..self.layers {
            for (i, s, t) in self.layer(l, &x) {
                x[i] = x[i] * s.exp() + t;
                log_det += s;
            }
        }
        (x, log_det)
    }

    /// f⁻¹(x) and its log-determinant.
    pub(super) fn inverse(&self, x: &[D]) -> (Vec<D>, D) {
        let (mut z, mut log_det) = (x.to_vec(), D::from(0.0));
        for l in (0..self.layers).rev() {
            for (i, s, t) in self.layer(l, &z) {
                z[i] = (z[i] - t) * (-s).exp();
                log_det -= s;
            }
        }
        (z, log_det)
    }

    /// log q(x).
    pub(super) fn log_density(&self, x: &[D]) -> D {
        let (z, log_det) = self.inverse(x);
        let square = z.iter().fold(D::from(0.0), |sum, &z| sum + z * z);
        log_det - square * 0.5 - 0.5 * self.dim as f64 * std::f64::consts::TAU.ln()
    }
}
