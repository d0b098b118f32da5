// E(x) = (|x| - r)^2 / (2 s^2) - log(exp(-(x_0 - r)^2 / (2 w^2)) + exp(-(x_0 + r)^2 / (2 w^2))), in two dimensions.
// With m = |x_0| and q = exp(-2 r m / w^2) the last term is (m - r)^2 / (2 w^2) - log(1 + q). Parameters: r, 1 / s^2, 1 / w^2.
// At the origin the first term's gradient is taken as zero.

fn two_moons_energy(at: u32, x: ptr<function, Point>) -> f32 {
    let v = (*x)[0];
    let r = param(at);
    let around = length(v) - r;
    let m = abs(v.x);
    let side = m - r;
    let q = exp(-2.0 * r * param(at + 2u) * m);
    return 0.5 * (param(at + 1u) * around * around + param(at + 2u) * side * side) - log(1.0 + q);
}

fn two_moons_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    let v = (*x)[0];
    let r = param(at);
    let norm = length(v);
    let around = norm - r;
    let m = abs(v.x);
    let side = m - r;
    let q = exp(-2.0 * r * param(at + 2u) * m);
    var slope = 0.0;
    if (norm > 0.0) { slope = param(at + 1u) * around / norm; }
    // The mean of the two centres under their shares is r (1 - q) / (1 + q) on the side of x_0.
    let centre = r * (1.0 - q) / (1.0 + q);
    (*grad)[0] = slope * v + Lane(param(at + 2u) * (v.x - sign(v.x) * centre), 0.0);
    return 0.5 * (param(at + 1u) * around * around + param(at + 2u) * side * side) - log(1.0 + q);
}
