// E(x) = (v / s)^2 / 2 + (DIM - 1) v / 2 + exp(-v) q / 2 with v = x_0 and q = sum of x_i^2 over i > 0. Parameters: s.

// q without the first coordinate.
fn funnel_squares(x: ptr<function, Point>) -> f32 {
    var sum = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        var v = (*x)[b];
        if (b == 0u) { v[0] = 0.0; }
        sum += dot(v, v);
    }
    return sum;
}

// exp(-v) q; zero where q is, also where exp(-v) is more than f32 holds.
fn funnel_spread(v: f32, q: f32) -> f32 {
    if (q == 0.0) { return 0.0; }
    return exp(-v) * q;
}

fn funnel_energy(at: u32, x: ptr<function, Point>) -> f32 {
    let v = (*x)[0][0];
    let u = v / param(at);
    return 0.5 * (u * u + f32(DIM - 1u) * v + funnel_spread(v, funnel_squares(x)));
}

fn funnel_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    let v = (*x)[0][0];
    let s = param(at);
    let u = v / s;
    let q = funnel_squares(x);
    let spread = funnel_spread(v, q);
    if (q == 0.0) {
        clear(grad);
    } else {
        let precision_here = exp(-v);
        for (var b = 0u; b < blocks(); b++) { (*grad)[b] = precision_here * (*x)[b]; }
    }
    (*grad)[0][0] = u / s + 0.5 * (f32(DIM - 1u) - spread);
    return 0.5 * (u * u + f32(DIM - 1u) * v + spread);
}
