// Half a sweep of block Gibbs: every unit of one layer is drawn given the other layer. Twin: src/rbm/fields.rs.
// States are bits: word [unit][group] holds a unit of 32 chains. An invocation draws one unit of one group, so that a weight and a
// word are loaded once for 32 chains, sums stay in registers, and no two invocations write the same word.

struct HalfSweep {
    key: vec2<u32>,          // of this epoch
    first_chain: u32,        // global id of the first chain, a multiple of 32
    groups: u32,
    inputs: u32,             // units of the given layer
    outputs: u32,            // units of the layer that is drawn
    index: u32,              // of the random block of output 0: step in the epoch x slots + first slot
    row: u32,                // of this dispatch in `proof`
    canary_steps: u32,
    canary_salt: u32,
    canary_scale: u32,       // where the canary must end: scale x word + offset
    canary_offset: u32,
}

// Storage, not uniform: lavapipe compiles a shader anew, and keeps it, for every value of a uniform that a loop's end depends on.
@group(0) @binding(0) var<storage, read> half_sweep: HalfSweep;
@group(0) @binding(1) var<storage, read> weights: array<f32>;                  // [input][output]
@group(0) @binding(2) var<storage, read> bias: array<f32>;                     // [output]
@group(0) @binding(3) var<storage, read> states_in: array<u32>;                // [input][group]
@group(0) @binding(4) var<storage, read_write> states_out: array<u32>;         // [output][group]
@group(0) @binding(5) var<storage, read> clamped: array<u32>;                  // [output], 1 where the unit keeps its state
@group(0) @binding(6) var<storage, read> kept: array<u32>;                     // [output][group], read where clamped
@group(0) @binding(7) var<storage, read_write> proof: array<atomic<u32>>;      // invocations that ran to their end, one word a dispatch

// Four units at once, of chains 4q to 4q + 3 of the group: bits 0 to 3. A unit is in its less likely state with probability
// 1 / (1 + exp(|field|)), drawn with all 32 bits of a word. Chains 2k and 2k + 1 share a block of random bits, a word each.
fn draw(unit: u32, first_pair: u32, fields: vec4<f32>) -> u32 {
    let even = threefry(half_sweep.key, vec2<u32>(first_pair, half_sweep.index + unit));
    let odd = threefry(half_sweep.key, vec2<u32>(first_pair + 1u, half_sweep.index + unit));
    let rare = 1.0 / (1.0 + exp(min(abs(fields), vec4<f32>(80.0))));
    let is_rare = vec4<u32>(even, odd) < vec4<u32>(rare * 4294967296.0);
    let on = select(fields > vec4<f32>(0.0), fields <= vec4<f32>(0.0), is_rare);
    let bits = select(vec4<u32>(0u), vec4<u32>(1u, 2u, 4u, 8u), on);
    return bits.x | bits.y | bits.z | bits.w;
}

// The proof of completion: drivers may cut loops short, so run one more loop whose end the host knows.
fn prove(at: u32, whole: bool) {
    let salted = at ^ half_sweep.canary_salt;
    var word = salted;
    let canary_steps = half_sweep.canary_steps;
    for (var k = 0u; k < canary_steps; k++) { word = word * 1664525u + 1013904223u; }
    let ended = word == half_sweep.canary_scale * salted + half_sweep.canary_offset;
    if (whole && ended) { atomicAdd(&proof[half_sweep.row], 1u); }
}

// Of a unit, a number for each of the 32 chains of a group; `whole` where the loop that summed them ran to its end.
struct Sums {
    s0: vec4<f32>, s1: vec4<f32>, s2: vec4<f32>, s3: vec4<f32>, s4: vec4<f32>, s5: vec4<f32>, s6: vec4<f32>, s7: vec4<f32>,
    whole: bool,
}

// The bias and the weights of the inputs that are on.
fn sums_of_bits(unit: u32, group: u32) -> Sums {
    let inputs = half_sweep.inputs;
    let outputs = half_sweep.outputs;
    let groups = half_sweep.groups;
    let start = vec4<f32>(bias[unit]);
    var s0 = start; var s1 = start; var s2 = start; var s3 = start;
    var s4 = start; var s5 = start; var s6 = start; var s7 = start;
    let none = vec4<f32>(0.0);
    let off = vec4<u32>(0u);
    var i = 0u;
    for (; i < inputs; i++) {
        let w = vec4<f32>(weights[i * outputs + unit]);
        let word = vec4<u32>(states_in[i * groups + group]);
        s0 += select(none, w, (word & vec4<u32>(0x1u, 0x2u, 0x4u, 0x8u)) != off);
        s1 += select(none, w, (word & vec4<u32>(0x10u, 0x20u, 0x40u, 0x80u)) != off);
        s2 += select(none, w, (word & vec4<u32>(0x100u, 0x200u, 0x400u, 0x800u)) != off);
        s3 += select(none, w, (word & vec4<u32>(0x1000u, 0x2000u, 0x4000u, 0x8000u)) != off);
        s4 += select(none, w, (word & vec4<u32>(0x10000u, 0x20000u, 0x40000u, 0x80000u)) != off);
        s5 += select(none, w, (word & vec4<u32>(0x100000u, 0x200000u, 0x400000u, 0x800000u)) != off);
        s6 += select(none, w, (word & vec4<u32>(0x1000000u, 0x2000000u, 0x4000000u, 0x8000000u)) != off);
        s7 += select(none, w, (word & vec4<u32>(0x10000000u, 0x20000000u, 0x40000000u, 0x80000000u)) != off);
    }
    return Sums(s0, s1, s2, s3, s4, s5, s6, s7, i == inputs);
}

// Draws a unit of bits for a group.
fn draw_bits(unit: u32, group: u32, fields: Sums) {
    let pair = (half_sweep.first_chain >> 1u) + 16u * group;
    var drawn = draw(unit, pair, fields.s0) | (draw(unit, pair + 2u, fields.s1) << 4u);
    drawn |= (draw(unit, pair + 4u, fields.s2) << 8u) | (draw(unit, pair + 6u, fields.s3) << 12u);
    drawn |= (draw(unit, pair + 8u, fields.s4) << 16u) | (draw(unit, pair + 10u, fields.s5) << 20u);
    drawn |= (draw(unit, pair + 12u, fields.s6) << 24u) | (draw(unit, pair + 14u, fields.s7) << 28u);
    let at = unit * half_sweep.groups + group;
    if (clamped[unit] != 0u) { drawn = kept[at]; }
    states_out[at] = drawn;
    prove(at, fields.whole);
}

// The unit of an invocation, and its group of 32 chains.
fn unit_and_group(workgroup: vec3<u32>, workgroups: vec3<u32>, local: u32) -> vec2<u32> {
    let id = (workgroup.y * workgroups.x + workgroup.x) * 64u + local;
    return vec2<u32>(id % half_sweep.outputs, id / half_sweep.outputs);
}

@compute @workgroup_size(64)
fn half_sweep_of(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let own = unit_and_group(workgroup, workgroups, local);
    if (own.y >= half_sweep.groups) { return; }
    draw_bits(own.x, own.y, sums_of_bits(own.x, own.y));
}
