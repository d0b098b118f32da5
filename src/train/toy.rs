//! Data sets in the plane from the engine's random numbers, and the densities of those that have a formula.

use std::f64::consts::{PI, TAU};

use super::Data;
use crate::{
    Error, Result,
    energy::Mixture,
    error::room,
    random::{Draws, Stream, key},
};

/// The pinwheel's arms before they are turned and doubled: standard deviations along and across, and the angle by which the point
/// at radius a is turned, this times exp(a).
const ALONG: f64 = 0.3;
const ACROSS: f64 = 0.1;
const TWIST: f64 = 0.25;

/// Gaussians along a curve of a [`Toy::law`], at most 0.18 of the noise apart. By the midpoint rule the density is then off by 0.13 % at
/// the ends of a curve, (0.18)²/24, and by far less elsewhere.
const ON_CURVE: usize = 1024;

/// Data sets in the plane, of about unit width or a few of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Toy {
    /// Two interleaved half circles of radius 1, with noise of sd 0.1.
    Moons,
    /// Circles of radii 1 and 2, with noise of sd 0.08.
    Rings,
    /// Gaussians of sd 0.2 at eight points of a circle of radius 2.
    EightGaussians,
    /// Five arms of a pinwheel.
    Pinwheel,
    /// The eight black squares of a 4 × 4 board of side 4.
    Checkerboard,
    /// A spiral of one and a half turns, the swiss roll seen from its side.
    SwissRoll,
    /// Two spirals that go round each other.
    Spirals,
}

impl Toy {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Moons, Self::Rings, Self::EightGaussians, Self::Pinwheel, Self::Checkerboard, Self::SwissRoll, Self::Spirals];

    /// The point that these random numbers give.
    fn point(self, draws: &Draws) -> [f64; 2] {
        let mut z = [0.0; 2];
        draws.normals(0, &mut z);
        let (u, w) = (draws.uniform(1), draws.uniform(2));
        if let Some(sd) = self.noise() {
            let centre = self.centre(u, w);
            return [centre[0] + sd * z[0], centre[1] + sd * z[1]];
        }
        match self {
            Self::Pinwheel => {
                // Johnson et al. 2016: a Gaussian along a ray, turned by an angle that grows with the radius.
                let (a, b) = (1.0 + ALONG * z[0], ACROSS * z[1]);
                let turn = (5.0 * u).floor() / 5.0 * TAU + TWIST * a.exp();
                [2.0 * (a * turn.cos() - b * turn.sin()), 2.0 * (a * turn.sin() + b * turn.cos())]
            }
            _ => {
                let column = (4.0 * u).floor();
                let row = 2.0 * (2.0 * w).floor() + column % 2.0;
                [4.0 * u - 2.0, row - 2.0 + draws.uniform(3)]
            }
        }
    }

    /// Standard deviation of the noise around curves and points; None where the law is of another kind.
    fn noise(self) -> Option<f64> {
        match self {
            Self::Moons | Self::SwissRoll | Self::Spirals => Some(0.1),
            Self::Rings => Some(0.08),
            Self::EightGaussians => Some(0.2),
            Self::Pinwheel | Self::Checkerboard => None,
        }
    }

    /// The point without its noise, from two uniforms: where on a curve, and on which.
    fn centre(self, u: f64, w: f64) -> [f64; 2] {
        let on_circle = |radius: f64, turn: f64| [radius * (TAU * turn).cos(), radius * (TAU * turn).sin()];
        match self {
            Self::Moons => {
                let [x, y] = on_circle(1.0, 0.5 * u);
                if w < 0.5 { [x - 0.5, y - 0.25] } else { [0.5 - x, 0.25 - y] }
            }
            Self::Rings => on_circle(if w < 0.5 { 1.0 } else { 2.0 }, u),
            Self::SwissRoll => {
                let t = 1.5 * TAU / 2.0 * (1.0 + 2.0 * u);
                [t * t.cos() / 5.0, t * t.sin() / 5.0]
            }
            Self::Spirals => {
                let t = 1.5 * TAU * u.sqrt();
                let sign = if w < 0.5 { 1.0 } else { -1.0 };
                [sign * -t.cos() * t / 3.0, sign * t.sin() * t / 3.0]
            }
            _ => on_circle(2.0, (8.0 * u).floor() / 8.0),
        }
    }

    /// The law of the points, where it is Gaussian noise around curves or points: a mixture whose Gaussians stand close along the
    /// curves (the density is right to 0.2 %). None for the pinwheel and the checkerboard.
    pub fn law(self) -> Option<Mixture> {
        let sd = self.noise()?;
        let curves = if matches!(self, Self::Moons | Self::Rings | Self::Spirals) { 2 } else { 1 };
        let on_curve = if self == Self::EightGaussians { 8 } else { ON_CURVE };
        let centre = |k: usize| {
            let (u, w) = ((k % on_curve) as f64, (k / on_curve) as f64);
            self.centre((u + 0.5) / on_curve as f64, (w + 0.5) / f64::from(curves)).to_vec()
        };
        let means: Vec<_> = (0..on_curve * curves as usize).map(centre).collect();
        Mixture::new(&vec![1.0; means.len()], &means, &vec![sd; means.len()]).ok()
    }

    /// So many points, the first of them the same for any number.
    ///
    /// # Errors
    /// [`Error::Setting`] where none are asked for, or more than memory holds; [`Error::Limit`] beyond 2³² − 1.
    pub fn draw(self, points: usize, seed: u64) -> Result<Data> {
        if points == 0 {
            return Err(Error::setting("points of a data set", 0, "must be at least 1"));
        }
        room("points of a data set", points, 4 * size_of::<f32>())?;
        let key = key(seed, Stream::Data, self as u64);
        let of = |i: usize| self.point(&Draws::new(key, i as u32, 0)).map(|x| x as f32);
        let all: Vec<_> = (0..points).map(of).collect();
        Data::new(2, (0..2).flat_map(|i| all.iter().map(move |x| x[i])).collect::<Vec<_>>())
    }

    /// ln of the density that the points are drawn from, where it has a formula of another kind than [`law`](Self::law): of the pinwheel
    /// (but for what lies more than six standard deviations off an arm) and the checkerboard (−∞ off its squares). NaN of what is
    /// no point of the plane.
    pub fn ln_density(self, x: [f64; 2]) -> Option<f64> {
        match self {
            Self::Pinwheel | Self::Checkerboard if !x.iter().all(|x| x.is_finite()) => Some(f64::NAN),
            Self::Pinwheel => Some(pinwheel(x)),
            Self::Checkerboard => {
                let inside = x.iter().all(|x| (-2.0..2.0).contains(x)) && (x[0].floor() + x[1].floor()) % 2.0 == 0.0;
                Some(if inside { -8f64.ln() } else { f64::NEG_INFINITY })
            }
            _ => None,
        }
    }
}

/// ln of the pinwheel's density. With r = |x|/2 and ψ the angle of x, a point of an arm has a = r cos w and b = r sin w with
/// w + exp(a)/4 + the arm's angle = ψ, and (a, b) ↦ x has the determinant 4 (1 − b exp(a)/4).
fn pinwheel(x: [f64; 2]) -> f64 {
    let (r, angle) = (0.5 * x[0].hypot(x[1]), x[1].atan2(x[0]));
    let widest = if r < 6.0 * ACROSS { PI } else { (6.0 * ACROSS / r).asin() };
    let turned = |w: f64| w + TWIST * (r * w.cos()).exp();
    let mut sum = 0.0;
    for arm in 0..5 {
        let wanted = angle - TAU * f64::from(arm) / 5.0;
        // The solution within the range, a whole number of turns off.
        let goal = wanted + TAU * ((turned(-widest) - wanted) / TAU).ceil();
        if goal > turned(widest) {
            continue;
        }
        let (mut left, mut right) = (-widest, widest);
        for _ in 0..50 {
            let middle = 0.5 * (left + right);
            if turned(middle) < goal { left = middle } else { right = middle }
        }
        let (a, b) = (r * left.cos(), r * left.sin());
        let square = ((a - 1.0) / ALONG).powi(2) + (b / ACROSS).powi(2);
        sum += (-0.5 * square).exp() / (TAU * ALONG * ACROSS * (1.0 - TWIST * b * a.exp()).abs());
    }
    (sum / 20.0).ln()
}
