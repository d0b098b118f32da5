// Passes to an energy, the output, and its gradient, which leave what along.wgsl needs. Of a unit's two rows the first holds a(z) and the
// factor a'; the second the factor c, and the adjoint of z, d: c is the derivative of d by z while the adjoint of a(z) is held.

// Forwards, from z to a(z). Where the next layer is the output, whose weight is given, that is the adjoint of a(z).
fn activate(layer: Layer, unit: u32, quad: u32, z: Jet, joined: bool, weight: f32) -> Jet {
    let a = derivatives(z.value);
    let adjoint = select(1.0, weight, joined);
    let row = layer.factors + unit * STRIDE;
    put(row, quad, a[1]);
    put(row + 1u, quad, adjoint * a[2]);
    // The adjoints stand after the factors. Those of another layer are known on the way back.
    if (joined) { put(row + layer.outputs * STRIDE + 1u, quad, adjoint * a[1]); }
    put(layer.to + unit * STRIDE, quad, a[0]);
    return jet_of(a[0]);
}

// Backwards, from the adjoint of a(z) that of z. Down to the input, the sums themselves.
fn reverse(layer: Layer, unit: u32, quad: u32, sums: Jet, joined: bool, weight: f32) -> Jet {
    var jet = sums;
    if (layer.finish == REVERSE) {
        let row = layer.factors + unit * STRIDE;
        jet.value *= got(row, quad);
        put(row + 1u, quad, got(row + 1u, quad) * sums.value);
    }
    put(layer.to + unit * STRIDE, quad, jet.value);
    return jet;
}
