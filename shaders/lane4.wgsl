// Four coordinates a lane: for positions of three dimensions and more.
alias Lane = vec4<f32>;
const LANES = 4u;

fn lane_sum(v: Lane) -> f32 { return (v.x + v.y) + (v.z + v.w); }

// Own block `block` of the parameters from `at` on.
fn lane_of_params(at: u32, block: u32) -> Lane {
    let i = at + block * SHARES * LANES;
    return Lane(param_of_share(i), param_of_share(i + 1u), param_of_share(i + 2u), param_of_share(i + 3u));
}
