//! Moments that are streamed in the kernel, against those of the positions read back.

use std::sync::Arc;

use ergodic::{
    Backend, Collect, Result,
    energy::{Energy, Params},
    kernel::Kernel,
};

fn mean_of(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn variance_of(values: &[f64]) -> f64 {
    let mean = mean_of(values);
    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
}

/// |a − b| relative to 1 + |b|.
fn relative(a: Option<f64>, b: f64) -> f64 {
    a.map_or(f64::INFINITY, |a| (a - b).abs() / (1.0 + b.abs()))
}

/// Chains, and how many of them start at one point.
const CHAINS: usize = 70;
const SUPERCHAIN: usize = 7;
const DRAWS: usize = 40;

/// The largest error, in units of what is allowed, and of what: the chains go one draw at a time, the positions are read after each,
/// and the same numbers follow by the plain formulas in f64; the energy's by its f64 twin at those positions. Allowed is a relative
/// error of 2e-5, for sums of 40 terms in f32 and differences of them.
pub fn moments_against_positions(backend: &Backend, target: Arc<dyn Energy>, kernel: Arc<dyn Kernel>) -> Result<(String, f64)> {
    let (dim, values) = (target.dim(), target.params());
    let setup = backend.chains_of(target.clone(), kernel).count(CHAINS).seed(3);
    let mut run = setup.superchains(CHAINS / SUPERCHAIN).build()?;
    let mut last = run.positions()?;
    // [dim + 1][chain][draw], the energy last.
    let (mut all, mut jumps) = (vec![Vec::new(); (dim + 1) * CHAINS], 0.0);
    let mut report = run.collect(Collect::draws(1))?;
    for draw in 0..DRAWS {
        if draw > 0 {
            report = run.collect(Collect::draws(1).go_on())?;
        }
        let x = run.positions()?;
        jumps += x.iter().zip(&last).map(|(x, last)| f64::from(x - last).powi(2)).sum::<f64>();
        let energies = run.energies()?;
        let energy = |chain: usize| {
            if target.constraints().is_some() {
                // Of free coordinates, which positions do not tell to the last bit.
                return f64::from(energies[chain]);
            }
            let point: Vec<_> = (0..dim).map(|i| f64::from(x[i * CHAINS + chain])).collect();
            target.energy(Params::new(&values), &point)
        };
        let draws = x.iter().map(|&x| f64::from(x)).chain((0..CHAINS).map(energy));
        all.iter_mut().zip(draws).for_each(|(of_one, value)| of_one.push(value));
        last = x;
    }
    let mut found = vec![("mean squared jump".to_owned(), relative(report.squared_jump, jumps / (CHAINS * DRAWS) as f64))];
    if report.draws != DRAWS as u64 {
        found.push((format!("{} draws counted", report.draws), f64::INFINITY));
    }
    let names = (0..dim).map(|i| format!("x[{i}]")).chain(["the energy".to_owned()]);
    for ((name, of_row), rows) in names.zip(report.coordinates.iter().chain(&report.energy_moments)).zip(all.chunks(CHAINS)) {
        let means: Vec<_> = rows.iter().map(|row| mean_of(row)).collect();
        let pooled = rows.concat();
        let mean = mean_of(&pooled);
        let sd = (pooled.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / pooled.len() as f64).sqrt();
        let mcse = (variance_of(&means) / CHAINS as f64).sqrt();
        let centres: Vec<_> = means.chunks(SUPERCHAIN).map(mean_of).collect();
        let within = mean_of(&means.chunks(SUPERCHAIN).map(variance_of).collect::<Vec<_>>())
            + mean_of(&rows.iter().map(|row| variance_of(row)).collect::<Vec<_>>());
        let rhat = (1.0 + variance_of(&centres) / within).sqrt();
        let seconds: Vec<_> =
            rows.iter().map(|row| mean_of(&row.iter().map(|x| (x - mean).powi(2)).collect::<Vec<_>>())).collect();
        let mcse_sd = (variance_of(&seconds) / CHAINS as f64).sqrt() / (2.0 * sd);
        for (what, value, expected) in [
            ("mean", Some(of_row.mean), mean),
            ("sd", Some(of_row.sd), sd),
            ("mcse", of_row.mcse, mcse),
            ("mcse of the sd", of_row.mcse_sd, mcse_sd),
            ("log of the ess", of_row.ess.map(f64::ln), (sd / mcse).powi(2).ln()),
            ("rhat", of_row.rhat, rhat),
        ] {
            found.push((format!("{what} of {name}"), relative(value, expected)));
        }
    }
    // A NaN must win.
    let worst = found.into_iter().fold((String::new(), 0.0), |worst, one| if one.1 <= worst.1 { worst } else { one });
    Ok((worst.0, worst.1 / 2e-5))
}
