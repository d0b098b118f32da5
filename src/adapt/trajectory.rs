//! Trajectory lengths by ChEES.

use serde::{Deserialize, Serialize};

use super::Trial;

/// Transitions that the slope is averaged over.
const MEMORY: f64 = 10.0;
/// The largest change of the logarithm of the length a transition.
const GAIN: f64 = 0.15;

/// The power of a trajectory's length that it costs. The cost itself would be 1, but what that finds mixes too slowly where the scale
/// changes over the target (a banana, heavy tails), by more than it saves elsewhere; at 0 lengths run away in heavy tails.
const COST: f64 = 0.25;

/// The trajectory length T that maximises ChEES for its cost, C(T)/T^COST with
///
///   C(T) = E[(f(y′) − f(y))²],   f(y) = log(1 + |y|²/dim),
///
/// the expected squared jump of a function of the distance from the centre, in coordinates y = M^(1/2)(x − μ) of scale one, over
/// trajectories of a length t drawn uniformly up to T (Hoffman, Radul, Sountsov 2021, where f is |y|², whose jumps are infinite where
/// tails are heavy; in whitened coordinates and a unit of time as Sountsov and Hoffman 2021). Along a trajectory |y|² grows by
/// 2 y·v a unit of time, so with f′ = 2 y′·v′ / (dim + |y′|²) the slope is
///
///   d log C / d log T = 2 E[(f(y′) − f(y)) f′ t] / E[(f(y′) − f(y))²],
///
/// a number without a unit, 2 for short trajectories: log T follows it, and stands where it is COST.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trajectory {
    log_length: f64,
    change: f64,
    square: f64,
    /// Transitions that one value of the slope should be averaged over.
    memory: f64,
    count: f64,
    /// Mean of log T since the last call of `mean_length`.
    sum: f64,
    summed: f64,
}

impl Trajectory {
    /// From a length, for so many chains.
    pub(crate) fn new(length: f64, chains: usize) -> Self {
        let memory = MEMORY * (64.0 / chains as f64).max(1.0);
        Self { log_length: length.ln(), change: 0.0, square: 0.0, memory, count: 0.0, sum: 0.0, summed: 0.0 }
    }

    /// T in units of time, in which a coordinate of scale one turns by one radian.
    pub(crate) fn length(&self) -> f64 {
        self.log_length.exp()
    }

    /// Takes in a transition of trajectories of length `time`, and keeps the length between two bounds.
    pub(crate) fn learn(&mut self, trial: &Trial, squares_before: &[f64], squares: &[f64], time: f64, low: f64, high: f64) {
        let dim = (trial.positions.len() / squares.len()) as f64;
        let (mut change, mut square) = (0.0, 0.0);
        // Over accepted proposals alone, which is what weighting by the acceptance comes to on average.
        for chain in (0..squares.len()).filter(|&chain| trial.accepted[chain]) {
            let jump = ((dim + squares[chain]) / (dim + squares_before[chain])).ln();
            let growth = 2.0 * f64::from(trial.growth[chain]) / (dim + squares[chain]);
            change += jump * growth * time;
            square += jump * jump;
        }
        if !(change.is_finite() && square.is_finite()) {
            return;
        }
        self.count += 1.0;
        let weight = 1.0 / self.count.min(self.memory);
        self.change += weight * (change - self.change);
        self.square += weight * (square - self.square);
        if self.square > 0.0 {
            let slope = 2.0 * self.change / self.square;
            // Fewer chains know the slope less well.
            let gain = GAIN * (MEMORY / self.memory).sqrt();
            self.log_length += gain * (slope - COST).clamp(-1.0, 1.0);
        }
        self.log_length = self.log_length.clamp(low.ln(), high.max(low).ln());
        self.sum += self.log_length;
        self.summed += 1.0;
    }

    /// The mean length since the last call.
    pub(crate) fn mean_length(&mut self) -> f64 {
        let mean = if self.summed > 0.0 { self.sum / self.summed } else { self.log_length };
        (self.sum, self.summed) = (0.0, 0.0);
        mean.exp()
    }
}
