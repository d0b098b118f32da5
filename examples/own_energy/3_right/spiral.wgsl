// A galaxy with two arms: E(x, y) = depth (1 - cos(2 phi - winding r)) r^2 / (1 + r^2) + r^2 / (2 width^2) in polar
// coordinates r, phi. Parameters: depth, winding, width.

struct spiral_Arms {
    r: f32,
    cosine: f32,        // of winding r
    sine: f32,
    q: f32,             // r^2 (1 - cos(2 phi - winding r))
}

fn spiral_arms(at: u32, p: vec2<f32>) -> spiral_Arms {
    let r = max(length(p), 1e-6);
    let cosine = cos(param(at + 1u) * r);
    let sine = sin(param(at + 1u) * r);
    let q = r * r - (p.x * p.x - p.y * p.y) * cosine - 2.0 * p.x * p.y * sine;
    return spiral_Arms(r, cosine, sine, q);
}

fn spiral_energy(at: u32, x: ptr<function, Point>) -> f32 {
    let p = (*x)[0];
    let arms = spiral_arms(at, p);
    let width = param(at + 2u);
    return param(at) * arms.q / (1.0 + arms.r * arms.r) + 0.5 * dot(p, p) / (width * width);
}

fn spiral_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    let p = (*x)[0];
    let arms = spiral_arms(at, p);
    let width = param(at + 2u);
    let n = 1.0 + arms.r * arms.r;
    let turn = (p.x * p.x - p.y * p.y) * arms.sine - 2.0 * p.x * p.y * arms.cosine;
    var q = param(at + 1u) * turn / arms.r * p;
    q += 2.0 * vec2<f32>(p.x - p.x * arms.cosine - p.y * arms.sine, p.y + p.y * arms.cosine - p.x * arms.sine);
    (*grad)[0] = param(at) * (q - 2.0 * arms.q / n * p) / n + p / (width * width);
    return spiral_energy(at, x);
}
