// x_i = y_i for i = first, and x_i = x_(i-1) + exp(y_i) up to first + count. No parameters.

// Replaces y by x; log |det dx/dy|.
fn ordered_position(at: u32, first: u32, count: u32, x: ptr<function, Point>) -> f32 {
    var log_det = 0.0;
    var last = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        for (var l = 0u; l < LANES; l++) {
            // Wraps, and so is too large, before the first.
            let i = b * LANES + l - first;
            if (i < count) {
                let y = (*x)[b][l];
                log_det += select(y, 0.0, i == 0u);
                last = select(last + exp(y), y, i == 0u);
                (*x)[b][l] = last;
            }
        }
    }
    return log_det;
}

fn ordered_grad(at: u32, first: u32, count: u32, y: ptr<function, Point>, x: ptr<function, Point>, grad: ptr<function, Point>) {
    // Each coordinate moves all that follow it, so this goes from the last to the first.
    var after = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let own = blocks() - 1u - b;
        for (var l = 0u; l < LANES; l++) {
            let lane = LANES - 1u - l;
            let i = own * LANES + lane - first;
            if (i < count) {
                after += (*grad)[own][lane];
                (*grad)[own][lane] = select(after * exp((*y)[own][lane]) - 1.0, after, i == 0u);
            }
        }
    }
}
