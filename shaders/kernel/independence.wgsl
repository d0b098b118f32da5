// Metropolis-Hastings with an independence proposal: propose x' from N(m, diag s^2), accept with probability
// min(1, exp(-(E' - E) / T) q(x) / q(x')).
// Kernel parameters: m[DIM], s[DIM], 1 / s[DIM]. Slots: 0 the acceptance, 1.. the normals.

fn transition(
    chain: u32,
    step: u32,
    control: Control,
    x: ptr<function, Point>,
    grad: ptr<function, Point>,
    momentum: ptr<function, Point>,
    e: ptr<function, f32>,
) -> Info {
    var proposal: Point;
    random_normals(chain, step, 1u, &proposal);
    // log q(x') = -|z'|^2 / 2 and log q(x) = -|z|^2 / 2, up to the same constant.
    var log_density_ratio = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let mean = param_lane(KERNEL_AT, b);
        let z = ((*x)[b] - mean) * param_lane(KERNEL_AT + 2u * DIM, b);
        let z_proposed = proposal[b];
        log_density_ratio += 0.5 * (dot(z_proposed, z_proposed) - dot(z, z));
        proposal[b] = mean + param_lane(KERNEL_AT + DIM, b) * z_proposed;
    }
    let sums = totals(vec2<f32>(energy(&proposal), log_density_ratio));
    let proposed = sums.x;
    let log_ratio = (*e - proposed) / control.temperature + sums.y;
    let info = metropolis(chain, step, 0u, proposed, log_ratio);
    move_if(info.accepted, &proposal, x);
    *e = select(*e, proposed, info.accepted);
    return info;
}
