// Random-walk Metropolis: propose x + step_size * z, accept with probability min(1, exp(-(E' - E) / T)).
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
    var proposal: Point;
    random_normals(chain, step, 1u, &proposal);
    for (var b = 0u; b < blocks(); b++) {
        proposal[b] = (*x)[b] + control.step_size * proposal[b];
    }
    let proposed = energy(&proposal);
    if (!is_usable(proposed)) { return Info(0.0, false, failure_of(proposed)); }
    let log_ratio = (*e - proposed) / control.temperature;
    let accepted = random_log(random_uniform(random_bits(chain, step, 0u))) < log_ratio;
    if (accepted) {
        copy(&proposal, x);
        *e = proposed;
    }
    return Info(exp(min(0.0, log_ratio)), accepted, NO_FAILURE);
}
