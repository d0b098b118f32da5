//! Lower halves of images, given the upper ones: annealed Langevin dynamics of the conditional energy.

#![allow(unreachable_pub, reason = "a part of an example")]

use anyhow::Result;
use ergodic::{Backend, diffusion::NoiseNetwork, energy::Compose};
use serde::Serialize;

use crate::{
    images::PIXELS,
    models::{LEVELS, annealed, noise},
    pixels::{image, mean},
};

/// Pixels that are given.
const GIVEN: usize = PIXELS / 2;

/// Root mean square errors a pixel of guesses of the lower halves.
#[derive(Debug, Serialize)]
pub struct Errors {
    /// The mean of the chains.
    pub chains: f64,
    /// The mean of the images that were learned from.
    pub mean_image: f64,
    /// The image that was learned from whose upper half is nearest.
    pub nearest_image: f64,
}

/// For each of the first so many images, `chains` inpainted ones, `[pixel][chain]`.
///
/// On the CPU reference: each image is an energy of its own, and a GPU's program would take longer to compile than so few chains to run.
pub fn inpaint(energy: &NoiseNetwork, x: &[f32], images: usize, chains: usize, each: u64, seed: u64) -> Result<Vec<Vec<f32>>> {
    let one = |i: usize| {
        let given = image(x, i).take(GIVEN).enumerate();
        let conditioned = energy.clone().condition(given)?.with_noise(seed + i as u64)?;
        let setup =
            Backend::cpu().chains(conditioned.clone(), annealed(each)).count(chains).start(noise()).seed(seed + i as u64);
        let mut chains = setup.build()?;
        chains.advance(LEVELS as u64 * each)?;
        Ok(conditioned.whole(&chains.positions()?)?)
    };
    (0..images).map(one).collect()
}

/// How far the guesses are from the first images of x, `train` being what was learned from.
pub fn errors(x: &[f32], inpainted: &[Vec<f32>], train: &[f32]) -> Errors {
    let n = train.len() / PIXELS;
    let square = |a: &mut dyn Iterator<Item = f64>, b: &mut dyn Iterator<Item = f64>| {
        a.zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>()
    };
    let error = |guess: &dyn Fn(usize) -> Vec<f64>| {
        let of = |i: usize| square(&mut image(x, i).skip(GIVEN), &mut guess(i).into_iter().skip(GIVEN));
        ((0..inpainted.len()).map(of).sum::<f64>() / (inpainted.len() * (PIXELS - GIVEN)) as f64).sqrt()
    };
    let nearest = |i: usize| {
        let far = |j: &usize| square(&mut image(x, i).take(GIVEN), &mut image(train, *j).take(GIVEN));
        let nearest = (0..n).min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or(0);
        image(train, nearest).collect()
    };
    Errors {
        chains: error(&|i| image(&mean(&inpainted[i]), 0).collect()),
        mean_image: error(&|_| image(&mean(train), 0).collect()),
        nearest_image: error(&nearest),
    }
}
