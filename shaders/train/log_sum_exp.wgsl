// E = -log sum_i exp(t_i) of terms that are known with their first two derivatives along a direction, (t, t', t''), and the reverse.
// Twin: LogSumExp in src/energy/softmax_mixture.rs.

// The log of the sum so far is top + log(sum). Means are weighted by exp(t), and second derivatives are taken about the mean slope, so
// that large slopes do not cancel.
struct log_sum_exp_Sum {
    top: f32,
    sum: f32,
    slope: f32,              // the mean of t'
    curvature: f32,          // the sum of exp(t - top) (t'' + (t' - slope)^2)
}

fn log_sum_exp_begin() -> log_sum_exp_Sum { return log_sum_exp_Sum(-1e30, 0.0, 0.0, 0.0); }

fn log_sum_exp_add(s: log_sum_exp_Sum, term: vec3<f32>) -> log_sum_exp_Sum {
    let scale = exp(-abs(term.x - s.top));
    let larger = term.x > s.top;
    let keep = select(1.0, scale, larger);
    let weight = select(scale, 1.0, larger);
    let sum = s.sum * keep + weight;
    let off = term.y - s.slope;
    let slope = s.slope + off * (weight / sum);
    return log_sum_exp_Sum(
        max(s.top, term.x),
        sum,
        slope,
        s.curvature * keep + weight * (term.z + off * (term.y - slope)),
    );
}

// (E, E', E'').
fn log_sum_exp_jet(s: log_sum_exp_Sum) -> vec3<f32> {
    return vec3<f32>(-(s.top + log(s.sum)), -s.slope, -s.curvature / s.sum);
}

// The adjoints of a term's jet, from those of (E, E', E'').
fn log_sum_exp_adjoints(s: log_sum_exp_Sum, term: vec3<f32>, adjoints: vec3<f32>) -> vec3<f32> {
    let share = exp(term.x - s.top) / s.sum;
    let off = term.y - s.slope;
    let bend = term.z + off * off - s.curvature / s.sum;
    return -share * vec3<f32>(
        adjoints.x + adjoints.y * off + adjoints.z * bend,
        adjoints.y + 2.0 * adjoints.z * off,
        adjoints.z,
    );
}
