//! Settings that cannot be are typed errors.

use std::sync::Arc;

use ergodic::{
    Backend, Error, Result, Start,
    energy::{
        Bernoulli, Beta, Compose, Convex, Dirichlet, Energy, Exponential, Gamma, Gaussian, HalfCauchy, InverseGamma, Params,
        Poisson, StudentT,
    },
    kernel::{Hmc, Lattice, Mala, Rwm, Ula},
    transform::{Affine, Log, Logit, Ordered, StickBreaking, Transform},
};

fn setting<T: std::fmt::Debug>(result: Result<T>) {
    assert!(matches!(result, Err(Error::Setting { .. })), "{result:?}");
}

fn unsupported<T: std::fmt::Debug>(result: Result<T>) {
    assert!(matches!(result, Err(Error::Unsupported(_))), "{result:?}");
}

pub(crate) fn families() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        setting(Gamma::new(1, bad, 1.0));
        setting(Gamma::new(1, 1.0, bad));
        setting(Exponential::new(1, bad));
        setting(Beta::new(1, bad, 1.0));
        setting(Beta::new(1, 1.0, bad));
        setting(Dirichlet::new(&[1.0, bad]));
        setting(InverseGamma::new(1, bad, 1.0));
        setting(InverseGamma::new(1, 1.0, bad));
        setting(HalfCauchy::new(1, bad));
        setting(StudentT::new(1, bad, 0.0, 1.0));
        setting(StudentT::new(1, 1.0, 0.0, bad));
        setting(Poisson::new(1, bad));
        setting(Bernoulli::new(1, bad));
    }
    setting(StudentT::new(1, 1.0, f64::NAN, 1.0));
    setting(Bernoulli::new(1, 1.0));
    setting(Dirichlet::new(&[1.0]));
}

pub(crate) fn transforms() {
    let flat = || Gaussian::standard(4);
    setting(flat().constrain(0..1, Log::above(f64::NAN)));
    setting(flat().constrain(0..1, Logit::between(1.0, 1.0)));
    setting(flat().constrain(0..1, Logit::between(2.0, 1.0)));
    setting(flat().constrain(0..1, Logit::between(0.0, f64::INFINITY)));
    setting(flat().constrain(0..1, Affine::new(0.0, 0.0)));
    setting(flat().constrain(0..1, Affine::new(f64::NAN, 1.0)));
    setting(flat().constrain(0..1, Ordered));
    setting(flat().constrain(0..1, StickBreaking));
    setting(flat().constrain(2..2, Log::above(0.0)));
    setting(flat().constrain(3..5, Log::above(0.0)));
    let constrained = || flat().constrain(1..3, Log::above(0.0)).unwrap();
    setting(constrained().constrain(2..4, Ordered));
    constrained().constrain(3..4, Log::above(0.0)).unwrap();
}

/// Positions of another length, or with a number that is not finite, have no free coordinates; the coordinate is named.
pub(crate) fn positions() {
    let flat = || Gaussian::standard(5);
    for (constrained, inside) in [
        (flat().constrain(2..5, Log::above(0.0)), [0.0, 0.0, 1.0, 2.0, 3.0]),
        (flat().constrain(2..5, Log::below(9.0)), [0.0, 0.0, 1.0, 2.0, 3.0]),
        (flat().constrain(2..5, Logit::between(0.0, 4.0)), [0.0, 0.0, 1.0, 2.0, 3.0]),
        (flat().constrain(2..5, Affine::new(1.0, 2.0)), [0.0, 0.0, 1.0, 2.0, 3.0]),
        (flat().constrain(2..5, Ordered), [0.0, 0.0, 1.0, 2.0, 3.0]),
        (flat().constrain(2..5, StickBreaking), [0.0, 0.0, 0.5, 0.25, 0.25]),
    ] {
        let constrained = constrained.unwrap();
        let refused = |mut point: Vec<f64>| constrained.constraints().unwrap().free(&mut point).unwrap_err();
        constrained.constraints().unwrap().free(&mut inside.clone()).unwrap();
        for length in [0, 1, 3, 4] {
            let outside = refused(inside[..length].to_vec());
            assert_eq!((outside.coordinate, outside.why.contains("must have 5")), (length, true), "{outside:?}");
        }
        assert_eq!(refused([&inside[..], &[0.0]].concat()).coordinate, 5);
        for at in 0..5 {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let mut point = inside.to_vec();
                point[at] = bad;
                let outside = refused(point);
                assert_eq!((outside.coordinate, outside.why.contains("must be finite")), (at, true), "{outside:?}");
            }
        }
    }
    // Transforms by themselves know of their supports alone.
    let outside = |transform: &dyn Transform, mut x: Vec<f64>| {
        transform.free(Params::new(&transform.params()), &mut x).unwrap_err().coordinate
    };
    assert_eq!(outside(&Log::above(0.0), vec![1.0, f64::NAN]), 1);
    assert_eq!(outside(&Logit::between(0.0, 1.0), vec![0.5, f64::NAN]), 1);
    assert_eq!(outside(&Ordered, vec![0.0, f64::NAN, 2.0]), 2);
    assert_eq!(outside(&StickBreaking, vec![0.5, f64::NAN, 0.5]), 1);
}

/// Free coordinates of another number have no positions.
pub(crate) fn free_coordinates() {
    let constrained = Gaussian::standard(3).constrain(1..3, Ordered).unwrap();
    let constraints = constrained.constraints().unwrap();
    let free = [0.5f32, -1.0, 0.25];
    let mut point = free.map(f64::from);
    assert!(constraints.position(&mut point).unwrap().is_finite());
    assert_eq!(constraints.positions(&free, 1).unwrap(), point.map(|x| x as f32));
    for length in [0, 1, 2, 4] {
        let error = constraints.position(&mut vec![0.5; length]).unwrap_err();
        assert!(matches!(error, Error::Shape { expected: 3, .. }), "{error}");
    }
    for (count, chains) in [(0, 1), (2, 1), (4, 1), (3, 0), (3, 2), (0, usize::MAX)] {
        let error = constraints.positions(&vec![0.5; count], chains).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    }
    assert!(constraints.positions(&[], 0).unwrap().is_empty());
}

/// What is composed of energies of free coordinates is none of positions; nor are a temperature or gradients where there are none.
pub(crate) fn compositions() {
    let constrained = || Gaussian::standard(2).constrain(0..1, Log::above(0.0)).unwrap();
    let shared: Arc<dyn Energy> = Arc::new(constrained());
    unsupported(constrained().plus(Gaussian::standard(2)));
    unsupported(Gaussian::standard(2).mixed_with(0.5, constrained()));
    unsupported(Convex::new(&[1.0], [shared.clone()]));
    unsupported(constrained().at_temperature(2.0));
    unsupported(shared.constrain(1..2, Log::above(0.0)));
    let setup = || Backend::cpu().chains(constrained(), Rwm::new(0.5)).count(2);
    setup().build().unwrap();
    unsupported(setup().temperature(2.0).build().map(drop));
    unsupported(Backend::cpu().chains(constrained(), Ula::new(0.1).temperature(0.5)).count(2).build().map(drop));
}

pub(crate) fn discrete(backend: Backend) {
    let poisson = || Poisson::new(2, 3.0).unwrap();
    setting(backend.chains(poisson(), Lattice::new(0)).count(2).start(Start::point([1.0])).build().map(drop));
    setting(backend.chains(poisson(), Lattice::new(u32::MAX)).count(2).start(Start::point([1.0])).build().map(drop));
    let start = |result: Result<()>| assert!(matches!(result, Err(Error::Start { .. })), "{result:?}");
    start(backend.chains(poisson(), Lattice::new(1)).count(2).start(Start::point([0.5])).build().map(drop));
    start(backend.chains(poisson(), Lattice::new(1)).count(2).start(Start::point([-1.0])).build().map(drop));
    start(backend.chains(poisson(), Lattice::new(1)).count(2).build().map(drop));
    start(backend.chains(poisson(), Mala::new(0.1)).count(2).start(Start::point([1.0])).build().map(drop));
    start(
        backend.chains(Bernoulli::new(1, 0.5).unwrap(), Hmc::new(0.1, 2)).count(2).start(Start::point([1.0])).build().map(drop),
    );
}
