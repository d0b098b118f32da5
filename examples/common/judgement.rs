//! How good a model of data is: its likelihood of points that it has not seen.

use std::sync::Arc;

use ergodic::{
    AnnealedImportance, Backend, Base, Gpu,
    energy::Energy,
    evaluate,
    kernel::{Hmc, Kernel},
    train::{Data, Grid, log_likelihood_bracket},
};
use serde::Serialize;

use super::{Model, Task};

/// Half a side of the box on which models of toys are shown, and judged unless they reach farther.
pub const HALF: f64 = 4.2;
/// Width of a cell of quadrature in it, and the most cells a side.
const CELL: f64 = 0.028;
const MOST_CELLS: usize = 500;
/// ln Z may change by so many nats as the box is widened.
const HELD: f64 = 0.01;
/// Chains of annealed importance sampling.
const ANNEALED: usize = 256;

/// Mean over held-out points of the log density: a number where ln Z is one, else an interval, or neither.
#[derive(Debug, Default, Serialize)]
pub struct Likelihood {
    /// With ln Z by its formula (mixtures) or by quadrature.
    pub held_out_log_likelihood: Option<f64>,
    /// With ln Z by annealed importance sampling from both sides.
    pub held_out_bracket: Option<[f64; 2]>,
    /// Why there is no number, or no interval either.
    pub why: Option<String>,
}

impl Likelihood {
    pub fn is_finite(&self) -> bool {
        self.held_out_log_likelihood.into_iter().chain(self.held_out_bracket.into_iter().flatten()).all(f64::is_finite)
    }

    pub fn says(&self) -> String {
        match (self.held_out_log_likelihood, self.held_out_bracket) {
            (Some(value), _) => format!("held-out log-likelihood {value:.3} nats"),
            (_, Some([low, high])) => format!("held-out log-likelihood {low:.2} to {high:.2} nats"),
            _ => "no held-out log-likelihood".into(),
        }
    }
}

/// A box that holds all of these points with a margin of one standard deviation, and the box of the toys.
pub fn box_of(data: &[&Data]) -> [Vec<f64>; 2] {
    let mut bounds = [vec![-HALF; data[0].dim()], vec![HALF; data[0].dim()]];
    for data in data {
        for (i, row) in data.points().chunks(data.count()).enumerate() {
            for x in row.iter().map(|&x| f64::from(x)) {
                bounds[0][i] = bounds[0][i].min(x - 1.0);
                bounds[1][i] = bounds[1][i].max(x + 1.0);
            }
        }
    }
    bounds
}

/// ln ∫ exp(−E) where it has a formula.
pub(super) fn ln_z(kind: Model, dim: usize) -> Option<f64> {
    // As `SoftmaxMixture` says.
    (kind == Model::Mixture).then(|| 0.5 * dim as f64 * std::f64::consts::TAU.ln())
}

/// A grid over a box, and the model's ln Z there. Else why there is none.
pub(super) fn grid_over(energy: &dyn Energy, [low, high]: &[Vec<f64>; 2]) -> anyhow::Result<Result<(Grid, f64), String>> {
    if low.len() > 2 {
        return Ok(Err(format!("quadrature does not go in {} dimensions", low.len())));
    }
    let grid = Grid::new(low.clone(), high.clone(), cells(low, high))?;
    let ln_z = grid.ln_z(energy)?;
    Ok(Ok((grid, ln_z)))
}

fn cells(low: &[f64], high: &[f64]) -> usize {
    let widest = low.iter().zip(high).map(|(low, high)| high - low).fold(0.0, f64::max);
    ((widest / CELL).ceil() as usize).min(MOST_CELLS)
}

/// A grid that holds the model, and its ln Z there, which stays as it is where box and cells are half as wide again. Else why there is none.
pub(super) fn grid_that_holds(energy: &dyn Energy, bounds: [Vec<f64>; 2]) -> anyhow::Result<Result<(Grid, f64), String>> {
    let (mut grid, mut before) = match grid_over(energy, &bounds)? {
        Ok(found) => found,
        Err(why) => return Ok(Err(why)),
    };
    let [mut low, mut high] = bounds;
    let cells = cells(&low, &high);
    let mut change = f64::INFINITY;
    for _ in 0..2 {
        for (low, high) in low.iter_mut().zip(&mut high) {
            let (middle, half) = (0.5 * (*low + *high), 0.75 * (*high - *low));
            (*low, *high) = (middle - half, middle + half);
        }
        let wider = Grid::new(low.clone(), high.clone(), cells)?;
        let now = wider.ln_z(energy)?;
        change = (now - before).abs();
        if change < HELD {
            return Ok(Ok((grid, before)));
        }
        (grid, before) = (wider, now);
    }
    Ok(Err(format!(
        "no grid of {cells} cells a side holds the model: its ln Z still changes by {change:.2} nats as the box is widened"
    )))
}

/// From both sides, with these draws of the model.
fn bracket(
    backend: &Backend,
    energy: &Arc<dyn Energy>,
    draws: &[f32],
    held_out: &Data,
    task: &Task,
) -> anyhow::Result<[f64; 2]> {
    // Chains of a network in the engine, one by one, are no work for a GPU in software.
    let is_software = backend.gpu().is_some_and(Gpu::is_software);
    let backend = &if is_software { Backend::cpu() } else { backend.clone() };
    let dim = energy.dim();
    let count = draws.len() / dim;
    let chains = ANNEALED.min(count);
    let draws: Vec<_> = draws.chunks(count).flat_map(|row| &row[..chains]).copied().collect();
    let importance = AnnealedImportance::linear(task.betas).chains(chains).seed(task.seed);
    let kernel: Arc<dyn Kernel> = Arc::new(Hmc::new(0.1, 3));
    let base = Base::normal(vec![0.0; dim], [1.5])?;
    Ok(log_likelihood_bracket(backend, energy, &base, &importance, &kernel, &draws, held_out.points())?)
}

/// With ln Z by its formula, else by the grid that holds the model, else as a bracket, with these draws of the model.
pub(super) fn likelihood(
    backend: &Backend,
    task: &Task,
    energy: &Arc<dyn Energy>,
    exact: Option<f64>,
    grid: &Result<(Grid, f64), String>,
    samples: &[f32],
    held_out: &Data,
) -> anyhow::Result<Likelihood> {
    Ok(match (exact, grid) {
        (Some(ln_z), _) | (None, &Ok((_, ln_z))) => {
            let energies = evaluate(&Backend::cpu(), energy.clone(), held_out.points(), 0.0)?.energies;
            let mean = energies.iter().sum::<f64>() / energies.len() as f64;
            Likelihood { held_out_log_likelihood: Some(-mean - ln_z), ..Likelihood::default() }
        }
        (None, Err(why)) => match bracket(backend, energy, samples, held_out, task)? {
            [low, high] if low <= high => {
                let why = format!("{why}; so ln Z is bracketed by annealed importance sampling from both sides");
                Likelihood { held_out_bracket: Some([low, high]), why: Some(why), ..Likelihood::default() }
            }
            [low, high] => {
                let crossed = format!("annealed importance sampling, from below {low:.2} and from above {high:.2} nats");
                let why = format!("{why}; and the samples are not those of the model: by {crossed}, which is no bracket");
                Likelihood { why: Some(why), ..Likelihood::default() }
            }
        },
    })
}
