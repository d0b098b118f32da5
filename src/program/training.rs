//! The program of the passes of training over an energy that has jets in WGSL (shaders/train/passes.wgsl).

use std::fmt::Write as _;

use naga::valid::Capabilities;

use super::{Composer, Part, Program, UNROLLED_DIM, check_dim, lanes, params::params_text, parse, points, shape_text, unroll};
use crate::{Result, train::Trainable};

/// More parameters than this take software Vulkan too long to compile: two seconds for a mixture with 144, five for one with 272.
const MOST_SOFTWARE_PARAMS: usize = 256;
/// The entry points, in their order.
const PASSES: [&str; 5] = ["energies", "energies_and_grads", "jets", "param_grads", "sum_columns"];

impl Program {
    /// The passes of training, or none where the energy has no jets in WGSL ([`Trainable::compose_jets`]). `software` writes the text as
    /// software Vulkan runs it best, with parameters and their gradients in variables; then there is none either where these are more than
    /// 256, or are [indexed at run time](Composer::runs_over_params), or where a point has more than 32 coordinates.
    ///
    /// # Errors
    /// As [`Program::new`].
    pub fn training(target: &dyn Trainable, software: bool) -> Result<Option<Self>> {
        let (dim, params) = (target.dim(), target.params().len());
        check_dim(dim)?;
        let mut composer = Composer::default();
        let call = target.compose(&mut composer)?;
        let Some(jets) = target.compose_jets(&mut composer)? else { return Ok(None) };
        if software && (dim > UNROLLED_DIM || params > MOST_SOFTWARE_PARAMS || composer.running_index) {
            return Ok(None);
        }
        let header = shape_text(dim, 1, dim > UNROLLED_DIM)
            + &format!(
                "const NOISY = false;\n\
                 fn energy(x: ptr<function, Point>) -> f32 {{ return {energy}; }}\n\
                 fn energy_and_grad(x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {{ return {energy_and_grad}; }}\n\
                 fn jet(x: ptr<function, Point>, v: ptr<function, Point>) -> vec3<f32> {{ return {jet}; }}\n\
                 fn jet_param_grad(x: ptr<function, Point>, v: ptr<function, Point>, adjoints: vec3<f32>) {{ {jet_param_grad}; }}\n",
                energy = call.energy("0u", "x"),
                energy_and_grad = call.energy_and_grad("0u", "x", "grad"),
                jet = jets.jet("0u", "x", "v"),
                jet_param_grad = jets.jet_param_grad("0u", "x", "v", "adjoints"),
            )
            + &params_text(params, software)
            + &param_grads_text(params, software, lanes(dim).0);
        let mut parts = points(dim, 1, include_str!("../../shaders/whole.wgsl"), header);
        let energy = parts.len()..parts.len() + composer.parts.len();
        parts.append(&mut composer.parts);
        parts.push(Part::new("proof", include_str!("../../shaders/proof.wgsl")));
        parts.push(Part::new("passes", include_str!("../../shaders/train/passes.wgsl")));
        let mut program = parse(&parts, energy, Capabilities::empty(), |_| Ok(()))?;
        program.expect(&PASSES, 7)?;
        if software {
            let text = unroll::unroll(&program.source, lanes(dim).1);
            program = parse(&[Part { name: "program".into(), source: text }], 0..1, Capabilities::empty(), |_| Ok(()))?;
        }
        Ok(Some(Self { caches_params: software, ..program }))
    }
}

/// `add_param_grad(i, value)`: to an invocation's own column in storage, or to variables that go there in the end.
fn param_grads_text(params: usize, cached: bool, lanes: usize) -> String {
    let mut text = "fn add_param_grad_lane(at: u32, block: u32, value: Lane) {\n".to_owned();
    for l in 0..lanes {
        let i = format!("block * LANES + {l}u");
        let _ = writeln!(text, "    if ({i} < DIM) {{ add_param_grad(at + {i}, value[{l}]); }}");
    }
    text += "}\n";
    if !cached {
        return text
            + "fn add_param_grad(i: u32, value: f32) { columns[i * run.columns + column] += value; }\n\
               fn begin_param_grads() {}\nfn end_param_grads() {}\n";
    }
    let each = |line: &dyn Fn(usize) -> String| (0..params).map(line).collect::<String>();
    text + &format!(
        "var<private> own_grads: array<f32, {params}>;\n\
         fn add_param_grad(i: u32, value: f32) {{ own_grads[i] += value; }}\n\
         fn begin_param_grads() {{\n    if (run.first_round == 0u) {{ return; }}\n{}}}\nfn end_param_grads() {{\n{}}}\n",
        each(&|i| format!("    own_grads[{i}] = columns[{i}u * run.columns + column];\n")),
        each(&|i| format!("    columns[{i}u * run.columns + column] = own_grads[{i}];\n")),
    )
}
