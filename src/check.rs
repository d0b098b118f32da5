//! Checks made before a run: that chains can stand where they start, and that a gradient fits its energy.

use crate::{
    Collect, Error, Result,
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

/// At least one draw.
pub(crate) fn draws(collect: Collect) -> Result<()> {
    if collect.draws == 0 {
        return Err(Error::setting("draws", 0, "must be at least 1"));
    }
    Ok(())
}

/// An energy that differences can be taken of.
pub(crate) fn is_inside(energy: f64) -> bool {
    energy.abs() < 1e30
}

/// Points at which a gradient is compared with differences, around the starts of some chains: coordinates one after another.
const POINTS: usize = 8;
/// Coordinates compared at each point.
const COORDINATES: usize = 16;
/// Half widths of the central differences, relative to max(1, |x|).
pub(crate) const WIDTHS: [f64; 4] = [0.1, 0.03, 0.01, 0.003];

/// One comparison: a coordinate of a point.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    pub(crate) x: Vec<f32>,
    pub(crate) coordinate: usize,
}

/// Random points near the start, each with a random choice of coordinates. `start` is [dim][chain].
pub(crate) fn probes(dim: usize, start: &[f32], chains: usize, seed: u64) -> Vec<Probe> {
    let key = key(seed, Stream::Check, 0);
    let mut probes = Vec::new();
    for point in 0..POINTS as u32 {
        let chain = (Draws::new(key, point, 0).uniform(0) * chains as f64) as usize;
        let mut z = vec![0.0; dim];
        Draws::new(key, point, 0).normals(1, &mut z);
        let x: Vec<f32> = (0..dim).map(|i| start[i * chains + chain] + 0.5 * z[i] as f32).collect();
        for k in 0..dim.min(COORDINATES) as u32 {
            let coordinate = if dim <= COORDINATES {
                k as usize
            } else {
                (Draws::new(key, point, 1 << 20).uniform(k) * dim as f64) as usize
            };
            probes.push(Probe { x: x.clone(), coordinate });
        }
    }
    probes
}

/// The position of a probe, moved by `by` half widths of index `width`; with the coordinate's exact value in f32.
pub(crate) fn moved(probe: &Probe, width: usize, sign: f64) -> Vec<f32> {
    let mut x = probe.x.clone();
    let at = f64::from(x[probe.coordinate]);
    x[probe.coordinate] = (at + sign * WIDTHS[width] * at.abs().max(1.0)) as f32;
    x
}

/// Compares one coordinate of the gradient with central differences of the energy: `energies[width] = (x, E) below and above`.
/// Some width must agree to 2 %, or to the rounding of the energies (`epsilon` relative).
pub(crate) fn compare(
    name: &str,
    probe: &Probe,
    found: f64,
    energies: &[[(f64, f64); 2]; WIDTHS.len()],
    epsilon: f64,
) -> Result<()> {
    let mut best = (f64::INFINITY, f64::NAN);
    for &[(x0, e0), (x1, e1)] in energies {
        if !(is_inside(e0) && is_inside(e1)) {
            // At the edge of the support: nothing to compare with.
            return Ok(());
        }
        let expected = (e1 - e0) / (x1 - x0);
        let allowed = 0.02 * expected.abs().max(found.abs()) + 8.0 * epsilon * (e0.abs().max(e1.abs()) + 1.0) / (x1 - x0);
        let miss = (found - expected).abs() / allowed;
        if miss <= 1.0 {
            return Ok(());
        }
        if !(miss >= best.0) {
            best = (miss, expected);
        }
    }
    Err(Error::Gradient {
        energy: name.into(),
        coordinate: probe.coordinate,
        found,
        expected: best.1,
        position: probe.x.clone(),
    })
}

/// Compares the gradient of an f64 twin with differences of its energy.
pub(crate) fn gradient_of_twin(target: &dyn Energy, start: &[f32], chains: usize, seed: u64) -> Result<()> {
    let values = target.params();
    let params = Params::new(&values);
    let mut grad = vec![0.0; target.dim()];
    for probe in probes(target.dim(), start, chains, seed) {
        let x: Vec<f64> = probe.x.iter().map(|&x| f64::from(x)).collect();
        if !is_inside(target.energy_and_grad(params, &x, &mut grad)) {
            continue;
        }
        let side = |width: usize, sign: f64| {
            let x: Vec<f64> = moved(&probe, width, sign).iter().map(|&x| f64::from(x)).collect();
            (x[probe.coordinate], target.energy(params, &x))
        };
        let energies = std::array::from_fn(|width| [side(width, -1.0), side(width, 1.0)]);
        compare(&target.name(), &probe, grad[probe.coordinate], &energies, f64::from(f32::EPSILON))?;
    }
    Ok(())
}
