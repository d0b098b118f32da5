//! Moments against none, and a copy in host memory against none, in turn.

use std::{sync::Arc, time::Instant};

use anyhow::Result;
use ergodic::{
    Backend, Chains, Collect, Gpu, Start,
    energy::{DoubleWell, Energy, Mixture},
    kernel::{Kernel, Mala, Rwm},
};

const CHAINS: usize = 1 << 16;
/// Seconds of one measurement, about.
const SECONDS: f64 = 1.0;

type Case = (&'static str, Arc<dyn Energy>, Arc<dyn Kernel>);

pub(crate) fn measure(rounds: usize, only: &str) -> Result<()> {
    let backend = Backend::gpu_of(Gpu::open()?);
    println!(
        "{}; {CHAINS} chains in two dimensions, {rounds} rounds; time over that without, least and most",
        backend.describe()
    );
    let mixture: Arc<dyn Energy> = Arc::new(Mixture::ring(8, 4.0, 0.5)?);
    let wells: Arc<dyn Energy> = Arc::new(DoubleWell::new(2, 1.0)?);
    let cases: [Case; 3] = [
        ("mixture8, mala", mixture, Arc::new(Mala::new(0.1))),
        ("double_well, mala", wells.clone(), Arc::new(Mala::new(0.05))),
        ("double_well, rwm", wells, Arc::new(Rwm::new(0.5))),
    ];
    println!("{:>18} {:>9} {:>18} {:>18} {:>18}", "", "steps/s", "moments", "copy", "copy with moments");
    for (name, energy, kernel) in cases.into_iter().filter(|(name, ..)| name.contains(only)) {
        let chains =
            || backend.chains_of(energy.clone(), kernel.clone()).count(CHAINS).start(Start::normal([0.0], 1.0)).seed(1);
        // Without a copy and with one.
        let mut runs = [chains().spare_copy(0).build()?, chains().build()?];
        let mut steps = 64;
        while timed(steps, &mut *runs[0], false)? < SECONDS {
            steps *= 2;
        }
        let mut rows = Vec::new();
        // The first round is not counted: programs are compiled, and slices find their length.
        for round in 0..=rounds {
            let mut times = [0.0; 4];
            for (i, time) in times.iter_mut().enumerate() {
                *time = timed(steps, &mut *runs[i % 2], i >= 2)?;
            }
            let [plain, copied, moments, both] = times;
            if round > 0 {
                rows.push([steps as f64 / plain, moments / plain, copied / plain, both / moments]);
            }
        }
        let column = |i: usize| {
            let mut values: Vec<_> = rows.iter().map(|row| row[i]).collect();
            values.sort_by(f64::total_cmp);
            (values[values.len() / 2], values[0], values[values.len() - 1])
        };
        let ratio = |i| {
            let (median, least, most) = column(i);
            format!("{median:.3} ({least:.2}-{most:.2})")
        };
        println!("{name:>18} {:>9.0} {:>18} {:>18} {:>18}", column(0).0, ratio(1), ratio(2), ratio(3));
    }
    Ok(())
}

fn timed(steps: u64, run: &mut dyn Chains, collects: bool) -> Result<f64> {
    let begun = Instant::now();
    if collects {
        run.collect(Collect::draws(steps))?;
    } else {
        run.advance(steps)?;
    }
    Ok(begun.elapsed().as_secs_f64())
}
