// Passes of jets of PARTS parts, a row each, and of their adjoints: along one direction or along two, whose curvatures go as their sum.

// Forwards, from the jet of z that of a(z), and the factors of the reverse: a', a'' z' for each direction, and the sum of a''' z'^2 + a'' z''.
fn activate(layer: Layer, unit: u32, quad: u32, z: Jet, joined: bool, weight: f32) -> Jet {
    let a = derivatives(z.value);
    var factors = jet_of(a[1]);
    var jet = jet_of(a[0]);
    if (PARTS > 1u) {
        factors.slope = a[2] * z.slope;
        jet.slope = a[1] * z.slope;
    }
    if (PARTS > 2u) {
        factors.curvature = a[3] * z.slope * z.slope + a[2] * z.curvature;
        jet.curvature = factors.slope * z.slope + a[1] * z.curvature;
    }
    if (PARTS > 3u) {
        factors.second = a[2] * z.second;
        factors.curvature += a[3] * z.second * z.second;
        jet.second = a[1] * z.second;
        jet.curvature += factors.second * z.second;
    }
    store(layer.factors + unit * STRIDE, quad, factors);
    store(layer.to + unit * STRIDE, quad, jet);
    return jet;
}

// Backwards, from the adjoint of the jet of a(z) that of the jet of z: the transpose of the derivative of activate(). Down to the input,
// the sums themselves.
fn reverse(layer: Layer, unit: u32, quad: u32, sums: Jet, joined: bool, weight: f32) -> Jet {
    var jet = sums;
    if (layer.finish == REVERSE) {
        let row = layer.factors + unit * STRIDE;
        let factor = got(row, quad);
        jet.value = factor * sums.value;
        if (PARTS > 1u) {
            let by_slope = got(row + 1u, quad);
            jet.value += by_slope * sums.slope;
            jet.slope = factor * sums.slope;
            if (PARTS > 2u) {
                jet.value += got(row + 2u, quad) * sums.curvature;
                jet.slope += 2.0 * by_slope * sums.curvature;
                jet.curvature = factor * sums.curvature;
                if (PARTS > 3u) {
                    let by_second = got(row + 3u, quad);
                    jet.value += by_second * sums.second;
                    jet.second = factor * sums.second + 2.0 * by_second * sums.curvature;
                }
            }
        }
    }
    store(layer.to + unit * STRIDE, quad, jet);
    return jet;
}
