//! What an update of training draws and averages, in f32 on all cores. Work is cut by rows and units, never by the number of threads,
//! so results are the same bits on any number of them.

use nalgebra::{DMatrixView, DMatrixViewMut};
use rayon::prelude::*;

use super::{
    fields::{Bits, Fields, Matrix, Real, draw},
    train::Step,
};
use crate::random::{Epochs, Stream, key};

/// Rows of one product; even, since neighbouring rows share random blocks.
const ROWS: usize = 128;
/// Visible units of one product of statistics at most.
const UNITS: usize = 112;

/// How half sweeps are numbered, and which random blocks they read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbering {
    seed: u64,
    slots: u32,
}

impl Numbering {
    pub(crate) fn new(seed: u64, units: [usize; 2]) -> Self {
        Self { seed, slots: units[0].max(units[1]) as u32 }
    }

    /// The random bits of a half sweep, from a row on.
    pub(crate) fn bits(&self, half: u64, first_row: usize) -> Bits {
        let epochs = Epochs::new(self.slots);
        let key = key(self.seed, Stream::Train, epochs.epoch(half));
        Bits { key, first_chain: first_row as u32, index: epochs.step_in_epoch(half) * self.slots }
    }
}

/// Rows so many to a product: few enough to keep two cores busy, many enough that packing the weights is cheap.
fn rows_a_product(rows: usize) -> usize {
    (rows / 2).next_multiple_of(2).clamp(2, ROWS)
}

/// Rows of visible units with the fields of the hidden ones, b + Wᵀv.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    /// `[row][visible]`.
    pub(crate) v: Vec<f32>,
    /// `[row][hidden]`.
    pub(crate) x: Vec<f32>,
}

impl Rows {
    pub(crate) fn new(fields: &Fields<'_, f32>, v: Vec<f32>) -> Self {
        let [visible, hidden] = fields.units();
        let batch = rows_a_product(v.len() / visible);
        let mut x = vec![0.0; v.len() / visible * hidden];
        v.par_chunks(batch * visible).zip(x.par_chunks_mut(batch * hidden)).for_each_init(Vec::new, |to, (v, x)| {
            fields.hidden(v, to);
            x.copy_from_slice(to);
        });
        Self { v, x }
    }

    /// The rows after so many sweeps, the first of which draws from these fields.
    pub(crate) fn after(&self, fields: &Fields<'_, f32>, sweeps: u64, numbering: Numbering, drawn: u64) -> Self {
        let [visible, hidden] = fields.units();
        let batch = rows_a_product(self.v.len() / visible);
        let mut rows = self.clone();
        let batches = rows.v.par_chunks_mut(batch * visible).zip(rows.x.par_chunks_mut(batch * hidden)).enumerate();
        batches.for_each_init(
            || (Vec::new(), Vec::new()),
            |(v, h), (batch_number, (to_v, to_x))| {
                let first_row = batch_number * batch;
                h.clear();
                h.extend_from_slice(to_x);
                for half in (drawn..drawn + 2 * sweeps).step_by(2) {
                    draw(numbering.bits(half, first_row), hidden, h);
                    fields.visible(h, v);
                    fields.draw_visible(numbering.bits(half + 1, first_row), v);
                    fields.hidden(v, h);
                }
                to_v.copy_from_slice(v);
                to_x.copy_from_slice(h);
            },
        );
        rows
    }

    /// Replaces the fields of the hidden units by their means.
    fn into_means(mut self) -> Self {
        self.x.par_chunks_mut(1 << 14).for_each(|x| {
            x.iter_mut().for_each(|x| {
                let rare = f32::rare(*x);
                *x = if *x > 0.0 { 1.0 - rare } else { rare };
            });
        });
        self
    }
}

/// What an update steps along: means over data less means over the machine's rows.
pub(crate) struct Differences {
    pub(crate) of: Step,
    /// Means of the visible units and of the hidden units' means over the data.
    pub(crate) v: Vec<f32>,
    pub(crate) h: Vec<f32>,
}

impl Differences {
    pub(crate) fn new(data: Rows, model: Rows, units: [usize; 2]) -> Self {
        let [visible, hidden] = units;
        let (mut data, mut model) = rayon::join(|| data.into_means(), || model.into_means());
        let mean = |values: &[f32], width: usize| -> Vec<f64> {
            let mut sums = vec![0.0; width];
            values.chunks_exact(width).for_each(|row| sums.iter_mut().zip(row).for_each(|(s, &x)| *s += f64::from(x)));
            let rows = (values.len() / width) as f64;
            sums.into_iter().map(|s: f64| s / rows).collect()
        };
        let ((v, v_model), (h, h_model)) = rayon::join(
            || (mean(&data.v, visible), mean(&model.v, visible)),
            || (mean(&data.x, hidden), mean(&model.x, hidden)),
        );
        let less = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b) as f32).collect();
        // One product for both sides: hidden units scaled by 1/rows, those of the model by −1/rows.
        let scaled = |rows: &mut Rows, sign: f32| {
            let by = sign / (rows.v.len() / visible) as f32;
            rows.x.iter_mut().for_each(|x| *x *= by);
        };
        rayon::join(|| scaled(&mut data, 1.0), || scaled(&mut model, -1.0));
        let mut weights = vec![0.0; visible * hidden];
        let units = visible.div_ceil(2).min(UNITS);
        weights.par_chunks_mut(units * hidden).enumerate().for_each(|(chunk, to)| {
            let (first, columns) = (chunk * units, to.len() / hidden);
            let mut to = DMatrixViewMut::from_slice(to, hidden, columns);
            for (rows, beta) in [(&data, 0.0), (&model, 1.0)] {
                let count = rows.v.len() / visible;
                let h = DMatrixView::from_slice(&rows.x, hidden, count);
                let v = Matrix::from_slice_with_strides(&rows.v[first..], count, columns, visible, 1);
                to.gemm(1.0, &h, &v, beta);
            }
        });
        let of = Step { weights, visible_bias: less(&v, &v_model), hidden_bias: less(&h, &h_model) };
        let f32s = |values: Vec<f64>| values.into_iter().map(|x| x as f32).collect();
        Self { of, v: f32s(v), h: f32s(h) }
    }
}
