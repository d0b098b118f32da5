// What is watched of a chain: its coordinates as they are. The counterpart of constrained.wgsl.

fn watch_begin(index: u32, count: u32, x: ptr<function, Point>, e: f32) {
    if (COLLECT) { moments_begin(index, count, x, e); }
}

fn watch(count: u32, x: ptr<function, Point>, e: f32) {
    if (COLLECT) { moments_add(count, x, e); }
}
