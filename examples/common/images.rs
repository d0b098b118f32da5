//! The handwritten digits that smartcore ships, 8 × 8 pixels, and pictures of many of them.

#![allow(dead_code, unreachable_pub, reason = "each example uses a part")]

use ergodic::random::{Stream, key, threefry};

pub const SIDE: usize = 8;
pub const PIXELS: usize = SIDE * SIDE;
/// Images to learn from; the other 297 are held out.
pub const TRAIN: usize = 1_500;
/// Images of a panel, a row.
pub const ROW: usize = 8;

/// All 1,797 digits, brightness 0 to 16, `[image][pixel]`, and which digits they are, by a fixed shuffle.
pub fn shuffled() -> (Vec<f32>, Vec<i32>) {
    let set = smartcore::dataset::digits::load_dataset();
    let key = key(7, Stream::Shuffle, 0);
    let mut order: Vec<_> = (0..set.target.len()).collect();
    order.sort_by_key(|&image| threefry(key, [image as u32, 0]));
    let images = order.iter().flat_map(|&image| &set.data[image * PIXELS..][..PIXELS]).copied().collect();
    (images, order.iter().map(|&image| set.target[image] as i32).collect())
}

/// The brightness at (x, y) pixels from the upper left of a grid of images of brightness 0 to 1, each with a dark pixel around; of each
/// image only so many `rows` are shown.
pub fn pixel(images: &[Vec<f64>], x: f64, y: f64, rows: usize) -> f64 {
    let (column, row) = (x as usize % (SIDE + 1), y as usize % (SIDE + 1));
    let image = images.get(y as usize / (SIDE + 1) * ROW + x as usize / (SIDE + 1));
    let shown = column < SIDE && row < rows;
    image.filter(|_| shown).map_or(0.0, |image| 0.12 + 0.82 * image[SIDE * row + column])
}
