//! Many chains at once on the CPU: fields as matrix products, and Bernoulli draws. In f64 it is the twin of
//! `shaders/rbm/half_sweep.wgsl`; in f32 it trains and anneals.

use nalgebra::{DMatrixView, DMatrixViewMut, RealField};

use super::{Rbm, transpose};
use crate::random::threefry;

/// f32 or f64.
pub(crate) trait Real: RealField + Copy + From<u8> + Into<f64> {
    fn of(value: f64) -> Self;

    /// A unit that sees `field`, drawn with 32 random bits: it is in its less likely state where the word is below
    /// 2³² / (1 + exp(|field|)), so both states have their probability within 2⁻³².
    fn bernoulli(word: u32, field: Self) -> Self;
}

macro_rules! real {
    ($real:ty) => {
        impl Real for $real {
            fn of(value: f64) -> Self {
                value as Self
            }

            fn bernoulli(word: u32, field: Self) -> Self {
                let rare = 1.0 / (1.0 + field.abs().exp());
                Self::from(u8::from((word < (rare * 4_294_967_296.0) as u32) != (field > 0.0)))
            }
        }
    };
}
real!(f32);
real!(f64);

/// Below this many rows or columns a plain loop does the product, as fast as the library's path for small matrices.
const SMALL: usize = 8;

/// The parameters, ready for products.
#[derive(Debug, Clone)]
pub(crate) struct Fields<T> {
    visible: usize,
    hidden: usize,
    /// W, `[visible][hidden]`.
    weights: Vec<T>,
    /// Wᵀ, `[hidden][visible]`.
    transposed: Vec<T>,
    visible_bias: Vec<T>,
    hidden_bias: Vec<T>,
}

impl<T: Real> Fields<T> {
    pub(crate) fn new(rbm: &Rbm) -> Self {
        let cast = |values: &[f32]| values.iter().map(|&v| T::of(f64::from(v))).collect::<Vec<_>>();
        Self {
            visible: rbm.visible,
            hidden: rbm.hidden,
            weights: cast(&rbm.weights),
            transposed: cast(&transpose(&rbm.weights, rbm.hidden)),
            visible_bias: cast(&rbm.visible_bias),
            hidden_bias: cast(&rbm.hidden_bias),
        }
    }

    /// b + Wᵀv of visible rows `[chain][visible]`: `[chain][hidden]`.
    pub(crate) fn hidden(&self, v: &[T], fields: &mut Vec<T>) {
        product(&self.weights, &self.hidden_bias, v, self.visible, fields);
    }

    /// a + Wh of hidden rows `[chain][hidden]`: `[chain][visible]`.
    pub(crate) fn visible(&self, h: &[T], fields: &mut Vec<T>) {
        product(&self.transposed, &self.visible_bias, h, self.hidden, fields);
    }
}

/// `fields`, `[chain][output]`, = bias + states `[chain][input]` · weights `[input][output]`.
fn product<T: Real>(weights: &[T], bias: &[T], states: &[T], inputs: usize, fields: &mut Vec<T>) {
    let (outputs, chains) = (bias.len(), states.len() / inputs);
    fields.clear();
    (0..chains).for_each(|_| fields.extend_from_slice(bias));
    if inputs.min(outputs).min(chains) < SMALL {
        for (fields, states) in fields.chunks_exact_mut(outputs).zip(states.chunks_exact(inputs)) {
            for (weights, &state) in weights.chunks_exact(outputs).zip(states) {
                fields.iter_mut().zip(weights).for_each(|(x, &w)| *x += w * state);
            }
        }
        return;
    }
    // A column a chain, as nalgebra stores matrices by columns.
    let weights = DMatrixView::from_slice(weights, outputs, inputs);
    let states = DMatrixView::from_slice(states, inputs, chains);
    DMatrixViewMut::from_slice(fields, outputs, chains).gemm(T::one(), &weights, &states, T::one());
}

/// Where the random bits of a half sweep come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bits {
    pub(crate) key: [u32; 2],
    /// Global id of the first chain, even: chains 2k and 2k + 1 share a block, a word each.
    pub(crate) first_chain: u32,
    /// Of the block of the first unit.
    pub(crate) index: u32,
}

/// Replaces fields, `[chain][unit]`, by drawn states.
pub(crate) fn draw<T: Real>(bits: Bits, units: usize, fields: &mut [T]) {
    for (pair, rows) in fields.chunks_mut(2 * units).enumerate() {
        let pair = bits.first_chain / 2 + pair as u32;
        let (even, odd) = rows.split_at_mut(units);
        for (unit, even) in even.iter_mut().enumerate() {
            let words = threefry(bits.key, [pair, bits.index.wrapping_add(unit as u32)]);
            *even = T::bernoulli(words[0], *even);
            if let Some(odd) = odd.get_mut(unit) {
                *odd = T::bernoulli(words[1], *odd);
            }
        }
    }
}

/// Σ ln(1 + eˣ). The products of up to 512 factors in [1, 2] do not overflow, so one logarithm serves them all.
pub(crate) fn sum_softplus(fields: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut product, mut factors) = (0.0, 1.0, 0);
    for x in fields {
        sum += x.max(0.0);
        product *= 1.0 + (-x.abs()).exp();
        factors += 1;
        if factors == 512 {
            sum += f64::ln(product);
            (product, factors) = (1.0, 0);
        }
    }
    sum + f64::ln(product)
}
