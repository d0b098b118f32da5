// Metropolis-Hastings with a random walk that drifts: propose x' = x + d + s z with s = step_size, accept with probability
// min(1, exp(-(E' - E) / T) q(x | x') / q(x' | x)).
// Kernel parameters: d[DIM]. Slots: 0 the acceptance, 1.. the normals.

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
    // log q(x' | x) = -|z|^2 / 2; the way back needs z' = (x - x' - d) / s = -(z + 2 d / s).
    var log_density_ratio = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let drift = param_lane(KERNEL_AT, b);
        let z = proposal[b];
        let z_back = z + (2.0 / control.step_size) * drift;
        log_density_ratio += 0.5 * (dot(z, z) - dot(z_back, z_back));
        proposal[b] = (*x)[b] + drift + control.step_size * z;
    }
    let sums = totals(vec2<f32>(energy(&proposal), log_density_ratio));
    let proposed = sums.x;
    let log_ratio = (*e - proposed) / control.temperature + sums.y;
    let info = metropolis(chain, step, 0u, proposed, log_ratio);
    move_if(info.accepted, &proposal, x);
    *e = select(*e, proposed, info.accepted);
    return info;
}
