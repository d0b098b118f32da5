// E(x) = (1 - beta) E0(x) + beta E1(x). The calls of the parts are generated (src/energy/bridge.rs).

var<private> bridge_beta: f32;
var<private> bridge_gap: f32;            // E1 - E0 of the last evaluation

// The energy from those of the parts. A part of weight zero has no say, even where it is infinite.
fn bridge_between(from_energy: f32, to_energy: f32) -> f32 {
    bridge_gap = to_energy - from_energy;
    if (bridge_beta == 0.0) { return from_energy; }
    if (bridge_beta == 1.0) { return to_energy; }
    return (1.0 - bridge_beta) * from_energy + bridge_beta * to_energy;
}

fn bridge_between_grads(from_lane: Lane, to_lane: Lane) -> Lane {
    if (bridge_beta == 0.0) { return from_lane; }
    if (bridge_beta == 1.0) { return to_lane; }
    return (1.0 - bridge_beta) * from_lane + bridge_beta * to_lane;
}
