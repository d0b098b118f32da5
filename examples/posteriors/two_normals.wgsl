// A mixture of two normals: y_n ~ theta N(mu_1, sigma_1) + (1 - theta) N(mu_2, sigma_2), mu_1 < mu_2 ~ N(0, 2), sigma_k ~ half-N(0, 2),
// theta ~ Beta(5, 5). Position: mu_1, log(mu_2 - mu_1), log sigma_1, log sigma_2, logit theta. Parameters: the number of rows n, the
// constant of the log density, and y[n], filled up to a multiple of four with zeros.
//
// E = -sum_n log p(y_n) + (mu_1^2 + mu_2^2 + sigma_1^2 + sigma_2^2) / 8 - 4 log theta (1 - theta) and the Jacobians,
// -log(mu_2 - mu_1) - log sigma_1 - log sigma_2 - log theta (1 - theta).

// log(1 + exp(v)).
fn two_normals_softplus(v: vec4<f32>) -> vec4<f32> { return max(v, vec4<f32>(0.0)) + log(1.0 + exp(-abs(v))); }

fn two_normals_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    let v = (*x)[0];
    let logit = (*x)[1].x;
    let gap = exp(v.y);
    let mu_1 = v.x;
    let mu_2 = v.x + gap;
    let sigma_1 = exp(v.z);
    let sigma_2 = exp(v.w);
    let scale_1 = 1.0 / sigma_1;
    let scale_2 = 1.0 / sigma_2;
    let log_theta = -two_normals_softplus(vec4<f32>(-logit, logit, 0.0, 0.0)).xy;    // of theta and of 1 - theta
    let theta = exp(log_theta.x);
    let n = u32(param(at));
    let log_1 = log_theta.x - v.z;
    let log_2 = log_theta.y - v.w;
    var sum = 0.0;                       // of log p(y_n)
    var firsts = 0.0;                    // of the probabilities that a row is of the first normal
    var by_mu = vec2<f32>(0.0);
    var by_log_sigma = vec2<f32>(0.0);
    for (var row = 0u; row < n; row += 4u) {
        let i = at + 2u + row;
        let y = vec4<f32>(param(i), param(i + 1u), param(i + 2u), param(i + 3u));
        let is_row = select(vec4<f32>(0.0), vec4<f32>(1.0), vec4<u32>(row) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(n));
        let r_1 = (y - mu_1) * scale_1;
        let r_2 = (y - mu_2) * scale_2;
        let first = log_1 - 0.5 * r_1 * r_1;
        let second = log_2 - 0.5 * r_2 * r_2;
        let ratio = first - second;
        let small = exp(-abs(ratio));
        // From the larger of the two on: the other may be so low that nothing would be left of a difference.
        sum += dot(is_row, max(first, second) + log(1.0 + small));
        // 1 / (1 + exp(-ratio)), without an overflow.
        let of_1 = is_row * select(small, vec4<f32>(1.0), ratio > vec4<f32>(0.0)) / (1.0 + small);
        let of_2 = is_row - of_1;
        firsts += dot(of_1, vec4<f32>(1.0));
        by_mu += vec2<f32>(dot(of_1, r_1), dot(of_2, r_2));
        by_log_sigma += vec2<f32>(dot(of_1, r_1 * r_1 - 1.0), dot(of_2, r_2 * r_2 - 1.0));
    }
    let by_mu_1 = 0.25 * mu_1 - by_mu.x * scale_1;
    let by_mu_2 = 0.25 * mu_2 - by_mu.y * scale_2;
    (*grad)[0] = vec4<f32>(
        by_mu_1 + by_mu_2,
        gap * by_mu_2 - 1.0,
        0.25 * sigma_1 * sigma_1 - by_log_sigma.x - 1.0,
        0.25 * sigma_2 * sigma_2 - by_log_sigma.y - 1.0,
    );
    // The derivatives of log theta and of log(1 - theta) by the logit are 1 - theta and -theta.
    (*grad)[1] = vec4<f32>(theta * f32(n) - firsts - 5.0 * (1.0 - 2.0 * theta), 0.0, 0.0, 0.0);
    let squares = mu_1 * mu_1 + mu_2 * mu_2 + sigma_1 * sigma_1 + sigma_2 * sigma_2;
    return 0.125 * squares - sum - 5.0 * (log_theta.x + log_theta.y) - v.y - v.z - v.w + param(at + 1u);
}

fn two_normals_energy(at: u32, x: ptr<function, Point>) -> f32 {
    var grad: Point;
    return two_normals_energy_and_grad(at, x, &grad);
}
