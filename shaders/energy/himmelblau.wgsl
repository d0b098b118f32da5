// E(x) = (x_0^2 + x_1 - 11)^2 + (x_0 + x_1^2 - 7)^2, in two dimensions. No parameters.

fn himmelblau_energy(at: u32, x: ptr<function, Point>) -> f32 {
    let v = (*x)[0];
    let a = v.x * v.x + v.y - 11.0;
    let b = v.x + v.y * v.y - 7.0;
    return a * a + b * b;
}

fn himmelblau_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    let v = (*x)[0];
    let a = v.x * v.x + v.y - 11.0;
    let b = v.x + v.y * v.y - 7.0;
    (*grad)[0] = Lane(4.0 * a * v.x + 2.0 * b, 2.0 * a + 4.0 * b * v.y);
    return a * a + b * b;
}
