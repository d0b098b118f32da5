// Metropolis-adjusted Langevin (Roberts and Tweedie 1996): propose x' = x - h grad E(x) / T + sqrt(2 h) z with h = step_size,
// accept with the ratio of the target times that of the two proposal densities.
// Slots: 0 the acceptance, 1.. the normals.

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
    random_normals(chain, step, 1u, &proposal);
    // log q(x' | x) = -|z|^2 / 2; the reverse needs z' = (x - x' + drift grad') / noise = (drift (grad + grad') / noise) - z.
    var forward = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let z = proposal[b];
        forward += dot(z, z);
        proposal[b] = (*x)[b] - drift * (*grad)[b] + noise * z;
    }
    let proposed = energy_and_grad(&proposal, &proposal_grad);
    if (!is_usable(proposed)) { return Info(0.0, false, failure_of(proposed)); }
    var backward = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let z = ((*x)[b] - proposal[b] + drift * proposal_grad[b]) / noise;
        backward += dot(z, z);
    }
    let log_ratio = (*e - proposed) / control.temperature + 0.5 * (forward - backward);
    if (!is_finite(log_ratio)) { return Info(0.0, false, NOT_FINITE); }
    let accepted = random_log(random_uniform(random_bits(chain, step, 0u))) < log_ratio;
    if (accepted) {
        copy(&proposal, x);
        copy(&proposal_grad, grad);
        *e = proposed;
    }
    return Info(exp(min(0.0, log_ratio)), accepted, NO_FAILURE);
}
