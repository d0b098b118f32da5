// e(x) = -log(m^x exp(-m) / x!) for x = 0, 1, 2, ...: log(2 pi x) / 2, what Stirling's formula misses of log x!, and the deviance
// x log(x / m) + m - x (Loader 2000). Parameters: m.

const poisson_INSIDE = 0.0;

fn poisson_terms(at: u32, x: Lane) -> Lane {
    let m = param(at);
    // At zero the sum is m.
    let n = max(x, Lane(1.0));
    let r = 1.0 / (n * n);
    var missed = (0.083333333 - r * (0.0027777778 - r * 0.00079365079)) / n;
    missed = select(missed, Lane(0.027677926), n < Lane(3.5));
    missed = select(missed, Lane(0.041340696), n < Lane(2.5));
    missed = select(missed, Lane(0.081061467), n < Lane(1.5));
    // Near m by a series in v = (x - m) / (x + m).
    let way = n - m;
    let v = way / (n + m);
    let w = v * v;
    let series = way * v + 2.0 * n * v * w * (0.33333333 + w * (0.2 + w * (0.14285714 + w * 0.11111111)));
    let deviance = select(n * log(n / m) - way, series, w < Lane(0.01));
    return select(0.5 * log(6.2831853 * n) + missed + deviance, Lane(m), x < Lane(0.5));
}

fn poisson_slopes(at: u32, x: Lane) -> Lane { return Lane(infinity()); }

fn poisson_outside(x: Lane) -> bool { return any(x < Lane(0.0)) || any(floor(x) != x); }
