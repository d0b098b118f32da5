// x_i = a + w s(y_i) for i in first..first + count, with s(y) = 1 / (1 + exp(-y)) and w = b - a. Parameters: a, b, w, log w.

// s(-|y|) and s(|y|), both to full precision.
fn logit_sides(y: f32) -> vec2<f32> {
    let e = exp(-abs(y));
    return vec2<f32>(e, 1.0) / (1.0 + e);
}

// Replaces y by x; log |det dx/dy|.
fn logit_position(at: u32, first: u32, count: u32, x: ptr<function, Point>) -> f32 {
    var log_det = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        for (var l = 0u; l < LANES; l++) {
            // Wraps, and so is too large, before the first.
            if (b * LANES + l - first < count) {
                let y = (*x)[b][l];
                let sides = logit_sides(y);
                let way = param(at + 2u) * sides.x;
                log_det += param(at + 3u) - abs(y) + 2.0 * log(sides.y);
                (*x)[b][l] = select(param(at + 1u) - way, param(at) + way, y < 0.0);
            }
        }
    }
    return log_det;
}

fn logit_grad(at: u32, first: u32, count: u32, y: ptr<function, Point>, x: ptr<function, Point>, grad: ptr<function, Point>) {
    for (var b = 0u; b < blocks(); b++) {
        for (var l = 0u; l < LANES; l++) {
            if (b * LANES + l - first < count) {
                let v = (*y)[b][l];
                let sides = logit_sides(v);
                let slope = param(at + 2u) * sides.x * sides.y;
                (*grad)[b][l] = (*grad)[b][l] * slope + sign(v) * (sides.y - sides.x);
            }
        }
    }
}
