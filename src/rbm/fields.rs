//! Many chains at once on the CPU: fields as matrix products, and Bernoulli draws. In f64 it is the twin of
//! `shaders/rbm/half_sweep.wgsl`; in f32 it trains and anneals.

use std::borrow::Cow;

use nalgebra::{DMatrixView, DMatrixViewMut, Dyn, MatrixView, RealField};

use super::Rbm;
use crate::random::normal_pair;

/// f32 or f64.
pub(crate) trait Real: RealField + Copy + From<u8> + Into<f64> {
    fn of(value: f64) -> Self;

    /// 1 / (1 + exp(|x|)).
    fn rare(x: Self) -> Self;

    /// A unit that sees `field`, drawn with 32 random bits: it is in its less likely state where the word over 2³² is below
    /// 1 / (1 + exp(|field|)), so both states have their probability within 2⁻³²; in f32 within 2⁻³¹ and its rounding.
    fn bernoulli(word: u32, field: Self) -> Self;
}

impl Real for f32 {
    fn of(value: f64) -> Self {
        value as Self
    }

    #[inline(always)]
    fn rare(x: Self) -> Self {
        1.0 / (1.0 + exp(x.abs()))
    }

    #[inline(always)]
    fn bernoulli(word: u32, field: Self) -> Self {
        // Processors convert only signed integers several at once.
        let is_rare = ((word >> 1) as i32 as Self) < Self::rare(field) * 2_147_483_648.0;
        if is_rare != (field > 0.0) { 1.0 } else { 0.0 }
    }
}

impl Real for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn rare(x: Self) -> Self {
        1.0 / (1.0 + x.abs().exp())
    }

    #[inline(always)]
    fn bernoulli(word: u32, field: Self) -> Self {
        let is_rare = word < (Self::rare(field) * 4_294_967_296.0) as u32;
        Self::from(u8::from(is_rare != (field > 0.0)))
    }
}

/// exp(x) for x ≥ 0 within 2·10⁻⁷ of itself, written so that compilers do several at once; exp(80) from there on.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // x = n ln 2 + r, |r| ≤ ½ ln 2; adding 1.5·2²³ rounds to a whole number, whose bits then are those of the exponent.
    let shifted = x.min(80.0) * std::f32::consts::LOG2_E + 12_582_912.0;
    let n = shifted - 12_582_912.0;
    let r = x.min(80.0) - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let series = 1.0
        + r * (1.0
            + r * (1.0 / 2.0
                + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0)))))));
    f32::from_bits((shifted.to_bits() << 23).wrapping_add(series.to_bits()))
}

/// Below this many rows or columns a plain loop does the product, as fast as the library's path for small matrices.
const SMALL: usize = 8;

/// The parameters, ready for products. Gaussian visible units are held in units of their σ: v/σ, which given h is N(a/σ + Wh, 1).
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a, T: Clone> {
    gaussian: bool,
    visible: usize,
    hidden: usize,
    /// W, `[visible][hidden]`.
    weights: Cow<'a, [T]>,
    visible_bias: Vec<T>,
    hidden_bias: Cow<'a, [T]>,
}

impl<T: Real> Fields<'static, T> {
    pub(crate) fn new(rbm: &Rbm) -> Self {
        let cast = |values: &[f32]| values.iter().map(|&v| T::of(f64::from(v))).collect::<Vec<_>>();
        Self {
            gaussian: rbm.sds.is_some(),
            visible: rbm.visible,
            hidden: rbm.hidden,
            weights: cast(&rbm.weights).into(),
            visible_bias: rbm.scaled_rows(&rbm.visible_bias),
            hidden_bias: cast(&rbm.hidden_bias).into(),
        }
    }
}

impl<'a> Fields<'a, f32> {
    /// Without a copy of the weights.
    pub(crate) fn of(rbm: &'a Rbm) -> Self {
        Self {
            gaussian: rbm.sds.is_some(),
            visible: rbm.visible,
            hidden: rbm.hidden,
            weights: (&rbm.weights).into(),
            visible_bias: rbm.scaled_rows(&rbm.visible_bias),
            hidden_bias: (&rbm.hidden_bias).into(),
        }
    }
}

impl<T: Real> Fields<'_, T> {
    pub(crate) fn units(&self) -> [usize; 2] {
        [self.visible, self.hidden]
    }

    pub(crate) fn visible_bias(&self) -> &[T] {
        &self.visible_bias
    }

    /// b + Wᵀv of visible rows `[chain][visible]`: `[chain][hidden]`.
    pub(crate) fn hidden(&self, v: &[T], fields: &mut Vec<T>) {
        let weights = Matrix::from_slice_with_strides(&self.weights, self.hidden, self.visible, 1, self.hidden);
        product(weights, &self.hidden_bias, v, fields);
    }

    /// a + Wh of hidden rows `[chain][hidden]`: `[chain][visible]`.
    pub(crate) fn visible(&self, h: &[T], fields: &mut Vec<T>) {
        let weights = Matrix::from_slice_with_strides(&self.weights, self.visible, self.hidden, self.hidden, 1);
        product(weights, &self.visible_bias, h, fields);
    }

    /// Replaces the visible units' fields, `[chain][visible]`, by drawn states.
    pub(crate) fn draw_visible(&self, bits: Bits, fields: &mut [T]) {
        if self.gaussian { add_normals(bits, self.visible, fields) } else { draw(bits, self.visible, fields) }
    }
}

/// A matrix in a slice, with any strides.
pub(crate) type Matrix<'a, T> = MatrixView<'a, T, Dyn, Dyn, Dyn, Dyn>;

/// `fields`, `[chain][output]`, = bias + states `[chain][input]` times weights, outputs by inputs.
fn product<T: Real>(weights: Matrix<'_, T>, bias: &[T], states: &[T], fields: &mut Vec<T>) {
    let (outputs, inputs) = weights.shape();
    let chains = states.len() / inputs;
    fields.clear();
    fields.reserve(chains * outputs);
    (0..chains).for_each(|_| fields.extend_from_slice(bias));
    if inputs.min(outputs).min(chains) < SMALL {
        for (fields, states) in fields.chunks_exact_mut(outputs).zip(states.chunks_exact(inputs)) {
            for (weights, &state) in weights.column_iter().zip(states) {
                fields.iter_mut().zip(weights.iter()).for_each(|(x, &w)| *x += w * state);
            }
        }
        return;
    }
    // A column a chain, as nalgebra stores matrices by columns.
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
    pairs(bits, units, fields, |words, [even, odd]| [T::bernoulli(words[0], even), T::bernoulli(words[1], odd)]);
}

/// Adds a standard normal to every field, `[chain][unit]`.
pub(crate) fn add_normals<T: Real>(bits: Bits, units: usize, fields: &mut [T]) {
    pairs(bits, units, fields, |words, [even, odd]| {
        let [z_even, z_odd] = normal_pair(words);
        [even + T::of(z_even), odd + T::of(z_odd)]
    });
}

/// Units whose random blocks are computed together, so that compilers do several at once.
const LANES: usize = 16;

/// Replaces the fields of chains 2k and 2k + 1 by what comes of them and of the random block that they share.
#[inline(always)]
fn pairs<T: Real>(bits: Bits, units: usize, fields: &mut [T], change: impl Fn([u32; 2], [T; 2]) -> [T; 2]) {
    for (pair, rows) in fields.chunks_mut(2 * units).enumerate() {
        let pair = bits.first_chain / 2 + pair as u32;
        let (even, odd) = rows.split_at_mut(units);
        // A last row without a neighbour is drawn beside a copy of itself.
        let mut alone = Vec::new();
        let odd = if odd.is_empty() {
            alone.extend_from_slice(even);
            &mut alone[..]
        } else {
            odd
        };
        for (block, (even, odd)) in even.chunks_mut(LANES).zip(odd.chunks_mut(LANES)).enumerate() {
            let words = random_lanes(bits.key, pair, bits.index.wrapping_add((block * LANES) as u32));
            let mut of = [[T::zero(); LANES]; 2];
            of[0][..even.len()].copy_from_slice(even);
            of[1][..odd.len()].copy_from_slice(odd);
            for lane in 0..LANES {
                let changed = change([words[0][lane], words[1][lane]], [of[0][lane], of[1][lane]]);
                of[0][lane] = changed[0];
                of[1][lane] = changed[1];
            }
            even.copy_from_slice(&of[0][..even.len()]);
            odd.copy_from_slice(&of[1][..odd.len()]);
        }
    }
}

/// `threefry(key, [pair, index + lane])` of all lanes, by words.
fn random_lanes(key: [u32; 2], pair: u32, index: u32) -> [[u32; LANES]; 2] {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let keys = [key[0], key[1], 0x1bd1_1bda ^ key[0] ^ key[1]];
    let mut x = [pair.wrapping_add(keys[0]); LANES];
    let mut y: [u32; LANES] = std::array::from_fn(|lane| index.wrapping_add(lane as u32).wrapping_add(keys[1]));
    for group in 0..5 {
        for left in ROTATIONS[group % 2] {
            for lane in 0..LANES {
                x[lane] = x[lane].wrapping_add(y[lane]);
                y[lane] = y[lane].rotate_left(left) ^ x[lane];
            }
        }
        let (to_x, to_y) = (keys[(group + 1) % 3], keys[(group + 2) % 3].wrapping_add(group as u32 + 1));
        for lane in 0..LANES {
            x[lane] = x[lane].wrapping_add(to_x);
            y[lane] = y[lane].wrapping_add(to_y);
        }
    }
    [x, y]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_within_its_bound() {
        let worst = (0..=800_000).map(|i| i as f32 * 1e-4).fold(0f64, |worst, x| {
            let exact = f64::from(x).exp();
            worst.max((f64::from(exp(x)) / exact - 1.0).abs())
        });
        assert!(worst < 2e-7 && exp(1e30) == exp(80.0), "{worst:e}");
    }

    #[test]
    fn lanes_have_the_random_blocks() {
        let lanes = random_lanes([7, u32::MAX], 5, u32::MAX - 3);
        for (lane, block) in (0..).zip(lanes[0].iter().zip(&lanes[1])) {
            let expected = crate::random::threefry([7, u32::MAX], [5, (u32::MAX - 3).wrapping_add(lane)]);
            assert_eq!([*block.0, *block.1], expected);
        }
    }

    #[test]
    fn many_small_factors_have_one_logarithm() {
        let fields: Vec<_> = (0..1_500).map(|i| f64::from(i) * 0.1 - 75.0).collect();
        let plain: f64 = fields.iter().map(|x: &f64| x.max(0.0) + (-x.abs()).exp().ln_1p()).sum();
        assert!((sum_softplus(fields.into_iter()) - plain).abs() < 1e-9 * plain);
    }
}
