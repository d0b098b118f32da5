// Random numbers: a pure function of (key, chain, index). Twin: src/random.rs.

// 64 random bits of one chain: slot counts the blocks that one step may use.
fn random_bits(chain: u32, step: u32, slot: u32) -> vec2<u32> {
    return threefry(run.key, vec2<u32>(chain, step * SLOTS + slot));
}

// Block b of a position of standard normals: coordinate i comes from slot + i/2. Padding is zero.
fn random_normal_block(chain: u32, step: u32, slot: u32, b: u32) -> Lane {
    let own = slot + whole_block(b) * (LANES / 2u);
    // Where b is a constant, the blocks of bits that padding would take are not computed.
    if (SHARES == 1u && DIM % LANES != 0u && BLOCKS <= 8u && b == BLOCKS - 1u) { return random_normal_tail(chain, step, own); }
    return random_normal_lane(chain, step, own) * lane_mask(b);
}

// Fills a position with standard normals.
fn random_normals(chain: u32, step: u32, slot: u32, z: ptr<function, Point>) {
    for (var b = 0u; b < blocks(); b++) { (*z)[b] = random_normal_block(chain, step, slot, b); }
}
