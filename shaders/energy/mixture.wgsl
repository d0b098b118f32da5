// E(x) = -log sum_j w_j N(x; m_j, s_j^2 I), up to a constant.
// Parameters per component: log weight (with the normaliser of its width), 1 / s^2, mean[DIM].
// The calls for the components, one after another, are generated (src/energy/mixture.rs): their parameters then have constant
// indices, which a driver can keep in registers.

// At a noise level s^2 grows by sigma^2: 1 / s^2 is divided by f = 1 + sigma^2 / s^2, and the weight by f^(DIM / 2).
fn mixture_log_weight(own: u32) -> f32 {
    if (NOISY) { return param(own) - 0.5 * f32(DIM) * log(1.0 + noise_variance * param(own + 1u)); }
    return param(own);
}

fn mixture_precision(own: u32) -> f32 {
    if (NOISY) { return param(own + 1u) / (1.0 + noise_variance * param(own + 1u)); }
    return param(own + 1u);
}

// This invocation's part of |x - m_j|^2.
fn mixture_distance(own: u32, x: ptr<function, Point>) -> f32 {
    var sum = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let d = (*x)[b] - param_lane(own + 2u, b);
        sum += dot(d, d);
    }
    return sum;
}

// log (w_j N(x; m_j, s_j^2 I)) at a squared distance.
fn mixture_term(own: u32, distance: f32) -> f32 {
    return mixture_log_weight(own) - 0.5 * mixture_precision(own) * distance;
}

// Adds the gradient of a component of this weight.
fn mixture_pull(own: u32, weight: f32, x: ptr<function, Point>, grad: ptr<function, Point>) {
    let pull = weight * mixture_precision(own);
    for (var b = 0u; b < blocks(); b++) {
        (*grad)[b] += pull * ((*x)[b] - param_lane(own + 2u, b));
    }
}

fn mixture_divide(sum: f32, grad: ptr<function, Point>) {
    let scale = 1.0 / sum;
    for (var b = 0u; b < blocks(); b++) { (*grad)[b] *= scale; }
}
