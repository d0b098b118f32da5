// Eight schools (Rubin 1981), non-centred: y_j ~ N(theta_j, sigma_j), theta_j = mu + tau eta_j, eta_j ~ N(0, 1), mu ~ N(0, 5),
// tau ~ half-Cauchy(5). Position: eta[8], mu, log tau. Parameters: y[8], sigma[8], the constant of the log density.
//
// E = sum_j (eta_j^2 + ((y_j - theta_j) / sigma_j)^2) / 2 + mu^2 / 50 + log(1 + tau^2 / 25) - log tau; the last is the Jacobian.

// The energy, and its derivatives by eta (the first four in a, the others in b), mu and log tau.
struct eight_schools_Terms {
    energy: f32,
    a: Lane,
    b: Lane,
    mu: f32,
    log_tau: f32,
}

fn eight_schools_lane(at: u32) -> Lane { return Lane(param(at), param(at + 1u), param(at + 2u), param(at + 3u)); }

fn eight_schools_terms(at: u32, x: ptr<function, Point>) -> eight_schools_Terms {
    let a = (*x)[0];
    let b = (*x)[1];
    let mu = (*x)[2].x;
    let log_tau = (*x)[2].y;
    let tau = exp(log_tau);
    let scale_a = 1.0 / eight_schools_lane(at + 8u);
    let scale_b = 1.0 / eight_schools_lane(at + 12u);
    let r = (eight_schools_lane(at) - mu - tau * a) * scale_a;
    let s = (eight_schools_lane(at + 4u) - mu - tau * b) * scale_b;
    let squares = dot(a, a) + dot(b, b) + dot(r, r) + dot(s, s);
    let q = 0.04 * tau * tau;
    let energy = 0.5 * squares + 0.02 * mu * mu + log(1.0 + q) - log_tau + param(at + 16u);
    // The derivatives by theta.
    let pull_a = r * scale_a;
    let pull_b = s * scale_b;
    let by_mu = 0.04 * mu - dot(pull_a, Lane(1.0)) - dot(pull_b, Lane(1.0));
    let by_log_tau = 2.0 * q / (1.0 + q) - 1.0 - tau * (dot(pull_a, a) + dot(pull_b, b));
    return eight_schools_Terms(energy, a - tau * pull_a, b - tau * pull_b, by_mu, by_log_tau);
}

fn eight_schools_energy(at: u32, x: ptr<function, Point>) -> f32 { return eight_schools_terms(at, x).energy; }

fn eight_schools_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
    let terms = eight_schools_terms(at, x);
    (*grad)[0] = terms.a;
    (*grad)[1] = terms.b;
    (*grad)[2] = Lane(terms.mu, terms.log_tau, 0.0, 0.0);
    return terms.energy;
}
