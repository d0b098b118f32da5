//! Jets and their reverse against differences, for every energy that can be trained.

use std::sync::Arc;

use ergodic::{
    energy::{Energy, Params},
    train::{Adjoints, Order, Passes, PointPasses, Trainable},
};

use crate::common::{Suite, cases::trainable};

/// Of the largest component; rounding of differences takes some 1e-9.
pub(crate) const BOUND: f64 = 1e-6;

pub(crate) fn add(mut suite: Suite) -> Suite {
    for (name, energy) in trainable() {
        let (a, b, c) = (energy.clone(), energy.clone(), energy);
        suite = suite
            .test(format!("{name}: jets against differences of the energy"), move || jets_against_energy(&*a))
            .test(format!("{name}: the reverse of jets against differences"), move || reverse_against_jets(&*b))
            .test(format!("{name}: blocks, parameters and passes of a batch"), move || batches(&c));
    }
    suite
}

pub(crate) fn params_of(energy: &dyn Trainable) -> Vec<f64> {
    energy.params().iter().map(|&p| f64::from(p)).collect()
}

pub(crate) fn point(dim: usize, i: usize) -> Vec<f64> {
    (0..dim).map(|k| 1.5 * (0.9 * i as f64 + 1.7 * k as f64).sin()).collect()
}

/// Central difference, with the next term of its error removed (Richardson).
pub(crate) fn difference(f: impl Fn(f64) -> f64, h: f64) -> f64 {
    let at = |h: f64| (f(h) - f(-h)) / (2.0 * h);
    (4.0 * at(h / 2.0) - at(h)) / 3.0
}

fn agree(what: &str, found: f64, expected: f64, scale: f64) {
    assert!((found - expected).abs() <= BOUND * scale.max(1e-3), "{what}: {found} is not {expected}");
}

fn jets_against_energy(energy: &dyn Trainable) {
    let (dim, params, stored) = (energy.dim(), params_of(energy), energy.params());
    for i in 0..5 {
        let (x, v) = (point(dim, i), point(dim, i + 17));
        let along = |t: f64| {
            let x: Vec<_> = x.iter().zip(&v).map(|(x, v)| x + t * v).collect();
            energy.jet(&params, &x, &v, Order::Curvature)
        };
        let [value, slope, curvature] = along(0.0);
        agree("value", energy.energy(Params::new(&stored), &x), value, value.abs());
        let mut grad = vec![0.0; dim];
        energy.energy_and_grad(Params::new(&stored), &x, &mut grad);
        agree("v . grad", grad.iter().zip(&v).map(|(g, v)| g * v).sum(), slope, slope.abs());
        agree("slope", slope, difference(|t| along(t)[0], 1e-3), slope.abs());
        agree("curvature", curvature, difference(|t| along(t)[1], 1e-3), curvature.abs());
        assert_eq!(energy.jet(&params, &x, &[], Order::Value)[0], value);
    }
}

fn reverse_against_jets(energy: &dyn Trainable) {
    let (dim, params) = (energy.dim(), params_of(energy));
    for i in 0..4 {
        let (x, v) = (point(dim, i), point(dim, i + 17));
        for adjoints in [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.3, -0.8, 0.5]] {
            let mut grad = vec![0.0; params.len()];
            energy.jet_param_grad(&params, &x, &v, adjoints, &mut grad);
            let weighted = |params: &[f64]| {
                let jet = energy.jet(params, &x, &v, Order::Curvature);
                jet.iter().zip(adjoints).map(|(j, a)| j * a).sum::<f64>()
            };
            let scale = grad.iter().fold(0.0, |most: f64, g| most.max(g.abs()));
            for (at, &found) in grad.iter().enumerate() {
                let moved = |h: f64| {
                    let mut params = params.clone();
                    params[at] += h;
                    weighted(&params)
                };
                agree(&format!("parameter {at}, adjoints {adjoints:?}"), found, difference(moved, 1e-3), scale);
            }
        }
        // Values alone need no direction.
        let (mut with, mut without) = (vec![0.0; params.len()], vec![0.0; params.len()]);
        energy.jet_param_grad(&params, &x, &v, [0.7, 0.0, 0.0], &mut with);
        energy.jet_param_grad(&params, &x, &[], [0.7, 0.0, 0.0], &mut without);
        with.iter().zip(&without).for_each(|(a, b)| assert!((a - b).abs() <= 1e-14 * a.abs().max(1.0)));
    }
}

/// A batch is the sum of its points, in a fixed order, and replaced parameters are those of `with_params`.
fn batches(energy: &Arc<dyn Trainable>) {
    let (dim, n) = (energy.dim(), 150);
    assert_eq!(energy.blocks().iter().map(|block| block.count()).sum::<usize>(), energy.params().len());
    let other: Vec<_> = energy.params().iter().map(|p| p + 0.1).collect();
    assert!(energy.with_params(&other[1..]).is_err());
    let moved = energy.with_params(&other).unwrap();
    assert_eq!((moved.params(), moved.blocks()), (other.clone(), energy.blocks()));
    let mut passes = PointPasses::new(energy.clone());
    passes.set_params(&other).unwrap();
    let points = |from: usize| (0..n).map(|i| point(dim, i + from)).collect::<Vec<_>>();
    let rows = |points: &[Vec<f64>]| (0..dim).flat_map(|k| points.iter().map(move |x| x[k] as f32)).collect::<Vec<_>>();
    let (x, v) = (rows(&points(0)), rows(&points(99)));
    let jets = passes.jets(&x, &v, Order::Curvature).unwrap();
    let of = |adjoints: &[f64]| Adjoints { curvatures: adjoints.to_vec(), values: adjoints.to_vec(), ..Adjoints::default() };
    let adjoints: Vec<_> = (0..n).map(|i| (i as f64).cos()).collect();
    let grad = passes.param_grad(&of(&adjoints)).unwrap();
    assert_eq!(passes.param_grad(&of(&adjoints)).unwrap(), grad);
    assert!(passes.param_grad(&of(&adjoints[1..])).is_err());
    let params = params_of(&*moved);
    let mut expected = vec![0.0; params.len()];
    for i in 0..n {
        let at = |values: &[f32]| (0..dim).map(|k| f64::from(values[k * n + i])).collect::<Vec<_>>();
        let jet = moved.jet(&params, &at(&x), &at(&v), Order::Curvature);
        assert_eq!(jet, [jets.values[i], jets.slopes[i], jets.curvatures[i]]);
        moved.jet_param_grad(&params, &at(&x), &at(&v), [adjoints[i], 0.0, adjoints[i]], &mut expected);
    }
    let scale = expected.iter().fold(1.0, |most: f64, g| most.max(g.abs()));
    grad.iter().zip(&expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-12 * scale, "{a} is not {b}"));
}
