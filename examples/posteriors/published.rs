//! Four posteriors of posteriordb (Magnusson et al. 2024), with its reference values; read from a folder of JSON files, one each.

use std::{
    env,
    f64::consts::{PI, TAU},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use ergodic::energy::WgslEnergy;
use serde::Deserialize;

use super::posterior::{Posterior, Support, Truth};

/// The names here, and those of the files.
pub const PUBLISHED: [(&str, &str); 4] = [
    ("eight_schools", "eight_schools"),
    ("autoregression", "arK-arK"),
    ("regression", "kidiq-kidscore_momiq"),
    ("two_normals", "low_dim_gauss_mix"),
];

/// A file of the folder; of the data, each posterior has its own.
#[derive(Deserialize)]
pub struct Published {
    pub data: Data,
    reference: Reference,
    exact: Option<Exact>,
    pub test_points: Vec<TestPoint>,
}

#[derive(Deserialize, Default)]
pub struct Data {
    #[serde(default)]
    pub y: Vec<f64>,
    #[serde(default)]
    pub sigma: Vec<f64>,
    /// Rows of one and x.
    #[serde(default, rename = "X")]
    pub x: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Reference {
    ndraws: f64,
    mean: Vec<f64>,
    sd: Vec<f64>,
}

#[derive(Deserialize)]
struct Exact {
    mean: Vec<f64>,
    sd: Vec<f64>,
}

/// The log density of the unconstrained coordinates, and its gradient.
#[derive(Deserialize)]
pub struct TestPoint {
    pub unconstrained: Vec<f64>,
    pub log_density_unconstrained: f64,
    pub grad_unconstrained: Vec<f64>,
}

/// The folder of the files: as given, else of `ERGODIC_TRUTH`, else `../shared/truth` beside the project.
pub fn folder(given: Option<&Path>) -> PathBuf {
    let truth =
        || env::var_os("ERGODIC_TRUTH").map_or(Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/truth"), PathBuf::from);
    given.map_or_else(|| truth().join("posteriors"), Path::to_path_buf)
}

/// Reads a posterior's file; None where there is none.
pub fn read(folder: &Path, name: &str) -> Result<Option<Published>> {
    let Some((_, file)) = PUBLISHED.iter().find(|(known, _)| *known == name) else {
        bail!("{name} is not among the published")
    };
    let path = folder.join(file).with_extension("json");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    serde_json::from_str(&text).map(Some).with_context(|| format!("{} is not as expected", path.display()))
}

impl Published {
    fn truths(&self) -> Vec<Truth> {
        let reference = &self.reference;
        let of_stan =
            Truth { source: "Stan", mean: reference.mean.clone(), sd: reference.sd.clone(), draws: Some(reference.ndraws) };
        let exact =
            self.exact.as_ref().map(|e| Truth { source: "quadrature", mean: e.mean.clone(), sd: e.sd.clone(), draws: None });
        [of_stan].into_iter().chain(exact).collect()
    }

    /// The posterior of this name on these data.
    pub fn posterior(&self, name: &str) -> Result<Posterior> {
        let posterior = match name {
            "eight_schools" => eight_schools(&self.data.y, &self.data.sigma),
            "autoregression" => autoregression(&self.data.y),
            "regression" => regression(&self.data),
            "two_normals" => two_normals(&self.data.y),
            other => bail!("{other} is not among the published"),
        };
        Ok(posterior?.known(self.truths()))
    }
}

/// The data of Rubin (1981), table 1: effects of coaching in eight schools, and their standard errors.
pub const SCHOOLS: ([f64; 8], [f64; 8]) =
    ([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0], [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]);

/// log √(2π).
fn half_log_tau() -> f64 {
    0.5 * TAU.ln()
}

fn parameters(names: &[(&str, Support)]) -> Vec<(String, Support)> {
    names.iter().map(|&(name, support)| (name.into(), support)).collect()
}

fn in_f32(values: impl IntoIterator<Item = f64>) -> Vec<f32> {
    values.into_iter().map(|v| v as f32).collect()
}

/// Values and so many zeros that their number is a multiple of four.
fn in_fours(values: &[f64]) -> impl Iterator<Item = f64> {
    let n = values.len().next_multiple_of(4);
    values.iter().copied().chain(std::iter::repeat(0.0)).take(n)
}

/// Non-centred: the parameters are those of the centred form, theta, mu and tau.
pub fn eight_schools(y: &[f64], sigma: &[f64]) -> Result<Posterior> {
    // Of seventeen normals and the half-Cauchy, whose density is that of the whole Cauchy, as Stan has it.
    let constant = 17.0 * half_log_tau() + sigma.iter().map(|s| s.ln()).sum::<f64>() + 5f64.ln() + (5.0 * PI).ln();
    let params = in_f32(y.iter().chain(sigma).copied().chain([constant]));
    let energy = WgslEnergy::from_text("eight_schools", 10, params, include_str!("eight_schools.wgsl"))?;
    let mut names: Vec<_> = (1..=8).map(|j| (format!("theta[{j}]"), Support::Real)).collect();
    names.extend(parameters(&[("mu", Support::Real), ("tau", Support::Positive)]));
    let posterior = Posterior::new("eight_schools", energy, &names);
    let constrain = Arc::new(|x: &[f64]| {
        let (mu, tau) = (x[8], x[9].exp());
        x[..8].iter().map(|eta| mu + tau * eta).chain([mu, tau]).collect()
    });
    Ok(Posterior { constrain, ..posterior })
}

/// AR(5).
pub fn autoregression(y: &[f64]) -> Result<Posterior> {
    let rows = (y.len() - 5) as f64;
    let constant = (rows + 6.0) * half_log_tau() + 6.0 * 10f64.ln() + (2.5 * PI).ln();
    let params = in_f32([rows, constant].into_iter().chain(y.iter().copied()).chain([0.0; 12]));
    let energy = WgslEnergy::from_text("autoregression", 7, params, include_str!("autoregression.wgsl"))?;
    let mut names = parameters(&[("alpha", Support::Real)]);
    names.extend((1..=5).map(|k| (format!("beta[{k}]"), Support::Real)));
    names.extend(parameters(&[("sigma", Support::Positive)]));
    Ok(Posterior::new("autoregression", energy, &names))
}

/// Children's test scores on their mothers' (Gelman and Hill 2006).
pub fn regression(data: &Data) -> Result<Posterior> {
    let rows = data.y.len() as f64;
    let constant = rows * half_log_tau() + (2.5 * PI).ln();
    let x: Vec<_> = in_fours(&data.x.iter().map(|row| row[1]).collect::<Vec<_>>()).collect();
    let y: Vec<_> = in_fours(&data.y).collect();
    let fours = x.chunks(4).zip(y.chunks(4)).flat_map(|(x, y)| x.iter().chain(y).copied());
    let params = in_f32([rows, constant].into_iter().chain(fours));
    let energy = WgslEnergy::from_text("regression", 3, params, include_str!("regression.wgsl"))?;
    let names = [("beta[1]", Support::Real), ("beta[2]", Support::Real), ("sigma", Support::Positive)];
    Ok(Posterior::new("regression", energy, &parameters(&names)))
}

/// A mixture of two normals.
pub fn two_normals(y: &[f64]) -> Result<Posterior> {
    // 1/B(5, 5) = 630.
    let constant = (y.len() as f64 + 4.0) * half_log_tau() + 4.0 * 2f64.ln() - 630f64.ln();
    let params = in_f32([y.len() as f64, constant].into_iter().chain(in_fours(y)));
    let energy = WgslEnergy::from_text("two_normals", 5, params, include_str!("two_normals.wgsl"))?;
    let names = [
        ("mu[1]", Support::Real),
        ("mu[2]", Support::Ordered),
        ("sigma[1]", Support::Positive),
        ("sigma[2]", Support::Positive),
        ("theta", Support::Unit),
    ];
    Ok(Posterior::new("two_normals", energy, &parameters(&names)))
}
