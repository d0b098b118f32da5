//! Energies to be trained that are made of energies to be trained.

use std::sync::Arc;

use super::{
    Block, Order, Passes, Trainable,
    by_parts::{ConvexPasses, SumPasses, composed_passes},
    check_params,
};
use crate::{
    Backend, Result,
    energy::{Call, Convex, Energy, LogSumExp, Params, Sum, add_generated_jets, add_log_sum_exp, like_inner},
    program::Composer,
};

/// The next part of some values, of which each part has as many as parameters.
fn part<'a>(values: &'a [f64], at: &mut usize, part: &Arc<dyn Trainable>) -> &'a [f64] {
    let begin = *at;
    *at += part.params().len();
    &values[begin..*at]
}

/// The parts with parameters of their own, which stand one after another.
fn parts_with(parts: &[Arc<dyn Trainable>], params: &[f32]) -> Result<Vec<Arc<dyn Trainable>>> {
    let mut at = 0;
    let with = |part: &Arc<dyn Trainable>| {
        let begin = at;
        at += part.params().len();
        part.with_params(&params[begin..at])
    };
    parts.iter().map(with).collect()
}

/// The blocks of all parts; `parts.0.mean` is that of the first.
fn blocks_of(parts: &[Arc<dyn Trainable>]) -> impl Iterator<Item = Block> {
    parts.iter().enumerate().flat_map(|(i, part)| {
        part.blocks().into_iter().map(move |block| Block { name: format!("parts.{i}.{}", block.name), ..block })
    })
}

/// How to call the jets of each part, with the expression of where its parameters begin, the first part's being `own`; none where a part has no
/// jets in WGSL.
fn calls_of(parts: &[Arc<dyn Trainable>], own: usize, program: &mut Composer) -> Result<Option<Vec<(Call, String)>>> {
    let mut at = own;
    let mut call = |part: &Arc<dyn Trainable>| {
        let begin = format!("at + {at}u");
        at += part.params().len();
        Ok(part.compose_jets(program)?.map(|call| (call, begin)))
    };
    parts.iter().map(|part| call(part).transpose()).collect::<Option<Result<_>>>().transpose()
}

fn as_energies(parts: &[Arc<dyn Trainable>]) -> Vec<Arc<dyn Energy>> {
    parts.iter().map(|part| part.clone() as Arc<dyn Energy>).collect()
}

/// [`Sum`] of energies that are trained together: a product of experts (Hinton 2002).
#[derive(Debug, Clone)]
pub struct TrainableSum {
    sum: Sum,
    parts: Vec<Arc<dyn Trainable>>,
}

impl TrainableSum {
    /// Of at least one part, all of equal dimension.
    ///
    /// # Errors
    /// As [`Sum::new`].
    pub fn new(parts: impl Into<Vec<Arc<dyn Trainable>>>) -> Result<Self> {
        let parts = parts.into();
        Ok(Self { sum: Sum::new(as_energies(&parts))?, parts })
    }
}

impl Energy for TrainableSum {
    like_inner!(self => self.sum);

    fn params(&self) -> Vec<f32> {
        self.sum.params()
    }
}

impl Trainable for TrainableSum {
    fn blocks(&self) -> Vec<Block> {
        blocks_of(&self.parts).collect()
    }

    fn with_params(&self, params: &[f32]) -> Result<Arc<dyn Trainable>> {
        check_params("sum", self.params().len(), params)?;
        Ok(Arc::new(Self::new(parts_with(&self.parts, params)?)?))
    }

    fn compose_jets(&self, program: &mut Composer) -> Result<Option<Call>> {
        let Some(calls) = calls_of(&self.parts, 0, program)? else { return Ok(None) };
        let jets: Vec<_> = calls.iter().map(|(call, at)| call.jet(at, "x", "v")).collect();
        let reverse = |(call, at): &(Call, String)| format!("    {};\n", call.jet_param_grad(at, "x", "v", "adjoints"));
        let reverse: String = calls.iter().map(reverse).collect();
        add_generated_jets(program, "sum_jets", &format!("    return {};\n", jets.join(" + ")), &reverse).map(Some)
    }

    fn jet(&self, params: &[f64], x: &[f64], v: &[f64], order: Order) -> [f64; 3] {
        let mut at = 0;
        self.parts.iter().fold([0.0; 3], |sum, energy| {
            let jet = energy.jet(part(params, &mut at, energy), x, v, order);
            [sum[0] + jet[0], sum[1] + jet[1], sum[2] + jet[2]]
        })
    }

    fn jet_param_grad(&self, params: &[f64], x: &[f64], v: &[f64], adjoints: [f64; 3], grad: &mut [f64]) {
        let mut at = 0;
        for energy in &self.parts {
            let begin = at;
            let own = part(params, &mut at, energy);
            energy.jet_param_grad(own, x, v, adjoints, &mut grad[begin..at]);
        }
    }

    fn own_passes(&self, backend: &Backend) -> Result<Option<Box<dyn Passes>>> {
        composed_passes(self, &self.parts, backend, SumPasses)
    }
}

/// [`Convex`] mixture of energies that are trained together, with their log weights: E(x) = −log Σᵢ wᵢ exp(−Eᵢ(x)).
#[derive(Debug, Clone)]
pub struct TrainableConvex {
    convex: Convex,
    parts: Vec<Arc<dyn Trainable>>,
}

impl TrainableConvex {
    /// With weights wᵢ > 0 to begin with, one a part; parts of equal dimension.
    ///
    /// # Errors
    /// As [`Convex::new`].
    pub fn new(weights: &[f64], parts: impl Into<Vec<Arc<dyn Trainable>>>) -> Result<Self> {
        let parts = parts.into();
        Ok(Self { convex: Convex::new(weights, as_energies(&parts))?, parts })
    }

    /// Jets of log wᵢ − Eᵢ.
    fn terms(&self, params: &[f64], x: &[f64], v: &[f64], order: Order) -> Vec<[f64; 3]> {
        let mut at = self.parts.len();
        let term = |(i, energy): (usize, &Arc<dyn Trainable>)| {
            let jet = energy.jet(part(params, &mut at, energy), x, v, order);
            [params[i] - jet[0], -jet[1], -jet[2]]
        };
        self.parts.iter().enumerate().map(term).collect()
    }
}

impl Energy for TrainableConvex {
    like_inner!(self => self.convex);

    fn params(&self) -> Vec<f32> {
        self.convex.params()
    }
}

impl Trainable for TrainableConvex {
    fn blocks(&self) -> Vec<Block> {
        let own = Block::new("log_weights", [self.parts.len()], false);
        std::iter::once(own).chain(blocks_of(&self.parts)).collect()
    }

    fn with_params(&self, params: &[f32]) -> Result<Arc<dyn Trainable>> {
        check_params("convex mixture", self.params().len(), params)?;
        let (logs, params) = params.split_at(self.parts.len());
        let parts = parts_with(&self.parts, params)?;
        let logs = logs.iter().map(|&l| f64::from(l)).collect();
        Ok(Arc::new(Self { convex: Convex::with_log_weights(logs, as_energies(&parts))?, parts }))
    }

    fn compose_jets(&self, program: &mut Composer) -> Result<Option<Call>> {
        let Some(calls) = calls_of(&self.parts, self.parts.len(), program)? else { return Ok(None) };
        add_log_sum_exp(program)?;
        let mut sum = "    var s = log_sum_exp_begin();\n".to_owned();
        let mut reverse = String::new();
        for (i, (call, at)) in calls.iter().enumerate() {
            let jet = call.jet(at, "x", "v");
            sum +=
                &format!("    let t{i} = vec3<f32>(param(at + {i}u), 0.0, 0.0) - {jet};\n    s = log_sum_exp_add(s, t{i});\n");
            reverse +=
                &format!("    let a{i} = log_sum_exp_adjoints(s, t{i}, adjoints);\n    add_param_grad(at + {i}u, a{i}.x);\n");
            reverse += &format!("    {};\n", call.jet_param_grad(at, "x", "v", &format!("-a{i}")));
        }
        let jet = format!("{sum}    return log_sum_exp_jet(s);\n");
        add_generated_jets(program, "convex_jets", &jet, &(sum + &reverse)).map(Some)
    }

    fn jet(&self, params: &[f64], x: &[f64], v: &[f64], order: Order) -> [f64; 3] {
        LogSumExp::new(&self.terms(params, x, v, order)).jet()
    }

    fn jet_param_grad(&self, params: &[f64], x: &[f64], v: &[f64], adjoints: [f64; 3], grad: &mut [f64]) {
        let order = if v.is_empty() { Order::Value } else { Order::Curvature };
        let terms = self.terms(params, x, v, order);
        let sum = LogSumExp::new(&terms);
        let mut at = self.parts.len();
        for (i, energy) in self.parts.iter().enumerate() {
            let own = sum.adjoints(i, adjoints);
            grad[i] += own[0];
            let begin = at;
            let params = part(params, &mut at, energy);
            energy.jet_param_grad(params, x, v, own.map(|adjoint| -adjoint), &mut grad[begin..at]);
        }
    }

    fn own_passes(&self, backend: &Backend) -> Result<Option<Box<dyn Passes>>> {
        composed_passes(self, &self.parts, backend, ConvexPasses)
    }
}
