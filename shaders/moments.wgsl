// Moments of the watched values (the coordinates, the energy and, where the kernel has one, the Hamiltonian) by Welford's
// recurrence, on data shifted by the state before the first draw of a segment. They are carried from dispatch to dispatch until
// the host takes the whole segment, so they do not depend on how a run is cut.
// Rows of the carry from MOMENT_ROW on: [shift, mean, m2][WATCHED], the squared jumps, the last Hamiltonian, its squared changes.

var<private> shift: Point;
var<private> mean: Point;
var<private> m2: Point;
// [shift, mean, m2] of the energy and of the Hamiltonian, apart: lavapipe carries every part of a vector from step to step, also one
// that a kernel without a Hamiltonian never uses.
var<private> of_energy: vec3<f32>;
var<private> of_hamiltonian: vec3<f32>;
var<private> last: Point;               // the position one draw ago
var<private> jumps: f32;                // sum of |x - last|^2
var<private> last_hamiltonian: f32;
var<private> changes: f32;              // sum of squared differences of successive Hamiltonians

// Begins a segment, or goes on with one of `count` draws.
fn moments_begin(index: u32, count: u32, x: ptr<function, Point>, e: f32) {
    for (var b = 0u; b < blocks(); b++) { last[b] = (*x)[b]; }
    if (count == 0u) {
        for (var b = 0u; b < blocks(); b++) {
            shift[b] = (*x)[b];
            mean[b] = Lane(0.0);
            m2[b] = Lane(0.0);
        }
        of_energy = vec3<f32>(e, 0.0, 0.0);
        of_hamiltonian = of_energy;
        jumps = 0.0;
        changes = 0.0;
        return;
    }
    let at = MOMENT_ROW * run.chains + index;
    for (var b = 0u; b < blocks(); b++) {
        shift[b] = moment_lane(at, b);
        mean[b] = moment_lane(at + WATCHED * run.chains, b);
        m2[b] = moment_lane(at + 2u * WATCHED * run.chains, b);
    }
    of_energy = moments_of_row(at + DIM * run.chains);
    jumps = carry_in[at + 3u * WATCHED * run.chains];
    if (HAS_HAMILTONIAN) {
        of_hamiltonian = moments_of_row(at + (DIM + 1u) * run.chains);
        last_hamiltonian = carry_in[at + (3u * WATCHED + 1u) * run.chains];
        changes = carry_in[at + (3u * WATCHED + 2u) * run.chains];
    }
}

// Adds the state as draw number `count` of the segment, from 1.
fn moments_add(count: u32, x: ptr<function, Point>, e: f32) {
    // Signed numbers are converted by one instruction, others by six.
    let weight = 1.0 / f32(i32(count));
    var jump = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let d = (*x)[b] - shift[b];
        let before = d - mean[b];
        mean[b] += before * weight;
        m2[b] += before * (d - mean[b]);
        let way = (*x)[b] - last[b];
        jump += dot(way, way);
        last[b] = (*x)[b];
    }
    let sums = totals(vec2<f32>(jump, hamiltonian));
    jumps += sums.x;
    of_energy = moments_with(of_energy, e, weight);
    if (HAS_HAMILTONIAN) {
        of_hamiltonian = moments_with(of_hamiltonian, sums.y, weight);
        let change = select(sums.y - last_hamiltonian, 0.0, count == 1u);
        changes += change * change;
        last_hamiltonian = sums.y;
    }
}

fn moments_with(moments: vec3<f32>, value: f32, weight: f32) -> vec3<f32> {
    let d = value - moments.x;
    let before = d - moments.y;
    let mean = moments.y + before * weight;
    return vec3<f32>(moments.x, mean, moments.z + before * (d - mean));
}

fn moments_end(index: u32) {
    let at = MOMENT_ROW * run.chains + index;
    for (var b = 0u; b < blocks(); b++) {
        set_moment_lane(at, b, shift[b]);
        set_moment_lane(at + WATCHED * run.chains, b, mean[b]);
        set_moment_lane(at + 2u * WATCHED * run.chains, b, m2[b]);
    }
    if (!is_first()) { return; }
    set_moments_of_row(at + DIM * run.chains, of_energy);
    carry_out[at + 3u * WATCHED * run.chains] = jumps;
    if (HAS_HAMILTONIAN) {
        set_moments_of_row(at + (DIM + 1u) * run.chains, of_hamiltonian);
        carry_out[at + (3u * WATCHED + 1u) * run.chains] = last_hamiltonian;
        carry_out[at + (3u * WATCHED + 2u) * run.chains] = changes;
    }
}

fn moment_lane(at: u32, b: u32) -> Lane {
    var lane = Lane(0.0);
    for (var l = 0u; l < LANES; l++) {
        let i = whole_block(b) * LANES + l;
        if (is_coordinate(b, l)) { lane[l] = carry_in[at + i * run.chains]; }
    }
    return lane;
}

fn set_moment_lane(at: u32, b: u32, lane: Lane) {
    for (var l = 0u; l < LANES; l++) {
        let i = whole_block(b) * LANES + l;
        if (is_coordinate(b, l)) { carry_out[at + i * run.chains] = lane[l]; }
    }
}

fn moments_of_row(at: u32) -> vec3<f32> {
    let rows = WATCHED * run.chains;
    return vec3<f32>(carry_in[at], carry_in[at + rows], carry_in[at + 2u * rows]);
}

fn set_moments_of_row(at: u32, moments: vec3<f32>) {
    let rows = WATCHED * run.chains;
    carry_out[at] = moments.x;
    carry_out[at + rows] = moments.y;
    carry_out[at + 2u * rows] = moments.z;
}
