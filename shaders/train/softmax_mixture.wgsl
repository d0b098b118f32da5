// Jets of a mixture to be trained. E = log sum_j exp(a_j) - log sum_j exp(t_j), t_j = a_j - DIM l_j - p_j |x - m_j|^2 / 2, p = exp(-2 l).
// The calls for the components are generated (src/energy/softmax_mixture.rs).

// (t, t', t'') of a component; `square` is |v|^2.
fn softmax_mixture_jets_term(
    logit: u32,
    log_scale: u32,
    mean: u32,
    x: ptr<function, Point>,
    v: ptr<function, Point>,
    square: f32,
) -> vec3<f32> {
    let inverse_variance = exp(-2.0 * param(log_scale));
    var distance = 0.0;
    var along = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let d = (*x)[b] - param_lane(mean, b);
        distance += dot(d, d);
        along += dot(d, (*v)[b]);
    }
    let value = param(logit) - f32(DIM) * param(log_scale) - 0.5 * inverse_variance * distance;
    return vec3<f32>(value, -inverse_variance * along, -inverse_variance * square);
}

fn softmax_mixture_jets_square(v: ptr<function, Point>) -> f32 {
    var square = 0.0;
    for (var b = 0u; b < blocks(); b++) { square += dot((*v)[b], (*v)[b]); }
    return square;
}

// Adds the gradient in a component's parameters, from its term and the adjoints of that; `by_weight` is the derivative by its logit
// through the sum of all weights.
fn softmax_mixture_jets_param_grad(
    logit: u32,
    log_scale: u32,
    mean: u32,
    x: ptr<function, Point>,
    v: ptr<function, Point>,
    term: vec3<f32>,
    adjoints: vec3<f32>,
    by_weight: f32,
) {
    let inverse_variance = exp(-2.0 * param(log_scale));
    let half_distance = param(logit) - f32(DIM) * param(log_scale) - term.x;
    add_param_grad(logit, adjoints.x + by_weight);
    // dp/dl = -2p.
    let by_distance = adjoints.x * (2.0 * half_distance - f32(DIM));
    add_param_grad(log_scale, by_distance - 2.0 * (adjoints.y * term.y + adjoints.z * term.z));
    for (var b = 0u; b < blocks(); b++) {
        let d = (*x)[b] - param_lane(mean, b);
        add_param_grad_lane(mean, b, inverse_variance * (adjoints.x * d + adjoints.y * (*v)[b]));
    }
}
