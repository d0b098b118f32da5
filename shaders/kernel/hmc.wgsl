// Hamiltonian Monte Carlo (Duane et al. 1987; Neal 2011): momentum from N(0, M), leapfrog steps of size step_size under
// H = E / T + p^T M^-1 p / 2, accept with probability min(1, exp(H - H')).
// Kernel parameters: the DIM inverse masses. Slots: 0 the acceptance, 1.. the normals.

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
    var p: Point;
    // With v = M^-1/2 p the kinetic energy is |v|^2 / 2, and M enters only as a scale of the coordinates.
    random_normals(chain, step, 1u, &p);
    let half_kick = 0.5 * control.step_size / control.temperature;
    var kinetic = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let v = p[b];
        kinetic += dot(v, v);
        p[b] = v - half_kick * hmc_scale(b) * (*grad)[b];
        q[b] = (*x)[b];
    }
    var proposed = *e;
    let substeps = u32(control.substeps);
    for (var i = 1u; i <= substeps; i++) {
        for (var b = 0u; b < blocks(); b++) { q[b] += control.step_size * hmc_scale(b) * p[b]; }
        proposed = energy_and_grad(&q, &g);
        let kick = select(2.0 * half_kick, half_kick, i == substeps);
        for (var b = 0u; b < blocks(); b++) { p[b] -= kick * hmc_scale(b) * g[b]; }
    }
    if (!is_usable(proposed)) {
        let failure = failure_of(proposed);
        return Info(0.0, false, select(failure, DIVERGED, failure == NO_FAILURE));
    }
    for (var b = 0u; b < blocks(); b++) { kinetic -= dot(p[b], p[b]); }
    let log_ratio = (*e - proposed) / control.temperature + 0.5 * kinetic;
    if (!is_finite(log_ratio)) { return Info(0.0, false, NOT_FINITE); }
    if (log_ratio < -DIVERGENCE) { return Info(0.0, false, DIVERGED); }
    let accepted = random_log(random_uniform(random_bits(chain, step, 0u))) < log_ratio;
    if (accepted) {
        copy(&q, x);
        copy(&g, grad);
        *e = proposed;
    }
    return Info(exp(min(0.0, log_ratio)), accepted, NO_FAILURE);
}

// M^-1/2; one where no mass was set (settings.x = 0).
fn hmc_scale(block: u32) -> Lane {
    if (run.settings.x == 0u) { return Lane(1.0); }
    return param_lane(KERNEL_AT, block);
}
