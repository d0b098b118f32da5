//! The data: narrow Gaussians along curves and over squares, so that the density is known at every noise level.

use anyhow::Result;
use clap::ValueEnum;
use ergodic::{
    energy::Mixture,
    random::{Draws, Stream, key, uniform},
};

/// A data set in the plane, of mean zero and about unit scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Data {
    /// Two half circles, one within the other.
    Moons,
    /// Two circles.
    Rings,
    /// Every other square of a board of four by four.
    Checkerboard,
}

impl Data {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Moons => "moons",
            Self::Rings => "rings",
            Self::Checkerboard => "checkerboard",
        }
    }

    /// The law of the data.
    pub(crate) fn law(self) -> Result<Mixture> {
        let arc = |centre: [f64; 2], radius: f64, from: f64, to: f64, count: usize| {
            (0..count).map(move |i| {
                let angle = std::f64::consts::PI * (from + (to - from) * (i as f64 + 0.5) / count as f64);
                vec![centre[0] + radius * angle.cos(), centre[1] + radius * angle.sin()]
            })
        };
        let (means, sd): (Vec<Vec<f64>>, f64) = match self {
            Self::Moons => (arc([-0.75, -0.3], 1.5, 0.0, 1.0, 24).chain(arc([0.75, 0.3], 1.5, 1.0, 2.0, 24)).collect(), 0.15),
            Self::Rings => (arc([0.0; 2], 2.0, 0.0, 2.0, 40).chain(arc([0.0; 2], 0.8, 0.0, 2.0, 16)).collect(), 0.12),
            Self::Checkerboard => {
                // Three by three in each of the eight squares, whose side is one.
                let squares = (0..16).filter(|s| (s / 4 + s % 4) % 2 == 0).map(|s| [f64::from(s / 4), f64::from(s % 4)]);
                let within = |[row, column]: [f64; 2]| {
                    (0..9).map(move |i| {
                        vec![column - 2.0 + f64::from(2 * (i % 3) + 1) / 6.0, row - 2.0 + f64::from(2 * (i / 3) + 1) / 6.0]
                    })
                };
                (squares.flat_map(within).collect(), 0.12)
            }
        };
        Ok(Mixture::new(&vec![1.0; means.len()], &means, &vec![sd; means.len()])?)
    }
}

/// Exact draws of a mixture of equal widths and weights, `[dim][point]`.
pub(crate) fn draws(law: &Mixture, count: usize, seed: u64, set: u64) -> Vec<f32> {
    let (means, sd) = (law.means(), law.sds().map_or(0.0, |sds| sds[0]));
    let key = key(seed, Stream::Check, 1 + set);
    let mut x = vec![0f32; 2 * count];
    let mut z = [0.0; 2];
    for point in 0..count {
        let draws = Draws::new(key, point as u32, 0);
        let mean = &means[(uniform(draws.bits(0)) * means.len() as f64) as usize];
        draws.normals(1, &mut z);
        for i in 0..2 {
            x[i * count + point] = (mean[i] + sd * z[i]) as f32;
        }
    }
    x
}
