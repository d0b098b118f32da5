// e(x) = log(1 + (x / s)^2) for x >= 0. Parameters: s.

const half_cauchy_INSIDE = 0.5;

fn half_cauchy_terms(at: u32, x: Lane) -> Lane {
    let u = x / param(at);
    // Twice the log where the square would be more than f32 holds.
    return select(log(1.0 + u * u), 2.0 * log(u), u > Lane(1e9));
}

fn half_cauchy_slopes(at: u32, x: Lane) -> Lane {
    let u = x / param(at);
    return 2.0 / (param(at) * (1.0 / u + u));
}

fn half_cauchy_outside(x: Lane) -> bool { return any(x < Lane(0.0)); }
