// Random-walk Metropolis: propose x + step_size * z, accept with probability min(1, exp(-(E' - E) / T)).
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
    var proposal: Point;
    for (var b = 0u; b < blocks(); b++) {
        proposal[b] = (*x)[b] + control.step_size * rwm_scale(b) * random_normal_block(chain, step, 1u, b);
    }
    let proposed = total(energy(&proposal));
    let info = metropolis(chain, step, 0u, proposed, (*e - proposed) / control.temperature);
    move_if(info.accepted, &proposal, x);
    *e = select(*e, proposed, info.accepted);
    return info;
}

fn rwm_scale(block: u32) -> Lane {
    if (VARIANT == 0u) { return Lane(1.0); }
    return param_lane(KERNEL_AT, block);
}
