//! The passes over layers, on a GPU and on the CPU's threads, against the f64 twin.

use std::sync::Arc;

use ergodic::{
    Backend, Error, Gpu,
    energy::Energy,
    net::{Activation, Mlp},
    train::{Adjoints, Jets, Order, Passes, PointPasses, Traces, Trainable, passes},
    wgpu,
};

use crate::{
    common::{Suite, as_hardware},
    mlp, numbers,
};

/// Bounds of relative distances of norms. The issue asks for 10⁻³; f32 sums of a few hundred terms are right to 10⁻⁵.
const ON_GPU: f64 = 1e-4;
const ON_THREADS: f64 = 1e-5;

pub(crate) fn add(suite: Suite) -> Suite {
    let mut suite = suite;
    let cases = [
        (2, vec![128, 128], Activation::Silu, 700),
        (2, vec![128, 128], Activation::Softplus, 100),
        (3, vec![17, 40, 9], Activation::Tanh, 130),
        (1, vec![20], Activation::Softplus, 5),
        (5, vec![300, 130], Activation::Silu, 64),
        (150, vec![30, 257], Activation::Tanh, 33),
    ];
    for (dim, hidden, activation, points) in cases {
        let name = format!("{dim}-{hidden:?} {}, {points} points", activation.name());
        let mlp = mlp(dim, &hidden, activation, 3);
        let same = mlp.clone();
        suite = suite
            .gpu(format!("passes over {name} agree with the twin"), move |gpu| {
                agree(&mut *same.passes_on_gpu(&gpu), &same, points, ON_GPU).unwrap();
            })
            .test(format!("passes over {name} on threads agree with the twin"), move || {
                agree(&mut *mlp.passes_on_threads(), &mlp, points, ON_THREADS).unwrap();
            });
    }
    // Each activation, narrow layers and wide ones, few points and many, whole chunks of them or not.
    for activation in [Activation::Softplus, Activation::Silu, Activation::Tanh] {
        for (dim, hidden, points) in
            [(2, vec![30, 20], 128), (7, vec![33], 257), (1, vec![5, 1, 9], 1), (6, vec![4, 40, 3, 12], 390), (20, vec![6], 3)]
        {
            let name = format!("{dim}-{hidden:?} {}, {points} points", activation.name());
            suite = suite.test(format!("passes over {name} on threads agree with the twin"), move || {
                let mlp = mlp(dim, &hidden, activation, 6);
                agree(&mut *mlp.passes_on_threads(), &mlp, points, ON_THREADS).unwrap();
                let free = mlp.confined(0.0).unwrap();
                agree(&mut *free.passes_on_threads(), &free, points, ON_THREADS).unwrap();
            });
        }
    }
    for (dim, hidden, activation, points) in [
        (2, vec![128, 128], Activation::Silu, 300),
        (3, vec![17, 40, 9], Activation::Tanh, 130),
        (5, vec![300], Activation::Softplus, 64),
    ] {
        let name = format!("{dim}-{hidden:?} {}, {points} points", activation.name());
        suite = suite.gpu(format!("passes of other devices over {name} agree with the twin"), move |gpu| {
            let mlp = mlp(dim, &hidden, activation, 3);
            agree(&mut *mlp.passes_on_gpu(&as_hardware(&gpu)), &mlp, points, ON_GPU).unwrap();
        });
    }
    suite
        .gpu("a twin of other parameters is found", |gpu| {
            let (right, twin) = (mlp(2, &[20, 20], Activation::Silu, 3), other());
            assert!(agree(&mut *right.passes_on_gpu(&gpu), &twin, 50, ON_GPU).is_err());
        })
        .test("a twin of other parameters, another confinement or activation is found on threads", || {
            let right = || mlp(2, &[20, 20], Activation::Silu, 3);
            let passes = || right().passes_on_threads();
            agree(&mut *passes(), &right(), 50, ON_THREADS).unwrap();
            assert!(agree(&mut *passes(), &other(), 50, ON_THREADS).is_err());
            assert!(agree(&mut *passes(), &right().confined(0.3003).unwrap(), 50, ON_THREADS).is_err());
            let tanh = mlp(2, &[20, 20], Activation::Tanh, 3);
            assert!(agree(&mut *passes(), &tanh, 50, ON_THREADS).is_err());
        })
        .test("a fault of one part in ten thousand in any part of the passes on threads is found", || {
            let right = mlp(2, &[20, 20], Activation::Silu, 3);
            let of_parts = [Fault::Jets(0), Fault::Jets(1), Fault::Jets(2), Fault::Traces(0), Fault::Traces(1)];
            for fault in [Fault::Energy, Fault::Gradient].into_iter().chain(of_parts) {
                let mut faulty = Faulty { inner: right.passes_on_threads(), fault };
                assert!(agree(&mut faulty, &right, 50, ON_THREADS).is_err(), "{fault:?}");
            }
            let of_traces = [Fault::TraceAdjoints(0), Fault::TraceAdjoints(1)];
            let of_jets = [Fault::Adjoints(0), Fault::Adjoints(1), Fault::Adjoints(2), Fault::LastPoint];
            for fault in of_jets.into_iter().chain(of_traces) {
                let mut faulty = Faulty { inner: right.passes_on_threads(), fault };
                assert!(agree(&mut faulty, &right, 50, ON_THREADS).is_err(), "{fault:?}");
            }
        })
        .gpu("slopes after gradients use their layers, but of a batch in parts", |gpu| {
            let mut passes = mlp(2, &[24, 24], Activation::Silu, 3).passes_on_gpu(&gpu);
            for points in [300, 9_000] {
                let (x, v, adjoints) = batch(2, points);
                let slopes = Adjoints { slopes: adjoints.slopes, ..Adjoints::default() };
                let mut grad = |after: bool| {
                    if after {
                        passes.energy_and_grad(&x).unwrap();
                    }
                    passes.jets(&x, &v, Order::Slope).unwrap();
                    passes.param_grad(&slopes).unwrap()
                };
                // Another way, rounded otherwise.
                assert_eq!(grad(false) == grad(true), points == 9_000);
            }
        })
        .gpu("a batch larger than the buffers is passed in parts", |gpu| {
            let mlp = mlp(2, &[24, 24], Activation::Silu, 3);
            agree(&mut *mlp.passes_on_gpu(&gpu), &mlp, 9_000, ON_GPU).unwrap();
        })
        .test("a batch of more points than are in memory at once is passed in parts on threads", || {
            let mlp = mlp(2, &[24, 24], Activation::Silu, 3);
            agree(&mut *mlp.passes_on_threads(), &mlp, 20_001, ON_THREADS).unwrap();
        })
        .test("passes on threads are the same bits twice, for any number of threads, and whatever came before", || {
            let mlp = mlp(2, &[40, 24], Activation::Silu, 3);
            let mut first = mlp.passes_on_threads();
            let one = run(&mut *first);
            let (x, v, _) = batch(2, 1000);
            first.jets(&x, &v, Order::Slope).unwrap();
            first.energy_and_grad(&x[..10]).unwrap();
            assert_eq!(run(&mut *first), one);
            for threads in [1, 2, 5] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert_eq!(pool.install(|| run(&mut *mlp.passes_on_threads())), one, "{threads} threads");
            }
        })
        .test("the passes of a backend without a GPU run on threads", || {
            let mlp = Arc::new(mlp(2, &[40, 24], Activation::Silu, 3));
            let on_threads = run(&mut *mlp.passes_on_threads());
            let target: Arc<dyn Trainable> = mlp;
            assert_eq!(run(&mut *passes(&target, &Backend::cpu()).unwrap()), on_threads);
        })
        .gpu("those of a software GPU too, and no other GPU's", |gpu| {
            let mlp = Arc::new(mlp(2, &[40, 24], Activation::Silu, 3));
            let (on_gpu, on_threads) = (run(&mut *mlp.passes_on_gpu(&gpu)), run(&mut *mlp.passes_on_threads()));
            assert_ne!(on_gpu, on_threads);
            let target: Arc<dyn Trainable> = mlp;
            let expected = if gpu.is_software() { on_threads } else { on_gpu };
            assert_eq!(run(&mut *passes(&target, &Backend::gpu_of(gpu)).unwrap()), expected);
        })
        .gpu("passes are the same bits twice, and whatever came before", |gpu| {
            let mlp = mlp(2, &[40, 24], Activation::Silu, 3);
            let mut first = mlp.passes_on_gpu(&gpu);
            let one = run(&mut *first);
            let (x, v, _) = batch(2, 1000);
            first.jets(&x, &v, Order::Slope).unwrap();
            first.energy_and_grad(&x[..10]).unwrap();
            assert_eq!(run(&mut *first), one);
            assert_eq!(run(&mut *mlp.passes_on_gpu(&gpu)), one);
        })
        .gpu("without subgroups the bits are the same", |gpu| {
            let mlp = mlp(2, &[40, 24], Activation::Silu, 3);
            let plain = without_subgroups(&gpu);
            assert!(!plain.device().features().contains(wgpu::Features::SUBGROUP));
            assert_eq!(run(&mut *mlp.passes_on_gpu(&plain)), run(&mut *mlp.passes_on_gpu(&gpu)));
        })
        .gpu("faults are typed errors", |gpu| faults(&mut *small().passes_on_gpu(&gpu)))
        .test("faults are typed errors on threads", || faults(&mut *small().passes_on_threads()))
}

fn small() -> Mlp {
    mlp(2, &[4], Activation::Silu, 3)
}

/// A network of 20 and 20 units with one parameter that is another.
fn other() -> Mlp {
    let right = mlp(2, &[20, 20], Activation::Silu, 3);
    let mut params = right.params();
    params[100] += 0.01;
    right.with_params(&params).unwrap()
}

type Found = ((Vec<f64>, Vec<f32>), Jets, Vec<f64>, Traces, Vec<f64>);

/// All passes over 300 points.
fn run(passes: &mut dyn Passes) -> Found {
    let (x, v, adjoints) = batch(2, 300);
    let found = passes.energy_and_grad(&x).unwrap();
    let jets = passes.jets(&x, &v, Order::Curvature).unwrap();
    let grad = passes.param_grad(&adjoints).unwrap();
    let traces = passes.traces(&x, &[v.clone(), v].concat()).unwrap();
    let adjoints = Traces { slopes: adjoints.slopes.repeat(2), curvatures: adjoints.curvatures };
    (found, jets, grad, traces, passes.traces_param_grad(&adjoints).unwrap())
}

fn faults(passes: &mut dyn Passes) {
    assert!(matches!(passes.energy_and_grad(&[0.0; 3]), Err(Error::Shape { .. })));
    assert!(matches!(passes.jets(&[0.0; 4], &[0.0; 2], Order::Slope), Err(Error::Shape { .. })));
    assert!(matches!(passes.set_params(&[0.0]), Err(Error::Shape { .. })));
    assert!(passes.param_grad(&Adjoints::default()).is_err());
    for v in [&[][..], &[0.0; 6]] {
        assert!(matches!(passes.traces(&[0.0; 4], v), Err(Error::Shape { .. })));
    }
    passes.traces(&[0.0; 4], &[0.0; 12]).unwrap();
    for (slopes, curvatures) in [(0, 2), (3, 2), (6, 0), (2, 2), (4, 2), (4, 4)] {
        let adjoints = Traces { slopes: vec![1.0; slopes], curvatures: vec![1.0; curvatures] };
        assert!(matches!(passes.traces_param_grad(&adjoints), Err(Error::Shape { .. })), "{slopes}, {curvatures}");
    }
    // Each reverse belongs to its own passes.
    assert!(passes.param_grad(&Adjoints { values: vec![1.0; 6], ..Adjoints::default() }).is_err());
    passes.jets(&[0.0; 4], &[0.0; 4], Order::Curvature).unwrap();
    assert!(passes.traces_param_grad(&Traces { slopes: vec![1.0; 2], curvatures: vec![1.0; 2] }).is_err());
    passes.jets(&[0.0; 4], &[], Order::Value).unwrap();
    assert!(matches!(passes.param_grad(&Adjoints { values: vec![1.0; 3], ..Adjoints::default() }), Err(Error::Shape { .. })));
    passes.set_params(&small().params()).unwrap();
    assert!(passes.param_grad(&Adjoints { values: vec![1.0; 2], ..Adjoints::default() }).is_err());
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Energy,
    Gradient,
    Jets(usize),
    Adjoints(usize),
    Traces(usize),
    TraceAdjoints(usize),
    LastPoint,
}

/// Passes with a planted fault of one part in ten thousand, or that leave out the last point.
#[derive(Debug)]
struct Faulty {
    inner: Box<dyn Passes>,
    fault: Fault,
}

impl Passes for Faulty {
    fn dim(&self) -> usize {
        self.inner.dim()
    }

    fn set_params(&mut self, params: &[f32]) -> ergodic::Result<()> {
        self.inner.set_params(params)
    }

    fn energy_and_grad(&mut self, x: &[f32]) -> ergodic::Result<(Vec<f64>, Vec<f32>)> {
        let (mut energies, mut grads) = self.inner.energy_and_grad(x)?;
        energies.iter_mut().for_each(|e| *e *= if self.fault == Fault::Energy { 1.0001 } else { 1.0 });
        grads.iter_mut().for_each(|g| *g *= if self.fault == Fault::Gradient { 1.0001 } else { 1.0 });
        Ok((energies, grads))
    }

    fn jets(&mut self, x: &[f32], v: &[f32], order: Order) -> ergodic::Result<Jets> {
        let mut jets = self.inner.jets(x, v, order)?;
        for (part, all) in [&mut jets.values, &mut jets.slopes, &mut jets.curvatures].into_iter().enumerate() {
            all.iter_mut().for_each(|of| *of *= if self.fault == Fault::Jets(part) { 1.0001 } else { 1.0 });
        }
        Ok(jets)
    }

    fn param_grad(&mut self, adjoints: &Adjoints) -> ergodic::Result<Vec<f64>> {
        let mut adjoints = adjoints.clone();
        for (part, all) in [&mut adjoints.values, &mut adjoints.slopes, &mut adjoints.curvatures].into_iter().enumerate() {
            all.iter_mut().for_each(|of| *of *= if self.fault == Fault::Adjoints(part) { 1.0001 } else { 1.0 });
            if let (Fault::LastPoint, Some(last)) = (self.fault, all.last_mut()) {
                *last = 0.0;
            }
        }
        self.inner.param_grad(&adjoints)
    }

    fn traces(&mut self, x: &[f32], v: &[f32]) -> ergodic::Result<Traces> {
        let mut traces = self.inner.traces(x, v)?;
        for (part, all) in [&mut traces.slopes, &mut traces.curvatures].into_iter().enumerate() {
            all.iter_mut().for_each(|of| *of *= if self.fault == Fault::Traces(part) { 1.0001 } else { 1.0 });
        }
        Ok(traces)
    }

    fn traces_param_grad(&mut self, adjoints: &Traces) -> ergodic::Result<Vec<f64>> {
        let mut adjoints = adjoints.clone();
        for (part, all) in [&mut adjoints.slopes, &mut adjoints.curvatures].into_iter().enumerate() {
            all.iter_mut().for_each(|of| *of *= if self.fault == Fault::TraceAdjoints(part) { 1.0001 } else { 1.0 });
        }
        self.inner.traces_param_grad(&adjoints)
    }
}

/// The same adapter with no optional feature.
fn without_subgroups(gpu: &Gpu) -> Gpu {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let adapter = adapters.into_iter().find(|adapter| adapter.get_info().name == gpu.info().name).unwrap();
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
    Gpu::from_parts(device, queue, gpu.info().clone())
}

fn batch(dim: usize, points: usize) -> (Vec<f32>, Vec<f32>, Adjoints) {
    let values = |seed| numbers(dim * points, seed).into_iter().map(|x| x as f32).collect::<Vec<_>>();
    let adjoint = |seed| numbers(points, seed).into_iter().map(|x| x / points as f64).collect();
    (values(1), values(2), Adjoints { values: adjoint(3), slopes: adjoint(4), curvatures: adjoint(5) })
}

/// Compares passes with those of `twin` in f64, norm by norm: the distance relative to the twin's norm is at most `bound`.
fn agree(found: &mut dyn Passes, twin: &Mlp, points: usize, bound: f64) -> Result<(), String> {
    let dim = twin.dim();
    let mut truth = PointPasses::new(Arc::new(twin.clone()));
    let near = |what: &str, found: &[f64], truth: &[f64]| {
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        let apart = norm(&mut found.iter().zip(truth).map(|(a, b)| a - b)) / norm(&mut truth.iter().copied()).max(1e-30);
        // Not `>`: a NaN must fail.
        if found.len() == truth.len() && apart <= bound { Ok(()) } else { Err(format!("{what} is off by {apart}")) }
    };
    let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
    let (x, v, adjoints) = batch(dim, points);
    let (a, b) = (found.energy_and_grad(&x).unwrap(), truth.energy_and_grad(&x).unwrap());
    near("energy", &a.0, &b.0)?;
    near("gradient", &wide(a.1), &wide(b.1))?;
    for order in [Order::Value, Order::Slope, Order::Curvature] {
        let v = if order == Order::Value { &[][..] } else { &v };
        let (a, b) = (found.jets(&x, v, order).unwrap(), truth.jets(&x, v, order).unwrap());
        near(&format!("values, {order:?}"), &a.values, &b.values)?;
        near(&format!("slopes, {order:?}"), &a.slopes, &b.slopes)?;
        near(&format!("curvatures, {order:?}"), &a.curvatures, &b.curvatures)?;
        let mut adjoints = adjoints.clone();
        if order < Order::Curvature {
            adjoints.curvatures.clear();
        }
        if order < Order::Slope {
            adjoints.slopes.clear();
        }
        let (a, b) = (found.param_grad(&adjoints).unwrap(), truth.param_grad(&adjoints).unwrap());
        near(&format!("gradient in the parameters, {order:?}"), &a, &b)?;
        // The passes over other points in between must not matter.
        found.energy_and_grad(&x[..dim]).unwrap();
        near(&format!("the same again, {order:?}"), &found.param_grad(&adjoints).unwrap(), &b)?;
    }
    for directions in 1..=3 {
        let v: Vec<_> = numbers(dim * directions * points, 6).into_iter().map(|v| v as f32).collect();
        let (a, b) = (found.traces(&x, &v).unwrap(), truth.traces(&x, &v).unwrap());
        near(&format!("slopes in {directions} directions"), &a.slopes, &b.slopes)?;
        near(&format!("sums of curvatures in {directions} directions"), &a.curvatures, &b.curvatures)?;
        let slopes = numbers(directions * points, 7).into_iter().map(|slope| slope / points as f64).collect();
        let adjoints = Traces { slopes, curvatures: adjoints.curvatures.clone() };
        let truth = truth.traces_param_grad(&adjoints).unwrap();
        near(&format!("their gradient in the parameters, {directions}"), &found.traces_param_grad(&adjoints).unwrap(), &truth)?;
        found.energy_and_grad(&x[..dim]).unwrap();
        near(&format!("the same again, {directions}"), &found.traces_param_grad(&adjoints).unwrap(), &truth)?;
    }
    // Slopes at points whose gradients came just before, as denoising score matching wants them: alone, twice, and with the values.
    let slopes = Adjoints { slopes: adjoints.slopes.clone(), ..Adjoints::default() };
    let both = Adjoints { values: adjoints.values, ..slopes.clone() };
    found.energy_and_grad(&x).unwrap();
    let (a, b) = (found.jets(&x, &v, Order::Slope).unwrap(), truth.jets(&x, &v, Order::Slope).unwrap());
    near("values after gradients", &a.values, &b.values)?;
    near("slopes after gradients", &a.slopes, &b.slopes)?;
    let of_slopes = truth.param_grad(&slopes).unwrap();
    near("gradient in the parameters after gradients", &found.param_grad(&slopes).unwrap(), &of_slopes)?;
    near("the same again after gradients", &found.param_grad(&slopes).unwrap(), &of_slopes)?;
    near("with the values", &found.param_grad(&both).unwrap(), &truth.param_grad(&both).unwrap())?;
    near("and without them", &found.param_grad(&slopes).unwrap(), &of_slopes)
}
