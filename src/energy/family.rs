//! Families of densities of one number, in any number of independent coordinates: E(x) = Σᵢ e(xᵢ).
//!
//! A family is its term e and the slope e′, in WGSL as `fn <stem>_terms(at, x: Lane) -> Lane`, `fn <stem>_slopes(at, x: Lane) -> Lane`
//! and `fn <stem>_outside(x: Lane) -> bool`, whether any of the numbers is outside of the support; and `const <stem>_INSIDE`, a number of
//! the support. The sums are made here.

use super::Call;
use crate::{Result, program::Composer};

/// Adds a family's own text and its sums over the coordinates.
pub(super) fn compose(program: &mut Composer, stem: &str, source: &str) -> Result<Call> {
    let head = format!(
        "    var sum = 0.0;\n    var outside = false;\n    for (var b = 0u; b < blocks(); b++) {{\n        \
         let mask = lane_mask(b);\n        let v = (*x)[b] + {stem}_INSIDE * (1.0 - mask);\n"
    );
    let add = format!("        sum += dot(mask, {stem}_terms(at, v));\n        outside = outside || {stem}_outside(v);\n");
    let end = "    }\n    if (outside) { return infinity(); }\n    return sum;\n}\n";
    let text = format!(
        "{source}\nfn {stem}_energy(at: u32, x: ptr<function, Point>) -> f32 {{\n{head}{add}{end}\n\
         fn {stem}_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {{\n{head}        \
         (*grad)[b] = mask * {stem}_slopes(at, v);\n{add}{end}"
    );
    program.add(stem, &text)?;
    Ok(Call::new(stem, &[]))
}

/// Implements `Energy` for a family with the fields `dim` and `params`, from its stem and its associated function
/// `term(params, x) -> (e, e′)`, where e is +∞ outside of the support.
macro_rules! family {
    ($family:ty, $stem:literal) => {
        impl $crate::energy::Energy for $family {
            fn name(&self) -> String {
                $stem.into()
            }

            fn dim(&self) -> usize {
                self.dim
            }

            fn params(&self) -> Vec<f32> {
                self.params.into()
            }

            fn compose(&self, program: &mut $crate::program::Composer) -> $crate::Result<$crate::energy::Call> {
                let source = include_str!(concat!("../../shaders/energy/", $stem, ".wgsl"));
                $crate::energy::family::compose(program, $stem, source)
            }

            fn energy(&self, params: $crate::energy::Params<'_>, x: &[f64]) -> f64 {
                x.iter().map(|&x| Self::term(params, x).0).sum()
            }

            fn energy_and_grad(&self, params: $crate::energy::Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
                let mut energy = 0.0;
                for (g, &x) in grad.iter_mut().zip(x) {
                    let (term, slope) = Self::term(params, x);
                    *g = slope;
                    energy += term;
                }
                energy
            }

            fn spread(&self) -> Option<Vec<usize>> {
                Some(Vec::new())
            }

            fn check_gradient(&self) -> bool {
                false
            }
        }
    };
}
pub(super) use family;
