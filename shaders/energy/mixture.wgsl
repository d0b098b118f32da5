// E(x) = -log sum_j w_j N(x; m_j, s_j^2 I), up to a constant.
// Parameters per component: log weight (with the normaliser of its width), 1 / s^2, mean[DIM].
// The calls for the components, one after another, are generated (src/energy/mixture.rs): their parameters then have constant
// indices, which a driver can keep in registers.

// log (w_j N(x; m_j, s_j^2 I)).
fn mixture_term(own: u32, x: ptr<function, Point>) -> f32 {
    var d2 = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let d = (*x)[b] - param_lane(own + 2u, b);
        d2 += dot(d, d);
    }
    return param(own) - 0.5 * param(own + 1u) * d2;
}

// Adds the gradient of a component of this weight.
fn mixture_pull(own: u32, weight: f32, x: ptr<function, Point>, grad: ptr<function, Point>) {
    let pull = weight * param(own + 1u);
    for (var b = 0u; b < blocks(); b++) {
        (*grad)[b] += pull * ((*x)[b] - param_lane(own + 2u, b));
    }
}

fn mixture_divide(sum: f32, grad: ptr<function, Point>) {
    let scale = 1.0 / sum;
    for (var b = 0u; b < blocks(); b++) { (*grad)[b] *= scale; }
}
