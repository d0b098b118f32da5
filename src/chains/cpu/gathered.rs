//! What is gathered of one chain: moments of its draws, and its weight on the way between two energies.

use crate::{
    energy::{Energy, Params},
    kernel::{State, Swapped},
};

/// Moments of the watched values of one chain: the coordinates, the energy, and the Hamiltonian where the kernel has one.
#[derive(Debug, Clone, Default)]
pub(super) struct Gathered {
    pub(super) draws: u64,
    pub(super) mean: Vec<f64>,
    pub(super) m2: Vec<f64>,
    pub(super) jumps: f64,
    pub(super) last_hamiltonian: f64,
    pub(super) changes: f64,
    /// Swaps proposed and made with the next rung of the ladder, and round trips.
    pub(super) exchanged: [f64; 3],
}

impl Gathered {
    pub(super) fn new(watched: usize) -> Self {
        Self { mean: vec![0.0; watched], m2: vec![0.0; watched], ..Self::default() }
    }

    /// Adds a state at position `x`, `squared_jump` from the last one (Welford 1962).
    pub(super) fn add(&mut self, x: &[f64], state: &State, squared_jump: f64) {
        self.draws += 1;
        let values = x.iter().chain([&state.energy, &state.hamiltonian]);
        for ((mean, m2), value) in self.mean.iter_mut().zip(&mut self.m2).zip(values) {
            let before = value - *mean;
            *mean += before / self.draws as f64;
            *m2 += before * (value - *mean);
        }
        self.jumps += squared_jump;
        if self.draws > 1 {
            self.changes += (state.hamiltonian - self.last_hamiltonian).powi(2);
        }
        self.last_hamiltonian = state.hamiltonian;
    }

    /// Counts a round of swaps.
    pub(super) fn count(&mut self, swapped: Swapped) {
        let Swapped { proposed, made, round_trip } = swapped;
        for (sum, is_so) in self.exchanged.iter_mut().zip([proposed, made, round_trip]) {
            *sum += f64::from(u8::from(is_so));
        }
    }
}

/// How far annealed importance sampling has come with a chain: β of its bridge, and the log weight.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weight {
    pub(super) beta: f64,
    pub(super) log_weight: f64,
}

impl Weight {
    /// Moves the bridge on to β, weighs the state, and evaluates it there; the parameters at β.
    pub(super) fn move_on<'a>(&mut self, beta: f64, target: &dyn Energy, params: Params<'a>, state: &mut State) -> Params<'a> {
        let at_beta = params.at_bridge(beta);
        if beta != self.beta {
            let energy = |beta| target.energy(params.at_bridge(beta), &state.x);
            self.log_weight -= (beta - self.beta) * (energy(1.0) - energy(0.0));
            self.beta = beta;
            state.energy = target.energy_and_grad(at_beta, &state.x, &mut state.grad);
        }
        at_beta
    }
}
