//! One transition on the GPU in f32 and on the CPU in f64, compared within bounds of rounding.

use std::sync::Arc;

use ergodic::{
    Backend, Error, Gpu, Start,
    chains::Chains,
    energy::{Energy, Params},
    kernel::{Control, Kernel, Rwm, State, Step},
    random::{Draws, Stream, key},
};

fn text(error: Error) -> String {
    error.to_string()
}

const CHAINS: usize = 512;
const SEED: u64 = 21;
const EPSILON: f64 = 1.0 / 16_777_216.0;

/// Where the chains start: near the target's bulk, after some steps of a random walk on the CPU.
fn start(energy: &Arc<dyn Energy>) -> Result<Vec<f32>, String> {
    let setup = Backend::cpu().chains_of(energy.clone(), Arc::new(Rwm::new(0.5)));
    let mut chains = setup.count(CHAINS).seed(SEED + 1).build().map_err(text)?;
    chains.advance(200).map_err(text)?;
    chains.positions().map_err(text)
}

fn run(
    backend: &Backend,
    energy: &Arc<dyn Energy>,
    kernel: &Arc<dyn Kernel>,
    x: &[f32],
    steps: u64,
) -> Result<Box<dyn Chains>, String> {
    let setup = backend.chains_of(energy.clone(), kernel.clone()).count(CHAINS).seed(SEED);
    let mut chains = setup.start(Start::array(x)).build().map_err(text)?;
    chains.advance(steps).map_err(text)?;
    Ok(chains)
}

/// |log u − log ratio| of the twin's decision in the first step, as far as the acceptance shows it, and the energy before.
fn margin(energy: &dyn Energy, kernel: &dyn Kernel, x: &[f64], chain: usize) -> (f64, f64) {
    let values = energy.params();
    let params = Params::new(&values);
    let mut state = State::zeros(x.len());
    state.x.copy_from_slice(x);
    state.energy = energy.energy_and_grad(params, x, &mut state.grad);
    let before = state.energy;
    let (least, most) = kernel.substeps();
    let substeps = if least == most {
        most
    } else {
        // As src/chains/setup.rs draws it.
        least + (Draws::new(key(SEED, Stream::Substeps, 0), 0, 0).uniform(0) * f64::from(most - least + 1)) as u32
    };
    let control =
        Control { step_size: kernel.step_size().at(0) as f32, temperature: 1.0, level: 0.0, substeps: substeps as f32 };
    let draws = Draws::new(key(SEED, Stream::Transition, 0), chain as u32, 0);
    let kernel_params = kernel.params(x.len());
    let step = Step { target: energy, params, kernel_params: &kernel_params, control, draws };
    let info = kernel.transition(&step, &mut state, &mut State::zeros(x.len()));
    ((draws.uniform(0).ln() - info.acceptance.ln()).abs(), before)
}

/// Whether a miss is a number, and small enough.
fn within(miss: f64, bound: f64) -> bool {
    miss.abs() <= bound
}

/// Compares a kernel on the GPU with another one's twin (the same one's, but for planted faults). Counts the decisions that differ.
///
/// Bounds, with ε = 2⁻²⁴:
/// - positions: what a start moved by 16 ε (1 + |x|) comes to in f64, four times over, and 64 ε (1 + |x|): rounding the arithmetic
///   of a transition is like moving its start, and steep or long ones stretch it.
/// - energies, against f64 at the GPU's own position: 64 ε (1 + |E| + Σ|xᵢ ∂ᵢE|), rounding and the condition of the formula.
/// - decisions may differ where |log u − log ratio| < 512 ε (1 + |E|).
pub fn compare(gpu: Gpu, energy: &Arc<dyn Energy>, on_gpu: &Arc<dyn Kernel>, twin: &Arc<dyn Kernel>) -> Result<u32, String> {
    let dim = energy.dim();
    let steps = if on_gpu.carries_momentum() { 2 } else { 1 };
    let from = start(energy)?;
    let nudge = |(i, x): (usize, &f32)| x + [16.0, -16.0][i % 2] * EPSILON as f32 * (1.0 + x.abs());
    let nudged: Vec<f32> = from.iter().enumerate().map(nudge).collect();
    let found = run(&Backend::gpu_of(gpu), energy, on_gpu, &from, steps)?;
    let expected = run(&Backend::cpu(), energy, twin, &from, steps)?;
    let moved = run(&Backend::cpu(), energy, twin, &nudged, steps)?;

    let values = energy.params();
    let noise = on_gpu.noise_level().map_or(0.0, |level| level.at(steps).powi(2));
    let params = Params::new(&values).at_noise(noise);
    let (x, x_twin, x_moved) =
        (found.positions().map_err(text)?, expected.positions().map_err(text)?, moved.positions().map_err(text)?);
    let energies = found.energies().map_err(text)?;
    let (tallies, tallies_twin) = (found.tallies(), expected.tallies());
    let (mut flips, mut skipped) = (0, 0);
    for chain in 0..CHAINS {
        let of = |x: &[f32]| (0..dim).map(|i| f64::from(x[i * CHAINS + chain])).collect::<Vec<_>>();
        let (x, x_twin, x_moved) = (of(&x), of(&x_twin), of(&x_moved));
        // A trajectory that diverges must fail on both, and the state stays, as is compared below. The kind may differ: a
        // diverging energy passes the range of f32, and becomes NaN, long before that of f64.
        if tallies[chain].failures != tallies_twin[chain].failures {
            return Err(format!("failure of chain {chain}: {:?}, not {:?}", tallies[chain], tallies_twin[chain]));
        }
        let mut grad = vec![0.0; dim];
        let e = energy.energy_and_grad(params, &x, &mut grad);
        let condition: f64 = x.iter().zip(&grad).map(|(x, g)| (x * g).abs()).sum();
        if !within(f64::from(energies[chain]) - e, 64.0 * EPSILON * (1.0 + e.abs() + condition)) {
            return Err(format!("energy of chain {chain}: {}, not {e}", energies[chain]));
        }
        if tallies[chain].accepted != tallies_twin[chain].accepted {
            let (margin, e) = margin(&**energy, &**twin, &of(&from), chain);
            if !within(margin, 512.0 * EPSILON * (1.0 + e.abs())) {
                return Err(format!("decision of chain {chain}, with a margin of {margin:.3e}"));
            }
            flips += 1;
            continue;
        }
        let size = x_twin.iter().fold(1.0, |a: f64, x| a.max(x.abs()));
        let stretch = x_moved.iter().zip(&x_twin).fold(0.0, |a: f64, (m, x)| a.max((m - x).abs()));
        if stretch > 0.01 * size {
            // The start that was moved was decided otherwise: it says nothing.
            skipped += 1;
            continue;
        }
        for i in 0..dim {
            let bound = 4.0 * stretch + 64.0 * EPSILON * (1.0 + size);
            if !within(x[i] - x_twin[i], bound) {
                return Err(format!("x[{i}] of chain {chain}: {}, not {} to {bound:.3e}", x[i], x_twin[i]));
            }
        }
    }
    if flips + skipped > CHAINS as u32 / 50 {
        return Err(format!("{flips} decisions differ and {skipped} starts say nothing"));
    }
    let acceptance = |chains: &dyn Chains| chains.report().mean_acceptance.unwrap_or(1.0);
    let (a, a_twin) = (acceptance(&*found), acceptance(&*expected));
    if !within(a - a_twin, 1e-4) {
        return Err(format!("mean acceptance {a}, not {a_twin}"));
    }
    Ok(flips)
}
