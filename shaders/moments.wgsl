// Moments of the watched values (the coordinates, the energy and, where the kernel has one, the Hamiltonian) by Welford's
// recurrence, on data shifted by the state before the first draw of a segment. They are carried from dispatch to dispatch until
// the host takes the whole segment, so they do not depend on how a run is cut.
// Rows of the carry from MOMENT_ROW on: [shift, mean, m2][WATCHED], the squared jumps, the last Hamiltonian, its squared changes.

var<private> shift: Point;
var<private> mean: Point;
var<private> m2: Point;
// Of (energy, Hamiltonian).
var<private> level_shift: vec2<f32>;
var<private> level_mean: vec2<f32>;
var<private> level_m2: vec2<f32>;
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
        level_shift = vec2<f32>(e);
        level_mean = vec2<f32>(0.0);
        level_m2 = vec2<f32>(0.0);
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
    level_shift = moment_levels(at);
    level_mean = moment_levels(at + WATCHED * run.chains);
    level_m2 = moment_levels(at + 2u * WATCHED * run.chains);
    jumps = carry_in[at + 3u * WATCHED * run.chains];
    if (HAS_HAMILTONIAN) {
        last_hamiltonian = carry_in[at + (3u * WATCHED + 1u) * run.chains];
        changes = carry_in[at + (3u * WATCHED + 2u) * run.chains];
    }
}

// Adds the state as draw number `count` of the segment, from 1.
fn moments_add(count: u32, x: ptr<function, Point>, e: f32) {
    let weight = 1.0 / f32(count);
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
    let d = vec2<f32>(e, sums.y) - level_shift;
    let before = d - level_mean;
    level_mean += before * weight;
    level_m2 += before * (d - level_mean);
    if (HAS_HAMILTONIAN) {
        let change = select(sums.y - last_hamiltonian, 0.0, count == 1u);
        changes += change * change;
        last_hamiltonian = sums.y;
    }
}

fn moments_end(index: u32) {
    let at = MOMENT_ROW * run.chains + index;
    for (var b = 0u; b < blocks(); b++) {
        set_moment_lane(at, b, shift[b]);
        set_moment_lane(at + WATCHED * run.chains, b, mean[b]);
        set_moment_lane(at + 2u * WATCHED * run.chains, b, m2[b]);
    }
    if (!is_first()) { return; }
    set_moment_levels(at, level_shift);
    set_moment_levels(at + WATCHED * run.chains, level_mean);
    set_moment_levels(at + 2u * WATCHED * run.chains, level_m2);
    carry_out[at + 3u * WATCHED * run.chains] = jumps;
    if (HAS_HAMILTONIAN) {
        carry_out[at + (3u * WATCHED + 1u) * run.chains] = last_hamiltonian;
        carry_out[at + (3u * WATCHED + 2u) * run.chains] = changes;
    }
}

fn moment_lane(at: u32, b: u32) -> Lane {
    var lane = Lane(0.0);
    for (var l = 0u; l < LANES; l++) {
        let i = whole_block(b) * LANES + l;
        if (i < DIM) { lane[l] = carry_in[at + i * run.chains]; }
    }
    return lane;
}

fn set_moment_lane(at: u32, b: u32, lane: Lane) {
    for (var l = 0u; l < LANES; l++) {
        let i = whole_block(b) * LANES + l;
        if (i < DIM) { carry_out[at + i * run.chains] = lane[l]; }
    }
}

fn moment_levels(at: u32) -> vec2<f32> {
    var levels = vec2<f32>(carry_in[at + DIM * run.chains], 0.0);
    if (HAS_HAMILTONIAN) { levels.y = carry_in[at + (DIM + 1u) * run.chains]; }
    return levels;
}

fn set_moment_levels(at: u32, levels: vec2<f32>) {
    carry_out[at + DIM * run.chains] = levels.x;
    if (HAS_HAMILTONIAN) { carry_out[at + (DIM + 1u) * run.chains] = levels.y; }
}
