// x_i = m + s y_i for i in first..first + count. Parameters: m, s, log |s|.

// Replaces y by x; log |det dx/dy|.
fn affine_position(at: u32, first: u32, count: u32, x: ptr<function, Point>) -> f32 {
    for (var b = 0u; b < blocks(); b++) {
        for (var l = 0u; l < LANES; l++) {
            // Wraps, and so is too large, before the first.
            if (b * LANES + l - first < count) { (*x)[b][l] = param(at) + param(at + 1u) * (*x)[b][l]; }
        }
    }
    return f32(count) * param(at + 2u);
}

fn affine_grad(at: u32, first: u32, count: u32, y: ptr<function, Point>, x: ptr<function, Point>, grad: ptr<function, Point>) {
    for (var b = 0u; b < blocks(); b++) {
        for (var l = 0u; l < LANES; l++) {
            if (b * LANES + l - first < count) { (*grad)[b][l] *= param(at + 1u); }
        }
    }
}
