//! A user's own energy, from WGSL text alone.

mod audit;
mod loops;
mod scan;

use std::{fs::File, io::Read, path::Path};

use super::{Call, Energy, Params};
use crate::{
    Error, Result,
    program::{Composer, check_dim, parse_alone, render, shader_error},
};
pub(crate) use scan::{Kind, Tokens};
use scan::{MAX_BYTES, Mistake};

/// An energy given as WGSL text: any formula, on a GPU only (there is no f64 twin).
///
/// The text declares two functions and whatever they need; all names at module scope begin with the stem and an underscore:
///
/// ```wgsl
/// // E(x, y) = a (y - x^2)^2 + (1 - x)^2. Parameters: a.
/// fn valley_energy(at: u32, x: ptr<function, Point>) -> f32 {
///     let p = (*x)[0];
///     let d = p.y - p.x * p.x;
///     return param(at) * d * d + (1.0 - p.x) * (1.0 - p.x);
/// }
///
/// fn valley_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
///     let p = (*x)[0];
///     let d = p.y - p.x * p.x;
///     (*grad)[0] = vec2<f32>(-4.0 * param(at) * p.x * d - 2.0 * (1.0 - p.x), 2.0 * param(at) * d);
///     return valley_energy(at, x);
/// }
/// ```
///
/// A `Point` is `array<Lane, BLOCKS>`, where a `Lane` is `vec2<f32>` for one or two dimensions and `vec4<f32>` for more. The
/// padding of the last lane is zero; what a gradient has there is not used (multiply by `lane_mask(b)` in sums). `param(at + i)` is parameter
/// i, `param_lane(at + i, b)` are DIM parameters as lanes, `coordinate(x, i)` and `set_coordinate(grad, i, v)` are single
/// coordinates, `for (var b = 0u; b < blocks(); b++)` goes over the lanes. A NaN or an energy below −10³⁰ is a failed transition, an
/// energy of +∞ (`infinity()`) the outside of the support; where that has bounds, [`Compose::constrain`](super::Compose::constrain) takes
/// the chains into free coordinates.
///
/// Before each run with a kernel that uses gradients, the energies of the two functions are compared at random points, and the gradient with
/// differences of the energy.
///
/// Only functions, constants, structs and aliases are allowed, of up to 1 MiB of text. Entry points, variables and bindings at
/// module scope, overrides, directives, atomics, barriers, textures, recursion, writes to `x`, and loops without a way out are
/// refused. A loop that has a way out and does not take it cannot be seen before the run: some drivers cut it short, which is
/// noticed ([`Error::CutShort`]); elsewhere the wait for the device ends in [`Error::Timeout`], or the driver gives the device up
/// ([`Error::DeviceLost`]).
#[derive(Debug, Clone)]
pub struct WgslEnergy {
    stem: String,
    /// The name in messages.
    file: String,
    dim: usize,
    params: Vec<f32>,
    text: String,
}

impl WgslEnergy {
    /// From a text whose names begin with `<stem>_`, in `dim` dimensions; messages call it `<stem>.wgsl`.
    ///
    /// # Errors
    /// [`Error::Shader`] with line and column where the text is wrong or refused; [`Error::Setting`] where the stem is no
    /// identifier; [`Error::Limit`] where the dimension does not fit.
    pub fn from_text(
        stem: impl Into<String>,
        dim: usize,
        params: impl Into<Vec<f32>>,
        text: impl Into<String>,
    ) -> Result<Self> {
        let stem = stem.into();
        let file = format!("{stem}.wgsl");
        Self { stem, file, dim, params: params.into(), text: text.into() }.checked()
    }

    /// From a file; the stem is the name of the file without its extension.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be read; otherwise as [`from_text`](Self::from_text).
    pub fn from_file(path: impl AsRef<Path>, dim: usize, params: impl Into<Vec<f32>>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let unreadable = |source| Error::File { path: path.into(), source };
        let mut bytes = Vec::new();
        // One byte more than allowed is enough to refuse it.
        File::open(path).and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
        if bytes.len() > MAX_BYTES {
            return Err(too_long(&name));
        }
        let text = String::from_utf8(bytes)
            .map_err(|e| shader_error(&name, format!("the file is not UTF-8 text (byte {})", e.utf8_error().valid_up_to())))?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Self { stem, file: name, dim, params: params.into(), text }.checked()
    }

    /// The WGSL text.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn checked(mut self) -> Result<Self> {
        // Some editors begin a file with a byte order mark, which is no part of the text.
        if let Some(text) = self.text.strip_prefix('\u{feff}') {
            self.text = text.into();
        }
        let Self { stem, file, dim, text, .. } = &self;
        let starts_well = stem.starts_with(|c: char| c.is_ascii_alphabetic());
        if !starts_well || !stem.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') || stem.len() > 64 {
            let why = "must be a letter followed by letters, digits and underscores (64 at most): all names in the text begin with it";
            return Err(Error::setting("stem of the energy", stem, why));
        }
        check_dim(*dim)?;
        if text.len() > MAX_BYTES {
            return Err(too_long(file));
        }
        let located = |Mistake { at, message, label, notes }: Mistake| match at.is_empty() {
            true => shader_error(file, std::iter::once(message).chain(notes).collect::<Vec<_>>().join("; ")),
            false => render(file, text, at, message, &label, &notes),
        };
        let declared = scan::scan(text, stem).map_err(located)?;
        let signatures = |module: &_| audit::signatures(module, stem, &declared).map_err(located);
        let module = parse_alone(file, text, *dim, signatures)?;
        audit::audit(&module, stem, text.len(), &declared).map_err(located)?;
        Ok(self)
    }
}

fn too_long(file: &str) -> Error {
    shader_error(file, format!("the text is longer than {MAX_BYTES} bytes; put tables into the parameters"))
}

impl Energy for WgslEnergy {
    fn name(&self) -> String {
        self.stem.clone()
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn params(&self) -> Vec<f32> {
        self.params.clone()
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        program.add_own(&self.stem, &self.file, &self.text)
    }

    /// There is no twin: NaN.
    fn energy(&self, _params: Params<'_>, _x: &[f64]) -> f64 {
        f64::NAN
    }

    /// There is no twin: NaN.
    fn energy_and_grad(&self, _params: Params<'_>, _x: &[f64], grad: &mut [f64]) -> f64 {
        grad.fill(f64::NAN);
        f64::NAN
    }

    fn has_twin(&self) -> bool {
        false
    }
}
