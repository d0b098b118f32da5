// An invocation holds every block of its points, so that its sums are whole. The counterpart of spread.wgsl.

// Which block of the whole point the own block b is.
fn whole_block(b: u32) -> u32 { return b; }

// One for the coordinates of a block, zero for padding.
fn lane_mask(b: u32) -> Lane {
    if (DIM % LANES != 0u && b == BLOCKS - 1u) { return TAIL_MASK; }
    return Lane(1.0);
}

fn totals(parts: vec2<f32>) -> vec2<f32> { return parts; }

fn total(part: f32) -> f32 { return part; }

fn once(whole: f32) -> f32 { return whole; }

fn agreed(word: u32) -> bool { return true; }
