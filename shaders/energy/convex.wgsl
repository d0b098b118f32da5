// E(x) = -log sum_i w_i exp(-E_i(x)). The calls of the parts are generated (src/energy/compose.rs); this adds up their terms
// log w_i - E_i. A part that is infinite at x (outside of its support) counts as zero density there.

// log of the sum so far is top + log(sum).
struct convex_Sum {
    top: f32,
    sum: f32,
    unusable: f32,            // an energy that is not finite: the answer where it is NaN or below -1e30, or where all are
    failed: bool,             // it is NaN or below -1e30
}

fn convex_begin() -> convex_Sum { return convex_Sum(-1e30, 0.0, 0.0, false); }

fn convex_refuse(s: convex_Sum, energy: f32) -> convex_Sum {
    if (s.failed) { return s; }
    return convex_Sum(s.top, s.sum, energy, failure_of(energy) != NO_FAILURE);
}

fn convex_add(s: convex_Sum, log_weight: f32, energy: f32) -> convex_Sum {
    if (!is_usable(energy)) { return convex_refuse(s, energy); }
    let term = log_weight - energy;
    let scale = exp(-abs(term - s.top));
    return convex_Sum(max(s.top, term), select(s.sum + scale, s.sum * scale + 1.0, term > s.top), s.unusable, s.failed);
}

fn convex_add_grad(
    s: convex_Sum,
    log_weight: f32,
    energy: f32,
    part_grad: ptr<function, Point>,
    grad: ptr<function, Point>,
) -> convex_Sum {
    if (!is_usable(energy)) { return convex_refuse(s, energy); }
    let term = log_weight - energy;
    let scale = exp(-abs(term - s.top));
    let larger = term > s.top;
    let keep = select(1.0, scale, larger);
    let weight = select(scale, 1.0, larger);
    for (var b = 0u; b < blocks(); b++) { (*grad)[b] = (*grad)[b] * keep + weight * (*part_grad)[b]; }
    return convex_Sum(max(s.top, term), s.sum * keep + weight, s.unusable, s.failed);
}

fn convex_end(s: convex_Sum) -> f32 {
    if (s.failed || s.sum == 0.0) { return s.unusable; }
    return -(s.top + log(s.sum));
}

fn convex_end_grad(s: convex_Sum, grad: ptr<function, Point>) -> f32 {
    if (s.sum != 0.0) {
        let scale = 1.0 / s.sum;
        for (var b = 0u; b < blocks(); b++) { (*grad)[b] *= scale; }
    }
    return convex_end(s);
}
