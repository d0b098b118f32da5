//! One transition from the same state and the same random bits, on the GPU in f32 and on the CPU in f64, for every energy and
//! kernel (two, where the state has a momentum, which shows in the position of the next step).

mod common;

use std::sync::Arc;

use common::{Suite, cases, planted::Planted};
use ergodic::{
    Backend, Gpu, Start,
    chains::Chains,
    energy::{DoubleWell, Energy, Params},
    kernel::{Control, Drift, Hmc, Kernel, Rwm, State, Step, Ula, Underdamped},
    random::{Draws, Stream, key},
};

const CHAINS: usize = 512;
const SEED: u64 = 21;
const EPSILON: f64 = 1.0 / 16_777_216.0;

/// Where the chains start: near the target's bulk, after some steps of a random walk on the CPU.
fn start(energy: &Arc<dyn Energy>) -> Vec<f32> {
    let setup = Backend::cpu().chains_of(energy.clone(), Arc::new(Rwm::new(0.5)));
    let mut chains = setup.count(CHAINS).seed(SEED + 1).build().unwrap();
    chains.advance(200).unwrap();
    chains.positions().unwrap()
}

fn run(backend: &Backend, energy: &Arc<dyn Energy>, kernel: &Arc<dyn Kernel>, x: &[f32], steps: u64) -> Box<dyn Chains> {
    let setup = backend.chains_of(energy.clone(), kernel.clone()).count(CHAINS).seed(SEED);
    let mut chains = setup.start(Start::array(x)).build().unwrap();
    chains.advance(steps).unwrap();
    chains
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
    let control = Control {
        step_size: kernel.step_size().at(0) as f32,
        temperature: 1.0,
        noise_variance: 0.0,
        substeps: substeps as f32,
    };
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
fn compare(gpu: Gpu, energy: &Arc<dyn Energy>, on_gpu: &Arc<dyn Kernel>, twin: &Arc<dyn Kernel>) -> Result<u32, String> {
    let dim = energy.dim();
    let steps = if on_gpu.carries_momentum() { 2 } else { 1 };
    let from = start(energy);
    let nudge = |(i, x): (usize, &f32)| x + [16.0, -16.0][i % 2] * EPSILON as f32 * (1.0 + x.abs());
    let nudged: Vec<f32> = from.iter().enumerate().map(nudge).collect();
    let found = run(&Backend::gpu_of(gpu), energy, on_gpu, &from, steps);
    let expected = run(&Backend::cpu(), energy, twin, &from, steps);
    let moved = run(&Backend::cpu(), energy, twin, &nudged, steps);

    let values = energy.params();
    let noise = on_gpu.noise_level().map_or(0.0, |level| level.at(steps).powi(2));
    let params = Params::new(&values).at_noise(noise);
    let (x, x_twin, x_moved) = (found.positions().unwrap(), expected.positions().unwrap(), moved.positions().unwrap());
    let energies = found.energies().unwrap();
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

type Fault = (&'static str, Arc<dyn Kernel>, Arc<dyn Kernel>);

/// (what, on the GPU, the twin): pairs that are nearly alike.
fn faults() -> Vec<Fault> {
    let rwm: Arc<dyn Kernel> = Arc::new(Rwm::new(0.8));
    let underdamped: Arc<dyn Kernel> = Arc::new(Underdamped::new(0.2, 1.5));
    vec![
        ("a step size", Arc::new(Ula::new(0.05)), Arc::new(Ula::new(0.05001))),
        ("a trajectory", Arc::new(Hmc::new(0.2, 8)), Arc::new(Hmc::new(0.20001, 8))),
        ("a drift", Arc::new(Drift::new(0.7, [0.4])), Arc::new(Drift::new(0.7, [0.4001]))),
        ("a friction", underdamped.clone(), Arc::new(Underdamped::new(0.2, 1.501))),
        ("another slot", Planted::wgsl(rwm.clone(), "step, 1u, b", "step, 2u, b"), rwm.clone()),
        ("a ratio", Planted::wgsl(rwm.clone(), "(*e - proposed)", "0.999 * (*e - proposed)"), rwm.clone()),
        ("an old energy", Planted::wgsl(rwm.clone(), "select(*e, proposed, info.accepted)", "*e"), rwm),
        ("an old momentum", Planted::wgsl(underdamped.clone(), "move_if(accepted, &v, momentum);", ""), underdamped),
    ]
}

fn main() -> std::process::ExitCode {
    let mut energies = cases::energies();
    // More than 128 dimensions: loops that are not unrolled.
    energies.push(("double_well_130", Arc::new(DoubleWell::new(130, 0.5).unwrap())));
    let mut suite = Suite::new();
    for (energy_name, energy) in energies {
        for (kernel_name, kernel) in cases::kernels() {
            if kernel.noise_level().is_some() && !energy.has_noise_levels() {
                continue;
            }
            let energy = energy.clone();
            suite = suite.gpu(format!("{kernel_name} on {energy_name}"), move |gpu| {
                if let Err(why) = compare(gpu, &energy, &kernel, &kernel) {
                    panic!("{why}");
                }
            });
        }
    }
    for (name, on_gpu, twin) in faults() {
        suite = suite.gpu(format!("a planted fault is found: {name}"), move |gpu| {
            let energy = cases::energies().remove(0).1;
            let flips = compare(gpu, &energy, &on_gpu, &twin);
            assert!(flips.is_err(), "not found: {flips:?}");
        });
    }
    suite.run()
}
