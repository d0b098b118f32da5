//! One row of results.

use serde::Serialize;

use crate::{
    case::{Case, Move, Target},
    cost,
    measure::{Runner, spread},
    peak::Peak,
};

/// What one backend did with one case. Rates are medians over the runs, with the least and the greatest.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) backend: &'static str,
    /// Threads of the CPU reference.
    pub(crate) threads: Option<usize>,
    pub(crate) adapter: String,
    pub(crate) energy: Target,
    pub(crate) dim: usize,
    pub(crate) kernel: Move,
    pub(crate) chains: usize,
    /// Of every chain in each run.
    pub(crate) steps: u64,
    pub(crate) runs: usize,
    /// Seconds a transition of each run.
    #[serde(skip)]
    pub(crate) costs: Vec<f64>,
    /// Of one run.
    pub(crate) seconds: f64,
    pub(crate) seconds_min: f64,
    pub(crate) seconds_max: f64,
    pub(crate) transitions_per_second: f64,
    pub(crate) transitions_per_second_min: f64,
    pub(crate) transitions_per_second_max: f64,
    pub(crate) gradients_per_second: f64,
    pub(crate) gradients_per_second_min: f64,
    pub(crate) gradients_per_second_max: f64,
    /// The greater of the two shares below.
    pub(crate) fraction_of_peak: f64,
    /// Operations of the algorithm a second (cost.rs) over the measured rate of multiply-adds, two operations each.
    pub(crate) fraction_of_operations: f64,
    /// Bytes that the chains' state takes in and out of each submission a second, over the measured rate of a copy.
    pub(crate) fraction_of_bytes: f64,
    pub(crate) first_sample_seconds: f64,
    pub(crate) mean_acceptance: Option<f64>,
    /// Submissions that the driver cut short and that were run again, since the start.
    pub(crate) slices_redone: u64,
    /// Chains in which a transition failed, since the start. Where this is not zero the rate may not mean anything.
    pub(crate) failed_chains: u64,
}

impl Row {
    pub(crate) fn is_of(&self, case: &Case) -> bool {
        (self.energy, self.dim, self.kernel, self.chains) == (case.energy, case.dim, case.kernel, case.chains)
    }

    pub(crate) fn new(case: &Case, runner: &Runner, peak: &Peak, first_sample_seconds: f64) -> Self {
        let report = runner.chains().report();
        let [seconds, seconds_min, seconds_max] = spread(runner.seconds());
        let transitions = runner.steps() as f64 * case.chains as f64;
        let rate = transitions / seconds;
        let fraction_of_operations = rate * cost::operations(case) / peak.operations_per_second;
        let steps_a_submission = report.steps as f64 / report.slices.max(1) as f64;
        let bytes = cost::bytes_a_submission(case) / steps_a_submission;
        let fraction_of_bytes = rate * bytes / peak.bytes_per_second;
        Self {
            backend: runner.place().backend(),
            threads: runner.place().threads(),
            adapter: runner.place().describe(),
            energy: case.energy,
            dim: case.dim,
            kernel: case.kernel,
            chains: case.chains,
            steps: runner.steps(),
            runs: runner.seconds().len(),
            costs: runner.seconds().iter().map(|seconds| seconds / transitions).collect(),
            seconds,
            seconds_min,
            seconds_max,
            transitions_per_second: rate,
            transitions_per_second_min: transitions / seconds_max,
            transitions_per_second_max: transitions / seconds_min,
            gradients_per_second: cost::gradients(case) * rate,
            gradients_per_second_min: cost::gradients(case) * transitions / seconds_max,
            gradients_per_second_max: cost::gradients(case) * transitions / seconds_min,
            fraction_of_peak: fraction_of_operations.max(fraction_of_bytes),
            fraction_of_operations,
            fraction_of_bytes,
            first_sample_seconds,
            mean_acceptance: report.mean_acceptance,
            slices_redone: report.slices_redone,
            failed_chains: report.failures.iter().map(|row| row.chains).sum(),
        }
    }
}
