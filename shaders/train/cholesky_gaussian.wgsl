// Jets of a Gaussian to be trained, by loops, where it would take too long to compile them written out (src/energy/cholesky_gaussian.rs):
// E = |z|^2 / 2 with z = L^T y, y = x - m; along v, w = L^T v.
// Parameters: m[DIM], the logarithms of L's diagonal [DIM], then the rows of L below its diagonal, one after another.

// Where row i of L begins.
fn cholesky_gaussian_jets_row(at: u32, i: u32) -> u32 { return at + 2u * DIM + i * (i - 1u) / 2u; }

// Block b of row i of L.
fn cholesky_gaussian_jets_lane(at: u32, i: u32, b: u32) -> Lane {
    let row = cholesky_gaussian_jets_row(at, i);
    let diagonal = exp(param(at + DIM + i));
    var lane = Lane(0.0);
    for (var l = 0u; l < LANES; l++) {
        let j = b * LANES + l;
        if (j < i) { lane[l] = param(row + j); }
        if (j == i) { lane[l] = diagonal; }
    }
    return lane;
}

// Block b of z and of w.
struct cholesky_gaussian_jets_Whitened {
    z: Lane,
    w: Lane,
}

fn cholesky_gaussian_jets_whitened(
    at: u32,
    b: u32,
    y: ptr<function, Point>,
    v: ptr<function, Point>,
) -> cholesky_gaussian_jets_Whitened {
    var z = Lane(0.0);
    var w = Lane(0.0);
    for (var i = b * LANES; i < DIM; i++) {
        let row = cholesky_gaussian_jets_lane(at, i, b);
        z += row * coordinate(y, i);
        w += row * coordinate(v, i);
    }
    return cholesky_gaussian_jets_Whitened(z, w);
}

fn cholesky_gaussian_jets_centre(at: u32, x: ptr<function, Point>, y: ptr<function, Point>) {
    for (var b = 0u; b < blocks(); b++) { (*y)[b] = (*x)[b] - param_lane(at, b); }
}

fn cholesky_gaussian_jets_jet(at: u32, x: ptr<function, Point>, v: ptr<function, Point>) -> vec3<f32> {
    var y: Point;
    cholesky_gaussian_jets_centre(at, x, &y);
    var jet = vec3<f32>(0.0);
    for (var b = 0u; b < blocks(); b++) {
        let own = cholesky_gaussian_jets_whitened(at, b, &y, v);
        jet += vec3<f32>(0.5 * dot(own.z, own.z), dot(own.z, own.w), dot(own.w, own.w));
    }
    return jet;
}

fn cholesky_gaussian_jets_jet_param_grad(
    at: u32,
    x: ptr<function, Point>,
    v: ptr<function, Point>,
    adjoints: vec3<f32>,
) {
    var y: Point;
    var pull: Point;          // L times the adjoints of z
    cholesky_gaussian_jets_centre(at, x, &y);
    clear(&pull);
    for (var b = 0u; b < blocks(); b++) {
        let own = cholesky_gaussian_jets_whitened(at, b, &y, v);
        let by_z = adjoints.x * own.z + adjoints.y * own.w;
        let by_w = adjoints.y * own.z + 2.0 * adjoints.z * own.w;
        for (var i = b * LANES; i < DIM; i++) {
            let lane = cholesky_gaussian_jets_lane(at, i, b);
            let row = cholesky_gaussian_jets_row(at, i);
            set_coordinate(&pull, i, coordinate(&pull, i) + dot(lane, by_z));
            let by_lane = by_z * coordinate(&y, i) + by_w * coordinate(v, i);
            for (var l = 0u; l < LANES; l++) {
                let j = b * LANES + l;
                if (j < i) { add_param_grad(row + j, by_lane[l]); }
                if (j == i) { add_param_grad(at + DIM + i, lane[l] * by_lane[l]); }
            }
        }
    }
    for (var b = 0u; b < blocks(); b++) { add_param_grad_lane(at, b, -pull[b]); }
}
