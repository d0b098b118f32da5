//! A mixture of Gaussians to be trained: softmax weights, means, log scales.

use std::sync::Arc;

use super::{Call, Energy, Mixture, Params, compose::jets_text};
use crate::{
    Error, Result,
    program::Composer,
    train::{Block, Order, Trainable, check_params},
};

/// E(x) = −log Σⱼ wⱼ sⱼ^(−dim) exp(−|x − mⱼ|² / 2sⱼ²) with w = softmax(a) and s = exp(l): a mixture of Gaussians at any parameters.
///
/// Parameters of k components: a `[k]`, l `[k]`, m `[k][dim]`. ln ∫ exp(−E) = ½ dim ln 2π, whatever they are. At a noise level σ² every
/// sⱼ² grows by σ².
///
/// ```
/// # use ergodic::energy::{Energy, Mixture, SoftmaxMixture};
/// let start = SoftmaxMixture::of(&Mixture::ring(8, 4.0, 0.5)?)?;
/// assert_eq!(start.params().len(), 8 * (1 + 1 + 2));
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SoftmaxMixture {
    dim: usize,
    components: usize,
    params: Vec<f32>,
}

impl SoftmaxMixture {
    /// That of a mixture of isotropic Gaussians.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the components have covariances.
    pub fn of(mixture: &Mixture) -> Result<Self> {
        let Some(sds) = mixture.sds() else {
            return Err(Error::Unsupported(
                "a mixture to be trained has one standard deviation a component, no covariances".into(),
            ));
        };
        let logs = mixture.weights().iter().chain(sds).map(|v| v.ln() as f32);
        let means = mixture.means().iter().flatten().map(|&m| m as f32);
        Ok(Self { dim: mixture.dim(), components: sds.len(), params: logs.chain(means).collect() })
    }

    /// The mixture of these parameters.
    ///
    /// # Errors
    /// [`Error::Shape`] where their number is wrong; [`Error::Setting`] where one is not finite.
    pub fn reparametrised(&self, params: &[f32]) -> Result<Self> {
        check_params("mixture", self.params.len(), params)?;
        Ok(Self { params: params.to_vec(), ..self.clone() })
    }

    /// The mixture with the weights, means and standard deviations of these parameters.
    ///
    /// # Errors
    /// [`Error::Setting`] where one of them is out of a mixture's range.
    pub fn mixture(&self) -> Result<Mixture> {
        let k = self.components;
        let exp = |values: &[f32]| values.iter().map(|&v| f64::from(v).exp()).collect::<Vec<_>>();
        let (weights, sds) = (exp(&self.params[..k]), exp(&self.params[k..2 * k]));
        let sum: f64 = weights.iter().sum();
        let means = self.params[2 * k..].chunks(self.dim).map(|mean| mean.iter().map(|&m| f64::from(m)).collect());
        Mixture::new(&weights.iter().map(|w| w / sum).collect::<Vec<_>>(), &means.collect::<Vec<_>>(), &sds)
    }

    /// ln ∫ exp(−E).
    pub fn ln_z(&self) -> f64 {
        0.5 * self.dim as f64 * std::f64::consts::TAU.ln()
    }

    /// What the components add to exp(−E), by their logarithms, but for Σ exp(a), along v or at x alone; and the precisions.
    fn terms(&self, params: &[f64], noise_variance: f64, x: &[f64], v: &[f64]) -> (Vec<[f64; 3]>, Vec<f64>) {
        let k = self.components;
        let precision = |j: usize| 1.0 / ((2.0 * params[k + j]).exp() + noise_variance);
        let squared = v.iter().map(|v| v * v).sum::<f64>();
        let term = |j: usize| {
            let (mean, p) = (&params[2 * k + j * self.dim..], precision(j));
            let distance: f64 = x.iter().zip(mean).map(|(x, m)| (x - m).powi(2)).sum();
            let along: f64 = x.iter().zip(mean).zip(v).map(|((x, m), v)| (x - m) * v).sum();
            [params[j] + 0.5 * self.dim as f64 * p.ln() - 0.5 * p * distance, -p * along, -p * squared]
        };
        ((0..k).map(term).collect(), (0..k).map(precision).collect())
    }

    fn all(&self, params: Params<'_>) -> Vec<f64> {
        (0..self.params.len()).map(|i| params.get(i)).collect()
    }
}

/// E = −log Σ exp(tᵢ) of terms that are known with their first two derivatives along a direction.
pub(crate) struct LogSumExp<'a> {
    terms: &'a [[f64; 3]],
    /// exp(tᵢ + E).
    pub(crate) shares: Vec<f64>,
    energy: f64,
    /// Σ r t′ and Σ r (t″ + t′²).
    means: [f64; 2],
}

impl<'a> LogSumExp<'a> {
    pub(crate) fn new(terms: &'a [[f64; 3]]) -> Self {
        let top = terms.iter().map(|term| term[0]).fold(f64::NEG_INFINITY, f64::max);
        let energy = -(top + terms.iter().map(|term| (term[0] - top).exp()).sum::<f64>().ln());
        let shares: Vec<_> = terms.iter().map(|term| (term[0] + energy).exp()).collect();
        let mean = |of: fn(&[f64; 3]) -> f64| shares.iter().zip(terms).map(|(r, term)| r * of(term)).sum();
        let means = [mean(|t| t[1]), mean(|t| t[2] + t[1] * t[1])];
        Self { terms, shares, energy, means }
    }

    /// (E, E′, E″).
    pub(crate) fn jet(&self) -> [f64; 3] {
        let [first, second] = self.means;
        [self.energy, -first, first * first - second]
    }

    /// The adjoints of the jet of term i, from those of (E, E′, E″).
    pub(crate) fn adjoints(&self, i: usize, [by_value, by_slope, by_curvature]: [f64; 3]) -> [f64; 3] {
        let ([_, slope, curvature], r) = (self.terms[i], self.shares[i]);
        let [first, second] = self.means;
        let off = slope - first;
        [
            -r * (by_value + by_slope * off + by_curvature * (curvature + slope * slope - second - 2.0 * first * off)),
            -r * (by_slope + 2.0 * by_curvature * off),
            -r * by_curvature,
        ]
    }
}

/// Adds the WGSL twin of [`LogSumExp`].
pub(crate) fn add_log_sum_exp(program: &mut Composer) -> Result<()> {
    program.add("log_sum_exp", include_str!("../../shaders/train/log_sum_exp.wgsl"))
}

/// log Σ exp(a).
fn log_sum(logits: &[f64]) -> f64 {
    let terms: Vec<_> = logits.iter().map(|&a| [a, 0.0, 0.0]).collect();
    -LogSumExp::new(&terms).jet()[0]
}

impl Energy for SoftmaxMixture {
    fn name(&self) -> String {
        format!("mixture of {} by softmax", self.components)
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn params(&self) -> Vec<f32> {
        self.params.clone()
    }

    fn compose(&self, program: &mut Composer) -> Result<Call> {
        let (k, dim) = (self.components, self.dim);
        program.add("softmax_mixture", include_str!("../../shaders/energy/softmax_mixture.wgsl"))?;
        let stem = format!("softmax_mixture_of_{k}");
        let each = |line: &dyn Fn(usize) -> String| (0..k).map(line).collect::<String>();
        let mean = |j: usize| format!("at + {}u", 2 * k + j * dim);
        // Four squared distances are summed at a time.
        let distance = |j: usize| if j < k { format!("softmax_mixture_distance({}, x)", mean(j)) } else { "0.0".into() };
        let sum = (0..k)
            .step_by(4)
            .map(|j| {
                format!(
                    "    let d{} = totals4(vec4<f32>({}));\n",
                    j / 4,
                    (j..j + 4).map(distance).collect::<Vec<_>>().join(", ")
                )
            })
            .collect::<String>()
            + &each(&|j| format!("    let p{j} = softmax_mixture_precision(at + {}u);\n", k + j))
            + &each(&|j| {
                let (log_scale, four) = (k + j, j / 4);
                format!("    let t{j} = softmax_mixture_term(at + {j}u, at + {log_scale}u, p{j}, d{four}[{}]);\n", j % 4)
            })
            + "    var top = t0;\n    var top_logit = param(at);\n"
            + &(1..k)
                .map(|j| format!("    top = max(top, t{j});\n    top_logit = max(top_logit, param(at + {j}u));\n"))
                .collect::<String>()
            + &each(&|j| format!("    let w{j} = exp(t{j} - top);\n"))
            + "    var sum = 0.0;\n    var logits = 0.0;\n"
            + &each(&|j| format!("    sum += w{j};\n    logits += exp(param(at + {j}u) - top_logit);\n"))
            + "    let e = top_logit + log(logits) - (top + log(sum));\n";
        let grad = each(&|j| format!("    softmax_mixture_pull({}, w{j} * p{j} / sum, x, grad);\n", mean(j)));
        program.add(
            &stem,
            &format!(
                "fn {stem}_energy(at: u32, x: ptr<function, Point>) -> f32 {{\n{sum}    return once(e);\n}}\n\n\
                 fn {stem}_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {{\n{sum}    \
                 clear(grad);\n{grad}    return once(e);\n}}\n",
            ),
        )?;
        Ok(Call::new(stem, &[]))
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        let noise_variance = params.noise_variance();
        let params = self.all(params);
        let (terms, _) = self.terms(&params, noise_variance, x, &[]);
        log_sum(&params[..self.components]) + LogSumExp::new(&terms).jet()[0]
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        let noise_variance = params.noise_variance();
        let params = self.all(params);
        let (terms, precisions) = self.terms(&params, noise_variance, x, &[]);
        let sum = LogSumExp::new(&terms);
        grad.fill(0.0);
        let means = params[2 * self.components..].chunks(self.dim);
        for ((share, precision), mean) in sum.shares.iter().zip(&precisions).zip(means) {
            for ((g, x), m) in grad.iter_mut().zip(x).zip(mean) {
                *g += share * precision * (x - m);
            }
        }
        log_sum(&params[..self.components]) + sum.jet()[0]
    }

    fn laplacian(&self, params: Params<'_>, x: &[f64]) -> Option<f64> {
        let (all, noise_variance) = (self.all(params), params.noise_variance());
        let curvature = |i: usize| {
            let mut v = vec![0.0; self.dim];
            v[i] = 1.0;
            LogSumExp::new(&self.terms(&all, noise_variance, x, &v).0).jet()[2]
        };
        Some((0..self.dim).map(curvature).sum())
    }

    fn has_noise_levels(&self) -> bool {
        true
    }

    fn spread(&self) -> Option<Vec<usize>> {
        Some((0..self.components).map(|j| 2 * self.components + j * self.dim).collect())
    }

    fn check_gradient(&self) -> bool {
        false
    }
}

impl Trainable for SoftmaxMixture {
    fn blocks(&self) -> Vec<Block> {
        let k = self.components;
        vec![Block::new("logits", [k], false), Block::new("log_scales", [k], false), Block::new("means", [k, self.dim], false)]
    }

    fn with_params(&self, params: &[f32]) -> Result<Arc<dyn Trainable>> {
        Ok(Arc::new(self.reparametrised(params)?))
    }

    fn compose_jets(&self, program: &mut Composer) -> Result<Option<Call>> {
        let (k, dim) = (self.components, self.dim);
        add_log_sum_exp(program)?;
        program.add("softmax_mixture_jets", include_str!("../../shaders/train/softmax_mixture.wgsl"))?;
        let stem = format!("softmax_mixture_jets_of_{k}");
        let each = |line: &dyn Fn(usize) -> String| (0..k).map(line).collect::<String>();
        let own = |j: usize| format!("at + {j}u, at + {}u, at + {}u, x, v", k + j, 2 * k + j * dim);
        let sums = "    let square = softmax_mixture_jets_square(v);\n    var s = log_sum_exp_begin();\n    \
                    var weights = log_sum_exp_begin();\n"
            .to_owned()
            + &each(&|j| {
                format!(
                    "    let t{j} = softmax_mixture_jets_term({}, square);\n    s = log_sum_exp_add(s, t{j});\n    \
                     weights = log_sum_exp_add(weights, vec3<f32>(param(at + {j}u), 0.0, 0.0));\n",
                    own(j)
                )
            });
        let jet = format!("{sums}    return log_sum_exp_jet(s) - log_sum_exp_jet(weights);\n");
        let reverse = each(&|j| {
            format!(
                "    softmax_mixture_jets_param_grad({}, t{j}, log_sum_exp_adjoints(s, t{j}, adjoints), \
                 adjoints.x * exp(param(at + {j}u) - weights.top) / weights.sum);\n",
                own(j)
            )
        });
        program.add(&stem, &jets_text(&stem, &jet, &(sums + &reverse)))?;
        Ok(Some(Call::new(stem, &[])))
    }

    fn jet(&self, params: &[f64], x: &[f64], v: &[f64], order: Order) -> [f64; 3] {
        let v = if order == Order::Value { &[] } else { v };
        let [value, slope, curvature] = LogSumExp::new(&self.terms(params, 0.0, x, v).0).jet();
        [value + log_sum(&params[..self.components]), slope, curvature]
    }

    fn jet_param_grad(&self, params: &[f64], x: &[f64], v: &[f64], adjoints: [f64; 3], grad: &mut [f64]) {
        let (k, dim) = (self.components, self.dim);
        let (terms, precisions) = self.terms(params, 0.0, x, v);
        let sum = LogSumExp::new(&terms);
        let log_sum = log_sum(&params[..k]);
        for (j, p) in precisions.into_iter().enumerate() {
            let [by_value, by_slope, by_curvature] = sum.adjoints(j, adjoints);
            let [value, slope, curvature] = terms[j];
            grad[j] += by_value + adjoints[0] * (params[j] - log_sum).exp();
            // t = a − dim l − p |x − m|²/2, and dp/dl = −2p.
            let half_distance = params[j] + 0.5 * dim as f64 * p.ln() - value;
            let by_distance = by_value * (2.0 * half_distance - dim as f64);
            grad[k + j] += by_distance - 2.0 * (by_slope * slope + by_curvature * curvature);
            for (i, x) in x.iter().enumerate() {
                let at = 2 * k + j * dim + i;
                let along = v.get(i).copied().unwrap_or(0.0);
                grad[at] += p * (by_value * (x - params[at]) + by_slope * along);
            }
        }
    }
}
