//! Milliseconds of a training step of the network 2-128-128-1 (SiLU) on a batch of 1,024, Adam included, for four losses, on the CPU's
//! threads and on the GPU, if there is one; one line of JSON. Sliced score matching goes along five directions a point, torchebm's own
//! number, and along one (`ssm1`). `benches/peers/networks` runs it in turn with torchebm.

use std::time::Instant;

use anyhow::{Result, ensure};
use ergodic::{
    Backend,
    energy::Energy,
    net::{Activation, Langevin, Mlp, Walk},
    train::{Adjoints, At, Loss, Order, Passes},
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

const BATCH: usize = 1024;
const SECONDS: f64 = 2.0;

struct Trained {
    passes: Box<dyn Passes>,
    langevin: Langevin,
    params: Vec<f32>,
    moments: Vec<[f64; 2]>,
    steps: i32,
    rng: SmallRng,
}

impl Trained {
    fn numbers(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.rng.random_range(-2.0..2.0)).collect()
    }

    /// Adam with PyTorch's defaults.
    fn update(&mut self, grad: &[f64]) -> Result<()> {
        self.steps += 1;
        let corrected = [0.9f64, 0.999].map(|decay| 1.0 - decay.powi(self.steps));
        for ((param, moment), grad) in self.params.iter_mut().zip(&mut self.moments).zip(grad) {
            moment[0] += 0.1 * (grad - moment[0]);
            moment[1] += 0.001 * (grad * grad - moment[1]);
            *param -= (1e-3 * moment[0] / corrected[0] / ((moment[1] / corrected[1]).sqrt() + 1e-8)) as f32;
        }
        self.passes.set_params(&self.params)?;
        Ok(())
    }

    fn step(&mut self, loss: &str) -> Result<()> {
        let x = self.numbers(2 * BATCH);
        let of = match loss {
            "cd20" => return self.contrastive_step(&x),
            "dsm" => Loss::denoising(0.1),
            "ssm" => Loss::SlicedScoreMatching { projections: 5, variance_reduced: false },
            "ssm1" => Loss::SlicedScoreMatching { projections: 1, variance_reduced: false },
            "ism" => Loss::ImplicitScoreMatching,
            _ => anyhow::bail!("unknown loss {loss}"),
        };
        let at = At { x: &x, dim: 2, seed: 1, update: self.steps as u64, log_normalizer: 0.0, negatives: &[] };
        let grad = of.at(&mut *self.passes, at)?.grad;
        self.update(&grad)
    }

    /// Langevin chains from the data, all steps in one call.
    fn contrastive_step(&mut self, x: &[f32]) -> Result<()> {
        let share = 1.0 / BATCH as f64;
        self.langevin.set_params(&self.params)?;
        let first_step = 20 * self.steps as u64;
        let walk = Walk { step_size: 0.01, temperature: 1.0, steps: 20, seed: 1, first_step, first_chain: 0 };
        let negative = self.langevin.run(x, walk)?;
        ensure!(negative.stopped == 0, "{} chains stopped", negative.stopped);
        let rows = x.chunks(BATCH).zip(negative.positions.chunks(BATCH));
        let both: Vec<_> = rows.flat_map(|(data, model)| [data, model].concat()).collect();
        self.passes.jets(&both, &[], Order::Value)?;
        let values = (0..2 * BATCH).map(|point| if point < BATCH { share } else { -share }).collect();
        let grad = self.passes.param_grad(&Adjoints { values, ..Adjoints::default() })?;
        self.update(&grad)
    }
}

/// The median of each loss.
fn measure(mlp: &Mlp, on: impl Fn() -> (Box<dyn Passes>, Langevin)) -> Result<serde_json::Value> {
    let mut figures = serde_json::Map::new();
    for loss in ["cd20", "dsm", "ssm", "ssm1", "ism"] {
        let (passes, langevin) = on();
        let mut trained = Trained {
            passes,
            langevin,
            params: mlp.params(),
            moments: vec![[0.0; 2]; mlp.params().len()],
            steps: 0,
            rng: SmallRng::seed_from_u64(1),
        };
        trained.step(loss)?;
        let mut times = Vec::new();
        let begun = Instant::now();
        while begun.elapsed().as_secs_f64() < SECONDS {
            let begun = Instant::now();
            trained.step(loss)?;
            times.push(1e3 * begun.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        figures.insert(loss.into(), times[times.len() / 2].into());
    }
    Ok(figures.into())
}

fn main() -> Result<()> {
    let backend = Backend::best()?;
    let mlp = Mlp::new(2, &[128, 128], Activation::Silu, 1)?;
    let mut figures = serde_json::Map::new();
    figures.insert("threads".into(), measure(&mlp, || (mlp.passes_on_threads(), Langevin::on_threads(&mlp)))?);
    if std::env::var_os("NO_GPU").is_none()
        && let Some(gpu) = backend.gpu()
    {
        figures.insert("gpu".into(), measure(&mlp, || (mlp.passes_on_gpu(gpu), Langevin::new(gpu, &mlp)))?);
    }
    println!("{}", serde_json::Value::Object(figures));
    Ok(())
}
