// E(x) = a (1 - exp(-b r)) + e - exp(c) with r = sqrt(sum_i x_i^2 / DIM) and c = sum_i cos(2 pi x_i) / DIM. Parameters: a, b.
// With t_i = x_i - round(x_i), 1 - c = 2 / DIM sum_i sin(pi t_i)^2. At the origin the gradient is taken as zero.

const ackley_E = 2.7182817;

fn ackley_energy(at: u32, x: ptr<function, Point>) -> f32 {
    var squares = 0.0;
    var waves = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let v = (*x)[b];
        let s = sin_pi(v - round(v));
        squares += dot(v, v);
        waves += dot(s, s);
    }
    let sums = totals(vec2<f32>(squares, waves));
    let bowl = exp(-param(at + 1u) * sqrt(sums.x / f32(DIM)));
    return once(param(at) * (1.0 - bowl) + ackley_E * (1.0 - exp(-2.0 / f32(DIM) * sums.y)));
}

fn ackley_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    var squares = 0.0;
    var waves = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let v = (*x)[b];
        let s = sin_pi(v - round(v));
        squares += dot(v, v);
        waves += dot(s, s);
    }
    let sums = totals(vec2<f32>(squares, waves));
    let r = sqrt(sums.x / f32(DIM));
    let bowl = exp(-param(at + 1u) * r);
    let wave = ackley_E * exp(-2.0 / f32(DIM) * sums.y);
    var slope = 0.0;
    if (r > 0.0) { slope = param(at) * param(at + 1u) * bowl / (r * f32(DIM)); }
    let swing = 6.2831855 * wave / f32(DIM);
    for (var b = 0u; b < blocks(); b++) {
        let v = (*x)[b];
        let t = v - round(v);
        (*grad)[b] = slope * v + 2.0 * swing * sin_pi(t) * cos_pi(t);
    }
    return once(param(at) * (1.0 - bowl) + (ackley_E - wave));
}
