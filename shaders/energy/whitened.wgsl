// E(x) = |z|^2 / 2 with z = W (x - m), W W^T diagonal: a Gaussian of any covariance, W^T W being its inverse.
// Parameters: mean[DIM], then the rows of W one after another, filled up with rows of zeros to BLOCKS * LANES of them.
// At a noise level the variance 1 / |w_k|^2 along row k grows by sigma^2: with f_k = 1 + sigma^2 |w_k|^2,
// E = sum_k (z_k^2 / f_k + log f_k) / 2.

// Rows are taken LANES at a time. Above 8 dimensions the number of groups is one that the compiler cannot know (unrolling DIM * DIM
// products takes too long to compile), and the rows are read where they are stored: software Vulkan takes minutes to compile
// a running index into a private copy of the parameters.
fn whitened_groups() -> u32 {
    if (BLOCKS > 2u) { return run.blocks; }
    return BLOCKS;
}

// A block of row k = group * LANES + l.
fn whitened_row(own: u32, group: u32, l: u32, block: u32) -> Lane {
    let row = own + DIM + (group * LANES + l) * DIM;
    if (BLOCKS <= 2u) { return param_lane(row, block); }
    let at = row + block * LANES;
    var v = Lane(0.0);
    for (var i = 0u; i < LANES; i++) { v[i] = stored_param(at + i); }
    return v * lane_mask(block);
}

// z of one group of rows.
fn whitened_lane(own: u32, group: u32, x: ptr<function, Point>) -> Lane {
    var z = Lane(0.0);
    for (var b = 0u; b < blocks(); b++) {
        let d = (*x)[b] - param_lane(own, b);
        for (var l = 0u; l < LANES; l++) { z[l] += dot(whitened_row(own, group, l, b), d); }
    }
    return z;
}

// f of one group of rows.
fn whitened_spread(own: u32, group: u32) -> Lane {
    var f = Lane(1.0);
    for (var b = 0u; b < blocks(); b++) {
        for (var l = 0u; l < LANES; l++) {
            let w = whitened_row(own, group, l, b);
            f[l] += noise_variance * dot(w, w);
        }
    }
    return f;
}

fn whitened_energy(own: u32, x: ptr<function, Point>) -> f32 {
    var sum = 0.0;
    for (var g = 0u; g < whitened_groups(); g++) {
        let z = whitened_lane(own, g, x);
        if (NOISY) {
            let f = whitened_spread(own, g);
            sum += lane_sum(z * z / f + log(f));
        } else {
            sum += dot(z, z);
        }
    }
    return 0.5 * sum;
}

fn whitened_energy_and_grad(own: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    var sum = 0.0;
    var pulls: Point;         // z_k / f_k: the gradient is their sum over the rows w_k
    for (var g = 0u; g < whitened_groups(); g++) {
        let z = whitened_lane(own, g, x);
        if (NOISY) {
            let f = whitened_spread(own, g);
            sum += lane_sum(z * z / f + log(f));
            pulls[g] = z / f;
        } else {
            sum += dot(z, z);
            pulls[g] = z;
        }
    }
    for (var b = 0u; b < blocks(); b++) {
        var total = Lane(0.0);
        for (var g = 0u; g < whitened_groups(); g++) {
            let pull = pulls[g];
            for (var l = 0u; l < LANES; l++) { total += pull[l] * whitened_row(own, g, l, b); }
        }
        (*grad)[b] = total;
    }
    return 0.5 * sum;
}
