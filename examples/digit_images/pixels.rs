//! Images as points, `[pixel][image]` with brightness from −1 to 1, what may happen to them, and how they are shown.

#![allow(unreachable_pub, reason = "a part of an example")]

use ergodic::random::{Draws, Stream, key};

use crate::images::{PIXELS, SIDE};

/// Random numbers of image `i`, for the use of this number.
fn draws(seed: u64, of: u64, i: usize) -> Draws {
    Draws::new(key(seed, Stream::Data, of), i as u32, 0)
}

/// So many copies of images of brightness 0, 1, …, 16, `[image][pixel]`, each with noise of its own within a step, so that they have a
/// density.
pub fn dequantised(images: &[f32], copies: usize, seed: u64) -> Vec<f32> {
    let n = images.len() / PIXELS;
    let drawn: Vec<_> = (0..n * copies).map(|i| draws(seed, 0, i)).collect();
    let value = |pixel: usize, i: usize| f64::from(images[i % n * PIXELS + pixel]) - 0.5 + drawn[i].uniform(pixel as u32);
    (0..PIXELS)
        .flat_map(|pixel| (0..n * copies).map(move |i| (pixel, i)))
        .map(|(p, i)| (value(p, i) / 8.0 - 1.0) as f32)
        .collect()
}

/// Images with Gaussian noise.
pub fn noised(x: &[f32], sigma: f64, seed: u64) -> Vec<f32> {
    let n = x.len() / PIXELS;
    let mut noised = x.to_vec();
    let mut z = [0.0; PIXELS];
    for image in 0..n {
        draws(seed, 1, image).normals(0, &mut z);
        (0..PIXELS).for_each(|pixel| noised[pixel * n + image] += (sigma * z[pixel]) as f32);
    }
    noised
}

/// The mean image.
pub fn mean(x: &[f32]) -> Vec<f32> {
    let mean = |row: &[f32]| (row.iter().map(|&x| f64::from(x)).sum::<f64>() / row.len() as f64) as f32;
    x.chunks(x.len() / PIXELS).map(mean).collect()
}

/// Images and so many times another one.
pub fn plus(x: &[f32], times: f32, other: &[f32]) -> Vec<f32> {
    x.chunks(x.len() / PIXELS).zip(other).flat_map(|(row, &by)| row.iter().map(move |x| x + times * by)).collect()
}

/// The first so many images.
pub fn first(x: &[f32], count: usize) -> Vec<f32> {
    x.chunks(x.len() / PIXELS).flat_map(|row| row[..count].to_vec()).collect()
}

/// The pixels of an image.
pub fn image(x: &[f32], i: usize) -> impl Iterator<Item = f64> + Clone {
    x.iter().skip(i).step_by(x.len() / PIXELS).map(|&x| f64::from(x))
}

/// Images whose pixel p is pixel `from(p)` of these.
fn moved(x: &[f32], from: impl Fn(usize) -> usize) -> Vec<f32> {
    let n = x.len() / PIXELS;
    (0..PIXELS).flat_map(|pixel| x[from(pixel) * n..][..n].to_vec()).collect()
}

/// Images that are no digits, made of images that are.
pub fn outliers(x: &[f32]) -> [(&'static str, Vec<f32>); 4] {
    // Every pixel has its own law, but knows of no other.
    let mut strangers = x.to_vec();
    strangers.chunks_mut(x.len() / PIXELS).enumerate().for_each(|(pixel, row)| row.rotate_left(4 * pixel + 1));
    [
        ("pixels of 64 images", strangers),
        ("permuted", moved(x, |pixel| 27 * pixel % PIXELS)),
        ("inverted", x.iter().map(|x| -x).collect()),
        ("upside down", moved(x, |pixel| SIDE * (SIDE - 1 - pixel / SIDE) + pixel % SIDE)),
    ]
}

/// Brightness from 0 to 1 of the first so many images.
pub fn shown(x: &[f32], count: usize) -> Vec<Vec<f64>> {
    (0..count).map(|i| image(x, i).map(|x| (0.5 + 0.5 * x).clamp(0.0, 1.0)).collect()).collect()
}
