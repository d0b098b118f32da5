//! Milliseconds of a training step of the network 2-128-128-1 (SiLU) on a batch of 1,024, Adam included, for four losses, on the CPU's
//! threads and on the GPU, if there is one; one line of JSON. `benches/peers/networks` runs it in turn with torchebm.

use std::time::Instant;

use anyhow::{Result, ensure};
use ergodic::{
    Backend,
    energy::Energy,
    net::{Activation, Langevin, Mlp, Walk},
    train::{Adjoints, Order, Passes},
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
        let share = 1.0 / BATCH as f64;
        let adjoints = match loss {
            "cd20" => {
                self.langevin.set_params(&self.params)?;
                let first_step = 20 * self.steps as u64;
                let walk = Walk { step_size: 0.01, temperature: 1.0, steps: 20, seed: 1, first_step, first_chain: 0 };
                let negative = self.langevin.run(&x, walk)?;
                ensure!(negative.stopped == 0, "{} chains stopped", negative.stopped);
                let rows = x.chunks(BATCH).zip(negative.positions.chunks(BATCH));
                let both: Vec<_> = rows.flat_map(|(data, model)| [data, model].concat()).collect();
                self.passes.jets(&both, &[], Order::Value)?;
                let values = (0..2 * BATCH).map(|point| if point < BATCH { share } else { -share }).collect();
                Adjoints { values, ..Adjoints::default() }
            }
            "dsm" => {
                let noise = self.numbers(2 * BATCH);
                let noisy: Vec<_> = x.iter().zip(&noise).map(|(x, z)| x + 0.1 * z).collect();
                let (_, grads) = self.passes.energy_and_grad(&noisy)?;
                let residual: Vec<_> = grads.iter().zip(&noise).map(|(grad, z)| grad - z / 0.1).collect();
                self.passes.jets(&noisy, &residual, Order::Slope)?;
                Adjoints { slopes: vec![share; BATCH], ..Adjoints::default() }
            }
            "ssm" | "ism" => {
                let (x, v): (Vec<f32>, Vec<f32>) = if loss == "ssm" {
                    let v = self.numbers(2 * BATCH).into_iter().map(f32::signum).collect();
                    (x, v)
                } else {
                    let rows: Vec<_> = x.chunks(BATCH).flat_map(|row| [row, row].concat()).collect();
                    let v = (0..4 * BATCH).map(|at| if (at / BATCH).is_multiple_of(3) { 1.0 } else { 0.0 }).collect();
                    (rows, v)
                };
                let jets = self.passes.jets(&x, &v, Order::Curvature)?;
                let slopes = jets.slopes.iter().map(|slope| share * slope).collect();
                Adjoints { slopes, curvatures: vec![-share; jets.slopes.len()], ..Adjoints::default() }
            }
            _ => anyhow::bail!("unknown loss {loss}"),
        };
        let grad = self.passes.param_grad(&adjoints)?;
        self.update(&grad)
    }
}

/// The median of each loss.
fn measure(mlp: &Mlp, on: impl Fn() -> (Box<dyn Passes>, Langevin)) -> Result<serde_json::Value> {
    let mut figures = serde_json::Map::new();
    for loss in ["cd20", "dsm", "ssm", "ism"] {
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
