// Takes the own columns through layers. Returns the turns of its loops, and those that there should have been.
fn through(first: u32, last: u32) -> vec2<u32> {
    var turns = vec2<u32>(0u);
    for (var l = first; l < last; l++) {
        let layer = layers[l];
        turns += vec2<u32>(apply(layer), expected_turns(layer));
        if (layer.finish == RAW) { continue; }
        for (var o = 0u; o < layer.outputs; o++) {
            if (layer.finish == ACTIVATE) { activate(layer, o); } else { reverse_activate(layer, o); }
            turns.x += 1u;
        }
        turns.y += layer.outputs;
        if (layer.finish == ACTIVATE) {
            // The row of ones.
            for (var quad = 0u; quad < QUADS; quad++) {
                for (var part = 0u; part < PARTS; part++) {
                    work[own(layer.other + layer.outputs * PARTS + part) + quad] = vec4<f32>(select(0.0, 1.0, part == 0u));
                }
            }
        }
    }
    return turns;
}
