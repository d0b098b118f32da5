// Two coordinates a lane: for positions of one or two dimensions.
alias Lane = vec2<f32>;
const LANES = 2u;

fn lane_sum(v: Lane) -> f32 { return v.x + v.y; }

// Own block `block` of the parameters from `at` on.
fn lane_of_params(at: u32, block: u32) -> Lane {
    let i = at + block * SHARES * LANES;
    return Lane(param_of_share(i), param_of_share(i + 1u));
}
