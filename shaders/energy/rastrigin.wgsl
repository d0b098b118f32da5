// E(x) = sum_i x_i^2 + a (1 - cos(2 pi x_i)) = sum_i x_i^2 + 2 a sin(pi t_i)^2 with t_i = x_i - round(x_i) in [-1/2, 1/2].
// Parameters: a.

fn rastrigin_energy(at: u32, x: ptr<function, Point>) -> f32 {
    var squares = 0.0;
    var waves = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let v = (*x)[b];
        let s = sin_pi(v - round(v));
        squares += dot(v, v);
        waves += dot(s, s);
    }
    return squares + 2.0 * param(at) * waves;
}

fn rastrigin_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    var squares = 0.0;
    var waves = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let v = (*x)[b];
        let t = v - round(v);
        let s = sin_pi(t);
        squares += dot(v, v);
        waves += dot(s, s);
        (*grad)[b] = 2.0 * v + 12.566371 * param(at) * s * cos_pi(t);
    }
    return squares + 2.0 * param(at) * waves;
}
