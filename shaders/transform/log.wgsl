// x_i = a + s exp(y_i) for i in first..first + count, with s = 1 or -1. Parameters: a, s.

// Replaces y by x; log |det dx/dy|.
fn log_position(at: u32, first: u32, count: u32, x: ptr<function, Point>) -> f32 {
    var log_det = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        for (var l = 0u; l < LANES; l++) {
            // Wraps, and so is too large, before the first.
            if (b * LANES + l - first < count) {
                let y = (*x)[b][l];
                log_det += y;
                (*x)[b][l] = param(at) + param(at + 1u) * exp(y);
            }
        }
    }
    return log_det;
}

fn log_grad(at: u32, first: u32, count: u32, y: ptr<function, Point>, x: ptr<function, Point>, grad: ptr<function, Point>) {
    for (var b = 0u; b < blocks(); b++) {
        for (var l = 0u; l < LANES; l++) {
            if (b * LANES + l - first < count) {
                (*grad)[b][l] = (*grad)[b][l] * param(at + 1u) * exp((*y)[b][l]) - 1.0;
            }
        }
    }
}
