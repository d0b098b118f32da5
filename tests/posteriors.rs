//! Posteriors written by others (examples/posteriors): their energies and gradients against log densities computed elsewhere, and what
//! is sampled against their means and standard deviations.
//!
//! Significance: a default run compares some 70 means and standard deviations with fixed seeds; one of 4 combined errors by chance has a
//! probability of 6·10⁻⁵.

mod common;
#[path = "../examples/posteriors/kit.rs"]
mod kit;

use std::{path::PathBuf, sync::Arc, time::Duration};

use common::Suite;
use ergodic::{
    Backend, Gpu, Start,
    energy::{Compose as _, Energy, WgslEnergy},
    evaluate,
};
use kit::{
    posterior::{self, Posterior, Support, Truth},
    published::{self, PUBLISHED, Published, TestPoint},
    run::{Settings, run, scores},
    stress::{STRESS, stress},
};

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new()
        .test("parameters of the command line are read", parameters_are_read)
        .test("parameters from coordinates", constrained)
        .gpu("log density of eight schools at one point", |gpu| {
            log_density(gpu, eight_schools(), "eight_schools", &[point()]).unwrap()
        })
        .gpu("a dropped Jacobian shows in the log density", |gpu| {
            let found = log_density(gpu, without_jacobian(), "eight_schools", &[point()]);
            assert!(found.is_err_and(|e| e.contains("log density")));
        })
        .gpu("eight schools are sampled right", |gpu| sampled(gpu, &eight_schools(), 60).unwrap())
        .gpu("a dropped Jacobian shows in the samples", |gpu| {
            let found = sampled(gpu, &without_jacobian(), 3);
            assert!(found.as_ref().is_err_and(|e| e.contains("tau")), "{found:?}");
        });
    for (name, _) in PUBLISHED {
        suite = with_truth(
            suite,
            format!("log density of {name}"),
            move |gpu, published| {
                log_density(gpu, published.posterior(name).unwrap(), name, &published.test_points).unwrap();
            },
            name,
        );
    }
    for (name, _) in PUBLISHED {
        suite = with_truth(
            suite,
            format!("{name} is sampled right"),
            move |gpu, published| {
                sampled(gpu, &published.posterior(name).unwrap(), 600).unwrap();
            },
            name,
        )
        .long();
    }
    for name in STRESS {
        suite =
            suite.gpu(format!("{name} is sampled right"), move |gpu| sampled(gpu, &stress(name).unwrap(), 600).unwrap()).long();
    }
    suite.run()
}

/// A test on the GPU that needs a published posterior.
fn with_truth(suite: Suite, test: String, body: impl FnOnce(Gpu, Published) + Send + 'static, name: &'static str) -> Suite {
    if std::env::var_os("ERGODIC_SKIP_GPU").is_some_and(|v| v == "1") {
        return suite.gpu(test, |_| ());
    }
    suite.truth(format!("gpu::{test}"), move |folder: PathBuf| {
        let published = published::read(&folder.join("posteriors"), name).unwrap();
        body(common::gpu(), published.expect("the folder has all of posteriordb's"));
    })
}

/// Eight schools with the exact moments, by quadrature over tau (posteriordb's reference posterior agrees: truth/posteriors).
fn eight_schools() -> Posterior {
    let (y, sigma) = published::SCHOOLS;
    let truth = Truth {
        source: "quadrature",
        mean: vec![
            6.211_884, 4.940_178, 3.927_004, 4.757_098, 3.615_477, 4.042_613, 6.296_724, 4.854_253, 4.396_821, 3.597_705,
        ],
        sd: vec![5.593_126, 4.674_268, 5.262_615, 4.780_297, 4.657_453, 4.826_866, 5.077_849, 5.290_801, 3.317_704, 3.219_958],
        draws: None,
    };
    published::eight_schools(&y, &sigma).unwrap().known(vec![truth])
}

/// The planted fault: + log tau takes the Jacobian of tau = exp(log tau) back. Nothing then holds tau away from zero, and no run
/// comes to an end.
fn without_jacobian() -> Posterior {
    let text = "fn jacobian_energy(at: u32, x: ptr<function, Point>) -> f32 { return coordinate(x, 9u); }
        fn jacobian_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {
            clear(grad);
            set_coordinate(grad, 9u, 1.0);
            return coordinate(x, 9u);
        }";
    let right = eight_schools();
    let taken_back = WgslEnergy::from_text("jacobian", 10, [], text).unwrap();
    let energy: Arc<dyn Energy> = Arc::new(right.energy.clone().plus(taken_back).unwrap());
    Posterior { energy, ..right }
}

/// The first test point of truth/posteriors/eight_schools.json: computed in f64 from the centred density.
fn point() -> TestPoint {
    TestPoint {
        unconstrained: vec![
            10.680_277_301_145_8,
            9.717_706_812_952_63,
            7.775_070_996_742_38,
            9.028_046_546_055_65,
            9.658_935_766_333_12,
            8.823_440_367_570_95,
            9.679_577_084_454_49,
            13.736_081_024_656_1,
            9.338_845_253_305_27,
            0.584_418_039_464_243_5,
        ],
        log_density_unconstrained: -51.917_306_405_231_905,
        grad_unconstrained: vec![
            -0.339_844_480_819_388_73,
            -0.134_900_112_195_780_5,
            0.443_818_942_546_690_13,
            0.079_813_267_961_293_07,
            -0.231_053_010_687_509_89,
            0.095_494_400_546_471_6,
            -0.022_670_825_585_847_26,
            -1.371_704_284_905_943_3,
            0.990_038_556_717_171,
            0.324_107_958_449_536_9,
        ],
    }
}

/// The point, log density and gradient in the coordinates of our energy: those of the reference, but for eight schools, whose
/// reference is centred. With theta = mu + tau eta the density of eta is that of theta times tau⁸.
fn in_our_coordinates(name: &str, point: &TestPoint) -> (Vec<f64>, f64, Vec<f64>) {
    let (mut x, mut grad) = (point.unconstrained.clone(), point.grad_unconstrained.clone());
    let mut log_density = point.log_density_unconstrained;
    if name == "eight_schools" {
        let (mu, tau) = (x[8], x[9].exp());
        log_density += 8.0 * x[9];
        grad[9] += 8.0;
        for j in 0..8 {
            x[j] = (x[j] - mu) / tau;
            grad[8] += grad[j];
            grad[9] += grad[j] * tau * x[j];
            grad[j] *= tau;
        }
    }
    (x, log_density, grad)
}

/// E = −log p, constants included. Bounds: a sum of a thousand terms in f32, and a position rounded to f32, leave 2⁻²⁰ of the energy
/// and 2·10⁻⁴ of the largest derivative. What a formula may lack is larger: a Jacobian is a derivative of one, beside at most 130.
fn log_density(gpu: Gpu, posterior: Posterior, name: &str, points: &[TestPoint]) -> Result<(), String> {
    let backend = Backend::gpu_of(gpu);
    for point in points {
        let (x, log_density, grad) = in_our_coordinates(name, point);
        let x: Vec<_> = x.iter().map(|&x| x as f32).collect();
        let found = evaluate(&backend, posterior.energy.clone(), &x, 0.0).map_err(|e| e.to_string())?;
        let miss = (found.energies[0] + log_density).abs();
        if miss.is_nan() || miss > (1.0 + log_density.abs()) / 1_048_576.0 {
            return Err(format!("{name}: log density {}, expected {log_density}", -found.energies[0]));
        }
        let largest = grad.iter().fold(1.0, |most: f64, g| most.max(g.abs()));
        for (i, (found, expected)) in found.grads.iter().zip(&grad).enumerate() {
            let miss = (found + expected).abs();
            if miss.is_nan() || miss > 2e-4 * largest {
                return Err(format!("{name}: derivative {i} of the log density {}, expected {expected}", -found));
            }
        }
    }
    Ok(())
}

/// Means and standard deviations within four combined Monte Carlo errors of everything that is known.
fn sampled(gpu: Gpu, posterior: &Posterior, seconds: u64) -> Result<(), String> {
    let settings =
        Settings { chains: 1024, seed: 3, start: Start::normal([0.0], 1.0), goal: 0.01, limit: Duration::from_secs(seconds) };
    let outcome = run(&Backend::gpu_of(gpu), posterior, &settings).map_err(|e| format!("{e:#}"))?;
    let mut wrong = Vec::new();
    if !outcome.is_met {
        wrong.push(format!("not precise after {:.0} s", outcome.seconds));
    }
    for truth in &posterior.truths {
        for (i, (estimate, parameter)) in outcome.estimates.iter().zip(&posterior.parameters).enumerate() {
            let (mean, sd) = scores(estimate, truth, i);
            if mean.is_nan() || sd.is_nan() || mean.abs() > 4.0 || sd.abs() > 4.0 {
                wrong.push(format!("{parameter} against {}: mean {mean:+.1}, sd {sd:+.1} errors", truth.source));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn parameters_are_read() {
    let read = posterior::parameters("alpha, beta*2,sigma:positive,p:unit").unwrap();
    let names: Vec<_> = read.iter().map(|p| p.0.as_str()).collect();
    assert_eq!(names, ["alpha", "beta[1]", "beta[2]", "sigma", "p"]);
    assert_eq!(read[3].1, Support::Positive);
    for wrong in ["", "a,,b", "a:large", "a*x", "*3"] {
        assert!(posterior::parameters(wrong).is_err(), "{wrong}");
    }
}

/// By hand: the test points of truth/posteriors/low_dim_gauss_mix.json.
fn constrained() {
    let published = published::two_normals(&[0.0]).unwrap();
    let x = [
        -2.686_878_312_204_41,
        1.714_042_874_570_718_8,
        0.003_739_875_446_449_141_7,
        0.027_644_138_336_404_268,
        0.453_038_010_864_386_55,
    ];
    let expected =
        [-2.686_878_312_204_41, 2.864_481_309_114_931_5, 1.003_746_877_506_85, 1.028_029_782_931_35, 0.611_361_304_992_348];
    for (found, expected) in (published.constrain)(&x).into_iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
}
