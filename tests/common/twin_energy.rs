//! Energies and gradients on the GPU in f32 and on the CPU in f64, compared within bounds of rounding.

use std::sync::Arc;

use ergodic::{Backend, Gpu, energy::Energy, evaluate};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

const COUNT: usize = 1000;
/// The unit of rounding of f32.
const EPSILON: f64 = f32::EPSILON as f64;

/// Points in a box that holds all modes, [dim][point].
fn points(dim: usize) -> Vec<f32> {
    let mut rng = SmallRng::seed_from_u64(3);
    (0..dim * COUNT).map(|_| rng.random_range(-2.5..2.5)).collect()
}

/// Compares `target` on the GPU with `twin` on the CPU.
///
/// An energy is right for x and parameters that are wrong by a few ε, which move it by a few ε of |x||∇E| and of its terms, of the size
/// 1 + |E|. Bound: 16 ε (1 + |E| + |x||∇E|). In a gradient, exponentials turn the error of energies into one of responsibilities,
/// and x wrong by ε moves it by the second derivative, of which the steepest gradient among the points is a measure. Bound:
/// 16 ε ((1 + |E|)(1 + |∇E|) + max |∇E|).
pub fn agree(gpu: &Gpu, target: &Arc<dyn Energy>, twin: &Arc<dyn Energy>, noise_level: f64) -> Result<(), String> {
    let dim = target.dim();
    let x = points(dim);
    let found = evaluate(&Backend::gpu_of(gpu.clone()), target.clone(), &x, noise_level).map_err(|e| e.to_string())?;
    let truth = evaluate(&Backend::cpu(), twin.clone(), &x, noise_level).map_err(|e| e.to_string())?;
    let norm = |of: &dyn Fn(usize) -> f64| (0..dim).map(|i| of(i).powi(2)).sum::<f64>().sqrt();
    let steepest = (0..COUNT).map(|p| norm(&|i| truth.grads[i * COUNT + p])).fold(0.0, f64::max);
    for p in 0..COUNT {
        let (energy, length) = (truth.energies[p], norm(&|i| f64::from(x[i * COUNT + p])));
        let slope = norm(&|i| truth.grads[i * COUNT + p]);
        let allowed = 16.0 * EPSILON * (1.0 + energy.abs() + length * slope);
        let miss = (found.energies[p] - energy).abs() / allowed;
        let allowed = 16.0 * EPSILON * ((1.0 + energy.abs()) * (1.0 + slope) + steepest);
        let grad_miss = norm(&|i| found.grads[i * COUNT + p] - truth.grads[i * COUNT + p]) / allowed;
        // Not `>`: a NaN must fail.
        if !(miss <= 1.0 && grad_miss <= 1.0) {
            let grads = |of: &[f64]| (0..dim).map(|i| of[i * COUNT + p]).collect::<Vec<_>>();
            return Err(format!(
                "point {:?}: energy {} for {energy} ({miss} of the bound), gradient {:?} for {:?} ({grad_miss} of the bound)",
                (0..dim).map(|i| x[i * COUNT + p]).collect::<Vec<_>>(),
                found.energies[p],
                grads(&found.grads),
                grads(&truth.grads)
            ));
        }
    }
    Ok(())
}
