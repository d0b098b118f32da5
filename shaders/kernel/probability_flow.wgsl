// The probability flow of a diffusion by Heun's method in sigma: y1 = y - a grad E_s(y), y' = y - a (grad E_s(y) + r grad E_s'(y1)) / 2
// with a = s (s - s') = step_size and r = s' / s; both new gradients are at the next level s'. No randomness.
// A chain whose next state would not be finite stops where it stands.

fn transition(
    chain: u32,
    step: u32,
    control: Control,
    x: ptr<function, Point>,
    grad: ptr<function, Point>,
    momentum: ptr<function, Point>,
    e: ptr<function, f32>,
) -> Info {
    let a = control.step_size;
    let ratio = select(0.0, sqrt(noise_variance / max(control.level, 1e-30)), control.level > 0.0);
    var proposal: Point;
    var proposal_grad: Point;
    for (var b = 0u; b < blocks(); b++) { proposal[b] = (*x)[b] - a * (*grad)[b]; }
    energy_and_grad(&proposal, &proposal_grad);
    for (var b = 0u; b < blocks(); b++) { proposal[b] = (*x)[b] - 0.5 * a * ((*grad)[b] + ratio * proposal_grad[b]); }
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
