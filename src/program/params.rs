//! How a program reads its parameters.

use super::lanes;

/// The binding of the parameters and `param(i)`: from a storage buffer, or from a private copy of a uniform buffer.
///
/// On software Vulkan a load from a storage buffer costs as much as an exponential, and each is a loop over the lanes, which
/// takes long to compile. So few parameters are copied into variables, which the compiler keeps in registers or on the stack. On
/// real GPUs such loads are cached and copies cost registers.
pub(super) fn params_text(params: usize, cached: bool) -> String {
    if !cached {
        return "@group(0) @binding(1) var<storage, read> params: array<f32>;\n\
                fn param(i: u32) -> f32 { return params[i]; }\n\
                fn param_of_share(i: u32) -> f32 { return params[i]; }\n\
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
         fn param_of_share(i: u32) -> f32 {{ return cached_params[i]; }}\n\
         fn stored_param(i: u32) -> f32 {{ return params[i / 4u][i % 4u]; }}\nfn fill_params() {{\n{fill}}}\n",
        n = 4 * quads,
    )
}

/// The same for chains that are run by several invocations each. `param_of_share(i)` is parameter i for the first share, and for the
/// others what stands in its place in their own blocks; only the `vectors` of `dim` parameters are copied.
pub(super) fn spread_params_text(params: usize, cached: bool, shares: usize, dim: usize, vectors: &[usize]) -> String {
    if !cached {
        return "@group(0) @binding(1) var<storage, read> params: array<f32>;\n\
                fn param(i: u32) -> f32 { return params[i]; }\n\
                fn param_of_share(i: u32) -> f32 { return params[i + share * LANES]; }\nfn fill_params() {}\n"
            .into();
    }
    let (lanes, blocks) = lanes(dim);
    let own = |b: usize| (0..lanes).map(move |l| b * shares * lanes + l);
    let used = vectors.iter().flat_map(|at| (0..blocks.div_ceil(shares)).flat_map(own).map(move |i| at + i));
    let n = used.clone().map(|i| i + 1).fold(params, usize::max);
    let fill: String = used
        .map(|i| format!("    params_of_share[{i}] = params[{}u + share].{};\n", i / 4, ["x", "y", "z", "w"][i % 4]))
        .collect();
    let quads = n.div_ceil(4) + shares;
    format!(
        "@group(0) @binding(1) var<uniform> params: array<vec4<f32>, {quads}>;\n\
         var<private> params_of_share: array<f32, {n}>;\nfn param(i: u32) -> f32 {{ return params[i / 4u][i % 4u]; }}\n\
         fn param_of_share(i: u32) -> f32 {{ return params_of_share[i]; }}\nfn fill_params() {{\n{fill}}}\n",
    )
}
