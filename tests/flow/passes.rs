//! Both directions, the log-determinant, the density and all gradients: against differences, against the plain form with dual
//! numbers, against a Gaussian that a flow is exactly, and against exact draws.

use ergodic::{
    Error,
    flow::{Flow, Mapped},
};
use num_dual::Dual64;

use super::{common::Suite, common::stats, flow, normals, reference::Plain};

/// Dimension, layers, hidden units: even and odd dimensions, with one coordinate kept or moved, and an odd number of layers.
const SHAPES: [(usize, usize, usize); 5] = [(2, 2, 3), (2, 6, 16), (3, 5, 8), (5, 4, 7), (8, 3, 12)];

pub(super) fn add(suite: Suite) -> Suite {
    suite
        .test("the log-determinant is that of differences", || log_determinant(|mapped| mapped.log_dets).unwrap())
        .test("planted: the log-determinant's sign is found", || {
            let negated = |mapped: Mapped| mapped.log_dets.into_iter().map(|v| -v).collect();
            log_determinant(negated).unwrap_err();
        })
        .test("the inverse undoes the flow", inverse)
        .test("the density is that of the plain form", density)
        .test("the density integrates to one", || mass(|flow, x| flow.log_density(x).unwrap()).unwrap())
        .test("planted: a density with the log-determinant's sign wrong does not", || {
            let wrong = |flow: &Flow, x: &[f64]| {
                let (right, inverse) = (flow.log_density(x).unwrap(), flow.inverse(x).unwrap());
                right.iter().zip(&inverse.log_dets).map(|(q, log_det)| q - 2.0 * log_det).collect()
            };
            mass(wrong).unwrap_err();
        })
        .test("gradients of the density are those of dual numbers", || density_gradient(1.0).unwrap())
        .test("planted: a gradient without the log-determinant is found", || {
            density_gradient(0.0).unwrap_err();
        })
        .test("reparameterised gradients are those of dual numbers", reparameterised)
        .test("a new flow is the standard normal", || {
            let flow = Flow::new(3, 4, 8, 1).unwrap();
            let x = normals(3, 100, 1.0, 1);
            assert_eq!(flow.forward(&x).unwrap().positions, x);
        })
        .test("a Gaussian is reached exactly", gaussian)
        .test("draws follow the density", draws)
        .test("draws do not depend on their number", || {
            let flow = flow(2, 4, 8, 0.5, 3);
            let (few, many) = (flow.sample(65, 3, 5).unwrap(), flow.sample(1_000, 3, 5).unwrap());
            assert_eq!(few.positions[..65], many.positions[..65]);
            assert_eq!(few.positions[65..], many.positions[1_000..1_065]);
            assert_ne!(flow.sample(65, 3, 6).unwrap().positions, few.positions);
        })
        .test("bad settings are refused", refused)
}

/// |log-determinant − that of fourth-order differences of f| < 10⁻⁴ ; in f64 differences with h = 2·10⁻⁴ are good to
/// 10⁻⁶ and far better, so that is the bound.
fn log_determinant(of: impl Fn(Mapped) -> Vec<f64>) -> Result<(), String> {
    for (dim, layers, hidden) in SHAPES {
        let flow = flow(dim, layers, hidden, 0.5, 7);
        let count = 70;
        let z = normals(dim, count, 1.2, 2);
        let log_dets = of(flow.forward(&z).unwrap());
        let moved = |i: usize, h: f64| {
            let mut z = z.clone();
            z[i * count..(i + 1) * count].iter_mut().for_each(|z| *z += h);
            flow.forward(&z).unwrap().positions
        };
        let h = 2e-4;
        let columns: Vec<Vec<f64>> = (0..dim)
            .map(|i| {
                let [a, b, c, d] = [-2.0, -1.0, 1.0, 2.0].map(|k| moved(i, k * h));
                (0..dim * count).map(|k| (a[k] - 8.0 * b[k] + 8.0 * c[k] - d[k]) / (12.0 * h)).collect()
            })
            .collect();
        for p in 0..count {
            let jacobian = nalgebra::DMatrix::from_fn(dim, dim, |row, column| columns[column][row * count + p]);
            let expected = jacobian.determinant().abs().ln();
            if (log_dets[p] - expected).abs().is_nan() || (log_dets[p] - expected).abs() > 1e-6 {
                return Err(format!("{dim}-D, {layers} layers: {} at point {p}, differences give {expected}", log_dets[p]));
            }
        }
    }
    Ok(())
}

fn inverse() {
    for (dim, layers, hidden) in SHAPES {
        let flow = flow(dim, layers, hidden, 0.5, 7);
        let z = normals(dim, 1_000, 1.5, 3);
        let there = flow.forward(&z).unwrap();
        let back = flow.inverse(&there.positions).unwrap();
        let off = z.iter().zip(&back.positions).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let off_det = there.log_dets.iter().zip(&back.log_dets).map(|(a, b)| (a + b).abs()).fold(0.0, f64::max);
        assert!(off < 1e-8 && off_det < 1e-8, "{dim}-D, {layers} layers: {off:e}, log-determinant {off_det:e}");
    }
}

/// Both forms sum in different orders: 10⁻¹⁰ relative.
fn density() {
    for (dim, layers, hidden) in SHAPES {
        let flow = flow(dim, layers, hidden, 0.5, 8);
        let params: Vec<f64> = flow.params().iter().map(|&p| f64::from(p)).collect();
        let plain = Plain { dim, layers, hidden, params: &params };
        let count = 130;
        let x = normals(dim, count, 1.5, 4);
        let found = flow.log_density(&x).unwrap();
        let drawn = flow.forward_pass(&x).unwrap();
        for p in 0..count {
            let own: Vec<_> = (0..dim).map(|i| x[i * count + p]).collect();
            let expected = plain.log_density(&own);
            let (there, _) = plain.forward(&own);
            let of_there = plain.log_density(&there);
            for (found, expected) in [(found[p], expected), (drawn.log_densities()[p], of_there)] {
                let off = (found - expected).abs();
                assert!(off < 1e-10 * (1.0 + expected.abs()), "{dim}-D: log q = {found}, plain {expected}");
            }
        }
    }
}

/// ∫ q by the midpoint rule on a box that holds all but 10⁻⁵.
fn mass(log_density: impl Fn(&Flow, &[f64]) -> Vec<f64>) -> Result<(), String> {
    let mass = probability(&flow(2, 4, 12, 0.3, 9), [-30.0, 30.0], [-30.0, 30.0], 1_500, log_density);
    if (mass - 1.0).abs() < 1e-5 { Ok(()) } else { Err(format!("∫ q = {mass}")) }
}

/// The probability of a box by the midpoint rule.
fn probability(flow: &Flow, x: [f64; 2], y: [f64; 2], cells: usize, log_density: impl Fn(&Flow, &[f64]) -> Vec<f64>) -> f64 {
    let at = |[low, high]: [f64; 2], i: usize| low + (high - low) * (i as f64 + 0.5) / cells as f64;
    let columns = (0..cells * cells).map(|k| at(x, k % cells));
    let points: Vec<f64> = columns.chain((0..cells * cells).map(|k| at(y, k / cells))).collect();
    let area = (x[1] - x[0]) * (y[1] - y[0]) / (cells * cells) as f64;
    log_density(flow, &points).into_iter().map(f64::exp).sum::<f64>() * area
}

/// Σ wₚ log q(xₚ) by every parameter and every coordinate; the part of the log-determinant counts `of_log_det` times.
fn density_gradient(of_log_det: f64) -> Result<(), String> {
    for (dim, layers, hidden) in SHAPES {
        let flow = flow(dim, layers, hidden, 0.5, 10);
        let count = 67;
        let x = normals(dim, count, 1.2, 5);
        let weights = normals(1, count, 1.0, 6);
        let pass = flow.inverse_pass(&x).unwrap();
        let grads = if of_log_det == 1.0 {
            pass.reverse_density(&weights).unwrap()
        } else {
            let rows = pass.mapped.positions.chunks(count);
            let positions: Vec<_> = rows.flat_map(|row| row.iter().zip(&weights).map(|(z, w)| -w * z)).collect();
            pass.reverse(&positions, &vec![0.0; count]).unwrap()
        };
        let total = |params: &[Dual64], x: &[Dual64]| -> Dual64 {
            let plain = Plain { dim, layers, hidden, params };
            let term = |p: usize| {
                let own: Vec<_> = (0..dim).map(|i| x[i * count + p]).collect();
                plain.log_density(&own) * weights[p]
            };
            (0..count).map(term).fold(Dual64::from(0.0), |sum, v| sum + v)
        };
        compare(&flow, &x, &grads.params, &grads.positions, total).map_err(|e| format!("{dim}-D: {e}"))?;
    }
    Ok(())
}

/// Σ F(xₚ) + cₚ log |det| through x = f(z), F having the derivatives given, by every parameter and every coordinate of z.
fn reparameterised() {
    for (dim, layers, hidden) in SHAPES {
        let flow = flow(dim, layers, hidden, 0.5, 11);
        let count = 67;
        let z = normals(dim, count, 1.2, 7);
        let (slopes, of_det) = (normals(dim, count, 1.0, 8), normals(1, count, 1.0, 9));
        let pass = flow.forward_pass(&z).unwrap();
        // F(x) = a·x + |x|²/10.
        let derivatives: Vec<_> = slopes.iter().zip(&pass.mapped.positions).map(|(a, x)| a + 0.2 * x).collect();
        let grads = pass.reverse(&derivatives, &of_det).unwrap();
        let total = |params: &[Dual64], z: &[Dual64]| -> Dual64 {
            let plain = Plain { dim, layers, hidden, params };
            let term = |p: usize| {
                let own: Vec<_> = (0..dim).map(|i| z[i * count + p]).collect();
                let (x, log_det) = plain.forward(&own);
                let f = (0..dim).fold(Dual64::from(0.0), |sum, i| sum + x[i] * slopes[i * count + p] + x[i] * x[i] * 0.1);
                f + log_det * of_det[p]
            };
            (0..count).map(term).fold(Dual64::from(0.0), |sum, v| sum + v)
        };
        compare(&flow, &z, &grads.params, &grads.positions, total).unwrap();
    }
}

/// Gradients against dual numbers, 10⁻⁹ of the largest component. Of the parameters about a hundred, of the points a dozen.
fn compare(
    flow: &Flow,
    points: &[f64],
    by_params: &[f64],
    by_points: &[f64],
    total: impl Fn(&[Dual64], &[Dual64]) -> Dual64,
) -> Result<(), String> {
    let params: Vec<Dual64> = flow.params().iter().map(|&p| f64::from(p).into()).collect();
    let points: Vec<Dual64> = points.iter().map(|&x| x.into()).collect();
    let check = |what: &str, found: &[f64], every: usize, at: &dyn Fn(usize) -> f64| {
        let size = found.iter().fold(1e-3, |top: f64, g| top.max(g.abs()));
        for i in (0..found.len()).step_by(every) {
            let expected = at(i);
            if (found[i] - expected).abs().is_nan() || (found[i] - expected).abs() > 1e-9 * size {
                return Err(format!("derivative by {what} {i} is {}, dual numbers give {expected}", found[i]));
            }
        }
        Ok(())
    };
    let seeded = |values: &[Dual64], i: usize| {
        let mut values = values.to_vec();
        values[i] = values[i].derivative();
        values
    };
    check("parameter", by_params, (params.len() / 100).max(1), &|i| total(&seeded(&params, i), &points).eps)?;
    check("coordinate", by_points, (points.len() / 12).max(1), &|i| total(&params, &seeded(&points, i)).eps)
}

/// Two layers and no hidden unit's help: log-scales from the biases, the shear from the linear part.
fn gaussian() {
    let flow = gaussian_flow();
    // x₁ = z₁ e^s₁ + t₁, then x₀ = z₀ e^s₀ + c x₁ + t₀.
    let covariance = [2.0, 0.9, 0.9, 0.7];
    let x = normals(2, 200, 2.0, 12);
    let law = nalgebra::Matrix2::from_row_slice(&covariance);
    let precision = law.try_inverse().unwrap();
    for (p, q) in flow.log_density(&x).unwrap().into_iter().enumerate() {
        let d = nalgebra::Vector2::new(x[p] - 1.0, x[200 + p] + 0.5);
        let expected = -0.5 * (d.transpose() * precision * d)[0] - 0.5 * law.determinant().ln() - std::f64::consts::TAU.ln();
        // The parameters are f32, of about 10⁻⁷.
        assert!((q - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{q} against {expected}");
    }
}

/// The flow that is N((1, −½), (2, 0.9; 0.9, 0.7)) exactly, but for f32.
pub(super) fn gaussian_flow() -> Flow {
    let raw = |log_scale: f64| {
        let u = log_scale / 2.0;
        2.0 * u / (1.0 - u * u).sqrt()
    };
    let mut params = Flow::new(2, 2, 1, 0).unwrap().params().to_vec();
    // A layer: W₁, b₁, W₂ (2), A (2), b₂ (2), the log-scale before the shift.
    let shear = 0.9 / 0.7;
    let left: f64 = 2.0 - 0.9 * shear;
    (params[6], params[7]) = (raw(0.5 * 0.7f64.ln()) as f32, -0.5);
    params[8 + 5] = shear as f32;
    (params[8 + 6], params[8 + 7]) = (raw(0.5 * left.ln()) as f32, (1.0 + 0.5 * shear) as f32);
    Flow::from_params(2, 2, 1, params).unwrap()
}

/// The shares of draws in the cells of a grid, against the density by quadrature; and log q of the draws.
fn draws() {
    let flow = flow(2, 4, 12, 0.3, 9);
    let count = 300_000;
    let drawn = flow.sample(count, 5, 0).unwrap();
    let density = flow.log_density(&drawn.positions).unwrap();
    let off = density.iter().zip(&drawn.log_densities).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(off < 1e-8, "log q of the draws: {off:e}");
    for (x, y) in [([-1.0, 1.0], [-1.0, 1.0]), ([0.0, 2.0], [-3.0, 0.5]), ([-4.0, 0.0], [0.0, 3.0])] {
        let p = probability(&flow, x, y, 400, |flow, x| flow.log_density(x).unwrap());
        let inside =
            |k: &usize| (x[0]..x[1]).contains(&drawn.positions[*k]) && (y[0]..y[1]).contains(&drawn.positions[count + k]);
        let found = (0..count).filter(inside).count();
        stats::accept("the share of a box", stats::p_of_z(stats::z_of_count(found as u64, count as u64, p)));
    }
    // The base is standard normal.
    let base = flow.inverse(&drawn.positions).unwrap().positions;
    for row in base.chunks(count) {
        stats::accept("the base", stats::ks(row, |z| stats::normal_cdf(z, 0.0, 1.0)));
    }
}

fn refused() {
    for bad in
        [Flow::new(0, 4, 8, 1), Flow::new(1, 4, 8, 1), Flow::new(2, 0, 8, 1), Flow::new(2, 1, 8, 1), Flow::new(2, 4, 0, 1)]
    {
        assert!(matches!(bad, Err(Error::Setting { .. })), "{bad:?}");
    }
    const ALL: usize = usize::MAX;
    for (dim, layers, hidden) in [(2, 4, ALL / 4), (ALL, 4, 8), (ALL / 2, 4, 8), (2, ALL, 8), (2, 4, ALL), (ALL, ALL, ALL)] {
        for refused in [Flow::new(dim, layers, hidden, 1), Flow::from_params(dim, layers, hidden, [])] {
            assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
        }
    }
    let good = flow(2, 4, 8, 0.5, 1);
    for count in [ALL, ALL / 2, 1 << 32] {
        assert!(matches!(good.sample(count, 1, 0), Err(Error::Limit { .. })));
        assert!(matches!(good.base(count, 1, 0), Err(Error::Limit { .. })));
    }
    let mut params = good.params().to_vec();
    for bad in
        [Flow::from_params(2, 4, 9, params.clone()), Flow::from_params(3, 4, 8, params.clone()), Flow::from_params(2, 4, 8, [])]
    {
        assert!(matches!(bad, Err(Error::Shape { .. })), "{bad:?}");
    }
    params[3] = f32::NAN;
    let mut changed = good.clone();
    assert!(matches!(changed.set_params(&params), Err(Error::Setting { .. })));
    assert_eq!(changed, good);
    assert!(matches!(good.log_density(&[0.0; 3]), Err(Error::Shape { .. })));
    let pass = good.inverse_pass(&[0.0; 4]).unwrap();
    assert!(matches!(pass.reverse_density(&[1.0; 3]), Err(Error::Shape { .. })));
    assert!(matches!(pass.reverse(&[1.0; 3], &[1.0; 2]), Err(Error::Shape { .. })));
    assert!(good.log_density(&[]).unwrap().is_empty());
    for bad in [f64::NAN, f64::INFINITY, 1e39] {
        let x = [0.0, 0.0, 0.0, 0.0, bad, 0.0];
        let passes = [good.forward_pass(&x), good.inverse_pass(&x)].map(|pass| pass.map(drop));
        let maps = [good.forward(&x), good.inverse(&x)].map(|mapped| mapped.map(drop));
        for refused in passes.into_iter().chain(maps).chain([good.log_density(&x).map(drop)]) {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains("points of the flow, row 2, column 2 (counted from 1)"), "{refused}");
        }
    }
}
