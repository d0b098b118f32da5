//! The passes on a GPU over jets in WGSL, against the f64 twins; planted faults must be found.

use std::sync::Arc;

use ergodic::{
    Backend, Error, Gpu, Result,
    energy::{Call, Energy},
    net::{Activation, Mlp},
    program::Composer,
    random::{Draws, Stream, key},
    train::{
        Adjoints, At, Order, Passes, PointPasses, Traces, Trainable, TrainableConvex, TrainableScaled, TrainableSum, passes,
    },
};

use crate::{
    common::{
        Suite, as_hardware,
        cases::{cholesky_gaussian, softmax_mixture, trainable, trainable_by_loops},
        energy_of_inner, trainable_of_inner,
    },
    losses::losses,
    optimum::{Fault, Faulty, start},
};

/// Of norms. (The issue asks for 10⁻³; f32 sums of a few hundred terms are right to 10⁻⁵.)
const BOUND: f64 = 1e-4;

pub(crate) fn add(mut suite: Suite) -> Suite {
    let large: [(&str, Arc<dyn Trainable>); 3] = [
        ("gaussian_12", Arc::new(cholesky_gaussian(12))),
        ("mixture_of_32", Arc::new(softmax_mixture(32, 3))),
        ("mixture_9", Arc::new(softmax_mixture(5, 9))),
    ];
    for (name, energy) in trainable().into_iter().chain(large) {
        let other = energy.clone();
        suite = suite
            .gpu(format!("passes over {name} agree with the twin"), move |gpu| agree(&gpu, &energy, &energy, 700).unwrap())
            .gpu(format!("losses of {name} agree with the twin"), move |gpu| losses_agree(&gpu, &other));
    }
    for (name, energy) in trainable().into_iter().chain(trainable_by_loops()) {
        suite = suite.gpu(format!("passes over {name} as other devices run them agree with the twin"), move |gpu| {
            agree(&as_hardware(&gpu), &energy, &energy, 700).unwrap();
        });
    }
    for (name, energy) in by_parts() {
        let other = energy.clone();
        // A network's part runs on threads where the GPU is software.
        suite = suite
            .gpu(format!("passes over {name}, part by part, agree with the twin"), move |gpu| {
                agree(&gpu, &energy, &energy, 300).unwrap();
                agree(&as_hardware(&gpu), &energy, &energy, 300).unwrap();
            })
            .gpu(format!("losses of {name} agree with the twin"), move |gpu| {
                losses_agree(&gpu, &other);
                losses_agree(&as_hardware(&gpu), &other);
            });
    }
    let faults = [
        ("the sign of a jet's curvature", "return vec3<f32>(jet.xy, -jet.z);", "let given = adjoints;"),
        ("the sign of a curvature's adjoint", "return jet;", "let given = vec3<f32>(adjoints.xy, -adjoints.z);"),
        ("a slope without its adjoint", "return jet;", "let given = vec3<f32>(adjoints.x, 0.0, adjoints.z);"),
        ("a column that is left out", "return jet;", "if (column == 3u) { return; } let given = adjoints;"),
        ("a column that is read twice", "return jet;", "let given = adjoints * select(1.0, 2.0, column == 3u);"),
    ];
    for (name, jet, reverse) in faults {
        suite = suite.gpu(format!("{name} is found"), move |gpu| {
            let planted = |jet, reverse| -> Arc<dyn Trainable> { Arc::new(Planted { inner: twin(), jet, reverse }) };
            agree(&gpu, &planted("return jet;", "let given = adjoints;"), &twin(), 700).unwrap();
            assert!(agree(&gpu, &planted(jet, reverse), &twin(), 700).is_err());
        });
    }
    suite
        .gpu("a batch larger than the buffers is passed in parts", |gpu| {
            let mixture: Arc<dyn Trainable> = Arc::new(softmax_mixture(2, 2));
            agree(&gpu, &mixture, &mixture, 40_000).unwrap();
        })
        .gpu("passes are the same bits twice, and whatever came before", same_twice)
        .gpu("loops that a driver cuts short are run in parts, or are an error", cut_short)
        .gpu("text that is wrong is an error in its own lines", |gpu| {
            let planted: Arc<dyn Trainable> =
                Arc::new(Planted { inner: twin(), jet: "return jet.xy;", reverse: "let given = adjoints;" });
            let error = passes(&planted, &Backend::gpu_of(gpu)).unwrap_err();
            assert!(matches!(&error, Error::Shader { part, line: 3, .. } if part == "planted"), "{error}");
        })
        .gpu("shapes that do not fit are typed errors", |gpu| {
            let mut passes = passes(&twin(), &Backend::gpu_of(gpu)).unwrap();
            assert!(matches!(passes.energy_and_grad(&[0.0; 3]), Err(Error::Shape { .. })));
            assert!(matches!(passes.jets(&[0.0; 4], &[0.0; 2], Order::Slope), Err(Error::Shape { .. })));
            assert!(matches!(passes.set_params(&[0.0]), Err(Error::Shape { .. })));
            assert!(passes.param_grad(&Adjoints::default()).is_err());
            passes.jets(&[0.0; 4], &[], Order::Value).unwrap();
            let adjoints = |points| Adjoints { values: vec![1.0; points], ..Adjoints::default() };
            assert!(matches!(passes.param_grad(&adjoints(3)), Err(Error::Shape { .. })));
            passes.param_grad(&adjoints(2)).unwrap();
            passes.set_params(&twin().params()).unwrap();
            assert!(passes.param_grad(&adjoints(2)).is_err());
        })
        .test("adjoints that are not of the last traces are typed errors", || {
            let one: Arc<dyn Trainable> = Arc::new(cholesky_gaussian(2));
            traces_fit(&one, &Backend::cpu()).unwrap();
            // Passes that note nothing take them.
            let unnoted: Arc<dyn Trainable> = Arc::new(Faulty::new(start(), Fault::None));
            assert!(traces_fit(&unnoted, &Backend::cpu()).is_err());
        })
        .gpu("adjoints that are not of the last traces are typed errors", |gpu| {
            let more = [("a mixture", twin()), ("a Gaussian", Arc::new(cholesky_gaussian(2)) as _)];
            for (name, energy) in by_parts().into_iter().chain(more) {
                traces_fit(&energy, &Backend::gpu_of(gpu.clone())).map_err(|e| format!("{name}: {e}")).unwrap();
            }
        })
}

/// Six slopes of two points are none of three, nor is there anything to reverse after jets or other parameters.
fn traces_fit(energy: &Arc<dyn Trainable>, backend: &Backend) -> Result<(), String> {
    let mut passes = passes(energy, backend).unwrap();
    let adjoints = |slopes, points| Traces { slopes: vec![0.3; slopes], curvatures: vec![0.7; points] };
    passes.traces(&[0.1, 0.2, 0.3, 0.4], &[1.0, 0.5, 0.2, 0.1, 0.6, 0.3, 1.0, 0.2, 0.9, 0.8, 0.7, 0.4]).unwrap();
    passes.traces_param_grad(&adjoints(6, 2)).unwrap();
    for (slopes, points) in [(6, 3), (6, 6), (6, 1), (4, 2), (2, 2), (0, 2), (6, 0)] {
        let found = passes.traces_param_grad(&adjoints(slopes, points));
        if !matches!(found, Err(Error::Shape { .. })) {
            return Err(format!("{slopes} slopes of {points} points: {found:?}"));
        }
    }
    passes.energy_and_grad(&[0.1, 0.2]).unwrap();
    passes.traces_param_grad(&adjoints(6, 2)).unwrap();
    passes.jets(&[0.0; 4], &[1.0; 4], Order::Curvature).unwrap();
    let after_jets = passes.traces_param_grad(&adjoints(2, 2));
    passes.traces(&[0.0; 4], &[1.0; 4]).unwrap();
    passes.set_params(&energy.params()).unwrap();
    let after_params = passes.traces_param_grad(&adjoints(2, 2));
    match [after_jets, after_params].into_iter().find(|found| !matches!(found, Err(Error::Unsupported(_)))) {
        Some(found) => Err(format!("after jets or parameters: {found:?}")),
        None => Ok(()),
    }
}

/// Composed energies with a network in them, which has passes of its own.
fn by_parts() -> [(&'static str, Arc<dyn Trainable>); 3] {
    let network: Arc<dyn Trainable> = Arc::new(Mlp::new(2, &[20, 12], Activation::Silu, 3).unwrap().confined(0.3).unwrap());
    let sum: Arc<dyn Trainable> = Arc::new(TrainableSum::new([network.clone(), twin()]).unwrap());
    let scaled: Arc<dyn Trainable> = Arc::new(TrainableScaled::new(1.4, network.clone()).unwrap());
    let parts = [network, Arc::new(cholesky_gaussian(2)), sum.clone()];
    [
        ("a network plus a mixture", sum),
        ("a scaled network", scaled),
        ("a convex mixture with networks", Arc::new(TrainableConvex::new(&[0.5, 1.0, 0.8], parts).unwrap())),
    ]
}

fn twin() -> Arc<dyn Trainable> {
    Arc::new(softmax_mixture(3, 2))
}

fn numbers(n: usize, seed: u64) -> Vec<f64> {
    let mut z = vec![0.0; n];
    Draws::new(key(seed, Stream::Data, 0), 0, 0).normals(0, &mut z);
    z
}

fn narrow(values: Vec<f64>) -> Vec<f32> {
    values.into_iter().map(|x| x as f32).collect()
}

fn batch(dim: usize, points: usize) -> (Vec<f32>, Vec<f32>, Adjoints) {
    let adjoint = |seed| numbers(points, seed).into_iter().map(|x| x / points as f64).collect();
    let adjoints = Adjoints { values: adjoint(3), slopes: adjoint(4), curvatures: adjoint(5) };
    (narrow(numbers(dim * points, 1)), narrow(numbers(dim * points, 2)), adjoints)
}

/// The distance relative to the truth's norm is at most the bound; not so where something is NaN.
fn near(what: &str, found: &[f64], truth: &[f64], bound: f64) -> Result<(), String> {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let apart = norm(&mut found.iter().zip(truth).map(|(a, b)| a - b)) / norm(&mut truth.iter().copied()).max(1e-30);
    if found.len() == truth.len() && apart <= bound { Ok(()) } else { Err(format!("{what} is off by {apart}")) }
}

/// Compares the passes over an energy on a GPU with those over its twin on the CPU.
fn agree(gpu: &Gpu, energy: &Arc<dyn Trainable>, twin: &Arc<dyn Trainable>, points: usize) -> Result<(), String> {
    let dim = energy.dim();
    let mut found = passes(energy, &Backend::gpu_of(gpu.clone())).unwrap();
    assert!(!format!("{found:?}").starts_with("PointPasses"), "these are no passes on the GPU");
    let mut truth = PointPasses::new(twin.clone());
    let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
    let (x, v, adjoints) = batch(dim, points);
    let (a, b) = (found.energy_and_grad(&x).unwrap(), truth.energy_and_grad(&x).unwrap());
    near("energy", &a.0, &b.0, BOUND)?;
    near("gradient", &wide(a.1), &wide(b.1), BOUND)?;
    for order in [Order::Value, Order::Slope, Order::Curvature] {
        let v = if order == Order::Value { &[][..] } else { &v };
        let (a, b) = (found.jets(&x, v, order).unwrap(), truth.jets(&x, v, order).unwrap());
        near(&format!("values, {order:?}"), &a.values, &b.values, BOUND)?;
        near(&format!("slopes, {order:?}"), &a.slopes, &b.slopes, BOUND)?;
        near(&format!("curvatures, {order:?}"), &a.curvatures, &b.curvatures, BOUND)?;
        let mut adjoints = adjoints.clone();
        if order < Order::Curvature {
            adjoints.curvatures.clear();
        }
        if order < Order::Slope {
            adjoints.slopes.clear();
        }
        let (a, b) = (found.param_grad(&adjoints).unwrap(), truth.param_grad(&adjoints).unwrap());
        near(&format!("gradient in the parameters, {order:?}"), &a, &b, BOUND)?;
        // Passes over other points in between must not matter.
        found.energy_and_grad(&x[..dim]).unwrap();
        near(&format!("the same again, {order:?}"), &found.param_grad(&adjoints).unwrap(), &b, BOUND)?;
    }
    // Each parameter, where the whole gradient may hide it: adjoints of one sign.
    let adjoints = Adjoints { curvatures: vec![1.0; points], values: vec![1.0; points], slopes: Vec::new() };
    let (a, b) = (found.param_grad(&adjoints).unwrap(), truth.param_grad(&adjoints).unwrap());
    let scale = b.iter().fold(0.0, |most: f64, g| most.max(g.abs()));
    for (i, (a, b)) in a.iter().zip(&b).enumerate() {
        if (a - b).abs() > BOUND * b.abs() + 1e-5 * scale {
            return Err(format!("the gradient in parameter {i} is {a}, not {b}"));
        }
    }
    Ok(())
}

fn losses_agree(gpu: &Gpu, energy: &Arc<dyn Trainable>) {
    let (dim, points) = (energy.dim(), 90);
    let (x, negatives) = (narrow(numbers(dim * points, 7)), narrow(numbers(dim * points, 8)));
    let at = At { x: &x, dim, seed: 3, update: 2, log_normalizer: 0.4, negatives: &negatives };
    let mut found = passes(energy, &Backend::gpu_of(gpu.clone())).unwrap();
    let mut truth = PointPasses::new(energy.clone());
    for (name, loss) in losses(dim) {
        let (a, b) = (loss.at(&mut *found, at).unwrap(), loss.at(&mut truth, at).unwrap());
        assert!((a.loss - b.loss).abs() <= 1e-3 * b.loss.abs().max(1e-2), "{name}: {} is not {}", a.loss, b.loss);
        near(name, &a.grad, &b.grad, 1e-3).unwrap();
        assert!((a.by_log_normalizer - b.by_log_normalizer).abs() < 1e-4);
    }
}

fn same_twice(gpu: Gpu) {
    let backend = Backend::gpu_of(gpu);
    for (name, energy) in trainable() {
        let dim = energy.dim();
        let run = |passes: &mut dyn Passes| {
            let (x, v, adjoints) = batch(dim, 1_000);
            let (energies, grads) = passes.energy_and_grad(&x).unwrap();
            let jets = passes.jets(&x, &v, Order::Curvature).unwrap();
            (energies, grads, jets, passes.param_grad(&adjoints).unwrap())
        };
        let mut first = passes(&energy, &backend).unwrap();
        let one = run(&mut *first);
        let (x, v, adjoints) = batch(dim, 3_000);
        first.jets(&x, &v, Order::Slope).unwrap();
        first.param_grad(&Adjoints { curvatures: Vec::new(), ..adjoints }).unwrap();
        first.energy_and_grad(&x[..10 * dim]).unwrap();
        assert_eq!(run(&mut *first), one, "{name}");
        assert_eq!(run(&mut *passes(&energy, &backend).unwrap()), one, "{name}");
    }
}

/// The mixture with loops that change nothing: 16 rounds of the first are more than lavapipe allows a dispatch, one of the second is.
fn cut_short(gpu: Gpu) {
    let slow = |jet, reverse| -> Arc<dyn Trainable> { Arc::new(Planted { inner: twin(), jet, reverse }) };
    let long = slow(
        "var word = bitcast<u32>((*x)[0].x); for (var k = 0u; k < 5000u; k++) { word = word * 1664525u + 1u; } \
         if (word == 77u) { return -jet; } return jet;",
        "var word = bitcast<u32>((*x)[0].x); for (var k = 0u; k < 5000u; k++) { word = word * 1664525u + 1u; } \
         let given = select(adjoints, -adjoints, word == 77u);",
    );
    agree(&gpu, &long, &twin(), 4_096).unwrap();
    let llvmpipe = gpu.info().name.contains("llvmpipe");
    if llvmpipe {
        // In parts or at once, sums have the same order.
        let (x, v, adjoints) = batch(2, 4_096);
        let grad = |energy: &Arc<dyn Trainable>| {
            let mut passes = passes(energy, &Backend::gpu_of(gpu.clone())).unwrap();
            passes.jets(&x, &v, Order::Curvature).unwrap();
            passes.param_grad(&adjoints).unwrap()
        };
        assert_eq!(grad(&long), grad(&slow("return jet;", "let given = adjoints;")));
    }
    let longer = slow(
        "var word = bitcast<u32>((*x)[0].x); for (var k = 0u; k < 70000u; k++) { word = word * 1664525u + 1u; } \
         if (word == 77u) { return -jet; } return jet;",
        "let given = adjoints;",
    );
    let (x, v, _) = batch(2, 100);
    let found = passes(&longer, &Backend::gpu_of(gpu)).unwrap().jets(&x, &v, Order::Curvature);
    let truth = PointPasses::new(twin()).jets(&x, &v, Order::Curvature).unwrap();
    match found {
        Ok(_) if llvmpipe => panic!("a dispatch that was cut short was believed"),
        Ok(found) => near("curvatures", &found.curvatures, &truth.curvatures, BOUND).unwrap(),
        Err(e) => assert!(matches!(e, Error::CutShort { .. }), "{e}"),
    }
}

/// An energy whose jets are changed by a piece of WGSL: what follows `let jet = …`, and what makes `given` of `adjoints`.
#[derive(Debug)]
struct Planted {
    inner: Arc<dyn Trainable>,
    jet: &'static str,
    reverse: &'static str,
}

impl Energy for Planted {
    energy_of_inner!();
}

impl Trainable for Planted {
    trainable_of_inner!();

    fn compose_jets(&self, program: &mut Composer) -> Result<Option<Call>> {
        let call = self.inner.compose_jets(program)?.unwrap();
        let given = "at: u32, x: ptr<function, Point>, v: ptr<function, Point>";
        let text = format!(
            "fn planted_jet({given}) -> vec3<f32> {{\n    let jet = {};\n    {}\n}}\n\
             fn planted_jet_param_grad({given}, adjoints: vec3<f32>) {{\n    {}\n    {};\n}}\n",
            call.jet("at", "x", "v"),
            self.jet,
            self.reverse,
            call.jet_param_grad("at", "x", "v", "given"),
        );
        program.add("planted", &text)?;
        Ok(Some(Call::new("planted", &[])))
    }
}
