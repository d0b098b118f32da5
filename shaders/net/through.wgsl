// Takes the own columns through layers. Returns the turns of its loops, and those that there should have been.
fn through(first: u32, last: u32) -> vec2<u32> {
    var turns = vec2<u32>(0u);
    for (var l = first; l < last; l++) {
        let layer = layers[l];
        let next = layers[min(l + 1u, last - 1u)];
        let joined = l + 1u < last && next.narrow == 1u;
        turns += vec2<u32>(apply(layer, next, joined), expected_turns(layer, next, joined));
        meet();
        // Of the gradient alone, the adjoint of the last hidden layer is known, too.
        if (joined) { l += select(1u, 2u, GRADIENT && layer.finish == ACTIVATE); }
    }
    return turns;
}
