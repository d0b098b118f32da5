// Metropolis-adjusted Langevin (Roberts and Tweedie 1996): propose x' = x - h grad E(x) / T + sqrt(2 h) z with h = step_size,
// accept with the ratio of the target times that of the two proposal densities.
// Kernel parameters: the DIM scales of the coordinates (variant 1). Slots: 0 the acceptance, 1.. the normals.

fn transition(
    chain: u32,
    step: u32,
    control: Control,
    x: ptr<function, Point>,
    grad: ptr<function, Point>,
    momentum: ptr<function, Point>,
    e: ptr<function, f32>,
) -> Info {
    let drift = control.step_size / control.temperature;
    let noise = sqrt(2.0 * control.step_size);
    var proposal: Point;
    var proposal_grad: Point;
    var log_ratio = 0.0;
    // log q(x' | x) = -|z|^2 / 2.
    for (var b = 0u; b < blocks(); b++) {
        let z = random_normal_block(chain, step, 1u, b);
        log_ratio += dot(z, z);
        let scale = mala_scale(b);
        proposal[b] = (*x)[b] - drift * scale * scale * (*grad)[b] + noise * scale * z;
    }
    let part = energy_and_grad(&proposal, &proposal_grad);
    // log q(x | x') = -|z'|^2 / 2 with z' = (x - x' + drift grad E(x')) / noise, for coordinates of scale one.
    for (var b = 0u; b < blocks(); b++) {
        let z = (mala_whitened(b, (*x)[b] - proposal[b]) + drift * mala_scale(b) * proposal_grad[b]) * (1.0 / noise);
        log_ratio -= dot(z, z);
    }
    let sums = totals(vec2<f32>(part, log_ratio));
    let proposed = sums.x;
    log_ratio = (*e - proposed) / control.temperature + 0.5 * sums.y;
    let info = metropolis(chain, step, 0u, proposed, log_ratio);
    move_if(info.accepted, &proposal, x);
    move_if(info.accepted, &proposal_grad, grad);
    *e = select(*e, proposed, info.accepted);
    return info;
}

fn mala_scale(block: u32) -> Lane {
    if (VARIANT == 0u) { return Lane(1.0); }
    return param_lane(KERNEL_AT, block);
}

// Divided by the scales; padding, whose scale is zero, stays zero.
fn mala_whitened(block: u32, v: Lane) -> Lane {
    if (VARIANT == 0u) { return v; }
    return v / (mala_scale(block) + Lane(1.0) - lane_mask(block));
}
