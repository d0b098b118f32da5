//! Targets that are hard on an adaptive sampler, made here, with what is known of them.

use std::{f64::consts::PI, sync::Arc};

use anyhow::{Result, bail};
use ergodic::energy::{Energy, Gaussian, Mixture, WgslEnergy};

use super::{
    logistic_truth::{MEAN, SD},
    posterior::{Posterior, Support, Truth},
};

/// The names.
pub const STRESS: [&str; 5] = ["heavy_tails", "correlated", "scales", "logistic", "ring"];

/// The posterior of this name.
pub fn stress(name: &str) -> Result<Posterior> {
    match name {
        "heavy_tails" => heavy_tails(),
        "correlated" => correlated(),
        "scales" => scales(),
        "logistic" => logistic(),
        "ring" => ring(),
        other => bail!("{other} is not among the stress cases"),
    }
}

fn coordinates(name: &str, energy: impl Energy + 'static) -> Posterior {
    let names: Vec<_> = (1..=energy.dim()).map(|i| (format!("x[{i}]"), Support::Real)).collect();
    Posterior::new(name, energy, &names)
}

fn exact(mean: Vec<f64>, sd: Vec<f64>) -> Vec<Truth> {
    vec![Truth { source: "exact", mean, sd, draws: None }]
}

/// The Student t with three degrees of freedom in ten dimensions. A variance has no finite Monte Carlo error there, so the parameters
/// are F(xᵢ), uniform in (0, 1), and log ‖x‖.
fn heavy_tails() -> Result<Posterior> {
    let (dim, nu) = (10, 3.0f64);
    let energy = WgslEnergy::from_text("student", dim, [nu as f32], include_str!("student.wgsl"))?;
    let mut parameters: Vec<_> = (1..=dim).map(|i| format!("F(x[{i}])")).collect();
    parameters.push("log |x|".into());
    let constrain = Arc::new(move |x: &[f64]| {
        let cdf = |&x: &f64| {
            let t = x / nu.sqrt();
            0.5 + (t / (1.0 + t * t) + t.atan()) / PI
        };
        let log_norm = 0.5 * x.iter().map(|x| x * x).sum::<f64>().ln();
        x.iter().map(cdf).chain([log_norm]).collect()
    });
    // ‖x‖²/10 is of the F distribution, so log ‖x‖² has mean log 3 + ψ(5) − ψ(3/2) and variance ψ′(5) + ψ′(3/2).
    let mean = 0.5 * (nu.ln() + 1.506_117_668_431_800_3 - 0.036_489_973_978_576_52);
    let sd = 0.5 * (PI * PI / 6.0 - 205.0 / 144.0 + PI * PI / 2.0 - 4.0).sqrt();
    let with = |uniform: f64, last: f64| [vec![uniform; dim], vec![last]].concat();
    let truths = exact(with(0.5, mean), with(12f64.sqrt().recip(), sd));
    Ok(Posterior { parameters, constrain, ..coordinates("heavy_tails", energy) }.known(truths))
}

/// Five normals, each pair of which has a correlation of 0.9999.
fn correlated() -> Result<Posterior> {
    let covariance: Vec<_> = (0..25).map(|k| if k % 6 == 0 { 1.0 } else { 0.9999 }).collect();
    let energy = Gaussian::full([1.0, 2.0, 3.0, 4.0, 5.0], &covariance)?;
    Ok(coordinates("correlated", energy).known(exact(vec![1.0, 2.0, 3.0, 4.0, 5.0], vec![1.0; 5])))
}

/// Nine normals of scales 10⁻³ to 10⁵.
fn scales() -> Result<Posterior> {
    let sd: Vec<_> = (-3..=5).map(|k| 10f64.powi(k)).collect();
    Ok(coordinates("scales", Gaussian::diagonal([0.0; 9], &sd)?).known(exact(vec![0.0; 9], sd)))
}

/// Eight normals on a circle: modes six standard deviations apart.
fn ring() -> Result<Posterior> {
    let sd = vec![(8.0f64 + 0.25).sqrt(); 2];
    Ok(coordinates("ring", Mixture::ring(8, 4.0, 0.5)?).known(exact(vec![0.0; 2], sd)))
}

/// Rows and columns of the logistic regression.
pub const ROWS: usize = 1_000;
pub const COLUMNS: usize = 25;
/// Standard deviation of a coefficient's prior.
pub const PRIOR_SD: f64 = 2.5;

/// Logistic regression of made data; the truth is a long run of another sampler (benches/peers/logistic_reference.py).
fn logistic() -> Result<Posterior> {
    let rows = logistic_rows().into_iter().flat_map(|(x, y)| x.map(|x| if y { x } else { -x }));
    let params: Vec<_> = [ROWS as f64, PRIOR_SD.powi(-2)].into_iter().chain(rows).map(|v| v as f32).collect();
    let energy = WgslEnergy::from_text("logistic", COLUMNS, params, include_str!("logistic.wgsl"))?;
    let names: Vec<_> = (1..=COLUMNS).map(|i| (format!("beta[{i}]"), Support::Real)).collect();
    let truth = Truth { source: "NumPyro", mean: MEAN.to_vec(), sd: SD.to_vec(), draws: Some(100_000.0) };
    Ok(Posterior::new("logistic", energy, &names).known(vec![truth]))
}

/// Made rows: a one, then uniform columns of variance one, neighbours of which correlate by 0.6; coefficients −1, −½, 0, ½, 1 by turns.
fn logistic_rows() -> Vec<([f64; COLUMNS], bool)> {
    let mut state = 0u64;
    // SplitMix64 (Steele, Lea, Flood 2014).
    let mut uniform = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut row = || {
        let mut x = [1.0; COLUMNS];
        for j in 1..COLUMNS {
            let new = 12f64.sqrt() * (uniform() - 0.5);
            x[j] = if j == 1 { new } else { 0.6 * x[j - 1] + 0.8 * new };
        }
        let logit: f64 = x.iter().enumerate().map(|(j, x)| 0.5 * ((j % 5) as f64 - 2.0) * x).sum();
        (x, uniform() < 1.0 / (1.0 + (-logit).exp()))
    };
    (0..ROWS).map(|_| row()).collect()
}
