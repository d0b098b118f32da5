//! The statistics of the other tests: right where the law is right, and failing where it is off by a little.

mod common;

use common::{
    Suite,
    stats::{LEVEL, ks, normal_cdf, p_of_z, smallest, z_of_correlation, z_of_count, z_of_mean},
};
use ergodic::random::normal_pair;
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Standard normals from bits that rand makes.
fn normals(n: usize) -> Vec<f64> {
    let mut rng = StdRng::seed_from_u64(1);
    (0..n / 2).flat_map(|_| normal_pair([rng.random(), rng.random()])).collect()
}

fn main() -> std::process::ExitCode {
    Suite::new()
        .test("p-values of tables", || {
            // statrs gives erfc to about 1e-11.
            assert!((p_of_z(1.959963984540054) - 0.05).abs() < 1e-11);
            assert!((p_of_z(-6.109410204869) / 1e-9 - 1.0).abs() < 1e-6);
            // 1.3581 is the asymptotic 5 % point of sqrt(n) D: here 10,000 even steps, the first of them as high as D.
            let n = 10_000;
            let d = 1.3581 / f64::from(n).sqrt();
            let values: Vec<_> = (0..n).map(|i| f64::from(i) / f64::from(n) * (1.0 - d)).collect();
            assert!((ks(&values, |x| x + d) - 0.05).abs() < 1e-3);
        })
        .test("the right law passes", || {
            let x = normals(100_000);
            assert!(ks(&x, |x| normal_cdf(x, 0.0, 1.0)) > LEVEL);
            assert!(p_of_z(z_of_mean(x.iter().copied(), 0.0)) > LEVEL);
            assert!(p_of_z(z_of_mean(x.iter().map(|x| x * x), 1.0)) > LEVEL);
            assert!(p_of_z(z_of_correlation(x.chunks_exact(2).map(|p| (p[0], p[1])))) > LEVEL);
        })
        .test("a planted fault is found", || {
            let x = normals(100_000);
            assert!(ks(&x, |x| normal_cdf(x, 0.03, 1.0)) < LEVEL);
            assert!(ks(&x, |x| normal_cdf(x, 0.0, 1.05)) < LEVEL);
            assert!(ks(&[0.1, f64::NAN], |x| x) < LEVEL);
            assert!(p_of_z(z_of_mean(x.iter().copied(), 0.03)) < LEVEL);
            assert!(p_of_z(z_of_mean(x.iter().map(|x| x * x), 1.05)) < LEVEL);
            assert!(p_of_z(z_of_mean([1.0, f64::NAN].into_iter(), 1.0)) < LEVEL);
            assert!(p_of_z(z_of_mean([1.0, 1.0].into_iter(), 0.5)) < LEVEL);
            assert!(p_of_z(z_of_correlation(x.windows(2).map(|p| (p[0], p[1] + 0.03 * p[0])))) < LEVEL);
            assert!(p_of_z(z_of_count(600, 1000, 0.5)) < p_of_z(z_of_count(510, 1000, 0.5)));
            assert_eq!(smallest([("a".into(), 0.3), ("b".into(), 0.1), ("c".into(), 0.2)]).0, "b");
            assert!(smallest([("a".into(), 0.3), ("b".into(), f64::NAN)]).1.is_nan());
        })
        .run()
}
