// e(x) = r x - (k - 1) log x for x > 0. Parameters: k - 1, r.

const gamma_INSIDE = 0.5;

fn gamma_terms(at: u32, x: Lane) -> Lane { return param(at + 1u) * x - param(at) * log(x); }

fn gamma_slopes(at: u32, x: Lane) -> Lane { return param(at + 1u) - param(at) / x; }

fn gamma_outside(x: Lane) -> bool { return any(x <= Lane(0.0)); }
