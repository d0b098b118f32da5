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
                fn stored_param(i: u32) -> f32 { return params[i]; }\nfn fill_params(local: u32) {}\n"
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
         fn stored_param(i: u32) -> f32 {{ return params[i / 4u][i % 4u]; }}\nfn fill_params(local: u32) {{\n{fill}}}\n",
        n = 4 * quads,
    )
}

/// The same for chains that are run by several invocations each, whose `lane_of_params` is of the own blocks. `uniform`: the buffer is
/// a uniform one.
///
/// Where subgroups are known to be of one share, each of their invocations reads one block of each of the `vectors` of `dim` parameters,
/// once, and hands it to the others: loads of software Vulkan are gathers of a number a lane.
pub(super) fn spread_params_text(params: usize, uniform: bool, shape: &Spread, subgroup: Option<usize>) -> String {
    let vectors = &shape.vectors;
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
    text += "fn own_lane_of_params(at: u32, block: u32) -> Lane { return params_from(at + whole_block(block) * LANES); }\n";
    let Some(subgroup) = subgroup.filter(|_| uniform && !vectors.is_empty()) else {
        return text
            + "fn lane_of_params(at: u32, block: u32) -> Lane { return own_lane_of_params(at, block); }\n\
               fn fill_params(local: u32) {}\n";
    };
    // A round is a block for each invocation of a subgroup.
    let rounds = shape.blocks.div_ceil(subgroup);
    let slot = |vector: usize, round: usize| vector * rounds + round;
    let _ = write!(
        text,
        "var<private> blocks_of_params: array<Lane, {}>;\nfn fill_params(local: u32) {{\n",
        vectors.len() * rounds
    );
    for (i, at) in vectors.iter().enumerate() {
        for round in 0..rounds {
            let block = format!("min(local % {subgroup}u + {}u, BLOCKS - 1u)", round * subgroup);
            let _ = writeln!(text, "    blocks_of_params[{}] = own_lane_of_params({at}u, {block});", slot(i, round));
        }
    }
    // WGSL wants the number of an invocation to be a constant; the cases fall away, since each call has a constant block.
    text += "}\nfn lane_of_params(at: u32, block: u32) -> Lane {\n    var slot = 0u;\n";
    for (i, at) in vectors.iter().enumerate().skip(1) {
        let _ = writeln!(text, "    slot = select(slot, {}u, at == {at}u);", slot(i, 0));
    }
    text += "    switch block {\n";
    for block in 0..shape.blocks {
        let (round, lane) = (block / subgroup, block % subgroup);
        let case = if block + 1 < shape.blocks { format!("case {block}u") } else { "default".into() };
        let _ = writeln!(text, "        {case}: {{ return subgroupBroadcast(blocks_of_params[slot + {round}u], {lane}u); }}");
    }
    text + "    }\n}\n"
}
