//! How a program reads its parameters.

use std::fmt::Write as _;

use super::spread::Spread;

/// The binding of the parameters and `param(i)`: from a storage buffer, or from a private copy of a uniform buffer.
///
/// On software Vulkan a load from a storage buffer costs as much as an exponential, and each is a loop over the lanes, which
/// takes long to compile. So few parameters are copied into variables, which the compiler keeps in registers or on the stack. On
/// real GPUs such loads are cached and copies cost registers.
pub(super) fn params_text(params: usize, cached: bool) -> String {
    if !cached {
        return "@group(0) @binding(1) var<storage, read> params: array<f32>;\n\
                fn param(i: u32) -> f32 { return params[i]; }\n\
                fn stored_param(i: u32) -> f32 { return params[i]; }\nfn fill_params() {}\n"
            .into();
    }
    // Whole lanes are read past the last parameter.
    let quads = (params + 3).div_ceil(4);
    let fill: String = (0..4 * quads)
        .map(|i| format!("    cached_params[{i}] = params[{}].{};\n", i / 4, ["x", "y", "z", "w"][i % 4]))
        .collect();
    format!(
        "@group(0) @binding(1) var<uniform> params: array<vec4<f32>, {quads}>;\n\
         var<private> cached_params: array<f32, {n}>;\nfn param(i: u32) -> f32 {{ return cached_params[i]; }}\n\
         fn stored_param(i: u32) -> f32 {{ return params[i / 4u][i % 4u]; }}\nfn fill_params() {{\n{fill}}}\n",
        n = 4 * quads,
    )
}

/// The same for chains that are run by several invocations each, whose `lane_of_params` is of the own blocks. `uniform`: the buffer is
/// a uniform one. `copied`: each keeps what its blocks need of the vectors of parameters in variables.
pub(super) fn spread_params_text(params: usize, uniform: bool, shape: &Spread, copied: bool) -> String {
    let quads = params.div_ceil(4) + 2 * shape.shares;
    let mut text = match uniform {
        false => "@group(0) @binding(1) var<storage, read> params: array<f32>;\n\
                  fn param(i: u32) -> f32 { return params[i]; }\n"
            .to_owned(),
        true => format!(
            "@group(0) @binding(1) var<uniform> params: array<vec4<f32>, {quads}>;\n\
             fn param(i: u32) -> f32 {{ return params[i / 4u][i % 4u]; }}\n"
        ),
    };
    if !copied || shape.vectors.is_empty() {
        return text
            + "fn lane_of_params(at: u32, block: u32) -> Lane { return params_from(at + whole_block(block) * LANES); }\n\
               fn fill_params() {}\n";
    }
    let of = |i: usize| match uniform {
        false => format!("params[{i}u + whole_block(b) * LANES]"),
        // Components with constant names: a load each, not four and a choice.
        true => format!("params[{}u + whole_block(b)].{}", i / 4, ["x", "y", "z", "w"][i % 4]),
    };
    let (vectors, blocks) = (&shape.vectors, shape.blocks);
    let _ = writeln!(text, "var<private> own_params: array<Lane, {}>;\nfn fill_params() {{", vectors.len() * blocks);
    for (vector, at) in vectors.iter().enumerate() {
        let lane = [0, 1, 2, 3].map(|l| of(at + l)).join(", ");
        let _ = writeln!(
            text,
            "    for (var b = 0u; b < blocks(); b++) {{ own_params[{}u + b] = Lane({lane}); }}",
            vector * blocks
        );
    }
    text += "}\nfn lane_of_params(at: u32, block: u32) -> Lane {\n    var first = 0u;\n";
    for (vector, at) in vectors.iter().enumerate().skip(1) {
        let _ = writeln!(text, "    first = select(first, {}u, at == {at}u);", vector * blocks);
    }
    text + "    return own_params[first + block];\n}\n"
}
