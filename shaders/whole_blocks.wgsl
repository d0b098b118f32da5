// The blocks of a point that one invocation holds.

// Which block of the whole point the own block b is.
fn whole_block(b: u32) -> u32 { return b; }

// One for the coordinates of a block, zero for padding.
fn lane_mask(b: u32) -> Lane {
    if (DIM % LANES != 0u && b == BLOCKS - 1u) { return TAIL_MASK; }
    return Lane(1.0);
}

// Whether number l of a block is no padding.
fn is_coordinate(b: u32, l: u32) -> bool { return b * LANES + l < DIM; }

// Block `block` of the parameters from `at` on.
fn lane_of_params(at: u32, block: u32) -> Lane { return params_from(at + block * LANES); }
