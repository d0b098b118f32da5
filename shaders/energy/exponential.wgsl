// e(x) = r x for x >= 0. Parameters: r.

const exponential_INSIDE = 0.5;

fn exponential_terms(at: u32, x: Lane) -> Lane { return param(at) * x; }

fn exponential_slopes(at: u32, x: Lane) -> Lane { return Lane(param(at)); }

fn exponential_outside(x: Lane) -> bool { return any(x < Lane(0.0)); }
