// Half a sweep of heat-bath Gibbs on an L x L torus: every spin of one colour is drawn given the other. Twin: src/ising.rs.
// Spins are bits: word [site][group] holds a site of 32 chains. All is integer, so device and twin agree bit for bit.

struct Colour {
    key: vec2<u32>,          // of this epoch
    side: u32,               // L, even
    groups: u32,
    colour: u32,             // sites with (x + y) mod 2 = colour
    index: u32,              // of the random block of site 0: step in the epoch x sites
    row: u32,                // of this dispatch in `proof`
    canary_steps: u32,
    up: vec4<u32>,           // 2^32 p(up) with 0, 1, 2, 3 neighbours up
    up_of_four: u32,         // with 4
    canary_salt: u32,
    canary_scale: u32,       // where the canary must end: scale x word + offset
    canary_offset: u32,
}

// Storage, not uniform: lavapipe compiles a shader anew, and keeps it, for every value of a uniform that a loop's end depends on.
@group(0) @binding(0) var<storage, read> colour: Colour;
@group(0) @binding(1) var<storage, read_write> spins: array<u32>;              // [site][group]
@group(0) @binding(2) var<storage, read_write> proof: array<atomic<u32>>;      // invocations that ran to their end, one word a dispatch

// Four chains of the group, whose counts of neighbours up are given as bits 0 to 3 of three planes. Chains 2k and 2k + 1 share a
// block of random bits, a word each.
fn draw(site: u32, first_pair: u32, ones: u32, twos: u32, fours: u32) -> u32 {
    let even = threefry(colour.key, vec2<u32>(first_pair, colour.index + site));
    let odd = threefry(colour.key, vec2<u32>(first_pair + 1u, colour.index + site));
    let bit = vec4<u32>(1u, 2u, 4u, 8u);
    let none = vec4<u32>(0u);
    let one = (vec4<u32>(ones) & bit) != none;
    let two = (vec4<u32>(twos) & bit) != none;
    let four = (vec4<u32>(fours) & bit) != none;
    let below_two = select(colour.up.xxxx, colour.up.yyyy, one);
    let below_four = select(below_two, select(colour.up.zzzz, colour.up.wwww, one), two);
    let threshold = select(below_four, vec4<u32>(colour.up_of_four), four);
    let bits = select(none, bit, vec4<u32>(even, odd) < threshold);
    return bits.x | bits.y | bits.z | bits.w;
}

@compute @workgroup_size(64)
fn checkerboard(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let id = (workgroup.y * workgroups.x + workgroup.x) * 64u + local;
    let side = colour.side;
    let groups = colour.groups;
    let group = id % groups;
    let half = id / groups;
    if (half >= side * side / 2u) { return; }
    let y = half / (side / 2u);
    let x = 2u * (half % (side / 2u)) + ((y + colour.colour) & 1u);
    let right = spins[(y * side + (x + 1u) % side) * groups + group];
    let left = spins[(y * side + (x + side - 1u) % side) * groups + group];
    let below = spins[((y + 1u) % side * side + x) * groups + group];
    let above = spins[((y + side - 1u) % side * side + x) * groups + group];
    // How many of the four are up, as three planes of bits.
    let a = right ^ left;
    let b = below ^ above;
    let carry = a & b;
    let ones = a ^ b;
    let twos = (right & left) ^ (below & above) ^ carry;
    let fours = right & left & below & above;
    let site = y * side + x;
    let pair = 16u * group;
    var drawn = 0u;
    var q = 0u;
    for (; q < 8u; q++) {
        drawn |= draw(site, pair + 2u * q, ones >> (4u * q), twos >> (4u * q), fours >> (4u * q)) << (4u * q);
    }
    spins[site * groups + group] = drawn;

    // The proof of completion: drivers may cut loops short, so run one more loop whose end the host knows.
    let salted = id ^ colour.canary_salt;
    var word = salted;
    let canary_steps = colour.canary_steps;
    for (var k = 0u; k < canary_steps; k++) { word = word * 1664525u + 1013904223u; }
    let whole = q == 8u && word == colour.canary_scale * salted + colour.canary_offset;
    if (whole) { atomicAdd(&proof[colour.row], 1u); }
}
