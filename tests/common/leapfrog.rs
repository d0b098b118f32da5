//! The leapfrog integrator against published states: Stan's unit tests (stan-dev/stan, src/test/unit/mcmc/hmc,
//! integrators/expl_leapfrog_test.cpp evolve_1..9; BSD-3).

use ergodic::{
    energy::{Energy, Mixture, Params},
    kernel::{Control, State, Step, leapfrog},
    random::Draws,
};

/// (q, p, step size, inverse mass), (q, p) after one step, for the 1-D standard normal.
const ONE_STEP: [([f64; 4], [f64; 2]); 8] = [
    ([1.99987371079118, -1.58612292129732, 0.1, 1.0], [1.83126205010749, -1.77767970934226]),
    ([1.99987371079118, 0.531143888645192, 0.2, 1.0], [2.06610501430439, 0.124546016135635]),
    ([1.99987371079118, -1.01150787313287, 0.4, 1.0], [1.43528066467474, -1.69853874822605]),
    ([1.99987371079118, -0.141638464197442, 0.8, 1.0], [1.24660335198005, -1.44022928930593]),
    ([1.99987371079118, 0.0942249427134016, 1.6, 1.0], [-0.409204730680088, -1.17831024137547]),
    ([1.99987371079118, 1.01936184962275, 3.2, 1.0], [-4.97752176966686, 5.78359874382383]),
    ([1.99987371079118, -2.73131279771964, -1.0, 1.0], [3.73124965311523, 0.134248884233563]),
    ([1.27097196280777, -0.159996782671291, 2.40769920051673, 0.733184698671436], [-1.71246374711032, 0.371492925378682]),
];

/// The step size and the root of the inverse mass are rounded to f32, 2⁻²⁴ each, and move the states by less than 8 times as much.
pub const BOUND: f64 = 8.0 / 8_388_608.0;

/// Position and momentum after some steps from (q, p) under the standard normal.
pub fn steps(q: &[f64], p: &[f64], step_size: f64, inverse_mass: f64, substeps: u32) -> (Vec<f64>, Vec<f64>) {
    let dim = q.len();
    let target = Mixture::new(&[1.0], &[vec![0.0; dim]], &[1.0]).unwrap();
    let values = target.params();
    let params = Params::new(&values);
    let scale = inverse_mass.sqrt();
    let mut state = State::zeros(dim);
    state.x.copy_from_slice(q);
    state.energy = target.energy_and_grad(params, q, &mut state.grad);
    // The integrator moves v = M^(-1/2) p.
    state.momentum = p.iter().map(|p| p * scale).collect();
    let control = Control { step_size: step_size as f32, temperature: 1.0, level: 0.0, substeps: substeps as f32 };
    let kernel_params = vec![scale as f32; dim];
    let draws = Draws::new([0, 0], 0, 0);
    leapfrog(&Step { target: &target, params, kernel_params: &kernel_params, control, draws }, &mut state);
    (state.x, state.momentum.iter().map(|v| v / scale).collect())
}

/// The largest difference from the published states, given what to change in the inverse mass.
pub fn worst(change: impl Fn(f64) -> f64) -> f64 {
    let miss = |&([q, p, step_size, inverse_mass], [q_new, p_new]): &([f64; 4], [f64; 2])| {
        let (q, p) = steps(&[q], &[p], step_size, change(inverse_mass), 1);
        (q[0] - q_new).abs().max((p[0] - p_new).abs())
    };
    ONE_STEP.iter().map(miss).fold(0.0, f64::max)
}
