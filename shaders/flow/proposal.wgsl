// Metropolis-Hastings with a normalising flow as independence proposal: propose x' = f(z) with z ~ N(0, I), accept with probability
// min(1, exp(-(E' - E) / T) q(x) / q(x')). The functions of the flow stand above, as in shaders/flow/energy.wgsl.
// Kernel parameters: those of the flow. VARIANT: its layers, and its hidden units in the lower 16 bits. Slots: 0 the acceptance,
// 1.. the normals.

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
    let of_base = proposal_base(&proposal);
    // -log q(x') and -log q(x).
    let q_proposed = of_base + proposal_forward(VARIANT >> 16u, VARIANT & 0xffffu, KERNEL_AT, &proposal);
    let q = proposal_energy(VARIANT >> 16u, VARIANT & 0xffffu, KERNEL_AT, x);
    let proposed = energy(&proposal);
    let log_ratio = (*e - proposed) / control.temperature + q_proposed - q;
    let info = metropolis(chain, step, 0u, proposed, log_ratio);
    move_if(info.accepted, &proposal, x);
    *e = select(*e, proposed, info.accepted);
    return info;
}
