//! What a warm-up found, for the report.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{chains::FailureRow, counted::counted};

/// The settings that a warm-up found and froze.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Adaptation {
    /// Transitions of every chain in the warm-up; none of them counts as a draw.
    pub warm_up_steps: u64,
    /// The step size, for coordinates of scale one.
    pub step_size: f64,
    /// The least leapfrog steps of a transition; each transition draws a number anew, from the least to the most.
    pub least_leapfrog_steps: u32,
    /// The most leapfrog steps of a transition.
    pub most_leapfrog_steps: u32,
    /// The inverse masses, one a coordinate: squares of the coordinates' scales.
    pub inverse_mass: Vec<f64>,
    /// The mean acceptance aimed at; where smaller steps were taken since transitions failed, the one that came of these, to three digits.
    pub target_acceptance: f64,
    /// The mean acceptance aimed at first, where it was raised from since too many transitions failed.
    #[serde(default)]
    pub raised_from: Option<f64>,
    /// The mean acceptance with the frozen settings, over the last steps of the warm-up.
    pub reached_acceptance: f64,
    /// Steps that `reached_acceptance` is the mean of.
    pub measured_steps: u64,
    /// Chains that were set to where others stand, since their energies stayed far above those; see
    /// [`Warmup::keep_strays`](crate::Warmup::keep_strays).
    #[serde(default)]
    pub relocated: u64,
    /// Failures during the warm-up; empty if there were none.
    pub failures: Vec<FailureRow>,
    /// What the warm-up did not reach; empty if nothing.
    pub warnings: Vec<Warning>,
}

/// What a warm-up did not reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Warning {
    /// The mean acceptance is away from its target by more than 0.02.
    AcceptanceMissed {
        /// The target.
        target: f64,
        /// What was reached.
        reached: f64,
    },
    /// The chains were still moving as a whole when the warm-up ended: from one window to the next, the mean or spread of a
    /// coordinate changed by more than it should. Start closer, or allow more steps.
    NotSettled {
        /// The coordinate.
        coordinate: usize,
        /// The shift of its mean in standard deviations, or the change of the logarithm of the standard deviation, if larger; infinite
        /// where there is none to be told.
        #[serde(deserialize_with = "super::or_infinity")]
        change: f64,
    },
    /// Longer trajectories were wanted than allowed: the draws are right, but more correlated than they could be.
    LeapfrogStepsCapped {
        /// The most leapfrog steps.
        most: u32,
        /// Whether the driver, which cuts longer loops short, set the limit.
        by_driver: bool,
    },
    /// Trajectories are so short that chains hardly move.
    ShortTrajectories {
        /// The longest, in radians of a coordinate of scale one.
        length: f64,
    },
    /// Some chains stand far out, beyond ten interquartile ranges from the quartiles: the tails are heavy, or these chains have not come
    /// in from where they started yet. They do not count in the masses.
    OutlyingChains {
        /// The coordinate with the most of them.
        coordinate: usize,
        /// The part of all chains that they are.
        part: f64,
    },
    /// Some chains have energies far above the others', by more than 30 T and twenty times what the tenth percentile lies below the
    /// median: they have not come in from where they started, or fell into modes of no weight that they will hardly leave.
    StrayChains {
        /// How many.
        chains: u64,
    },
    /// Some chains rejected every proposal of the last steps: where they stand, the step size is too large.
    StuckChains {
        /// How many.
        chains: u64,
        /// Over how many steps.
        steps: u64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AcceptanceMissed { target, reached } => {
                write!(f, "acceptance missed: {reached:.3} where {target:.3} was aimed at")
            }
            Self::NotSettled { coordinate, change } => write!(
                f,
                "not settled: mean or spread of x[{coordinate}] still changed by {change:.2} when the warm-up ended; start closer to \
                 the target, or allow more steps (Warmup::at_most)"
            ),
            Self::LeapfrogStepsCapped { most, by_driver } => {
                let by = if *by_driver { "the driver cuts longer loops short" } else { "the limit of the kernel" };
                write!(
                    f,
                    "trajectories capped at {} ({by}): draws are more correlated than they could be",
                    counted((*most).into(), "leapfrog step")
                )
            }
            Self::ShortTrajectories { length } => write!(
                f,
                "trajectories of {length:.1e} radians hardly move the chains; the scale of the target may not have been found: start \
                 closer to it"
            ),
            Self::OutlyingChains { coordinate, part } => write!(
                f,
                "{:.2} % of the chains stand far out along x[{coordinate}]: its tails are heavy, or they have not come in from the start",
                100.0 * part
            ),
            Self::StrayChains { chains } => write!(
                f,
                "{} with energies far above the others', still on the way in from the start, or in modes of no weight; start closer to \
                 the target, or allow more steps (Warmup::at_most)",
                counted(*chains, "stray chain")
            ),
            Self::StuckChains { chains, steps } => write!(
                f,
                "{} rejected all of the last {}; aim at a higher acceptance (Hmc::adaptive_to)",
                counted(*chains, "stuck chain"),
                counted(*steps, "proposal")
            ),
        }
    }
}

impl fmt::Display for Adaptation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { warm_up_steps, step_size, least_leapfrog_steps: least, most_leapfrog_steps: most, .. } = self;
        write!(f, "  warm-up of {} found step size {step_size:.4}", counted(*warm_up_steps, "step"))?;
        if *most > 1 {
            write!(f, ", {least} to {most} leapfrog steps")?;
        }
        let raised = self.raised_from.map(|from| format!(", raised from {from}: transitions failed")).unwrap_or_default();
        write!(f, ", acceptance {:.3} (aimed at {}{raised})", self.reached_acceptance, self.target_acceptance)?;
        let failed: u64 = self.failures.iter().map(|row| row.count).sum();
        if failed > 0 {
            write!(f, "; {}", counted(failed, "warm-up failure"))?;
        }
        if self.relocated > 0 {
            let chains = counted(self.relocated, "chain");
            write!(f, "\n  {chains} stayed at energies far above the others', until set to where others stood")?;
        }
        self.warnings.iter().try_for_each(|warning| write!(f, "\n  warning: {warning}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// JSON has no infinity, and a checkpoint is JSON.
    #[test]
    fn a_change_that_cannot_be_told_comes_back() {
        let warning = Warning::NotSettled { coordinate: 1, change: f64::INFINITY };
        let text = serde_json::to_string(&warning).unwrap();
        assert_eq!(serde_json::from_str::<Warning>(&text).unwrap(), warning);
    }
}
