//! The energy that is trained: a sum of Gaussian bumps whose weights, means and precisions are free, so that its Z is not known.

use std::sync::Arc;

use ergodic::{
    Error, Result,
    energy::{Call, Energy, Params},
    program::Composer,
    train::{Block, Order, Trainable},
};

/// Parameters of a bump: the log of its height, its mean, and L of |L (x − m)|², row by row below its diagonal.
const OWN: usize = 6;

/// E(x) = −log Σⱼ exp(aⱼ − ½ |Lⱼ (x − mⱼ)|²) in the plane.
#[derive(Debug, Clone)]
pub(crate) struct Bumps(Vec<f32>);

impl Bumps {
    /// With bumps of this width at these places.
    pub(crate) fn new(places: &[[f32; 2]], width: f32) -> Self {
        Self(places.iter().flat_map(|&[x, y]| [0.0, x, y, width.recip(), 0.0, width.recip()]).collect())
    }
}

/// What a bump has at x: L (x − m), x − m, and aⱼ − ½ |L (x − m)|².
struct Term {
    z: [f64; 2],
    d: [f64; 2],
    log: f64,
}

fn term(own: [f64; OWN], x: &[f64]) -> Term {
    let [a, m0, m1, l00, l10, l11] = own;
    let d = [x[0] - m0, x[1] - m1];
    let z = [l00 * d[0], l10 * d[0] + l11 * d[1]];
    Term { z, d, log: a - 0.5 * (z[0] * z[0] + z[1] * z[1]) }
}

/// All terms, and the log of the sum of their exponentials.
fn terms(param: impl Fn(usize) -> f64, count: usize, x: &[f64]) -> (Vec<Term>, f64) {
    let terms: Vec<_> = (0..count).map(|j| term(std::array::from_fn(|i| param(j * OWN + i)), x)).collect();
    let top = terms.iter().fold(f64::NEG_INFINITY, |top, term| top.max(term.log));
    let sum = top + terms.iter().map(|term| (term.log - top).exp()).sum::<f64>().ln();
    (terms, sum)
}

impl Energy for Bumps {
    fn name(&self) -> String {
        format!("{} bumps", self.0.len() / OWN)
    }

    fn dim(&self) -> usize {
        2
    }

    fn params(&self) -> Vec<f32> {
        self.0.clone()
    }

    fn compose(&self, _program: &mut Composer) -> Result<Call> {
        Err(Error::Unsupported("the bumps have no WGSL; run them on Backend::cpu()".into()))
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        -terms(|i| params.get(i), self.0.len() / OWN, x).1
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let (terms, sum) = terms(|i| params.get(i), self.0.len() / OWN, x);
        grad.fill(0.0);
        for (j, term) in terms.iter().enumerate() {
            let share = (term.log - sum).exp();
            let l = |i: usize| params.get(j * OWN + i);
            grad[0] += share * (l(3) * term.z[0] + l(4) * term.z[1]);
            grad[1] += share * l(5) * term.z[1];
        }
        -sum
    }
}

impl Trainable for Bumps {
    fn blocks(&self) -> Vec<Block> {
        vec![Block::new("bumps", [self.0.len() / OWN, OWN], false)]
    }

    fn with_params(&self, params: &[f32]) -> Result<Arc<dyn Trainable>> {
        Ok(Arc::new(Self(params.to_vec())))
    }

    /// The value alone, which is all that contrastive estimation asks for.
    fn jet(&self, params: &[f64], x: &[f64], _v: &[f64], _order: Order) -> [f64; 3] {
        [-terms(|i| params[i], self.0.len() / OWN, x).1, 0.0, 0.0]
    }

    fn jet_param_grad(&self, params: &[f64], x: &[f64], _v: &[f64], adjoints: [f64; 3], grad: &mut [f64]) {
        let (terms, sum) = terms(|i| params[i], self.0.len() / OWN, x);
        for ((own, grad), Term { z, d, log }) in params.chunks_exact(OWN).zip(grad.chunks_exact_mut(OWN)).zip(terms) {
            let share = -adjoints[0] * (log - sum).exp();
            let of_log = [1.0, own[3] * z[0] + own[4] * z[1], own[5] * z[1], -z[0] * d[0], -z[1] * d[0], -z[1] * d[1]];
            grad.iter_mut().zip(of_log).for_each(|(g, v)| *g += share * v);
        }
    }
}
