// K = count positive numbers of sum one from first on: x_k is the share z_k = s(y_k - log(K - 1 - k)) of what was left over before, the
// last is the rest, with s(u) = 1 / (1 + exp(-u)). The last y is idle, standard normal. No parameters.

// z and 1 - z of coordinate k.
fn stick_breaking_shares(y: f32, k: u32, count: u32) -> vec2<f32> {
    let u = y - log(f32(count - 1u - k));
    return 1.0 / (1.0 + vec2<f32>(exp(-u), exp(u)));
}

// Replaces y by x; log |det dx/dy| and the log density of the idle coordinate.
fn stick_breaking_position(at: u32, first: u32, count: u32, x: ptr<function, Point>) -> f32 {
    var log_det = -0.9189385;
    var left = 1.0;
    var log_left = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        for (var l = 0u; l < LANES; l++) {
            // Wraps, and so is too large, before the first.
            let k = b * LANES + l - first;
            if (k < count) {
                let y = (*x)[b][l];
                if (k == count - 1u) {
                    log_det -= 0.5 * y * y;
                    (*x)[b][l] = left;
                } else {
                    let z = stick_breaking_shares(y, k, count);
                    let logs = log(z);
                    log_det += log_left + logs.x + logs.y;
                    (*x)[b][l] = left * z.x;
                    left *= z.y;
                    log_left += logs.y;
                }
            }
        }
    }
    return log_det;
}

fn stick_breaking_grad(at: u32, first: u32, count: u32, y: ptr<function, Point>, x: ptr<function, Point>, grad: ptr<function, Point>) {
    // A longer piece takes its part from all that follow it, so this goes from the last to the first.
    var after = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let own = blocks() - 1u - b;
        for (var l = 0u; l < LANES; l++) {
            let lane = LANES - 1u - l;
            let k = own * LANES + lane - first;
            if (k < count) {
                let part = (*grad)[own][lane] * (*x)[own][lane];
                let v = (*y)[own][lane];
                if (k == count - 1u) {
                    (*grad)[own][lane] = v;
                } else {
                    let z = stick_breaking_shares(v, k, count);
                    (*grad)[own][lane] = (part - 1.0) * z.y - (after - f32(count - 1u - k)) * z.x;
                }
                after += part;
            }
        }
    }
}
