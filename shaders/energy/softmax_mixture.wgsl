// E(x) = -log sum_j w_j s_j^-DIM exp(-|x - m_j|^2 / (2 s_j^2)) with w = softmax(a), s = exp(l).
// Parameters of k components: a[k], l[k], m[k][DIM]. The calls for the components are generated (src/energy/softmax_mixture.rs).

// 1 / s^2; at a noise level s^2 grows by sigma^2.
fn softmax_mixture_precision(log_scale: u32) -> f32 {
    if (NOISY) { return 1.0 / (exp(2.0 * param(log_scale)) + noise_variance); }
    return exp(-2.0 * param(log_scale));
}

// log (w_j s_j^-DIM exp(...)), but for the sum of all exp(a), at a squared distance.
fn softmax_mixture_term(logit: u32, log_scale: u32, inverse_variance: f32, distance: f32) -> f32 {
    var log_width = -f32(DIM) * param(log_scale);
    if (NOISY) { log_width = 0.5 * f32(DIM) * log(inverse_variance); }
    return param(logit) + log_width - 0.5 * inverse_variance * distance;
}

// This invocation's part of |x - m_j|^2.
fn softmax_mixture_distance(mean: u32, x: ptr<function, Point>) -> f32 {
    var sum = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let d = (*x)[b] - param_lane(mean, b);
        sum += dot(d, d);
    }
    return sum;
}

// Adds the gradient of a component of this share times its precision.
fn softmax_mixture_pull(mean: u32, pull: f32, x: ptr<function, Point>, grad: ptr<function, Point>) {
    for (var b = 0u; b < blocks(); b++) {
        (*grad)[b] += pull * ((*x)[b] - param_lane(mean, b));
    }
}
