//! The optimiser of everything that is trained here.

/// Adam (Kingma and Ba 2015) with β = (0.9, 0.999) and ε = 10⁻⁸: moments in f64, parameters in f32.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Adam {
    pub(super) first: Vec<f64>,
    pub(super) second: Vec<f64>,
}

impl Adam {
    pub(super) fn new(params: usize) -> Self {
        Self { first: vec![0.0; params], second: vec![0.0; params] }
    }

    /// Goes down a gradient by one step, the `updates`-th from 0; None where a parameter would leave the finite range.
    #[must_use]
    pub(super) fn step(&mut self, params: &[f32], grad: &[f64], rate: f64, updates: u64) -> Option<Vec<f32>> {
        let bias = |beta: f64| 1.0 - beta.powf(updates as f64 + 1.0);
        let (bias_first, bias_second) = (bias(0.9), bias(0.999));
        let mut moved = Vec::with_capacity(params.len());
        for (((&param, &g), first), second) in params.iter().zip(grad).zip(&mut self.first).zip(&mut self.second) {
            *first = 0.9 * *first + 0.1 * g;
            *second = 0.999 * *second + 0.001 * g * g;
            let step = rate * (*first / bias_first) / ((*second / bias_second).sqrt() + 1e-8);
            moved.push((f64::from(param) - step) as f32);
        }
        moved.iter().all(|p| p.is_finite()).then_some(moved)
    }
}
