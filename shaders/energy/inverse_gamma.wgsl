// e(x) = (a + 1) log x + b / x for x > 0. Parameters: a + 1, b.

const inverse_gamma_INSIDE = 0.5;

fn inverse_gamma_terms(at: u32, x: Lane) -> Lane { return param(at) * log(x) + param(at + 1u) / x; }

fn inverse_gamma_slopes(at: u32, x: Lane) -> Lane { return (param(at) - param(at + 1u) / x) / x; }

fn inverse_gamma_outside(x: Lane) -> bool { return any(x <= Lane(0.0)); }
