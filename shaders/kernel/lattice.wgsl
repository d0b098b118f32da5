// Metropolis on the integers: one coordinate moves by -k..-1 or 1..k, accept with probability min(1, exp(-(E' - E) / T)).
// Kernel parameters: k. Slots: 0 the acceptance, 1 the coordinate and the move.

fn transition(
    chain: u32,
    step: u32,
    control: Control,
    x: ptr<function, Point>,
    grad: ptr<function, Point>,
    momentum: ptr<function, Point>,
    e: ptr<function, f32>,
) -> Info {
    let bits = random_bits(chain, step, 1u);
    // Whatever the chances of the coordinates and of the lengths, there and back have the same.
    let chosen = bits.x % DIM;
    let length = f32(1u + (bits.y >> 1u) % u32(param(KERNEL_AT)));
    let move_by = select(-length, length, (bits.y & 1u) == 0u);
    var proposal: Point;
    for (var b = 0u; b < blocks(); b++) {
        proposal[b] = (*x)[b];
        for (var l = 0u; l < LANES; l++) {
            proposal[b][l] += select(0.0, move_by, whole_block(b) * LANES + l == chosen);
        }
    }
    let proposed = total(energy(&proposal));
    let info = metropolis(chain, step, 0u, proposed, (*e - proposed) / control.temperature);
    move_if(info.accepted, &proposal, x);
    *e = select(*e, proposed, info.accepted);
    return info;
}
