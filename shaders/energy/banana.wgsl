// E(x) = (x_0 / s)^2 / 2 + (x_1 - c (x_0^2 - s^2))^2 / 2, in two dimensions. Parameters: s, c.

fn banana_energy(at: u32, x: ptr<function, Point>) -> f32 {
    let v = (*x)[0];
    let s = param(at);
    let u = v.x / s;
    let r = v.y - param(at + 1u) * (v.x - s) * (v.x + s);
    return 0.5 * (u * u + r * r);
}

fn banana_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    let v = (*x)[0];
    let s = param(at);
    let c = param(at + 1u);
    let u = v.x / s;
    let r = v.y - c * (v.x - s) * (v.x + s);
    (*grad)[0] = Lane(u / s - 2.0 * c * v.x * r, r);
    return 0.5 * (u * u + r * r);
}
