// E(x) = (|x| - r)^2 / (2 s^2). Parameters: r, 1 / s^2. At the origin, where E has no gradient, it is taken as zero.

fn ring_norm(x: ptr<function, Point>) -> f32 {
    var sum = 0.0;
    for (var b = 0u; b < blocks(); b++) { sum += dot((*x)[b], (*x)[b]); }
    return sqrt(total(sum));
}

fn ring_energy(at: u32, x: ptr<function, Point>) -> f32 {
    let d = ring_norm(x) - param(at);
    return once(0.5 * param(at + 1u) * d * d);
}

fn ring_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    let norm = ring_norm(x);
    let d = norm - param(at);
    var slope = 0.0;
    if (norm > 0.0) { slope = param(at + 1u) * d / norm; }
    for (var b = 0u; b < blocks(); b++) { (*grad)[b] = slope * (*x)[b]; }
    return once(0.5 * param(at + 1u) * d * d);
}
