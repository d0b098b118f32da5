//! The WGSL of a network within the program of a chain: one invocation evaluates all layers for its own position.
//!
//! Every weight is loaded for every chain, so the passes over layers ([`super::product`]) are several times faster; but here every
//! kernel of the engine works. Rows of weights are written out, since drivers count the turns of loops.

use std::fmt::Write as _;

use super::Network;
use crate::{Error, Result, energy::Call, program::Composer};

/// WGSL grants a function 8,192 bytes of variables.
const MOST_FLOATS: usize = 2048;
/// Terms of a sum that are written out at most.
const UNROLLED: usize = 128;

/// Adds the functions of `network` with a confinement to a program.
pub(super) fn compose(network: &Network, confinement: f32, program: &mut Composer) -> Result<Call> {
    let sizes = network.sizes();
    add_activation(network, program)?;
    let inputs: String = (0..sizes[0]).map(|i| format!("    a[{i}] = coordinate(x, {i}u);\n")).collect();
    let stem = program.unique("net");
    let (text, at) = forward(network, &inputs, false);
    let mut source = format!(
        "fn {stem}_energy(at: u32, x: ptr<function, Point>) -> f32 {{\n{text}    return {at}[0] + {};\n}}\n\n",
        half_square(confinement, sizes[0]),
    );
    let (text, at) = forward(network, &inputs, true);
    let _ = write!(
        source,
        "fn {stem}_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {{\n{text}    let e = {at}[0] + {};\n{}    return e;\n}}\n",
        half_square(confinement, sizes[0]),
        gradient(network, confinement),
    );
    program.add(&stem, &source)?;
    Ok(Call::new(stem, &[]))
}

/// Adds the activations, and refuses a network that does not fit.
pub(crate) fn add_activation(network: &Network, program: &mut Composer) -> Result<()> {
    let floats = 2 * widest(network) + network.sizes()[1..network.layers()].iter().sum::<usize>();
    if floats > MOST_FLOATS {
        return Err(Error::Limit {
            what: "units of the network (all hidden ones and twice the widest layer)".into(),
            asked: floats as u64,
            allowed: MOST_FLOATS as u64,
            limit: "WGSL's 8,192 bytes of variables a function, in which a chain's network must fit,".into(),
        });
    }
    program.add("net", include_str!("../../shaders/net/activation.wgsl"))
}

/// Units of the widest layer.
fn widest(network: &Network) -> usize {
    network.sizes().iter().copied().max().unwrap_or(1)
}

/// ½ c ‖x‖².
fn half_square(confinement: f32, dim: usize) -> String {
    let squares: Vec<_> = (0..dim).map(|i| format!("coordinate(x, {i}u) * coordinate(x, {i}u)")).collect();
    format!("{:?} * ({})", 0.5 * confinement, squares.join(" + "))
}

/// The layers from the inputs, which the text `inputs` puts into array `a`, to the output, in turn from `a` to `b` and back; with the
/// slopes of all activations in `d`, if wanted. Also the array that ends with the output.
pub(crate) fn forward(network: &Network, inputs: &str, slopes: bool) -> (String, &'static str) {
    let widest = widest(network);
    let mut text = format!("    var a: array<f32, {widest}>;\n    var b: array<f32, {widest}>;\n");
    if slopes {
        let hidden: usize = network.sizes()[1..network.layers()].iter().sum();
        let _ = writeln!(text, "    var d: array<f32, {hidden}>;");
    }
    text += inputs;
    let mut slope_at = 0;
    for layer in 0..network.layers() {
        let (inputs, outputs) = network.shape(layer);
        let at = network.layer_range(layer).start;
        let (from, to) = arrays(layer);
        let _ = write!(
            text,
            "    for (var o = 0u; o < {outputs}u; o++) {{\n        let row = at + {at}u + o * {inputs}u;\n        var z = param(at + {}u + o);\n{}",
            at + inputs * outputs,
            sum("z", inputs, &|k| format!("param(row + {k})"), from),
        );
        if layer + 1 < network.layers() {
            let _ = writeln!(text, "        let h = net_{}(z);\n        {to}[o] = h.x;", network.activation().name());
            if slopes {
                let _ = writeln!(text, "        d[{slope_at}u + o] = h.y;");
            }
            slope_at += outputs;
        } else {
            let _ = writeln!(text, "        {to}[o] = z;");
        }
        text += "    }\n";
    }
    (text, arrays(network.layers() - 1).1)
}

/// The gradient, from the adjoints of the input.
fn gradient(network: &Network, confinement: f32) -> String {
    let (mut text, from) = reverse(network);
    text += "    clear(grad);\n";
    for i in 0..network.sizes()[0] {
        let _ = writeln!(text, "    set_coordinate(grad, {i}u, {from}[{i}] + {confinement:?} * coordinate(x, {i}u));");
    }
    text
}

/// The adjoints of the units of each layer, from the last hidden one, of a single output, in turn from array `a` to `b` and back. Also
/// the array that ends with those of the input.
pub(crate) fn reverse(network: &Network) -> (String, &'static str) {
    let last = network.layers() - 1;
    let at = network.layer_range(last).start;
    let hidden = |layer: usize| network.sizes()[1..layer].iter().sum::<usize>();
    let mut text = format!(
        "    for (var k = 0u; k < {}u; k++) {{ a[k] = param(at + {at}u + k) * d[{}u + k]; }}\n",
        network.sizes()[last],
        hidden(last),
    );
    for (turn, layer) in (0..last).rev().enumerate() {
        let (inputs, outputs) = network.shape(layer);
        let at = network.layer_range(layer).start;
        let (from, to) = arrays(turn);
        let slope = if layer == 0 { String::new() } else { format!(" * d[{}u + k]", hidden(layer)) };
        let _ = write!(
            text,
            "    for (var k = 0u; k < {inputs}u; k++) {{\n        let column = at + {at}u + k;\n        var s = 0.0;\n{}        {to}[k] = s{slope};\n    }}\n",
            sum("s", outputs, &|o| format!("param(column + {inputs}u * ({o}))"), from),
        );
    }
    (text, arrays(last - 1).1)
}

fn arrays(turn: usize) -> (&'static str, &'static str) {
    if turn.is_multiple_of(2) { ("a", "b") } else { ("b", "a") }
}

/// Adds Σ weight(i) · array[i] to a variable.
fn sum(variable: &str, terms: usize, weight: &dyn Fn(&str) -> String, array: &str) -> String {
    let term = |i: String| format!("        {variable} = fma({}, {array}[{i}], {variable});\n", weight(&i));
    let whole = if terms > UNROLLED { terms / UNROLLED * UNROLLED } else { 0 };
    let mut text = String::new();
    if whole > 0 {
        let body: String = (0..UNROLLED).map(|i| term(format!("i + {i}u"))).collect();
        let _ = write!(text, "        for (var i = 0u; i < {whole}u; i += {UNROLLED}u) {{\n{body}        }}\n");
    }
    text + &(whole..terms).map(|i| term(format!("{i}u"))).collect::<String>()
}
