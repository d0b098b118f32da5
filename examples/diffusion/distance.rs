//! How far two samples are from each other.

use ergodic::random::{Stream, key, normal_pair, threefry};
use rayon::prelude::*;

/// Points, from `[dim][point]` in the plane.
fn points(x: &[f32]) -> Vec<[f64; 2]> {
    let (xs, ys) = x.split_at(x.len() / 2);
    xs.iter().zip(ys).map(|(&x, &y)| [f64::from(x), f64::from(y)]).collect()
}

/// The energy distance 2 E|X − Y| − E|X − X′| − E|Y − Y′| (Székely and Rizzo 2013) over all pairs, a point with itself included: above
/// zero, and for two samples of n points of one law 2 E|X − X′|/n on average.
pub(crate) fn energy_distance(a: &[f32], b: &[f32]) -> f64 {
    let (a, b) = (points(a), points(b));
    let mean = |a: &[[f64; 2]], b: &[[f64; 2]]| {
        // A root, and in several sums, which a compiler can take together: tens of times faster than hypot.
        let distance = |x: &[f64; 2], y: &[f64; 2]| ((x[0] - y[0]).powi(2) + (x[1] - y[1]).powi(2)).sqrt();
        let row = |x: &[f64; 2]| {
            let mut sums = [0.0; 8];
            b.chunks(8).for_each(|some| sums.iter_mut().zip(some).for_each(|(sum, y)| *sum += distance(x, y)));
            sums.iter().sum::<f64>()
        };
        let rows: Vec<f64> = a.par_iter().map(row).collect();
        rows.iter().sum::<f64>() / (a.len() * b.len()) as f64
    };
    2.0 * mean(&a, &b) - mean(&a, &a) - mean(&b, &b)
}

/// The sliced Wasserstein distance: the root of the mean square of W₂ along 128 random directions. Samples of equal size.
pub(crate) fn sliced_wasserstein(a: &[f32], b: &[f32], seed: u64) -> f64 {
    let (a, b) = (points(a), points(b));
    let key = key(seed, Stream::Check, 0);
    let along = |direction: u32| {
        let [x, y] = normal_pair(threefry(key, [direction, 0]));
        let norm = x.hypot(y);
        let project = |points: &[[f64; 2]]| {
            let mut values: Vec<f64> = points.iter().map(|p| (x * p[0] + y * p[1]) / norm).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let (a, b) = (project(&a), project(&b));
        a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64
    };
    let squares: Vec<f64> = (0..128u32).into_par_iter().map(along).collect();
    (squares.iter().sum::<f64>() / squares.len() as f64).sqrt()
}
