//! Step sizes, temperatures and noise levels as functions of the step.
//!
//! A schedule is evaluated on the host in f64 and rounded to f32 once; the device reads a table. So the GPU and the CPU
//! reference run on the same numbers, and a user's list costs no more than a constant.

use crate::{Error, Result, error::countable};

/// A number for every step k = 0, 1, 2, …; after its last step a schedule stays at its final value.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub enum Schedule {
    /// The same value at every step.
    Constant(f64),
    /// from + (to − from) · k / (steps − 1).
    Linear {
        /// Value at step 0.
        from: f64,
        /// Value at step steps − 1 and after.
        to: f64,
        /// Number of steps.
        steps: u64,
    },
    /// from · (to / from)^(k / (steps − 1)).
    Geometric {
        /// Value at step 0; not zero.
        from: f64,
        /// Value at step steps − 1 and after; of the same sign.
        to: f64,
        /// Number of steps.
        steps: u64,
    },
    /// to + (from − to) · (1 + cos(π k / (steps − 1))) / 2.
    Cosine {
        /// Value at step 0.
        from: f64,
        /// Value at step steps − 1 and after.
        to: f64,
        /// Number of steps.
        steps: u64,
    },
    /// a · (b + k)^(−γ): the decay of stochastic gradient Langevin dynamics (Welling and Teh 2011).
    Polynomial {
        /// a, the scale.
        scale: f64,
        /// b > 0, the offset in steps.
        offset: f64,
        /// γ ≥ 0, the power.
        power: f64,
    },
    /// A user's values, each held for `each` steps.
    List {
        /// The values, at least one.
        values: Vec<f64>,
        /// Steps for which each value holds.
        each: u64,
    },
}

impl From<f64> for Schedule {
    fn from(value: f64) -> Self {
        Self::Constant(value)
    }
}

impl Schedule {
    /// from + (to − from) · k / (steps − 1).
    pub fn linear(from: f64, to: f64, steps: u64) -> Self {
        Self::Linear { from, to, steps }
    }

    /// from · (to / from)^(k / (steps − 1)).
    pub fn geometric(from: f64, to: f64, steps: u64) -> Self {
        Self::Geometric { from, to, steps }
    }

    /// to + (from − to) · (1 + cos(π k / (steps − 1))) / 2.
    pub fn cosine(from: f64, to: f64, steps: u64) -> Self {
        Self::Cosine { from, to, steps }
    }

    /// a · (b + k)^(−γ).
    pub fn polynomial(scale: f64, offset: f64, power: f64) -> Self {
        Self::Polynomial { scale, offset, power }
    }

    /// A user's values, one a step.
    pub fn list(values: impl Into<Vec<f64>>) -> Self {
        Self::levels(values, 1)
    }

    /// A user's values, each held for `each` steps.
    pub fn levels(values: impl Into<Vec<f64>>, each: u64) -> Self {
        Self::List { values: values.into(), each }
    }

    /// The value at step k.
    pub fn at(&self, k: u64) -> f64 {
        let part = |steps: u64| if steps < 2 { 1.0 } else { k.min(steps - 1) as f64 / (steps - 1) as f64 };
        match *self {
            Self::Constant(value) => value,
            Self::Linear { from, to, steps } => {
                let t = part(steps);
                from * (1.0 - t) + to * t
            }
            Self::Geometric { from, to, steps } => from * (to / from).powf(part(steps)),
            Self::Cosine { from, to, steps } => to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * part(steps)).cos()),
            Self::Polynomial { scale, offset, power } => scale * (offset + k as f64).powf(-power),
            Self::List { ref values, each } => {
                let level = (k / each.max(1)).min(values.len().saturating_sub(1) as u64);
                values.get(level as usize).copied().unwrap_or(f64::NAN)
            }
        }
    }

    /// The step from which on the value no longer changes; None if it always does.
    pub fn settles(&self) -> Option<u64> {
        match *self {
            Self::Constant(_) => Some(0),
            Self::Linear { steps, .. } | Self::Geometric { steps, .. } | Self::Cosine { steps, .. } => {
                Some(steps.saturating_sub(1))
            }
            Self::Polynomial { power: 0.0, .. } => Some(0),
            Self::Polynomial { .. } => None,
            Self::List { ref values, each } => Some((values.len().saturating_sub(1) as u64).saturating_mul(each)),
        }
    }

    /// Checks that every value of the schedule passes `check`, which gets the setting's name and a value.
    pub(crate) fn validate(&self, name: &str, check: fn(&str, f64) -> Result<f64>) -> Result<()> {
        match *self {
            Self::Constant(value) => check(name, value).map(drop),
            Self::Linear { from, to, steps } | Self::Cosine { from, to, steps } | Self::Geometric { from, to, steps } => {
                if steps == 0 {
                    return Err(Error::setting(name, "a schedule of 0 steps", "must have at least one step"));
                }
                if matches!(self, Self::Geometric { .. }) && !(from * to > 0.0 && (to / from).is_finite()) {
                    let why = "a geometric schedule needs two values of the same sign, neither of them zero";
                    return Err(Error::setting(name, format!("{from:?} to {to:?}"), why));
                }
                check(name, from)?;
                check(name, to).map(drop)
            }
            Self::Polynomial { scale, offset, power } => {
                if !(offset.is_finite() && offset > 0.0 && power.is_finite() && power >= 0.0) {
                    let why = "a polynomial schedule needs an offset above 0 and a power of at least 0";
                    return Err(Error::setting(name, format!("{scale:?} * ({offset:?} + k)^-{power:?}"), why));
                }
                check(name, self.at(0)).map(drop)
            }
            Self::List { ref values, each } => {
                if values.is_empty() || each == 0 {
                    return Err(Error::setting(name, "an empty list", "must hold at least one value for at least one step"));
                }
                countable(&format!("values of the {name}"), values.len())?;
                values.iter().try_for_each(|&value| check(name, value).map(drop))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The noise levels of Song and Ermon 2019 (their configs/anneal.yml: 10 levels from 1 to 0.01).
    #[test]
    fn geometric_gives_the_published_noise_levels() {
        let schedule = Schedule::geometric(1.0, 0.01, 10);
        for (k, expected) in [(0, 1.0), (1, 0.599484250318941), (4, 0.12915496650148844), (9, 0.01), (50, 0.01)] {
            assert!((schedule.at(k) - expected).abs() < 1e-15, "{k}");
        }
    }

    #[test]
    fn values_at_the_ends() {
        for schedule in [Schedule::linear(2.0, 1.0, 5), Schedule::cosine(2.0, 1.0, 5), Schedule::geometric(2.0, 1.0, 5)] {
            assert_eq!((schedule.at(0), schedule.at(4), schedule.at(99)), (2.0, 1.0, 1.0));
            assert_eq!(schedule.settles(), Some(4));
        }
        assert_eq!(Schedule::polynomial(8.0, 2.0, 1.0).at(2), 2.0);
        assert_eq!(Schedule::linear(3.0, 1.0, 1).at(0), 1.0);
        let levels = Schedule::levels([3.0, 2.0], 2);
        assert_eq!([levels.at(0), levels.at(1), levels.at(2), levels.at(9)], [3.0, 3.0, 2.0, 2.0]);
    }

    #[test]
    fn bad_schedules_are_refused() {
        use crate::error::positive;
        for bad in [
            Schedule::Constant(0.0),
            Schedule::Constant(f64::NAN),
            Schedule::Constant(1e30),
            Schedule::linear(1.0, 2.0, 0),
            Schedule::geometric(1.0, 0.0, 3),
            Schedule::polynomial(1.0, 0.0, 0.5),
            Schedule::list([]),
            Schedule::list([1.0, -1.0]),
        ] {
            assert!(bad.validate("step size", positive).is_err(), "{bad:?}");
        }
        assert!(Schedule::polynomial(1.0, 1.0, 0.5).validate("step size", positive).is_ok());
    }
}
