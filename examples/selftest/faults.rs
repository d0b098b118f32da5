//! What is planted for `--broken`.

use ergodic::{
    Result,
    energy::{Call, DoubleWell, Energy, Params},
    program::Composer,
};

/// A mistake to be found.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub what: &'static str,
    pub at: At,
}

/// Where it is planted: a piece of a text, and what stands there instead.
#[derive(Debug, Clone)]
pub(crate) enum At {
    /// The WGSL text of a kernel.
    Kernel { name: &'static str, piece: &'static str, instead: &'static str },
    /// shaders/random.wgsl.
    Random { piece: &'static str, instead: &'static str },
    /// The gradient of an energy.
    Gradient,
}

/// Every fault.
pub(crate) fn all() -> Vec<Fault> {
    let kernel = |what, name, piece, instead| Fault { what, at: At::Kernel { name, piece, instead } };
    let random = |what, piece, instead| Fault { what, at: At::Random { piece, instead } };
    vec![
        kernel("a wrong acceptance ratio (rwm): its sign", "rwm", "(*e - proposed)", "(proposed - *e)"),
        kernel("a wrong acceptance ratio (drift): 2 % too small", "drift", "(*e - proposed)", "0.98 * (*e - proposed)"),
        kernel("no acceptance at all (mala)", "mala", "info.accepted", "true"),
        kernel("a missing half-step (hmc): the first", "hmc", "start - 0.5 * kick * hmc_scale(b) * (*grad)[b]", "start"),
        kernel("a missing half-step (hmc): the last", "hmc", "v[b] + 0.5 * kick * hmc_scale(b) * g[b]", "v[b]"),
        kernel(
            "a reused random block (rwm): of the proposal for the decision",
            "rwm",
            "step, 0u, proposed",
            "step, 1u, proposed",
        ),
        kernel("a reused random block (rwm): the same at every step", "rwm", "(chain, step, 1u, b)", "(chain, 0u, 1u, b)"),
        kernel(
            "a random block that depends on the cutting (hmc)",
            "hmc",
            "(chain, step, 1u, b)",
            "(chain, step + run.steps, 1u, b)",
        ),
        kernel(
            "a reversed gradient (mala)",
            "mala",
            "- drift * scale * scale * (*grad)[b]",
            "+ drift * scale * scale * (*grad)[b]",
        ),
        kernel(
            "a reversed gradient (hmc): its law stays exact",
            "hmc",
            "let kick = control.step_size",
            "let kick = -control.step_size",
        ),
        kernel("a reversed gradient (ula)", "ula", "- control.step_size * (*grad)[b]", "+ control.step_size * (*grad)[b]"),
        Fault { what: "a reversed gradient (double well)", at: At::Gradient },
        kernel("an old energy (independence)", "independence", "*e = select(*e, proposed, info.accepted);", ""),
        kernel("a lost momentum (underdamped)", "underdamped", "move_if(accepted, &v, momentum);", ""),
        random("a wrong rotation (Threefry)", "26u", "25u"),
        random("a wrong digit (normals)", "0.07969262", "0.07959262"),
    ]
}

/// The double well with its gradient downhill in WGSL.
#[derive(Debug)]
pub(crate) struct Reversed(pub DoubleWell);

impl Energy for Reversed {
    fn name(&self) -> String {
        "reversed double well".into()
    }
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn params(&self) -> Vec<f32> {
        self.0.params()
    }
    fn compose(&self, program: &mut Composer) -> Result<Call> {
        let real = self.0.compose(program)?;
        let text = format!(
            "fn reversed_energy(at: u32, x: ptr<function, Point>) -> f32 {{ return {}; }}
            fn reversed_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {{
                let e = {};
                for (var b = 0u; b < blocks(); b++) {{ (*grad)[b] = -(*grad)[b]; }}
                return e;
            }}",
            real.energy("at", "x"),
            real.energy_and_grad("at", "x", "grad")
        );
        program.add("reversed", &text)?;
        Ok(Call::new("reversed", &[]))
    }
    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        self.0.energy(params, x)
    }
    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        self.0.energy_and_grad(params, x, grad)
    }
}
