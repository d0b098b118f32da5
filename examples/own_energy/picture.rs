//! Two panels of a density in the plane: with chains over it, and as the histogram of all chains.

use std::{fs::File, io::BufWriter, path::PathBuf};

use anyhow::Context;

/// Pixels a side of a panel, and between them.
const SIDE: usize = 800;
const GAP: usize = 16;
/// Pixels a side of a bin of the histogram.
const BIN: usize = 8;
/// Chains shown as dots.
const DOTS: usize = 3000;

/// Matplotlib's magma at equal distances.
const MAGMA: [[f64; 3]; 9] = [
    [0.001, 0.000, 0.014],
    [0.110, 0.065, 0.277],
    [0.317, 0.072, 0.485],
    [0.513, 0.148, 0.508],
    [0.716, 0.215, 0.475],
    [0.905, 0.311, 0.387],
    [0.988, 0.533, 0.382],
    [0.996, 0.762, 0.529],
    [0.987, 0.991, 0.750],
];

/// Writes target/pictures/<name>.png: [-half, half]², x to the right and y up. `positions` is [2][chain].
pub(crate) fn save(name: &str, half: f64, energy: fn(f64, f64) -> f64, positions: &[f32]) -> anyhow::Result<PathBuf> {
    let (xs, ys) = positions.split_at(positions.len() / 2);
    let at = |pixel: usize| half * (2.0 * (pixel as f64 + 0.5) / SIDE as f64 - 1.0);
    let pixel_of = |v: f32| (0.5 * (f64::from(v) / half + 1.0) * SIDE as f64).floor();
    let is_inside = |p: f64| (0.0..SIDE as f64).contains(&p);
    let mut picture = vec![24u8; 3 * (2 * SIDE + GAP) * SIDE];
    let mut paint = |column: usize, row: usize, colour: [u8; 3]| {
        let at = 3 * (row * (2 * SIDE + GAP) + column);
        picture[at..at + 3].copy_from_slice(&colour);
    };

    let density: Vec<f64> = (0..SIDE * SIDE).map(|i| (-energy(at(i % SIDE), -at(i / SIDE))).exp()).collect();
    let top = density.iter().copied().fold(0.0, f64::max);
    for (i, d) in density.iter().enumerate() {
        paint(i % SIDE, i / SIDE, magma(d / top));
    }
    for (&x, &y) in xs.iter().zip(ys).take(DOTS) {
        let (column, row) = (pixel_of(x), SIDE as f64 - 1.0 - pixel_of(y));
        for (right, down) in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
            if is_inside(column + right) && is_inside(row + down) {
                paint((column + right) as usize, (row + down) as usize, [120, 220, 255]);
            }
        }
    }

    let bins = SIDE / BIN;
    let mut counts = vec![0.0; bins * bins];
    for (&x, &y) in xs.iter().zip(ys) {
        let (column, row) = (pixel_of(x), SIDE as f64 - 1.0 - pixel_of(y));
        if is_inside(column) && is_inside(row) {
            counts[row as usize / BIN * bins + column as usize / BIN] += 1.0;
        }
    }
    // The same scale as on the left: the count that a bin at the top of the density would have.
    let mass: f64 = density.iter().sum();
    let scale = xs.len() as f64 * top * (BIN * BIN) as f64 / mass;
    for i in 0..SIDE * SIDE {
        let count = counts[i / SIDE / BIN * bins + i % SIDE / BIN];
        paint(SIDE + GAP + i % SIDE, i / SIDE, magma(count / scale));
    }

    let folder = PathBuf::from("target/pictures");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(format!("{name}.png"));
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), (2 * SIDE + GAP) as u32, SIDE as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&picture)?;
    Ok(path)
}

/// The colour of a value in [0, 1]; of its square root, so that tails can be seen.
fn magma(value: f64) -> [u8; 3] {
    let t = value.clamp(0.0, 1.0).sqrt() * (MAGMA.len() - 1) as f64;
    let i = (t as usize).min(MAGMA.len() - 2);
    let mix = |c: usize| MAGMA[i][c] + (t - i as f64) * (MAGMA[i + 1][c] - MAGMA[i][c]);
    [0, 1, 2].map(|c| (255.0 * mix(c)).round() as u8)
}
