//! A posterior: an energy in unconstrained coordinates, and the parameters that its users think in.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use ergodic::energy::Energy;

/// What values a parameter may take, and so how it comes from an unconstrained coordinate x. The energy must hold the logarithm of
/// the transformation's derivative (the Jacobian); these are Stan's transformations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// x.
    Real,
    /// exp(x).
    Positive,
    /// 1 / (1 + exp(−x)).
    Unit,
    /// The parameter before it plus exp(x).
    Ordered,
}

impl Support {
    /// The parameter of a coordinate, `before` being the parameter before it.
    fn constrain(self, x: f64, before: f64) -> f64 {
        match self {
            Self::Real => x,
            Self::Positive => x.exp(),
            Self::Unit => 1.0 / (1.0 + (-x).exp()),
            Self::Ordered => before + x.exp(),
        }
    }
}

/// Parameters from a position.
pub type Constrain = Arc<dyn Fn(&[f64]) -> Vec<f64> + Send + Sync>;

/// What is known of a posterior.
#[derive(Debug, Clone)]
pub struct Truth {
    /// Who says so.
    pub source: &'static str,
    pub mean: Vec<f64>,
    pub sd: Vec<f64>,
    /// Effective draws behind it; None where it is exact.
    pub draws: Option<f64>,
}

#[derive(Clone)]
pub struct Posterior {
    pub name: String,
    pub energy: Arc<dyn Energy>,
    /// Names of the parameters.
    pub parameters: Vec<String>,
    pub constrain: Constrain,
    /// All that is known; nothing of a user's own.
    pub truths: Vec<Truth>,
}

impl Posterior {
    /// One whose parameters come from one coordinate each.
    pub fn new(name: &str, energy: impl Energy + 'static, parameters: &[(String, Support)]) -> Self {
        let supports: Vec<_> = parameters.iter().map(|p| p.1).collect();
        let constrain = move |x: &[f64]| {
            let next = |before: &mut f64, (support, &x): (&Support, &f64)| {
                *before = support.constrain(x, *before);
                Some(*before)
            };
            supports.iter().zip(x).scan(0.0, next).collect()
        };
        let names = parameters.iter().map(|p| p.0.clone()).collect();
        let (energy, constrain) = (Arc::new(energy), Arc::new(constrain));
        Self { name: name.into(), energy, parameters: names, constrain, truths: Vec::new() }
    }

    /// With what is known of it.
    pub fn known(self, truths: Vec<Truth>) -> Self {
        Self { truths, ..self }
    }
}

/// Parameters as the command line gives them: `mu,tau:positive,beta*25` are mu, tau and beta[1] to beta[25].
pub fn parameters(text: &str) -> Result<Vec<(String, Support)>> {
    let mut parameters = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (name, support) = part.split_once(':').unwrap_or((part, "real"));
        let support = match support {
            "real" => Support::Real,
            "positive" => Support::Positive,
            "unit" => Support::Unit,
            "ordered" => Support::Ordered,
            other => bail!("`{other}` in `{part}` is none of real, positive, unit, ordered"),
        };
        let (name, count) = match name.split_once('*') {
            Some((name, count)) => (name, Some(count.parse::<usize>().with_context(|| format!("the count in `{part}`"))?)),
            None => (name, None),
        };
        ensure!(!name.is_empty(), "a parameter without a name in `{text}`");
        match count {
            None => parameters.push((name.into(), support)),
            Some(count) => parameters.extend((1..=count).map(|i| (format!("{name}[{i}]"), support))),
        }
    }
    Ok(parameters)
}
