// Passes to an energy, the output, and its gradient: of what is in between, only what they need is stored.

// Forwards, from z to a(z), with the factor of the reverse, a'. Where the next layer is the output, whose weight is given, the adjoint of
// z is known, and nothing else is stored.
fn activate(layer: Layer, unit: u32, quad: u32, z: Jet, joined: bool, weight: f32) -> Jet {
    let a = derivatives(z.value);
    // The adjoints stand after the factors.
    let row = layer.factors + unit + select(0u, layer.outputs, joined);
    put(row, quad, select(1.0, weight, joined) * a[1]);
    if (!joined) { put(layer.to + unit, quad, a[0]); }
    return jet_of(a[0]);
}

// Backwards, from the adjoint of a(z) that of z. Down to the input, the sums themselves.
fn reverse(layer: Layer, unit: u32, quad: u32, sums: Jet, joined: bool, weight: f32) -> Jet {
    var jet = sums;
    if (layer.finish == REVERSE) { jet.value *= got(layer.factors + unit, quad); }
    if (!joined) { put(layer.to + unit, quad, jet.value); }
    return jet;
}
