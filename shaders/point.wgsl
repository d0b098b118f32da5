// Points, and what depends on their dimension alone. An energy of another dimension brings its own (src/program/embed.rs).

// A position, a gradient, a momentum: DIM coordinates in BLOCKS lanes; the padding of the last lane is always zero.
// BLOCKS and blocks() are of one share: its block b is block whole_block(b) of the whole point.
// Pass pointers to whole variables, copy in loops (a whole-array copy is slow to compile and to run).
alias Point = array<Lane, BLOCKS>;

// The parameters at..at+DIM as a lane; padding is zero.
fn param_lane(at: u32, block: u32) -> Lane {
    let v = lane_of_params(at, block);
    if (BLOCKS * SHARES * LANES != DIM && block == BLOCKS - 1u) { return v * lane_mask(block); }
    return v;
}

// Coordinate i. Constant i costs nothing; with a running i prefer loops over lanes.
fn coordinate(x: ptr<function, Point>, i: u32) -> f32 { return (*x)[i / LANES][i % LANES]; }
fn set_coordinate(x: ptr<function, Point>, i: u32, v: f32) { (*x)[i / LANES][i % LANES] = v; }

// sin(pi t) and cos(pi t) for t in [-1/2, 1/2], within 3e-7. WGSL lets a driver's own sin and cos be off by 2^-11, and some are.
fn sin_pi(t: Lane) -> Lane { return 2.0 * sin_half_pi(t) * cos_half_pi(t); }

fn cos_pi(t: Lane) -> Lane {
    let s = sin_half_pi(t);
    return 1.0 - 2.0 * s * s;
}

// sin(pi t / 2) and cos(pi t / 2) for t in [-1/2, 1/2]; the same polynomials as in random.wgsl.
fn sin_half_pi(t: Lane) -> Lane {
    let z = t * t;
    return t * (1.5707963 + z * (-0.6459641 + z * (0.07969262 + z * (-0.004681754 + z * 0.00016044119))));
}

fn cos_half_pi(t: Lane) -> Lane {
    let z = t * t;
    return 1.0 + z * (-1.2337006 + z * (0.25366950 + z * (-0.020863480 + z * 0.00091926021)));
}

fn clear(x: ptr<function, Point>) {
    for (var b = 0u; b < blocks(); b++) { (*x)[b] = Lane(0.0); }
}

fn copy(from_point: ptr<function, Point>, to_point: ptr<function, Point>) {
    for (var b = 0u; b < blocks(); b++) { (*to_point)[b] = (*from_point)[b]; }
}
