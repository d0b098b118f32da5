// The multivariate Student t with nu degrees of freedom: E = (nu + DIM) / 2 log(1 + |x|^2 / nu). Parameters: nu.

fn student_quotient(at: u32, x: ptr<function, Point>) -> f32 {
    var squares = 0.0;
    for (var b = 0u; b < blocks(); b++) { squares += dot((*x)[b], (*x)[b]); }
    return 1.0 + squares / param(at);
}

fn student_energy(at: u32, x: ptr<function, Point>) -> f32 {
    return 0.5 * (param(at) + f32(DIM)) * log(student_quotient(at, x));
}

fn student_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    let quotient = student_quotient(at, x);
    let pull = (param(at) + f32(DIM)) / (param(at) * quotient);
    for (var b = 0u; b < blocks(); b++) { (*grad)[b] = pull * (*x)[b]; }
    return 0.5 * (param(at) + f32(DIM)) * log(quotient);
}
