// Passes along a direction after those of kept.wgsl, whose derivative they take: of a unit the slope of a(z) forwards, and backwards that
// of d. Where the loss is the energy's slope, these are the adjoints of the parameters' slopes and values: what multiplies d and a(z).

// Forwards, from the slope of z that of a(z); and of d's slope the part that is due to this z.
fn activate(layer: Layer, unit: u32, quad: u32, z: Jet, joined: bool, weight: f32) -> Jet {
    let row = layer.factors + unit * STRIDE;
    // The adjoints stand after the factors.
    put(row + layer.outputs * STRIDE, quad, got(row + 1u, quad) * z.value);
    put(layer.to + unit * STRIDE, quad, got(row, quad) * z.value);
    return z;
}

// Backwards, from the slope of the adjoint of a(z) that of d.
fn reverse(layer: Layer, unit: u32, quad: u32, sums: Jet, joined: bool, weight: f32) -> Jet {
    let to = layer.to + unit * STRIDE;
    put(to, quad, got(layer.factors + unit * STRIDE, quad) * sums.value + got(to, quad));
    return sums;
}
