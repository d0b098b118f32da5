// The two half sweeps of a machine with Gaussian visible units. Follows half_sweep.wgsl, whose settings, bindings and draws it shares;
// twin: src/rbm/fields.rs. Visible units are f32 in units of their standard deviation, bits of an f32 in [unit][chain], chains filled up
// to whole groups of 32; hidden units are bits, word [unit][group]. An invocation draws one unit of one group.

// Four values of a unit from `states_in`.
fn gaussian_four(at: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4<u32>(states_in[at], states_in[at + 1u], states_in[at + 2u], states_in[at + 3u]));
}

// Writes four values, mean plus a standard normal each: chains 2k and 2k + 1 share a random block, a normal each.
fn gaussian_draw(unit: u32, first_pair: u32, means: vec4<f32>, at: u32) {
    let even = random_normal_pair(threefry(half_sweep.key, vec2<u32>(first_pair, half_sweep.index + unit)));
    let odd = random_normal_pair(threefry(half_sweep.key, vec2<u32>(first_pair + 1u, half_sweep.index + unit)));
    var drawn = bitcast<vec4<u32>>(means + vec4<f32>(even, odd));
    if (clamped[unit] != 0u) { drawn = vec4<u32>(kept[at], kept[at + 1u], kept[at + 2u], kept[at + 3u]); }
    states_out[at] = drawn.x;
    states_out[at + 1u] = drawn.y;
    states_out[at + 2u] = drawn.z;
    states_out[at + 3u] = drawn.w;
}

// The bias and the inputs times their weights.
fn sums_of_reals(unit: u32, group: u32) -> Sums {
    let inputs = half_sweep.inputs;
    let outputs = half_sweep.outputs;
    let groups = half_sweep.groups;
    let start = vec4<f32>(bias[unit]);
    var s0 = start; var s1 = start; var s2 = start; var s3 = start;
    var s4 = start; var s5 = start; var s6 = start; var s7 = start;
    var i = 0u;
    for (; i < inputs; i++) {
        let w = weights[i * outputs + unit];
        let at = (i * groups + group) * 32u;
        s0 += w * gaussian_four(at);
        s1 += w * gaussian_four(at + 4u);
        s2 += w * gaussian_four(at + 8u);
        s3 += w * gaussian_four(at + 12u);
        s4 += w * gaussian_four(at + 16u);
        s5 += w * gaussian_four(at + 20u);
        s6 += w * gaussian_four(at + 24u);
        s7 += w * gaussian_four(at + 28u);
    }
    return Sums(s0, s1, s2, s3, s4, s5, s6, s7, i == inputs);
}

@compute @workgroup_size(64)
fn hidden_of_reals(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let own = unit_and_group(workgroup, workgroups, local);
    if (own.y >= half_sweep.groups) { return; }
    draw_bits(own.x, own.y, sums_of_reals(own.x, own.y));
}

@compute @workgroup_size(64)
fn reals_of_hidden(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let own = unit_and_group(workgroup, workgroups, local);
    if (own.y >= half_sweep.groups) { return; }
    let unit = own.x;
    let group = own.y;
    let means = sums_of_bits(unit, group);
    let pair = (half_sweep.first_chain >> 1u) + 16u * group;
    let at = (unit * half_sweep.groups + group) * 32u;
    gaussian_draw(unit, pair, means.s0, at);
    gaussian_draw(unit, pair + 2u, means.s1, at + 4u);
    gaussian_draw(unit, pair + 4u, means.s2, at + 8u);
    gaussian_draw(unit, pair + 6u, means.s3, at + 12u);
    gaussian_draw(unit, pair + 8u, means.s4, at + 16u);
    gaussian_draw(unit, pair + 10u, means.s5, at + 20u);
    gaussian_draw(unit, pair + 12u, means.s6, at + 24u);
    gaussian_draw(unit, pair + 14u, means.s7, at + 28u);
    prove(unit * half_sweep.groups + group, means.whole);
}
