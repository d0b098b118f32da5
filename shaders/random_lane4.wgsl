// Standard normals for lanes of four coordinates.

fn random_normal_lane(chain: u32, step: u32, slot: u32) -> Lane {
    return Lane(
        random_normal_pair(random_bits(chain, step, slot)),
        random_normal_pair(random_bits(chain, step, slot + 1u)),
    );
}

// The last lane, where the dimension does not fill it.
fn random_normal_tail(chain: u32, step: u32, slot: u32) -> Lane {
    if (DIM % 4u == 3u) { return random_normal_lane(chain, step, slot) * TAIL_MASK; }
    return Lane(random_normal_pair(random_bits(chain, step, slot)), 0.0, 0.0) * TAIL_MASK;
}
