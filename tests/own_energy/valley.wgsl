// E(x, y) = a (y - x^2)^2 + (1 - x)^2. Parameters: a.
fn valley_energy(at: u32, x: ptr<function, Point>) -> f32 {
    let p = (*x)[0];
    let d = p.y - p.x * p.x;
    return param(at) * d * d + (1.0 - p.x) * (1.0 - p.x);
}

fn valley_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    let p = (*x)[0];
    let d = p.y - p.x * p.x;
    (*grad)[0] = vec2<f32>(-4.0 * param(at) * p.x * d - 2.0 * (1.0 - p.x), 2.0 * param(at) * d);
    return valley_energy(at, x);
}
