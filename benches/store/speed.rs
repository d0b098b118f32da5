//! Draws to Zarr against no draws, in turn: the machine may be slower from one minute to the next.

use std::{fs, path::Path, sync::Arc, time::Instant};

use anyhow::{Context as _, Result};
use ergodic::{
    Backend, Chains, Collect, Gpu, Start,
    energy::{DoubleWell, Energy, Mixture},
    kernel::{Hmc, Kernel, Mala},
    store::{Draw, Sink, Zarr},
};

const CHAINS: usize = 1 << 16;
/// Bytes of a draw: two coordinates and a log density.
const BYTES: usize = 3 * 4 * CHAINS;

type Case = (&'static str, Arc<dyn Energy>, Arc<dyn Kernel>);

pub(crate) fn measure(folder: &Path, draws: u64, rounds: usize, only: &str) -> Result<()> {
    let backend = Backend::gpu_of(Gpu::open()?);
    fs::create_dir_all(folder)?;
    let folder = &folder.join("ergodic");
    fs::create_dir(folder)
        .with_context(|| format!("{} is made here, and removed; it must not be there yet", folder.display()))?;
    let gb = draws as f64 * BYTES as f64 / 1e9;
    println!("{}; {CHAINS} chains in two dimensions, {draws} draws ({gb:.2} GB) a store, {rounds} rounds", backend.describe());
    let mixture: Arc<dyn Energy> = Arc::new(Mixture::ring(8, 4.0, 0.5)?);
    let wells: Arc<dyn Energy> = Arc::new(DoubleWell::new(2, 1.0)?);
    let cases: [Case; 4] = [
        ("mixture8, hmc10", mixture.clone(), Arc::new(Hmc::new(0.15, 10))),
        ("mixture8, mala", mixture, Arc::new(Mala::new(0.1))),
        ("double_well, hmc10", wells.clone(), Arc::new(Hmc::new(0.1, 10))),
        ("double_well, mala", wells, Arc::new(Mala::new(0.05))),
    ];
    println!(
        "{:>19} {:>9} {:>13} {:>13} {:>13} {:>13} {:>16}",
        "", "draws/s", "handed out", "to Zarr", "at most", "GB/s to Zarr", "files alone GB/s"
    );
    for (name, energy, kernel) in cases.into_iter().filter(|(name, ..)| name.contains(only)) {
        let mut run = backend.chains_of(energy, kernel).count(CHAINS).start(Start::normal([0.0], 1.0)).seed(1).build()?;
        let mut rows = Vec::new();
        // The first round is not counted: programs are compiled, and slices find their length.
        for round in 0..=rounds {
            let path = folder.join(format!("{name} {round}.zarr"));
            let nothing = timed(|| run.collect(Collect::draws(draws)).map(drop))?;
            let handed_out = timed(|| into(&mut *run, draws, &mut |_: Draw<'_>| Ok(())))?;
            let zarr = timed(|| into(&mut *run, draws, &mut Zarr::create(&path)?))?;
            let files = timed(|| files_alone(&path.with_extension("files"), draws))?;
            empty(folder)?;
            if round > 0 {
                let at_most = nothing / (nothing + files);
                rows.push([draws as f64 / nothing, nothing / handed_out, nothing / zarr, at_most, gb / zarr, gb / files]);
            }
        }
        let column = |i: usize| {
            let mut values: Vec<_> = rows.iter().map(|row| row[i]).collect();
            values.sort_by(f64::total_cmp);
            [values[values.len() / 2], values[0], values[values.len() - 1]]
        };
        let part = |i| column(i).map(|v| 100.0 * v);
        let percent = |[median, least, most]: [f64; 3]| format!("{median:.0} % ({least:.0}-{most:.0})");
        println!(
            "{name:>19} {:>9.0} {:>13} {:>13} {:>13} {:>13.2} {:>16.2}",
            column(0)[0],
            percent(part(1)),
            percent(part(2)),
            percent(part(3)),
            column(4)[0],
            column(5)[0]
        );
    }
    // Only now: ext4 makes files slowly for minutes after many were deleted, since it keeps clear of their inodes.
    fs::remove_dir_all(folder)?;
    println!(
        "draws/s: moments only, nothing written. Then its speed in percent (least-most) with draws handed to an empty function and to\n\
         Zarr. Last, the same bytes written to as many files with nothing else running, into the system's cache as Zarr's are. On a\n\
         software GPU both take the same cores, so that no more is left than `at most`, were all else free."
    );
    Ok(())
}

fn into(run: &mut dyn Chains, draws: u64, sink: &mut dyn Sink) -> ergodic::Result<()> {
    run.collect_into(Collect::draws(draws), sink).map(drop)
}

/// Files of the same sizes, from two threads as well.
fn files_alone(path: &Path, draws: u64) -> ergodic::Result<()> {
    let written = |source| ergodic::Error::Write { path: path.to_owned(), source };
    fs::create_dir(path).map_err(written)?;
    let bytes = vec![1u8; BYTES];
    let (x, lp) = bytes.split_at(2 * BYTES / 3);
    let all = |name: &str, bytes: &[u8]| {
        let folder = path.join(name);
        fs::create_dir(&folder).map_err(written)?;
        (0..draws).try_for_each(|i| fs::write(folder.join(i.to_string()), bytes).map_err(written))
    };
    let (x, lp) = rayon::join(|| all("x", x), || all("lp", lp));
    x.and(lp)
}

/// Gives the bytes of all files back.
fn empty(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            empty(&path)?;
        } else {
            fs::File::create(path)?;
        }
    }
    Ok(())
}

fn timed(f: impl FnOnce() -> ergodic::Result<()>) -> Result<f64> {
    let begun = Instant::now();
    f()?;
    Ok(begun.elapsed().as_secs_f64())
}
