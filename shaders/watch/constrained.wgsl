// What is watched of a chain that runs in free coordinates y: its position x = T(y), as its user sees it. The parameters of an energy
// with constraints begin with those of the transforms.

fn watch_begin(index: u32, count: u32, y: ptr<function, Point>, e: f32) {
    if (COLLECT) {
        var x: Point;
        _ = constraints_position(0u, y, &x);
        moments_begin(index, count, &x, e);
    }
}

fn watch(count: u32, y: ptr<function, Point>, e: f32) {
    if (COLLECT) {
        var x: Point;
        _ = constraints_position(0u, y, &x);
        moments_add(count, &x, e);
    }
}
