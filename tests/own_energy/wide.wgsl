// E(x) = a |x|^2 / 2, in any dimension.
fn wide_energy(at: u32, x: ptr<function, Point>) -> f32 {
    var sum = 0.0;
    for (var b = 0u; b < blocks(); b++) { sum += dot((*x)[b], (*x)[b]); }
    return 0.5 * param(at) * sum;
}

fn wide_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    for (var b = 0u; b < blocks(); b++) { (*grad)[b] = param(at) * (*x)[b]; }
    return wide_energy(at, x);
}
