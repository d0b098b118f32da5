// E(x) = (v / s)^2 / 2 + (DIM - 1) v / 2 + exp(-v) q / 2 with v = x_0 and q = sum of x_i^2 over i > 0. Parameters: s.

// (v, q).
fn funnel_sums(x: ptr<function, Point>) -> vec2<f32> {
    var neck = 0.0;
    var squares = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        var v = (*x)[b];
        if (whole_block(b) == 0u) {
            neck = v[0];
            v[0] = 0.0;
        }
        squares += dot(v, v);
    }
    return totals(vec2<f32>(neck, squares));
}

// exp(-v) q; zero where q is, also where exp(-v) is more than f32 holds.
fn funnel_spread(v: f32, q: f32) -> f32 {
    if (q == 0.0) { return 0.0; }
    return exp(-v) * q;
}

fn funnel_energy(at: u32, x: ptr<function, Point>) -> f32 {
    let sums = funnel_sums(x);
    let v = sums.x;
    let u = v / param(at);
    return once(0.5 * (u * u + f32(DIM - 1u) * v + funnel_spread(v, sums.y)));
}

fn funnel_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    let sums = funnel_sums(x);
    let v = sums.x;
    let q = sums.y;
    let s = param(at);
    let u = v / s;
    let spread = funnel_spread(v, q);
    if (q == 0.0) {
        clear(grad);
    } else {
        let precision_here = exp(-v);
        for (var b = 0u; b < blocks(); b++) { (*grad)[b] = precision_here * (*x)[b]; }
    }
    if (whole_block(0u) == 0u) { (*grad)[0][0] = u / s + 0.5 * (f32(DIM - 1u) - spread); }
    return once(0.5 * (u * u + f32(DIM - 1u) * v + spread));
}
