//! The rows as a person reads them.

use std::fmt::Write as _;

use crate::{
    case::Move,
    measure::{Place, spread},
    peak::Peak,
    row::Row,
};

/// One line about a device.
pub(crate) fn peak(place: &Place, peak: &Peak) -> String {
    format!(
        "{}: {} of multiply-adds, {} copied",
        place.describe(),
        scaled(peak.operations_per_second, "FLOP/s"),
        scaled(peak.bytes_per_second, "B/s")
    )
}

fn scaled(value: f64, unit: &str) -> String {
    let (scale, prefix) = if value >= 1e12 { (1e12, "T") } else { (1e9, "G") };
    format!("{:.1} {prefix}{unit}", value / scale)
}

/// A case as soon as it is measured.
pub(crate) fn brief(rows: &[Row]) -> String {
    let of = |row: &Row| {
        let place = row.threads.map_or(row.backend.to_owned(), |n| format!("{} x{n}", row.backend));
        format!("{place} {:.2} M/s", row.transitions_per_second / 1e6)
    };
    rows.iter().map(of).collect::<Vec<_>>().join(", ")
}

/// A group for each energy: a line for each case, with a column for each place.
pub(crate) fn rows(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut places: Vec<_> = rows.iter().map(|row| (row.backend, row.threads)).collect();
    places.sort_by_key(|&(_, threads)| std::cmp::Reverse(threads.unwrap_or(usize::MAX)));
    places.dedup();
    let mut energy = None;
    let mut shape = None;
    // The rows of a case stand one after another.
    for line in rows.chunk_by(|a, b| (a.energy, a.dim, a.kernel, a.chains) == (b.energy, b.dim, b.kernel, b.chains)) {
        let first = &line[0];
        if energy.replace(first.energy) != Some(first.energy) {
            let name = format!("{:?}", first.energy);
            let _ = write!(text, "\n{name}\n{:>5} {:>9} {:>6}", "dim", "chains", "kernel");
            for &(backend, threads) in &places {
                let place = threads.map_or(backend.to_owned(), |n| format!("{backend} x{n}"));
                let _ = write!(text, " | {:^41}", format!("{place}: M transitions/s, of peak, first s"));
            }
            let _ = writeln!(text, " | gpu/cpu");
        } else if shape != Some((first.dim, first.chains)) {
            text.push('\n');
        }
        shape = Some((first.dim, first.chains));
        let kernel = format!("{:?}", first.kernel).to_lowercase();
        let _ = write!(text, "{:>5} {:>9} {kernel:>6}", first.dim, first.chains);
        for place in &places {
            let cell = line.iter().find(|row| (row.backend, row.threads) == *place).map(cell).unwrap_or_default();
            let _ = write!(text, " | {cell:41}");
        }
        let rate = |backend: &str| line.iter().find(|row| row.backend == backend).map(|row| row.transitions_per_second);
        let ratio = rate("gpu").zip(rate("cpu")).map_or(String::new(), |(gpu, cpu)| format!("{:.1}", gpu / cpu));
        let _ = writeln!(text, " | {ratio:>7}");
    }
    text + &flatness(rows)
        + "\nof peak: operations of the algorithm a second over those of the device's multiply-adds (or bytes over \
     those of a copy, where that is more).\n* some chains failed: see failed_chains in the JSON.\n"
}

fn cell(row: &Row) -> String {
    let m = |rate: f64| {
        let rate = rate / 1e6;
        let digits = if rate >= 100.0 {
            0
        } else if rate >= 10.0 {
            1
        } else {
            3
        };
        format!("{rate:.digits$}")
    };
    let range = format!("({}-{})", m(row.transitions_per_second_min), m(row.transitions_per_second_max));
    let mark = if row.failed_chains > 0 { "*" } else { " " };
    let rate = m(row.transitions_per_second);
    format!("{rate:>7}{mark} {range:<15} {:>5.1} % {:>8.3}", 100.0 * row.fraction_of_peak, row.first_sample_seconds)
}

/// How much the cost of a transition varies with the number of chains, from 2^14 to 2^20 in two dimensions: medians over the rounds of
/// its ratio to the mean of a round, since these machines run at one speed now and at another later.
fn flatness(rows: &[Row]) -> String {
    let mut text = String::new();
    for of in rows.iter().filter(|row| row.backend == "gpu" && row.dim == 2 && row.chains == 1 << 20) {
        let same = |row: &&Row| (row.backend, row.dim, row.energy, row.kernel) == ("gpu", 2, of.energy, of.kernel);
        let large: Vec<_> = rows.iter().filter(same).filter(|row| row.chains >= 1 << 14).collect();
        // The last rounds are those that all sizes took part in.
        let rounds = large.iter().map(|row| row.costs.len()).min().unwrap_or(0);
        let cost = |row: &Row, round: usize| row.costs[row.costs.len() - rounds + round];
        let mean = |round| large.iter().map(|row| cost(row, round)).sum::<f64>() / large.len() as f64;
        let relative = |row: &Row| spread(&(0..rounds).map(|round| cost(row, round) / mean(round)).collect::<Vec<_>>())[0];
        let (least, most) =
            (large.iter().map(|row| relative(row))).fold((f64::INFINITY, 0f64), |(a, b), x| (a.min(x), b.max(x)));
        let kernel: Move = of.kernel;
        let _ = writeln!(
            text,
            "{:?} {kernel:?}: cost of a transition varies by {:.0} % from 2^14 to 2^20 chains",
            of.energy,
            100.0 * (most / least - 1.0)
        );
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}
