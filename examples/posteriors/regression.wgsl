// Linear regression: y_n ~ N(alpha + beta x_n, sigma); alpha and beta flat, sigma ~ half-Cauchy(2.5).
// Position: alpha, beta, log sigma. Parameters: the number of rows n, the constant of the log density, and the rows in fours, x[4] and
// then y[4]; the last four are filled up with zeros.
//
// E = n log sigma + sum_n r_n^2 / (2 sigma^2) + log(1 + sigma^2 / 6.25) - log sigma.

fn regression_four(at: u32) -> vec4<f32> { return vec4<f32>(param(at), param(at + 1u), param(at + 2u), param(at + 3u)); }

fn regression_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    let v = (*x)[0];
    let n = u32(param(at));
    var squares = 0.0;
    var sums = vec2<f32>(0.0);   // of the residuals times one and times x_n
    for (var row = 0u; row < n; row += 4u) {
        let x_n = regression_four(at + 2u + 2u * row);
        let y_n = regression_four(at + 6u + 2u * row);
        let is_row = vec4<u32>(row) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(n);
        let r = select(vec4<f32>(0.0), y_n - v.x - v.y * x_n, is_row);
        squares += dot(r, r);
        sums += vec2<f32>(dot(r, vec4<f32>(1.0)), dot(r, x_n));
    }
    let weight = exp(-2.0 * v.z);     // 1 / sigma^2
    let q = 0.16 / weight;
    (*grad)[0] = vec4<f32>(-weight * sums, f32(n) - 1.0 - weight * squares + 2.0 * q / (1.0 + q), 0.0);
    return (f32(n) - 1.0) * v.z + 0.5 * weight * squares + log(1.0 + q) + param(at + 1u);
}

fn regression_energy(at: u32, x: ptr<function, Point>) -> f32 {
    var grad: Point;
    return regression_energy_and_grad(at, x, &grad);
}
