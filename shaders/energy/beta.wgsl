// e(x) = -(a - 1) log x - (b - 1) log(1 - x) for 0 < x < 1. Parameters: a - 1, b - 1.

const beta_INSIDE = 0.5;

fn beta_terms(at: u32, x: Lane) -> Lane { return -param(at) * log(x) - param(at + 1u) * log(1.0 - x); }

fn beta_slopes(at: u32, x: Lane) -> Lane { return param(at + 1u) / (1.0 - x) - param(at) / x; }

fn beta_outside(x: Lane) -> bool { return any(x <= Lane(0.0)) || any(x >= Lane(1.0)); }
