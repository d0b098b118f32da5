// Activations: the value and the first three derivatives at z. Twin: src/net/activation.rs.

// The logistic function. The exponential never overflows.
fn net_logistic(z: f32) -> f32 {
    let e = exp(-abs(z));
    return select(1.0, e, z < 0.0) / (1.0 + e);
}

fn net_softplus(z: f32) -> vec4<f32> {
    let s = net_logistic(z);
    let s1 = s * (1.0 - s);
    return vec4<f32>(max(z, 0.0) + log(1.0 + exp(-abs(z))), s, s1, s1 * (1.0 - 2.0 * s));
}

fn net_silu(z: f32) -> vec4<f32> {
    let s = net_logistic(z);
    let s1 = s * (1.0 - s);
    let s2 = s1 * (1.0 - 2.0 * s);
    return vec4<f32>(z * s, s + z * s1, 2.0 * s1 + z * s2, 3.0 * s2 + z * s1 * (1.0 - 6.0 * s1));
}

// By the exponential: WGSL promises little of a driver's own tanh.
fn net_tanh(z: f32) -> vec4<f32> {
    let e = exp(-2.0 * abs(z));
    let size = (1.0 - e) / (1.0 + e);
    let t = select(size, -size, z < 0.0);
    let u = 1.0 - t * t;
    return vec4<f32>(t, u, -2.0 * t * u, u * (6.0 * t * t - 2.0));
}
