// E(x) = |z|^2 / 2 with z_i = (x_i - m_i) / s_i. Parameters: mean[DIM], 1 / s[DIM].
// At a noise level s_i^2 grows by sigma^2: with f_i = 1 + sigma^2 / s_i^2, E = sum_i (z_i^2 / f_i + log f_i) / 2.

fn gaussian_energy(at: u32, x: ptr<function, Point>) -> f32 {
    var sum = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let w = param_lane(at + DIM, b);
        let z = w * ((*x)[b] - param_lane(at, b));
        if (NOISY) {
            let f = 1.0 + noise_variance * w * w;
            sum += lane_sum(z * z / f + log(f));
        } else {
            sum += dot(z, z);
        }
    }
    return 0.5 * sum;
}

fn gaussian_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    var sum = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let w = param_lane(at + DIM, b);
        let z = w * ((*x)[b] - param_lane(at, b));
        if (NOISY) {
            let f = 1.0 + noise_variance * w * w;
            sum += lane_sum(z * z / f + log(f));
            (*grad)[b] = w * z / f;
        } else {
            sum += dot(z, z);
            (*grad)[b] = w * z;
        }
    }
    return 0.5 * sum;
}
