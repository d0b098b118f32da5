// E(x) = h sum_i (x_i^2 - 1)^2. Parameters: h.

fn double_well_energy(at: u32, x: ptr<function, Point>) -> f32 {
    var sum = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let w = ((*x)[b] * (*x)[b] - 1.0) * lane_mask(b);
        sum += dot(w, w);
    }
    return param(at) * sum;
}

fn double_well_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    var sum = 0.0;
    let slope = 4.0 * param(at);
    for (var b = 0u; b < blocks(); b++) {
        let v = (*x)[b];
        let w = (v * v - 1.0) * lane_mask(b);
        sum += dot(w, w);
        (*grad)[b] = slope * w * v;
    }
    return param(at) * sum;
}
