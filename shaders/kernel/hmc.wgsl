// Hamiltonian Monte Carlo (Duane et al. 1987; Neal 2011): momentum from N(0, M), leapfrog steps of size step_size under
// H = E / T + p^T M^-1 p / 2, accept with probability min(1, exp(H - H')).
// Kernel parameters: the DIM square roots of the inverse masses (variants 1 and 2), the DIM coordinates of the centre (variant 2,
// which adapts). Slots: 0 the acceptance, 1.. the normals.

fn transition(
    chain: u32,
    step: u32,
    control: Control,
    x: ptr<function, Point>,
    grad: ptr<function, Point>,
    momentum: ptr<function, Point>,
    e: ptr<function, f32>,
) -> Info {
    var q: Point;
    var g: Point;
    var v: Point;
    // With v = M^-1/2 p the kinetic energy is |v|^2 / 2, and M enters only as a scale of the coordinates.
    let kick = control.step_size / control.temperature;
    var kinetic = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let start = random_normal_block(chain, step, 1u, b);
        kinetic += dot(start, start);
        v[b] = start - 0.5 * kick * hmc_scale(b) * (*grad)[b];
        q[b] = (*x)[b];
    }
    let begun = kinetic;
    var part = 0.0;
    let substeps = u32(control.substeps);
    for (var i = 0u; i < substeps; i++) {
        for (var b = 0u; b < blocks(); b++) { q[b] += control.step_size * hmc_scale(b) * v[b]; }
        part = energy_and_grad(&q, &g);
        for (var b = 0u; b < blocks(); b++) { v[b] -= kick * hmc_scale(b) * g[b]; }
    }
    growth = 0.0;
    // Only the last energy is added up. The last kick was a whole one; take half of it back.
    for (var b = 0u; b < blocks(); b++) {
        let end = v[b] + 0.5 * kick * hmc_scale(b) * g[b];
        kinetic -= dot(end, end);
        if (VARIANT == 2u) { growth += dot(hmc_whitened(b, q[b]), end); }
    }
    if (VARIANT == 2u) { growth = total(growth); }
    let sums = totals(vec2<f32>(part, kinetic));
    let proposed = sums.x;
    let log_ratio = (*e - proposed) / control.temperature + 0.5 * sums.y;
    var info = metropolis(chain, step, 0u, proposed, log_ratio);
    let diverged = info.failure == NO_FAILURE && (!is_usable(proposed) || log_ratio < -DIVERGENCE);
    info.failure = select(info.failure, DIVERGED, diverged);
    hamiltonian = 0.5 * begun + once(*e / control.temperature - select(0.0, log_ratio, info.accepted));
    move_if(info.accepted, &q, x);
    move_if(info.accepted, &g, grad);
    *e = select(*e, proposed, info.accepted);
    return info;
}

// M^-1/2; one where no mass was set (variant 0).
fn hmc_scale(block: u32) -> Lane {
    if (VARIANT == 0u) { return Lane(1.0); }
    return param_lane(KERNEL_AT, block);
}

// y = M^1/2 (x - centre); padding, whose mass is zero here, stays zero.
fn hmc_whitened(block: u32, x: Lane) -> Lane {
    return (x - param_lane(KERNEL_AT + DIM, block)) / (hmc_scale(block) + Lane(1.0) - lane_mask(block));
}
