// Two coordinates a lane: for positions of one or two dimensions.
alias Lane = vec2<f32>;
const LANES = 2u;

fn lane_sum(v: Lane) -> f32 { return v.x + v.y; }

// The parameters from i on.
fn params_from(i: u32) -> Lane { return Lane(param(i), param(i + 1u)); }
