// E(x) = sum_i b (x_(i+1) - x_i^2)^2 + (a - x_i)^2 over i < DIM - 1. Parameters: a, b.

// The coordinates after those of block b; zero past the last.
fn rosenbrock_next(x: ptr<function, Point>, b: u32) -> Lane {
    let v = (*x)[b];
    var next = Lane(0.0);
    for (var l = 1u; l < LANES; l++) { next[l - 1u] = v[l]; }
    if (b + 1u < BLOCKS) { next[LANES - 1u] = (*x)[b + 1u][0]; }
    return next;
}

// One for the coordinates that have one after them.
fn rosenbrock_mask(b: u32) -> Lane {
    var mask = Lane(0.0);
    for (var l = 0u; l < LANES; l++) { mask[l] = select(0.0, 1.0, b * LANES + l + 1u < DIM); }
    return mask;
}

fn rosenbrock_energy(at: u32, x: ptr<function, Point>) -> f32 {
    let a = param(at);
    let steep = param(at + 1u);
    var sum = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let v = (*x)[b];
        let mask = rosenbrock_mask(b);
        let r = mask * (rosenbrock_next(x, b) - v * v);
        let s = mask * (a - v);
        sum += steep * dot(r, r) + dot(s, s);
    }
    return sum;
}

fn rosenbrock_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    let a = param(at);
    let steep = param(at + 1u);
    var sum = 0.0;
    var before = 0.0;         // x_i - x_(i-1)^2 of the first coordinate of the block
    for (var b = 0u; b < blocks(); b++) {
        let v = (*x)[b];
        let mask = rosenbrock_mask(b);
        let r = mask * (rosenbrock_next(x, b) - v * v);
        let s = mask * (a - v);
        sum += steep * dot(r, r) + dot(s, s);
        var left = Lane(0.0);
        left[0] = before;
        for (var l = 1u; l < LANES; l++) { left[l] = r[l - 1u]; }
        before = r[LANES - 1u];
        (*grad)[b] = 2.0 * (steep * (left - 2.0 * v * r) - s);
    }
    return sum;
}
