// e(x) = (n + 1) / 2 log(1 + u^2 / n) with u = (x - m) / s. Parameters: n, m, s.

const student_t_INSIDE = 0.5;

fn student_t_terms(at: u32, x: Lane) -> Lane {
    let u = (x - param(at + 1u)) / param(at + 2u);
    return 0.5 * (param(at) + 1.0) * log(1.0 + u * u / param(at));
}

fn student_t_slopes(at: u32, x: Lane) -> Lane {
    let u = (x - param(at + 1u)) / param(at + 2u);
    return (param(at) + 1.0) * u / (param(at + 2u) * (param(at) + u * u));
}

fn student_t_outside(x: Lane) -> bool { return false; }
