//! Narrow layers: the last of a pass, of few outputs, whose sums are taken while the layer before is finished.

use std::fmt::Write as _;

use super::product::{Form, jet};

/// Outputs of a narrow layer at most: their sums stand in registers while the layer before is finished.
pub(super) const NARROW: usize = 4;

/// vec4s of a narrow layer.
pub(super) fn narrow_size(inputs: usize) -> usize {
    1 + inputs
}

/// Appends a narrow layer: the biases of its rows, then `[input][row]`.
pub(super) fn pack_narrow(
    (inputs, outputs): (usize, usize),
    weight: impl Fn(usize, usize) -> f32,
    bias: impl Fn(usize) -> f32,
    packed: &mut Vec<f32>,
) {
    packed.extend((0..NARROW).map(|row| if row < outputs { bias(row) } else { 0.0 }));
    for k in 0..inputs {
        packed.extend((0..NARROW).map(|row| if row < outputs { weight(row, k) } else { 0.0 }));
    }
}

/// The components of a vec4 that hold what belongs to the outputs of a narrow layer.
pub(super) fn components(narrow: usize) -> impl Iterator<Item = (usize, &'static str)> {
    ["x", "y", "z", "w"].into_iter().enumerate().take(narrow)
}

/// The texts around the blocks of a layer that sum up the narrow one which may follow: where the sums begin, and where they end in `work`.
/// Where invocations share columns, each has the sums of its blocks, and the first adds them up.
pub(super) fn narrow_sums(form: Form, parts: usize, narrow: usize) -> (String, String) {
    if narrow == 0 {
        return (String::new(), String::new());
    }
    let quads = form.quads(parts);
    let all = || (0..narrow).flat_map(|of| (0..parts).flat_map(move |part| (0..quads).map(move |quad| (of, part, quad))));
    let shared = form.shares > 1;
    let mut begin = "    let narrow_biases = weights[next.weights_at];\n".to_string();
    for (of, part, quad) in all() {
        let name = ["x", "y", "z", "w"][of];
        let from = match part {
            0 if shared => format!("select(0.0, narrow_biases.{name}, share == 0u)"),
            0 => format!("narrow_biases.{name}"),
            _ => "0.0".into(),
        };
        let _ = writeln!(begin, "    var n{of}_{part}_{quad} = vec4<f32>({from});");
    }
    let mut end = String::new();
    if shared {
        for (at, (of, part, quad)) in all().enumerate() {
            let _ = writeln!(end, "    narrow_parts[{at}u][share][column] = n{of}_{part}_{quad};");
        }
        end += "    workgroupBarrier();\n";
    }
    end += "    let rows = select(0u, next.outputs, joined && share == 0u);\n    for (var unit = 0u; unit < rows; unit++) {\n";
    for quad in 0..quads {
        let sums = jet(parts, |part| match shared {
            true => format!("narrow_sum(unit * {}u + {}u)", parts * quads, part * quads + quad),
            // Selected: an index would put the sums in memory.
            false => (1..narrow)
                .fold(format!("n0_{part}_{quad}"), |text, of| format!("select({text}, n{of}_{part}_{quad}, unit == {of}u)")),
        });
        let _ = writeln!(end, "        store(next.to + unit * STRIDE, {quad}u, {sums});");
    }
    end += "        turns += 1u;\n    }\n";
    (begin, end)
}

/// What [`narrow_sums`] stands on where invocations share columns.
pub(super) fn narrow_parts(form: Form, parts: usize, narrow: usize) -> String {
    let Form { across, shares, .. } = form;
    if shares == 1 || narrow == 0 {
        return String::new();
    }
    format!(
        "var<workgroup> narrow_parts: array<array<array<vec4<f32>, {across}>, {shares}>, {}>;

fn narrow_sum(at: u32) -> vec4<f32> {{
    var sum = narrow_parts[at][0][column];
    for (var s = 1u; s < SHARES; s++) {{ sum += narrow_parts[at][s][column]; }}
    return sum;
}}

",
        narrow * parts * form.quads(parts),
    )
}
