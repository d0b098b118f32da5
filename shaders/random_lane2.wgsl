// Standard normals for lanes of two coordinates.

fn random_normal_lane(chain: u32, step: u32, slot: u32) -> Lane {
    return random_normal_pair(random_bits(chain, step, slot));
}

// The last lane, where the dimension does not fill it.
fn random_normal_tail(chain: u32, step: u32, slot: u32) -> Lane { return random_normal_lane(chain, step, slot) * TAIL_MASK; }
