// Four coordinates a lane: for positions of three dimensions and more.
alias Lane = vec4<f32>;
const LANES = 4u;

fn lane_sum(v: Lane) -> f32 { return (v.x + v.y) + (v.z + v.w); }

// The parameters from i on.
fn params_from(i: u32) -> Lane { return Lane(param(i), param(i + 1u), param(i + 2u), param(i + 3u)); }
