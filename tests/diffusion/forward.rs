//! The forward process: its closed form against its own steps, and its law.

use ergodic::diffusion::NoiseSchedule;

use crate::common::{
    Suite,
    stats::{LEVEL, ks, normal_cdf, p_of_z, smallest, z_of_correlation},
};

const POINTS: usize = 200_000;

pub(crate) fn add(suite: Suite) -> Suite {
    suite
        .test("the closed form of x_t is its law", || {
            let schedule = NoiseSchedule::cosine(100).unwrap();
            for t in [1, 40, 100] {
                let (what, p) = off_its_law(&schedule, t, schedule.alpha_bar(t));
                assert!(p >= LEVEL, "{what} is off at t = {t}: p = {p:.3e}");
            }
        })
        .test("a planted fault is found: beta for alpha bar", || {
            let schedule = NoiseSchedule::cosine(100).unwrap();
            let (_, p) = off_its_law(&schedule, 40, 1.0 - schedule.beta(40));
            assert!(p < LEVEL, "not found: p = {p:.3e}");
        })
        .test("the closed form is the product of the steps", || {
            // Mean and variance of x_t = √(1 − β) x + √β z from a point.
            let schedule = NoiseSchedule::linear(1000, 1e-4, 0.02).unwrap();
            let (mut mean, mut variance) = (1.0, 0.0);
            for t in 1..=1000 {
                let beta = schedule.beta(t);
                (mean, variance) = ((1.0 - beta).sqrt() * mean, (1.0 - beta) * variance + beta);
                assert!((mean - schedule.alpha_bar(t).sqrt()).abs() < 1e-12, "mean at {t}");
                assert!((variance - (1.0 - schedule.alpha_bar(t))).abs() < 1e-12, "variance at {t}");
            }
        })
        .test("noise depends on seed, step and point alone", || {
            let schedule = NoiseSchedule::cosine(10).unwrap();
            let few = schedule.noised(&[0.5; 6], 2, 7, 3).unwrap();
            let many = schedule.noised(&[0.5; 10], 2, 7, 3).unwrap();
            assert_eq!((&few[..3], &few[3..]), (&many[..3], &many[5..8]));
            assert_ne!(few, schedule.noised(&[0.5; 6], 2, 7, 4).unwrap());
            assert_ne!(few, schedule.noised(&[0.5; 6], 2, 8, 3).unwrap());
            assert_eq!(schedule.noised(&[0.5; 6], 2, 0, 3).unwrap(), [0.5; 6]);
        })
}

/// The smallest p-value of x_t of one point in three dimensions against N(√ᾱ x₀, 1 − ᾱ).
fn off_its_law(schedule: &NoiseSchedule, t: usize, alpha_bar: f64) -> (String, f64) {
    let data = [0.8f32, -1.5, 0.0];
    let all: Vec<f32> = data.iter().flat_map(|&x| std::iter::repeat_n(x, POINTS)).collect();
    let noised = schedule.noised(&all, 3, t, 5).unwrap();
    let z = |i: usize| {
        let (mean, sd) = (alpha_bar.sqrt() * f64::from(data[i]), (1.0 - alpha_bar).sqrt());
        noised[i * POINTS..(i + 1) * POINTS].iter().map(move |&x| (f64::from(x) - mean) / sd).collect::<Vec<_>>()
    };
    let z: Vec<_> = (0..3).map(z).collect();
    let law = |i: usize| (format!("x[{i}]"), ks(&z[i], |z| normal_cdf(z, 0.0, 1.0)));
    let pair = |i: usize, j: usize| {
        let pairs = z[i].iter().copied().zip(z[j].iter().copied());
        (format!("the correlation of x[{i}] and x[{j}]"), p_of_z(z_of_correlation(pairs)))
    };
    smallest([law(0), law(1), law(2), pair(0, 1), pair(0, 2), pair(1, 2)])
}
