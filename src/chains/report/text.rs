//! The report as text.

use std::fmt;

use super::{FailureRow, Report};
use crate::{
    chains::{Coordinate, Ended, FailedAt, Quantity, Standing},
    counted::counted,
};

/// Rows of coordinates shown as text; JSON has them all.
const SHOWN: usize = 16;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ladder = self
            .tempering
            .as_ref()
            .map(|t| format!(" at {}", counted(t.rungs.len() as u64, "temperature")))
            .unwrap_or_default();
        writeln!(f, "{}{ladder} on {} in {}", self.kernel, self.energy, counted(self.dim as u64, "dimension"))?;
        writeln!(f, "  {}", self.adapter)?;
        let device = self.device_seconds.map(|s| format!(", {s:.3} s on the device")).unwrap_or_default();
        let (chains, steps) = (counted(self.chains as u64, "chain"), counted(self.steps, "step"));
        writeln!(f, "  {chains} x {steps} in {:.3} s{device}", self.wall_seconds)?;
        let redone = if self.slices_redone > 0 {
            format!(" ({} cut short by the driver and run again)", self.slices_redone)
        } else {
            String::new()
        };
        writeln!(
            f,
            "  {:.3e} transitions/s, {:.3e} gradients/s, {}{redone}",
            self.transitions_per_second,
            self.gradients_per_second,
            counted(self.slices, "slice")
        )?;
        match self.mean_acceptance {
            Some(acceptance) => write!(f, "  mean acceptance {acceptance:.4}")?,
            // Of no steps there is none, whatever the kernel.
            None if self.steps == 0 => write!(f, "  no steps")?,
            None => write!(f, "  unadjusted: accepts always, biased by the step size")?,
        }
        if self.temperature != 1.0 {
            write!(f, ", temperature {:.6}", self.temperature)?;
        }
        writeln!(f)?;
        if let Some(adaptation) = &self.adaptation {
            writeln!(f, "{adaptation}")?;
        }
        if self.coordinates.is_empty() {
            self.fmt_notes(f)?;
            return self.fmt_failures(f);
        }
        write!(f, "  {} a chain", counted(self.draws, "draw"))?;
        match (self.ended, &self.standing) {
            (Some(Ended::Goal), Some(last)) => write!(f, ": the goal is met, last by {last}")?,
            (Some(ended), Some(last)) => {
                let limit = if ended == Ended::Time { "time" } else { "the number of draws" };
                write!(f, ": ended by {limit}, the goal is not met by {last}")?;
            }
            (Some(Ended::Time), None) => write!(f, ": ended by time")?,
            _ => {}
        }
        writeln!(
            f,
            "\n  {:>8} {:>14} {:>14} {:>12} {:>12} {:>12} {:>9}",
            "", "mean", "sd", "mcse(mean)", "mcse(sd)", "ess", "rhat"
        )?;
        let mut row = |name: String, c: &Coordinate| {
            let error = |error: Option<f64>| error.map_or("undefined".into(), |e| format!("{e:.3e}"));
            let rhat = c.rhat.map_or("undefined".into(), |r| format!("{r:.4}"));
            let (mcse, mcse_sd, ess) = (error(c.mcse), error(c.mcse_sd), error(c.ess));
            writeln!(f, "  {name:>8} {:>14.6} {:>14.6} {mcse:>12} {mcse_sd:>12} {ess:>12} {rhat:>9}", c.mean, c.sd)
        };
        for (i, c) in self.coordinates.iter().take(SHOWN).enumerate() {
            row(format!("x[{i}]"), c)?;
        }
        if let Some(c) = &self.energy_moments {
            row("energy".into(), c)?;
        }
        if self.coordinates.len() > SHOWN {
            writeln!(f, "  ({} more coordinates in the JSON)", self.coordinates.len() - SHOWN)?;
        }
        if let Some(jump) = self.squared_jump {
            write!(f, "  mean squared jump {jump:.4e}")?;
        }
        if let Some(e_bfmi) = self.e_bfmi {
            write!(f, ", E-BFMI {e_bfmi:.3}")?;
        }
        writeln!(f)?;
        if let Some(tempering) = &self.tempering {
            tempering.fmt(f)?;
        }
        self.fmt_notes(f)?;
        self.fmt_failures(f)
    }
}

impl Report {
    fn fmt_notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.notes.iter().try_for_each(|note| writeln!(f, "  note: {note}"))
    }

    fn fmt_failures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.failures.is_empty() {
            return write!(f, "  no failures");
        }
        write!(f, "  failures (by the kind of a chain's first one):")?;
        for row in &self.failures {
            let FailureRow { kind, chains, count, first_step, first_chain } = row;
            let (count, chains) = (counted(*count, "transition"), counted(*chains, "chain"));
            write!(f, "\n    {kind:?}: {count} of {chains}, first at step {first_step} of chain {first_chain}")?;
        }
        for FailedAt { chain, step, kind, position } in &self.failed_at {
            let shown: Vec<_> = position.iter().take(4).map(|x| format!("{x:.6}")).collect();
            let more = if position.len() > 4 { ", ..." } else { "" };
            write!(f, "\n    chain {chain} stood at [{}{more}] when it failed at step {step} ({kind:?})", shown.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.map_or("undefined".into(), |value| format!("{value:.4}"));
        let name = match self.quantity {
            Quantity::Mcse => "mcse/sd",
            Quantity::Rhat => "rhat",
        };
        write!(f, "x[{}] with {name} {value}", self.coordinate)
    }
}
