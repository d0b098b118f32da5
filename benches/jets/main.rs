//! Updates a second of a mixture in training, 2-D, by loss: the passes on the GPU against those on the CPU, all else being the same (chains
//! on the GPU, Adam on the host). A line of JSON each; `cargo bench --bench jets`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use ergodic::{
    Backend,
    energy::{Call, Energy, Mixture, Params, SoftmaxMixture},
    kernel::Mala,
    program::Composer,
    random::{Draws, Stream, key},
    train::{Block, Contrastive, Loss, Noise, Optimizer, Order, Passes, Trainable, Trainer, Training, passes},
};

const TIME: Duration = Duration::from_millis(600);
const POINTS: usize = 16_384;

/// An energy whose passes run on the CPU, whatever the backend.
#[derive(Debug)]
struct OnCpu(SoftmaxMixture);

impl Energy for OnCpu {
    fn name(&self) -> String {
        self.0.name()
    }

    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn params(&self) -> Vec<f32> {
        self.0.params()
    }

    fn compose(&self, program: &mut Composer) -> ergodic::Result<Call> {
        self.0.compose(program)
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        self.0.energy(params, x)
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        self.0.energy_and_grad(params, x, grad)
    }

    fn check_gradient(&self) -> bool {
        false
    }
}

impl Trainable for OnCpu {
    fn blocks(&self) -> Vec<Block> {
        self.0.blocks()
    }

    fn with_params(&self, params: &[f32]) -> ergodic::Result<Arc<dyn Trainable>> {
        Ok(Arc::new(Self(self.0.reparametrised(params)?)))
    }

    fn jet(&self, params: &[f64], x: &[f64], v: &[f64], order: Order) -> [f64; 3] {
        self.0.jet(params, x, v, order)
    }

    fn jet_param_grad(&self, params: &[f64], x: &[f64], v: &[f64], adjoints: [f64; 3], grad: &mut [f64]) {
        self.0.jet_param_grad(params, x, v, adjoints, grad);
    }

    fn own_passes(&self, _backend: &Backend) -> ergodic::Result<Option<Box<dyn Passes>>> {
        let inner: Arc<dyn Trainable> = Arc::new(self.0.clone());
        passes(&inner, &Backend::cpu()).map(Some)
    }
}

fn losses() -> Result<Vec<(&'static str, Loss)>> {
    Ok(vec![
        ("cd", Loss::Contrastive(Contrastive::new(Mala::new(0.1), 5))),
        ("ism", Loss::ImplicitScoreMatching),
        ("dsm", Loss::denoising(0.2)),
        ("ssm", Loss::sliced()),
        ("nce", Loss::NoiseContrastive { noise: Noise::normal([0.0, 0.0], [3.0])?, ratio: 1 }),
    ])
}

/// Updates a second, and seconds to the end of the first one.
fn rate(backend: &Backend, target: Arc<dyn Trainable>, loss: &Loss, batch: usize, data: &[f32]) -> Result<(f64, f64)> {
    let begun = Instant::now();
    let training = Training::new(loss.clone(), Optimizer::adam(1e-3)).batch(batch);
    let mut trainer = Trainer::new(backend, target, training)?;
    trainer.run(data, 1)?;
    let first = begun.elapsed().as_secs_f64();
    trainer.run(data, 5)?;
    let (begun, mut updates) = (Instant::now(), 0);
    while begun.elapsed() < TIME {
        trainer.run(data, 5)?;
        updates += 5;
    }
    Ok((f64::from(updates) / begun.elapsed().as_secs_f64(), first))
}

fn main() -> Result<()> {
    let backend = Backend::best()?;
    backend.gpu().context("this compares passes on a GPU; there is none")?;
    let device = backend.describe();
    for components in [8, 16, 32] {
        let mixture = Mixture::ring(components, 4.0, 0.5)?;
        let noise = Noise::mixture(mixture.weights(), mixture.means(), mixture.sds().context("no widths")?)?;
        let points: Vec<_> = (0..POINTS).map(|i| noise.draw(&Draws::new(key(1, Stream::Data, 0), i as u32, 0))).collect();
        let data: Vec<_> = (0..2).flat_map(|i| points.iter().map(move |x| x[i])).collect();
        let start = SoftmaxMixture::of(&mixture)?;
        for batch in [512, 4096] {
            for (name, loss) in losses()? {
                let (gpu, gpu_first) = rate(&backend, Arc::new(start.clone()), &loss, batch, &data)?;
                let (cpu, cpu_first) = rate(&backend, Arc::new(OnCpu(start.clone())), &loss, batch, &data)?;
                let line = serde_json::json!({
                    "components": components, "batch": batch, "loss": name, "gpu": gpu, "cpu": cpu, "gpu_over_cpu": gpu / cpu,
                    "gpu_first_seconds": gpu_first, "cpu_first_seconds": cpu_first, "device": device,
                });
                println!("{line}");
            }
        }
    }
    Ok(())
}
