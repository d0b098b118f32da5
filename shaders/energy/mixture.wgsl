// E(x) = -log sum_j w_j N(x; m_j, s_j^2 I), up to a constant.
// Parameters per component: log weight (with the normaliser of its width), 1 / s^2, mean[DIM].
// The calls of the components, one after another, are generated (src/energy/mixture.rs): their parameters then have constant
// indices, which a driver can keep in registers.

// log of the sum so far is top + log(sum).
struct mixture_Sum {
    top: f32,
    sum: f32,
}

// The sum with one more component: one exponential, since the larger of the two terms is scaled by one.
fn mixture_add(own: u32, s: mixture_Sum, x: ptr<function, Point>) -> mixture_Sum {
    let term = mixture_term(own, x);
    let scale = exp(-abs(term - s.top));
    return mixture_Sum(max(s.top, term), select(s.sum + scale, s.sum * scale + 1.0, term > s.top));
}

fn mixture_add_grad(own: u32, s: mixture_Sum, x: ptr<function, Point>, grad: ptr<function, Point>) -> mixture_Sum {
    let term = mixture_term(own, x);
    let scale = exp(-abs(term - s.top));
    let larger = term > s.top;
    let keep = select(1.0, scale, larger);
    let weight = select(scale, 1.0, larger);
    let pull = weight * param(own + 1u);
    for (var b = 0u; b < blocks(); b++) {
        (*grad)[b] = (*grad)[b] * keep + pull * ((*x)[b] - param_lane(own + 2u, b));
    }
    return mixture_Sum(max(s.top, term), s.sum * keep + weight);
}

fn mixture_term(own: u32, x: ptr<function, Point>) -> f32 {
    var d2 = 0.0;
    for (var b = 0u; b < blocks(); b++) {
        let d = (*x)[b] - param_lane(own + 2u, b);
        d2 += dot(d, d);
    }
    return param(own) - 0.5 * param(own + 1u) * d2;
}

fn mixture_end(s: mixture_Sum) -> f32 { return -(s.top + log(s.sum)); }

fn mixture_end_grad(s: mixture_Sum, grad: ptr<function, Point>) -> f32 {
    let scale = 1.0 / s.sum;
    for (var b = 0u; b < blocks(); b++) { (*grad)[b] *= scale; }
    return mixture_end(s);
}
