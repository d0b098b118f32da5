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
    var log_ratio = 0.0;
    // log q(x' | x) = -|z|^2 / 2.
    for (var b = 0u; b < blocks(); b++) {
        let z = random_normal_block(chain, step, 1u, b);
        log_ratio += dot(z, z);
        proposal[b] = (*x)[b] - drift * (*grad)[b] + noise * z;
    }
    let part = energy_and_grad(&proposal, &proposal_grad);
    // log q(x | x') = -|z'|^2 / 2 with z' = (x - x' + drift grad E(x')) / noise.
    for (var b = 0u; b < blocks(); b++) {
        let z = ((*x)[b] - proposal[b] + drift * proposal_grad[b]) * (1.0 / noise);
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
