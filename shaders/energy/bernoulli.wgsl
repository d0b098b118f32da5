// e(1) = -log p, e(0) = -log(1 - p). Parameters: these two.

const bernoulli_INSIDE = 0.0;

fn bernoulli_terms(at: u32, x: Lane) -> Lane { return select(Lane(param(at + 1u)), Lane(param(at)), x > Lane(0.5)); }

fn bernoulli_slopes(at: u32, x: Lane) -> Lane { return Lane(infinity()); }

fn bernoulli_outside(x: Lane) -> bool { return any((x != Lane(0.0)) & (x != Lane(1.0))); }
