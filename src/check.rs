//! Checks made before a run: that chains can stand where they start, and that the two functions of an energy and its gradient fit
//! together.

use crate::{
    Error, Result,
    energy::{Energy, Params},
    random::{Draws, Stream, key},
};

/// An energy that a chain can start from, with a finite gradient.
pub(crate) fn start(chain: u64, energy: f64, mut grad: impl Iterator<Item = f64>) -> Result<()> {
    let why = |why: String| Err(Error::Start { chain, coordinate: None, why });
    if energy.is_nan() {
        return why("its energy is NaN there".into());
    }
    if energy.abs() >= 1e30 {
        return why(format!("its energy is {energy} there; start inside of the support, where |E| < 1e30"));
    }
    match grad.position(|g| !g.is_finite()) {
        None => Ok(()),
        Some(i) => Err(Error::Start { chain, coordinate: Some(i), why: "its gradient is not finite there".into() }),
    }
}

/// Whether all chains start at the same point; `start` is `[dim][chain]`.
pub(crate) fn is_one_point(start: &[f32], chains: usize) -> bool {
    start.chunks(chains).all(|row| row.iter().all(|&x| x == row[0]))
}

/// An energy that differences can be taken of.
pub(crate) fn is_inside(energy: f64) -> bool {
    energy.abs() < 1e30
}

/// How far the points lie from the starts of some chains, twice over: the scale of the energy is not known, and at a start that
/// all chains share (a mode, say) a gradient may be zero by symmetry.
const DISTANCES: [f64; 8] = [1.0, 0.1, 0.01, 0.001, 1.0, 0.1, 0.01, 0.001];
/// Coordinates compared at each point.
const COORDINATES: usize = 16;
/// Half widths of the central differences: 10^(k/2) from 10⁻⁶ to 10⁵. The narrow ones are for steep energies (scales of 10⁻³ and
/// less), the wide ones for flat and large ones; a width whose difference drowns in rounding says nothing.
pub(crate) const WIDTHS: usize = 23;
/// The accuracy asked of a gradient. A difference at the best width is accurate to 10⁻³ for an energy of scale one in f32, and a
/// mistake in a formula is seldom below 10⁻¹ at all of the points.
const TOLERANCE: f64 = 0.01;
/// Rounding of an energy in units of ε (|E| + 1): a few operations on terms of the size of E or one.
const ROUNDINGS: f64 = 8.0;
/// A difference is believed where this many narrower ones do not contradict it.
const NARROWER: usize = 2;

fn width(k: usize) -> f64 {
    10f64.powf(0.5 * k as f64 - 6.0)
}

/// Points within a few roundings of each probe, at which the energy shows how far rounding moves it.
const NEAR: u32 = 4;

/// A point, those near it, and the coordinates of the gradient to be compared there.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    pub(crate) x: Vec<f32>,
    near: Vec<Vec<f32>>,
    pub(crate) coordinates: Vec<usize>,
}

impl Probe {
    /// Where [`same_energy`] needs the energy alone.
    pub(crate) fn alone(&self) -> impl Iterator<Item = &Vec<f32>> {
        std::iter::once(&self.x).chain(&self.near)
    }
}

/// Random points near the start, each with a random choice of coordinates. `start` is `[dim][chain]`.
pub(crate) fn probes(dim: usize, start: &[f32], chains: usize, seed: u64) -> Vec<Probe> {
    let key = key(seed, Stream::Check, 0);
    let probe = |(point, distance): (u32, f64)| {
        let chain = (Draws::new(key, point, 0).uniform(0) * chains as f64) as usize;
        let mut z = vec![0.0; dim];
        Draws::new(key, point, 0).normals(1, &mut z);
        let x: Vec<_> = (0..dim).map(|i| start[i * chains + chain] + (distance * z[i]) as f32).collect();
        let signs = Draws::new(key, point, 2 << 20);
        let sign = |k: u32, i: usize| (signs.uniform(k * dim as u32 + i as u32) - 0.5).signum();
        let nudged = |k: u32, i: usize| (f64::from(x[i]) * (1.0 + sign(k, i) * ROUNDINGS * f64::from(f32::EPSILON))) as f32;
        let near = (0..NEAR).map(|k| (0..dim).map(|i| nudged(k, i)).collect()).collect();
        let choose = |k: u32| match dim <= COORDINATES {
            true => k as usize,
            false => (Draws::new(key, point, 1 << 20).uniform(k) * dim as f64) as usize,
        };
        Probe { x, near, coordinates: (0..dim.min(COORDINATES) as u32).map(choose).collect() }
    };
    (0..).zip(DISTANCES).map(probe).collect()
}

/// The points at which a probe needs the energy: its own, then, coordinate by coordinate, those below and above it.
pub(crate) fn points(probe: &Probe) -> Vec<Vec<f32>> {
    let moved = |i: usize, by: f64| {
        let mut x = probe.x.clone();
        x[i] = (f64::from(x[i]) + by) as f32;
        x
    };
    let mut points = vec![probe.x.clone()];
    for &i in &probe.coordinates {
        points.extend((0..WIDTHS).flat_map(|k| [moved(i, -width(k)), moved(i, width(k))]));
    }
    points
}

/// Compares the energies, at a probe, of a user's two functions: `alone` are those of the first at [`Probe::alone`].
///
/// The two may sum in different orders, and what a sum of n terms loses to rounding is between √n and n units of ε: half of the digits
/// are right of any sum that fits in a shader, so they are asked for, of the energy or, where that is smaller, of terms of size one. Where
/// larger terms cancel, an energy is as uncertain as a few roundings of its position move it.
pub(crate) fn same_energy(name: &str, probe: &Probe, alone: &[f64], with_grad: f64, epsilon: f64) -> Result<()> {
    let (own, near) = (alone[0], &alone[1..]);
    let inside = is_inside(own);
    // At the edge of the support rounding decides on which side a point is.
    let same = near.iter().any(|&energy| is_inside(energy) != inside)
        || match (inside, is_inside(with_grad)) {
            (true, true) => {
                let moved = near.iter().map(|energy| (energy - own).abs()).fold(0.0, f64::max);
                (own - with_grad).abs() <= epsilon.sqrt() * (own.abs() + 1.0) + moved
            }
            (own, other) => own == other,
        };
    match same {
        true => Ok(()),
        false => Err(Error::Energies { energy: name.into(), alone: own, with_grad, position: probe.x.clone() }),
    }
}

/// Compares the gradient at a probe with central differences of the energies at its [`points`]. `epsilon` is the rounding unit
/// in which they were computed.
pub(crate) fn compare(name: &str, probe: &Probe, grad: &[f64], energies: &[f64], epsilon: f64) -> Result<()> {
    if !is_inside(energies[0]) {
        return Ok(());
    }
    let points = points(probe);
    let sides = points[1..].chunks_exact(2 * WIDTHS).zip(energies[1..].chunks_exact(2 * WIDTHS));
    for (&coordinate, (points, energies)) in probe.coordinates.iter().zip(sides) {
        let differences: Vec<_> = points
            .chunks_exact(2)
            .zip(energies.chunks_exact(2))
            .filter_map(|(x, e)| {
                Difference::new(f64::from(x[1][coordinate]) - f64::from(x[0][coordinate]), e[0], e[1], epsilon)
            })
            .collect();
        if let Some(expected) = contradiction(grad[coordinate], &differences) {
            let (energy, found, position) = (name.into(), grad[coordinate], probe.x.clone());
            return Err(Error::Gradient { energy, coordinate, found, expected, position });
        }
    }
    Ok(())
}

/// A central difference of the energy, and how far rounding may have moved it.
struct Difference {
    slope: f64,
    rounding: f64,
}

impl Difference {
    /// None where a side is outside of the support, or where the width vanishes beside the position.
    fn new(width: f64, below: f64, above: f64, epsilon: f64) -> Option<Self> {
        let size = below.abs().max(above.abs()) + 1.0;
        (width > 0.0 && is_inside(below) && is_inside(above))
            .then(|| Self { slope: (above - below) / width, rounding: ROUNDINGS * epsilon * size / width })
    }
}

/// What the differences, of growing width, say a partial derivative is, if they say that it is not `found`.
///
/// A difference is informative where rounding moves it by less than the tolerance. One informative difference that agrees is
/// enough. One that disagrees is believed if no narrower one contradicts it (a wide difference of a crooked energy, or one of an
/// energy that rounds more than expected, disagrees with narrower ones) and if it misses by more than the next wider one would
/// move it: differences are off by the square of their width, so by a tenth of that.
fn contradiction(found: f64, differences: &[Difference]) -> Option<f64> {
    let mut expected = None;
    for (i, own) in differences.iter().enumerate() {
        let size = if found.is_finite() { own.slope.abs().max(found.abs()) } else { own.slope.abs() };
        if own.rounding > TOLERANCE * size {
            continue;
        }
        let allowed = TOLERANCE * size + own.rounding;
        let miss = (found - own.slope).abs();
        if miss <= allowed {
            return None;
        }
        let agrees = |narrow: &Difference| (narrow.slope - own.slope).abs() <= allowed + narrow.rounding;
        let bends = differences.get(i + 1).map_or(f64::INFINITY, |wide| (wide.slope - own.slope).abs());
        let is_resolved = miss.is_nan() || miss > bends;
        if i >= NARROWER && is_resolved && differences[..i].iter().all(agrees) {
            expected = expected.or(Some(own.slope));
        }
    }
    expected
}

/// Compares the two energies of an f64 twin, and its gradient with their differences.
pub(crate) fn twin(target: &dyn Energy, start: &[f32], chains: usize, seed: u64) -> Result<()> {
    let values = target.params();
    let params = Params::new(&values);
    let mut grad = vec![0.0; target.dim()];
    let in_f64 = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    for probe in probes(target.dim(), start, chains, seed) {
        let with_grad = target.energy_and_grad(params, &in_f64(&probe.x), &mut grad);
        let alone: Vec<_> = probe.alone().map(|x| target.energy(params, &in_f64(x))).collect();
        same_energy(&target.name(), &probe, &alone, with_grad, TWIN_EPSILON)?;
        let energies: Vec<_> = points(&probe).iter().map(|x| target.energy(params, &in_f64(x))).collect();
        compare(&target.name(), &probe, &grad, &energies, TWIN_EPSILON)?;
    }
    Ok(())
}

/// Rounding of an energy in f64: that of sums of a thousand terms that cancel to a tenth.
const TWIN_EPSILON: f64 = 1e4 * f64::EPSILON;

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(f64) -> f64;
    type Mistake = fn([f32; 2], &[f32]) -> [f32; 2];
    type Formula = fn(&[f32]) -> (f32, [f32; 2]);

    /// Formulas in f32 as a device computes them, with the standard deviation of the start and its distance from the origin.
    const FORMULAS: [(&str, Formula, f64, f64); 13] = [
        ("normal", |x| (0.5 * (x[0] * x[0] + 2.0 * x[1] * x[1]), [x[0], 2.0 * x[1]]), 1.0, 0.0),
        ("all chains at the mode", |x| (0.5 * (x[0] * x[0] + 2.0 * x[1] * x[1]), [x[0], 2.0 * x[1]]), 0.0, 0.0),
        ("far start", |x| (0.5 * (x[0] * x[0] + 2.0 * x[1] * x[1]), [x[0], 2.0 * x[1]]), 1.0, 1e5),
        ("steep", |x| (1e6 * (x[0] * x[0] + 2.0 * x[1] * x[1]), [2e6 * x[0], 4e6 * x[1]]), 1.0, 0.0),
        (
            "tiny scale",
            |x| {
                let (u, v) = (x[0] / 1e-3, x[1] / 1e-3);
                ((u * u - 1.0).powi(2) + v * v, [4e3 * u * (u * u - 1.0), 2e3 * v])
            },
            1e-3,
            0.0,
        ),
        (
            "tiny scale, wide start",
            |x| {
                let (u, v) = (x[0] / 1e-3, x[1] / 1e-3);
                ((u * u - 1.0).powi(2) + v * v, [4e3 * u * (u * u - 1.0), 2e3 * v])
            },
            1.0,
            0.0,
        ),
        ("large scale", |x| (0.5 * (x[0] / 1e5).powi(2) + (x[1] / 1e5).powi(2), [x[0] / 1e10, 2.0 * x[1] / 1e10]), 1e5, 0.0),
        ("flat", |x| (1e-4 * x[0] * x[0] + 3e-4 * x[1] * x[1], [2e-4 * x[0], 6e-4 * x[1]]), 1.0, 0.0),
        ("offset", |x| (1e4 + 0.5 * (x[0] * x[0] + 2.0 * x[1] * x[1]), [x[0], 2.0 * x[1]]), 1.0, 0.0),
        (
            "valley",
            |x| {
                let d = x[1] - x[0] * x[0];
                (100.0 * d * d + (1.0 - x[0]).powi(2), [-400.0 * x[0] * d - 2.0 * (1.0 - x[0]), 200.0 * d])
            },
            1.0,
            0.0,
        ),
        (
            "ripples",
            |x| {
                let t = std::f32::consts::TAU;
                let e = |v: f32| v * v + 10.0 * (1.0 - (t * v).cos());
                (e(x[0]) + e(x[1]), [2.0 * x[0] + 10.0 * t * (t * x[0]).sin(), 2.0 * x[1] + 10.0 * t * (t * x[1]).sin()])
            },
            1.0,
            0.0,
        ),
        (
            "well with soft walls",
            |x| {
                let wall = |v: f32| v.max(0.0) + (-v.abs()).exp().ln_1p();
                let push = |v: f32| 1.0 / (1.0 + (-v).exp());
                (wall(x[0] - 20.0) + 0.5 * x[1] * x[1], [push(x[0] - 20.0), x[1]])
            },
            1.0,
            0.0,
        ),
        (
            "cone",
            |x| {
                let r = (x[0] * x[0] + x[1] * x[1] + 1e-6).sqrt();
                (3.0 * r, [3.0 * x[0] / r, 3.0 * x[1] / r])
            },
            1.0,
            0.0,
        ),
    ];

    /// Mistakes in a gradient.
    const MISTAKES: [(&str, Mistake); 6] = [
        ("flipped sign", |g, _| [-g[0], -g[1]]),
        ("flipped sign of one", |g, _| [g[0], -g[1]]),
        ("twice one", |g, _| [g[0], 2.0 * g[1]]),
        ("swapped", |g, _| [g[1], g[0]]),
        ("zero", |_, _| [0.0; 2]),
        ("not a number", |g, _| [g[0], f32::NAN]),
    ];

    fn check(formula: Formula, sd: f64, distance: f64, seed: u64, mistake: Mistake) -> Result<()> {
        let mut start = vec![0.0; 128];
        Draws::new(key(seed, Stream::Start, 0), 0, 0).normals(0, &mut start);
        let start: Vec<_> = start.iter().map(|z| (distance + sd * z) as f32).collect();
        for probe in probes(2, &start, 64, seed) {
            let grad = mistake(formula(&probe.x).1, &probe.x).map(f64::from);
            let energies: Vec<_> = points(&probe).iter().map(|x| f64::from(formula(x).0)).collect();
            compare("formula", &probe, &grad, &energies, f64::from(f32::EPSILON))?;
        }
        Ok(())
    }

    /// The energy with the gradient is rounded otherwise than the energy alone, and then changed.
    fn check_energies(formula: Formula, sd: f64, distance: f64, seed: u64, mistake: Change) -> Result<()> {
        let mut start = vec![0.0; 128];
        Draws::new(key(seed, Stream::Start, 0), 0, 0).normals(0, &mut start);
        let start: Vec<_> = start.iter().map(|z| (distance + sd * z) as f32).collect();
        for probe in probes(2, &start, 64, seed) {
            let alone: Vec<_> = probe.alone().map(|x| f64::from(formula(x).0)).collect();
            let other_rounding = probe.near[0].clone();
            let with_grad = mistake(f64::from(formula(&other_rounding).0));
            same_energy("formula", &probe, &alone, with_grad, f64::from(f32::EPSILON))?;
        }
        Ok(())
    }

    #[test]
    fn energies_that_round_differently_give_no_alarm() {
        for (name, formula, sd, distance) in FORMULAS {
            for seed in 0..200 {
                let found = check_energies(formula, sd, distance, seed, |e| e);
                assert!(found.is_ok(), "{name}, seed {seed}: {found:?}");
            }
        }
    }

    #[test]
    fn different_energies_are_found() {
        const MISTAKES: [(&str, Change); 5] = [
            ("one percent more", |e| 1.01 * e + 1e-3),
            ("a constant", |e| e + 0.01 * (e.abs() + 1.0)),
            ("flipped sign", |e| -e - 1e-3),
            ("not a number", |_| f64::NAN),
            ("outside of the support", |_| f64::INFINITY),
        ];
        for (name, formula, sd, distance) in FORMULAS {
            for (mistake, plant) in MISTAKES {
                let found = |seed| check_energies(formula, sd, distance, seed, plant);
                let missed: Vec<_> = (0..200).filter(|&seed| !matches!(found(seed), Err(Error::Energies { .. }))).collect();
                assert!(missed.is_empty(), "{name}, {mistake}: missed with seeds {missed:?}");
            }
        }
    }

    /// Of terms that cancel to nothing: the floor of the valley, where x² is 10¹⁰.
    #[test]
    fn energies_of_cancelling_terms_give_no_alarm() {
        let fused = |x: &[f32]| f64::from(x[1]) - f64::from(x[0]) * f64::from(x[0]);
        for seed in 0..200 {
            for probe in probes(2, &[1.234_567e5, 1.524_155_7e10], 1, seed) {
                let alone: Vec<_> = probe.alone().map(|x| f64::from(x[1] - x[0] * x[0]).powi(2)).collect();
                same_energy("valley", &probe, &alone, fused(&probe.x).powi(2), f64::from(f32::EPSILON)).unwrap();
            }
        }
    }

    #[test]
    fn right_gradients_give_no_alarm() {
        for (name, formula, sd, distance) in FORMULAS {
            for seed in 0..200 {
                let found = check(formula, sd, distance, seed, |g, _| g);
                assert!(found.is_ok(), "{name}, seed {seed}: {found:?}");
            }
        }
    }

    #[test]
    fn mistakes_are_found() {
        for (name, formula, sd, distance) in FORMULAS {
            for (mistake, plant) in MISTAKES {
                let missed: Vec<_> = (0..200).filter(|&seed| check(formula, sd, distance, seed, plant).is_ok()).collect();
                assert!(missed.is_empty(), "{name}, {mistake}: missed with seeds {missed:?}");
            }
        }
    }

    /// A term is missing: the coupling of the valley's coordinates.
    #[test]
    fn a_missing_term_is_found_in_its_coordinate() {
        let (_, valley, ..) = FORMULAS[9];
        for seed in 0..200 {
            let found = check(valley, 1.0, 0.0, seed, |g, x| [g[0] + 400.0 * x[0] * (x[1] - x[0] * x[0]), g[1]]);
            assert!(matches!(found, Err(Error::Gradient { coordinate: 0, .. })), "seed {seed}: {found:?}");
        }
    }
}
