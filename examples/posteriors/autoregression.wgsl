// AR(5): y_t ~ N(alpha + sum_k beta_k y_(t-k), sigma) for t > 5; alpha, beta_k ~ N(0, 10), sigma ~ half-Cauchy(2.5).
// Position: alpha, beta[5], log sigma. Parameters: the number of rows n = T - 5, the constant of the log density, y[T], and twelve
// zeros, since y is read in fours.
//
// E = n log sigma + sum_t r_t^2 / (2 sigma^2) + (alpha^2 + |beta|^2) / 200 + log(1 + sigma^2 / 6.25) - log sigma.

fn autoregression_four(at: u32) -> vec4<f32> { return vec4<f32>(param(at), param(at + 1u), param(at + 2u), param(at + 3u)); }

fn autoregression_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    let a = (*x)[0];             // alpha, beta_1, beta_2, beta_3
    let b = (*x)[1];             // beta_4, beta_5, log sigma
    let n = u32(param(at));
    let y = at + 2u;
    var squares = 0.0;
    var sums_a = vec4<f32>(0.0); // of the residuals times one, y_(t-1), y_(t-2), y_(t-3)
    var sums_b = vec2<f32>(0.0); // ... y_(t-4), y_(t-5)
    // Four rows a turn: their values and lags lie in twelve successive values, of which eight are those of the turn before.
    var first = autoregression_four(y);
    var second = autoregression_four(y + 4u);
    for (var row = 0u; row < n; row += 4u) {
        let third = autoregression_four(y + row + 8u);
        let lag_1 = second;
        let lag_2 = vec4<f32>(first.w, second.xyz);
        let lag_3 = vec4<f32>(first.zw, second.xy);
        let lag_4 = vec4<f32>(first.yzw, second.x);
        let lag_5 = first;
        let mean = a.x + a.y * lag_1 + a.z * lag_2 + a.w * lag_3 + b.x * lag_4 + b.y * lag_5;
        let is_row = vec4<u32>(row) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(n);
        let r = select(vec4<f32>(0.0), vec4<f32>(second.yzw, third.x) - mean, is_row);
        squares += dot(r, r);
        sums_a += vec4<f32>(dot(r, vec4<f32>(1.0)), dot(r, lag_1), dot(r, lag_2), dot(r, lag_3));
        sums_b += vec2<f32>(dot(r, lag_4), dot(r, lag_5));
        first = second;
        second = third;
    }
    let weight = exp(-2.0 * b.z);     // 1 / sigma^2
    let q = 0.16 / weight;
    let coefficients = dot(a, a) + dot(b.xy, b.xy);
    (*grad)[0] = 0.01 * a - weight * sums_a;
    (*grad)[1] = vec4<f32>(0.01 * b.xy - weight * sums_b, f32(n) - 1.0 - weight * squares + 2.0 * q / (1.0 + q), 0.0);
    let energy = (f32(n) - 1.0) * b.z + 0.5 * weight * squares + 0.005 * coefficients + log(1.0 + q);
    return energy + param(at + 1u);
}

fn autoregression_energy(at: u32, x: ptr<function, Point>) -> f32 {
    var grad: Point;
    return autoregression_energy_and_grad(at, x, &grad);
}
