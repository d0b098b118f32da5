// Unadjusted Langevin: x' = x - h grad E(x) + sqrt(2 h T) z with h = step_size. Biased by O(h).
// A chain whose next state would not be finite stops where it stands. Slots: 0.. the normals.

fn transition(
    chain: u32,
    step: u32,
    control: Control,
    x: ptr<function, Point>,
    grad: ptr<function, Point>,
    momentum: ptr<function, Point>,
    e: ptr<function, f32>,
) -> Info {
    let noise = sqrt(2.0 * control.step_size * control.temperature);
    var proposal: Point;
    var proposal_grad: Point;
    for (var b = 0u; b < blocks(); b++) {
        proposal[b] = (*x)[b] - control.step_size * (*grad)[b] + noise * random_normal_block(chain, step, 0u, b);
    }
    let part = energy_and_grad(&proposal, &proposal_grad);
    var size = 0.0;
    for (var b = 0u; b < blocks(); b++) { size += dot(proposal_grad[b], proposal_grad[b]); }
    let sums = totals(vec2<f32>(part, size));
    let proposed = sums.x;
    let info = unadjusted(proposed, sums.y);
    let accepted = info.accepted;
    move_if(accepted, &proposal, x);
    move_if(accepted, &proposal_grad, grad);
    *e = select(*e, proposed, accepted);
    return info;
}
