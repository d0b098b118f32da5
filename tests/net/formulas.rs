//! The f64 twin: jets against differences of the energy along the line, their reverse against differences in every parameter.

use std::sync::Arc;

use ergodic::{
    Error, Result,
    energy::{Energy, Params},
    net::{Activation, Mlp, Network},
    program::Composer,
    train::{Block, Order, Trainable},
};

use crate::{
    common::{Suite, energy_of_inner},
    mlp, numbers,
};

pub(crate) fn add(suite: Suite) -> Suite {
    let mut suite = suite;
    for activation in [Activation::Softplus, Activation::Silu, Activation::Tanh] {
        for hidden in [vec![6], vec![5, 4], vec![4, 6, 3]] {
            suite = suite.test(format!("jets and their reverse, {} {hidden:?}", activation.name()), move || {
                check(&mlp(3, &hidden, activation, 5)).unwrap();
            });
        }
    }
    suite
        .test("a wrong curvature, a wrong adjoint of it, and a wrong bias are found", || {
            for fault in [Fault::Curvature, Fault::Adjoint, Fault::Bias] {
                let found = check(&Faulty { inner: mlp(3, &[5, 4], Activation::Silu, 5), fault });
                assert!(found.is_err(), "{fault:?}");
            }
        })
        .test("initial parameters are PyTorch's: uniform in one over the root of the inputs", || {
            let network = Network::new([7, 50, 40, 1], Activation::Silu).unwrap();
            let params = network.init(3);
            assert_eq!(params.len(), network.params_len());
            let mut at = 0;
            for (inputs, outputs) in [(7, 50), (50, 40), (40, 1)] {
                let layer = &params[at..at + (inputs + 1) * outputs];
                let bound = 1.0 / (inputs as f32).sqrt();
                assert!(layer.iter().all(|p| p.abs() < bound));
                // A uniform's mean square is a third; 41 numbers and more have it to 0.4 (more than four standard errors).
                let square = layer.iter().map(|p| p * p).sum::<f32>() / layer.len() as f32;
                assert!((3.0 * square / (bound * bound) - 1.0).abs() < 0.4, "{square}");
                at += layer.len();
            }
            assert_ne!(params, network.init(4));
        })
        .test("wrong networks are refused", || {
            let setting = |result: Result<Mlp>| assert!(matches!(result, Err(Error::Setting { .. })), "{result:?}");
            setting(Mlp::new(0, &[3], Activation::Tanh, 1));
            setting(Mlp::new(2, &[], Activation::Tanh, 1));
            setting(Mlp::new(2, &[3, 0], Activation::Tanh, 1));
            for hidden in [&[usize::MAX][..], &[usize::MAX / 2], &[8, usize::MAX, usize::MAX]] {
                let refused = Mlp::new(2, hidden, Activation::Tanh, 1);
                assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
            }
            assert!(matches!(Mlp::new(usize::MAX, &[3], Activation::Tanh, 1), Err(Error::Limit { .. })));
            setting(Mlp::new(2, &[3], Activation::Tanh, 1).and_then(|mlp| mlp.confined(-1.0)));
            setting(Mlp::new(2, &[3], Activation::Tanh, 1).and_then(|mlp| mlp.confined(f64::NAN)));
            let small = mlp(2, &[3], Activation::Tanh, 1);
            assert!(matches!(small.with_params(&[0.0; 3]), Err(Error::Shape { expected: 13, found: 3, .. })));
            setting(small.with_params(&[f32::NAN; 13]));
            let wide = mlp(2, &[900, 900], Activation::Tanh, 1);
            let refused = wide.compose(&mut Composer::default());
            assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
        })
        .test("blocks are named and shaped as PyTorch's", || {
            let mlp = mlp(2, &[4, 3], Activation::Silu, 1);
            let blocks = mlp.blocks();
            let names: Vec<_> = blocks.iter().map(|block| (block.name.as_str(), block.shape.clone())).collect();
            assert_eq!(names[..2], [("layers.0.weight", vec![4, 2]), ("layers.0.bias", vec![4])]);
            assert_eq!(blocks.iter().map(Block::count).sum::<usize>(), mlp.params().len());
        })
}

/// Differences of fourth order with a step of 10⁻³ are right to 10⁻¹⁰ of derivatives of order one; bound 10⁻⁵ of the larger of 1 and
/// the value (the issue's).
fn check(target: &dyn Trainable) -> Result<(), String> {
    let params: Vec<f64> = target.params().iter().map(|&p| f64::from(p)).collect();
    let near = |what: &str, found: f64, expected: f64| {
        let is_near = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
        if is_near { Ok(()) } else { Err(format!("{what}: {found}, differences say {expected}")) }
    };
    for point in 0..5 {
        let (x, v) = (numbers(3, 10 + point), numbers(3, 20 + point));
        let jet = target.jet(&params, &x, &v, Order::Curvature);
        let along = |t: f64| {
            let moved: Vec<_> = x.iter().zip(&v).map(|(x, v)| x + t * v).collect();
            target.energy(Params::new(&target.params()), &moved)
        };
        near("value", jet[0], along(0.0))?;
        near("slope", jet[1], slope(1e-3, along))?;
        let h = 1e-2;
        let second = -along(2.0 * h) + 16.0 * along(h) - 30.0 * along(0.0) + 16.0 * along(-h) - along(-2.0 * h);
        near("curvature", jet[2], second / (12.0 * h * h))?;
        let mut grad = vec![f64::NAN; 3];
        target.energy_and_grad(Params::new(&target.params()), &x, &mut grad);
        near("gradient along the line", grad.iter().zip(&v).map(|(g, v)| g * v).sum(), jet[1])?;

        let adjoints = [numbers(3, 30 + point)[0], numbers(3, 30 + point)[1], numbers(3, 30 + point)[2]];
        for (adjoints, order) in
            [(adjoints, Order::Curvature), ([adjoints[0], adjoints[1], 0.0], Order::Slope), ([1.0, 0.0, 0.0], Order::Value)]
        {
            let mut grad = vec![0.0; params.len()];
            target.jet_param_grad(&params, &x, if order == Order::Value { &[] } else { &v }, adjoints, &mut grad);
            for i in 0..params.len() {
                let loss = |t: f64| {
                    let mut params = params.clone();
                    params[i] += t;
                    let jet = target.jet(&params, &x, &v, order);
                    (0..=order as usize).map(|part| adjoints[part] * jet[part]).sum()
                };
                near(&format!("parameter {i}, {order:?}"), grad[i], slope(1e-3, loss))?;
            }
        }
    }
    Ok(())
}

fn slope(h: f64, f: impl Fn(f64) -> f64) -> f64 {
    (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Curvature,
    Adjoint,
    Bias,
}

/// A network with a planted fault of one part in a thousand.
#[derive(Debug)]
struct Faulty {
    inner: Mlp,
    fault: Fault,
}

impl Energy for Faulty {
    energy_of_inner!();
}

impl Trainable for Faulty {
    fn blocks(&self) -> Vec<Block> {
        self.inner.blocks()
    }

    fn with_params(&self, params: &[f32]) -> Result<Arc<dyn Trainable>> {
        Trainable::with_params(&self.inner, params)
    }

    fn jet(&self, params: &[f64], x: &[f64], v: &[f64], order: Order) -> [f64; 3] {
        let mut jet = self.inner.jet(params, x, v, order);
        jet[2] *= if self.fault == Fault::Curvature { 1.001 } else { 1.0 };
        jet
    }

    fn jet_param_grad(&self, params: &[f64], x: &[f64], v: &[f64], mut adjoints: [f64; 3], grad: &mut [f64]) {
        adjoints[2] *= if self.fault == Fault::Adjoint { 1.001 } else { 1.0 };
        self.inner.jet_param_grad(params, x, v, adjoints, grad);
        if self.fault == Fault::Bias {
            grad[params.len() - 1] *= 1.001;
        }
    }
}
