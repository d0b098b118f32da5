// Underdamped Langevin by the BAOAB splitting (Leimkuhler and Matthews 2013), h = step_size: half a kick, half a drift, friction
// and noise, half a drift, half a kick. A chain whose next state would not be finite stops where it stands.
// `momentum` is v = M^-1/2 p with the law N(0, T).
// Kernel parameters: friction, then the DIM square roots of the inverse masses (variant 1). Slots: 0.. the normals.

fn transition(
    chain: u32,
    step: u32,
    control: Control,
    x: ptr<function, Point>,
    grad: ptr<function, Point>,
    momentum: ptr<function, Point>,
    e: ptr<function, f32>,
) -> Info {
    let half_step = 0.5 * control.step_size;
    let loss = underdamped_loss(param(KERNEL_AT) * control.step_size);
    let noise = sqrt(control.temperature * loss * (2.0 - loss));
    var q: Point;
    var g: Point;
    var v: Point;
    random_normals(chain, step, 0u, &v);
    for (var b = 0u; b < blocks(); b++) {
        let scale = half_step * underdamped_scale(b);
        let kicked = (*momentum)[b] - scale * (*grad)[b];
        v[b] = kicked - loss * kicked + noise * v[b];
        q[b] = (*x)[b] + scale * (kicked + v[b]);
    }
    let part = energy_and_grad(&q, &g);
    var size = 0.0;
    for (var b = 0u; b < blocks(); b++) { size += dot(g[b], g[b]); }
    let sums = totals(vec2<f32>(part, size));
    let proposed = sums.x;
    let info = unadjusted(proposed, sums.y);
    let accepted = info.accepted;
    for (var b = 0u; b < blocks(); b++) { v[b] -= half_step * underdamped_scale(b) * g[b]; }
    move_if(accepted, &v, momentum);
    move_if(accepted, &q, x);
    move_if(accepted, &g, grad);
    *e = select(*e, proposed, accepted);
    return info;
}

// 1 - exp(-t) for t > 0, without cancellation for small t (the series' next term is below 5e-8 of it).
fn underdamped_loss(t: f32) -> f32 {
    if (t > 0.25) { return 1.0 - exp(-t); }
    return t * (1.0 - t / 2.0 * (1.0 - t / 3.0 * (1.0 - t / 4.0 * (1.0 - t / 5.0 * (1.0 - t / 6.0)))));
}

// M^-1/2; one where no mass was set (variant 0).
fn underdamped_scale(block: u32) -> Lane {
    if (VARIANT == 0u) { return Lane(1.0); }
    return param_lane(KERNEL_AT + 1u, block);
}
