// E(x) = -sum_k (a_k - 1) log x_k for x_k > 0. Parameters: (a - 1)[DIM].

fn dirichlet_energy(at: u32, x: ptr<function, Point>) -> f32 {
    var sum = 0.0;
    var outside = false;
    for (var b = 0u; b < blocks(); b++) {
        // Padding is one, whose log is zero.
        let v = (*x)[b] + 1.0 - lane_mask(b);
        sum -= dot(param_lane(at, b), log(v));
        outside = outside || any(v <= Lane(0.0));
    }
    if (outside) { return infinity(); }
    return sum;
}

fn dirichlet_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    for (var b = 0u; b < blocks(); b++) { (*grad)[b] = -param_lane(at, b) / ((*x)[b] + 1.0 - lane_mask(b)); }
    return dirichlet_energy(at, x);
}
