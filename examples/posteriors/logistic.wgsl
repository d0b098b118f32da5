// Logistic regression: y_n ~ Bernoulli(1 / (1 + exp(-x_n beta))), beta ~ N(0, s). Position: beta[DIM]. Parameters: the number of rows n (a
// multiple of four), 1 / s^2, and the rows (2 y_n - 1) x_n: DIM values each.
//
// E = sum_n log(1 + exp(-u_n)) + |beta|^2 / (2 s^2) with u_n = (2 y_n - 1) x_n beta.

// Four rows from `at` on, times beta.
fn logistic_four(at: u32, x: ptr<function, Point>) -> vec4<f32> {
    var u = vec4<f32>(0.0);
    for (var b = 0u; b < blocks(); b++) {
        let beta = (*x)[b];
        u += vec4<f32>(
            dot(beta, param_lane(at, b)),
            dot(beta, param_lane(at + DIM, b)),
            dot(beta, param_lane(at + 2u * DIM, b)),
            dot(beta, param_lane(at + 3u * DIM, b)),
        );
    }
    return u;
}

fn logistic_energy(at: u32, x: ptr<function, Point>) -> f32 {
    var squares = 0.0;
    for (var b = 0u; b < blocks(); b++) { squares += dot((*x)[b], (*x)[b]); }
    var sum = 0.0;
    for (var row = 0u; row < u32(param(at)); row += 4u) {
        let u = logistic_four(at + 2u + row * DIM, x);
        sum += dot(max(-u, vec4<f32>(0.0)) + log(1.0 + exp(-abs(u))), vec4<f32>(1.0));
    }
    return sum + 0.5 * param(at + 1u) * squares;
}

fn logistic_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    var squares = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        squares += dot((*x)[b], (*x)[b]);
        (*grad)[b] = param(at + 1u) * (*x)[b];
    }
    var sum = 0.0;
    for (var row = 0u; row < u32(param(at)); row += 4u) {
        let own = at + 2u + row * DIM;
        let u = logistic_four(own, x);
        let small = exp(-abs(u));
        sum += dot(max(-u, vec4<f32>(0.0)) + log(1.0 + small), vec4<f32>(1.0));
        // 1 / (1 + exp(u)), without an overflow.
        let pull = select(vec4<f32>(1.0), small, u > vec4<f32>(0.0)) / (1.0 + small);
        for (var b = 0u; b < blocks(); b++) {
            (*grad)[b] -= pull.x * param_lane(own, b) + pull.y * param_lane(own + DIM, b)
                + pull.z * param_lane(own + 2u * DIM, b) + pull.w * param_lane(own + 3u * DIM, b);
        }
    }
    return sum + 0.5 * param(at + 1u) * squares;
}
