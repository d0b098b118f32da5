// E(x) = -log q(x) of a normalising flow of affine couplings: |z|^2 / 2 + sum s + (DIM / 2) log 2 pi with z = f^-1(x).
// Twin: src/flow/energy.rs. Coordinates go in pairs. A layer keeps the even places and moves the odd ones; after each layer the two
// of a pair change places, so that all indices are constants. A point of an odd number of coordinates has a pair with its padding,
// whose weights are zero.
//
// Parameters of a layer, with W = BLOCKS x LANES places: for each hidden unit its weights of the kept places [W / 2], its bias, and
// what it adds to the log-scale and shift of each pair [W]; for each kept place what it adds [W]; what is added to all [W].

fn flow_unit() -> u32 { return BLOCKS * LANES / 2u + 1u + BLOCKS * LANES; }

fn flow_layer(hidden: u32) -> u32 { return hidden * flow_unit() + (BLOCKS * LANES / 2u + 1u) * BLOCKS * LANES; }

// The two of each pair change places.
fn flow_swap(x: ptr<function, Point>) {
    for (var b = 0u; b < blocks(); b++) {
        let v = (*x)[b];
        var swapped = v;
        for (var l = 0u; l < LANES; l++) { swapped[l] = v[l ^ 1u]; }
        (*x)[b] = swapped;
    }
}

// What hidden unit `own` is given.
fn flow_field(own: u32, x: ptr<function, Point>) -> f32 {
    var sum = param(own + BLOCKS * LANES / 2u);
    for (var b = 0u; b < blocks(); b++) {
        let v = (*x)[b];
        for (var l = 0u; l < LANES; l += 2u) { sum += param(own + (b * LANES + l) / 2u) * v[l]; }
    }
    return sum;
}

// The perceptron of the layer at `at`: log-scale before its bound and shift of each pair.
fn flow_answer(hidden: u32, at: u32, x: ptr<function, Point>, answer: ptr<function, Point>) {
    let skip = at + hidden * flow_unit();
    for (var b = 0u; b < blocks(); b++) {
        var sum = lane_of_params(skip + BLOCKS * LANES / 2u * BLOCKS * LANES, b);
        for (var i = 0u; i < BLOCKS * LANES / 2u; i++) {
            sum += (*x)[2u * i / LANES][2u * i % LANES] * lane_of_params(skip + i * BLOCKS * LANES, b);
        }
        (*answer)[b] = sum;
    }
    for (var j = 0u; j < hidden; j++) {
        let own = at + j * flow_unit();
        let t = flow_field(own, x);
        let h = t * inverseSqrt(1.0 + t * t);
        for (var b = 0u; b < blocks(); b++) { (*answer)[b] += h * lane_of_params(own + BLOCKS * LANES / 2u + 1u, b); }
    }
}

// 1 / sqrt(1 + (t / 2)^2): the bounded log-scale is t times this.
fn flow_bound(t: f32) -> f32 { return inverseSqrt(1.0 + 0.25 * t * t); }

// x = f(z), in place; the log-determinant.
fn flow_forward(layers: u32, hidden: u32, at: u32, x: ptr<function, Point>) -> f32 {
    var log_det = 0.0;
    var answer: Point;
    for (var layer = 0u; layer < layers; layer++) {
        flow_answer(hidden, at + layer * flow_layer(hidden), x, &answer);
        log_det += flow_move(x, &answer);
        flow_swap(x);
    }
    if (layers % 2u == 1u) { flow_swap(x); }
    return log_det;
}

// z = f^-1(x), in place; minus the log-determinant.
fn flow_inverse(layers: u32, hidden: u32, at: u32, x: ptr<function, Point>) -> f32 {
    var sum = 0.0;
    var answer: Point;
    if (layers % 2u == 1u) { flow_swap(x); }
    for (var layer = layers; layer > 0u; layer--) {
        flow_swap(x);
        flow_answer(hidden, at + (layer - 1u) * flow_layer(hidden), x, &answer);
        for (var b = 0u; b < blocks(); b++) {
            for (var l = 0u; l < LANES; l += 2u) {
                let s = answer[b][l] * flow_bound(answer[b][l]);
                (*x)[b][l + 1u] = ((*x)[b][l + 1u] - answer[b][l + 1u]) * exp(-s);
                sum += s;
            }
        }
    }
    return sum;
}

// Moves the odd places as the perceptron says; the sum of the log-scales.
fn flow_move(x: ptr<function, Point>, answer: ptr<function, Point>) -> f32 {
    var sum = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        for (var l = 0u; l < LANES; l += 2u) {
            let s = (*answer)[b][l] * flow_bound((*answer)[b][l]);
            (*x)[b][l + 1u] = (*x)[b][l + 1u] * exp(s) + (*answer)[b][l + 1u];
            sum += s;
        }
    }
    return sum;
}

// |z|^2 / 2 + (DIM / 2) log 2 pi.
fn flow_base(z: ptr<function, Point>) -> f32 {
    var sum = 0.0;
    for (var b = 0u; b < blocks(); b++) { sum += dot((*z)[b], (*z)[b]); }
    return 0.5 * sum + 0.9189385332 * f32(DIM);
}

fn flow_energy(layers: u32, hidden: u32, at: u32, x: ptr<function, Point>) -> f32 {
    var z: Point;
    copy(x, &z);
    let log_scales = flow_inverse(layers, hidden, at, &z);
    return flow_base(&z) + log_scales;
}

// The gradient goes from the base back to x, and makes the points between the layers anew on its way.
fn flow_energy_and_grad(layers: u32, hidden: u32, at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    var z: Point;
    copy(x, &z);
    let log_scales = flow_inverse(layers, hidden, at, &z);
    let e = flow_base(&z) + log_scales;
    copy(&z, grad);
    var answer: Point;
    var back: Point;         // the derivative of E by the answer
    for (var layer = 0u; layer < layers; layer++) {
        let own_layer = at + layer * flow_layer(hidden);
        flow_answer(hidden, own_layer, &z, &answer);
        for (var b = 0u; b < blocks(); b++) {
            for (var l = 0u; l < LANES; l += 2u) {
                let r = flow_bound(answer[b][l]);
                let g = (*grad)[b][l + 1u];
                back[b][l] = (1.0 - g * z[b][l + 1u]) * r * r * r;
                let scaled = g * exp(-answer[b][l] * r);
                back[b][l + 1u] = -scaled;
                (*grad)[b][l + 1u] = scaled;
            }
        }
        // Log-scales of padding have no weight, and so no derivative that leads anywhere.
        let skip = own_layer + hidden * flow_unit();
        for (var i = 0u; i < BLOCKS * LANES / 2u; i++) {
            var sum = 0.0;
            for (var b = 0u; b < blocks(); b++) { sum += dot(back[b], lane_of_params(skip + i * BLOCKS * LANES, b)); }
            (*grad)[2u * i / LANES][2u * i % LANES] += sum;
        }
        for (var j = 0u; j < hidden; j++) {
            let own = own_layer + j * flow_unit();
            let t = flow_field(own, &z);
            let r = inverseSqrt(1.0 + t * t);
            var pull = 0.0;
            for (var b = 0u; b < blocks(); b++) { pull += dot(back[b], lane_of_params(own + BLOCKS * LANES / 2u + 1u, b)); }
            pull *= r * r * r;
            for (var b = 0u; b < blocks(); b++) {
                for (var l = 0u; l < LANES; l += 2u) { (*grad)[b][l] += pull * param(own + (b * LANES + l) / 2u); }
            }
        }
        let moved = flow_move(&z, &answer);
        flow_swap(&z);
        flow_swap(grad);
    }
    if (layers % 2u == 1u) { flow_swap(grad); }
    return e;
}
