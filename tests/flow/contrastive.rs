//! Flow-contrastive estimation and adversarial training on data whose law is known: what the energy, its normaliser and the flow learn.

use std::{
    f64::consts::{LN_2, TAU},
    sync::Arc,
};

use ergodic::{
    Backend, Error, Result, Schedule,
    energy::{Call, Energy, Params},
    flow::{Adversarial, Adversary, Contest, Contrast, Contrastive, Flow, FlowGoal, Training},
    program::Composer,
    train::{Adjoints, Block, Noise, Optimizer, Order, Trainable, passes},
};

use super::{
    common::Suite,
    data::{cells, divergence, energies, ln_z},
    likelihood::is_another_run,
    passes::gaussian_flow,
};

pub(super) fn add(suite: Suite) -> Suite {
    suite
        .test("a fixed Gaussian as noise: the energy and its normaliser", || {
            let mut trainer = contrastive(FlowGoal::Fixed, 0.02);
            trainer.advance(&data(), UPDATES).unwrap();
            learned(&trainer).unwrap();
        })
        .test("the flow as noise: the energy, its normaliser and the flow", || {
            let mut trainer = contrastive(FlowGoal::Contest, 0.02);
            trainer.advance(&data(), UPDATES).unwrap();
            learned(&trainer).unwrap();
            assert!(of_flow(trainer.flow()) < 0.02, "KL(data ‖ flow) = {}", of_flow(trainer.flow()));
            let Contest { value, accuracy } = trainer.advance(&data(), 20).unwrap();
            assert!((value + 2.0 * LN_2).abs() < 0.01 && (accuracy - 0.5).abs() < 0.02, "V = {value}, accuracy {accuracy}");
        })
        .test("taking turns: the energy, its normaliser and the flow", || {
            let settings = Contrast { alternate: Some(0.52), ..settings_for(TURNS, FlowGoal::Contest, 0.02) };
            let flow = Flow::new(2, 4, 4, 1).unwrap();
            let mut trainer = Contrastive::new(&Backend::cpu(), Arc::new(Quadratic::start()), 0.0, flow, settings).unwrap();
            trainer.advance(&data(), TURNS).unwrap();
            assert_eq!(trainer.updates(), TURNS);
            learned(&trainer).unwrap();
            assert!(of_flow(trainer.flow()) < 0.02, "KL(data ‖ flow) = {}", of_flow(trainer.flow()));
        })
        .test("a flow by likelihood as noise: the energy and its normaliser", || {
            // Slower than against the flow of a contest: after UPDATES the energy is not yet at its optimum (KL 0.006).
            let updates = 4_000;
            let settings = settings_for(updates, FlowGoal::Likelihood, 0.02);
            let flow = Flow::new(2, 4, 4, 1).unwrap();
            let mut trainer = Contrastive::new(&Backend::cpu(), Arc::new(Quadratic::start()), 0.0, flow, settings).unwrap();
            trainer.advance(&data(), updates).unwrap();
            learned(&trainer).unwrap();
            assert!(of_flow(trainer.flow()) < 0.005, "KL(data ‖ flow) = {}", of_flow(trainer.flow()));
        })
        .test("a flow that moves, and a cover, as noise of a correction: the model and its normaliser", || {
            for goal in [FlowGoal::Contest, FlowGoal::Likelihood] {
                let cover = Some((0.1, Noise::normal([0.0; 2], [3.0]).unwrap()));
                // The cover's points tell less than a flow's that is near the data: more updates here too.
                let updates = 4_000;
                let settings = Contrast { cover, correction: true, ..settings_for(updates, goal, 0.02) };
                let flow = Flow::new(2, 4, 4, 1).unwrap();
                let mut trainer = Contrastive::new(&Backend::cpu(), Arc::new(Quadratic::start()), 0.0, flow, settings).unwrap();
                trainer.advance(&data(), updates).unwrap();
                learned(&trainer).unwrap();
                assert!(of_flow(trainer.flow()) < 0.02, "KL(data ‖ flow) = {}", of_flow(trainer.flow()));
            }
        })
        .test("the flow alone finds the data where the energy is right", || {
            let energy = Quadratic::of_data();
            let c = ln_z(&energies(&energy));
            let settings = settings(FlowGoal::Contest, 1e-12);
            let flow = Flow::new(2, 4, 4, 1).unwrap();
            let mut trainer = Contrastive::new(&Backend::cpu(), Arc::new(energy), c, flow, settings).unwrap();
            let before = of_flow(trainer.flow());
            trainer.advance(&data(), UPDATES).unwrap();
            assert!(
                before > 0.3 && of_flow(trainer.flow()) < 0.01,
                "KL(data ‖ flow) from {before} to {}",
                of_flow(trainer.flow())
            );
        })
        .test("planted: a normaliser that is not learned is found", || {
            // A trainer made anew has its first normaliser again.
            let mut energy: Arc<dyn Trainable> = Arc::new(Quadratic::start());
            let mut last = None;
            for _ in 0..100 {
                let mut settings = settings(FlowGoal::Fixed, 0.02);
                settings.energy_optimizer = Optimizer::adam(0.01);
                let mut trainer = Contrastive::new(&Backend::cpu(), energy, 0.0, noise(), settings).unwrap();
                trainer.advance(&data(), 10).unwrap();
                energy = trainer.energy().unwrap();
                last = Some(trainer);
            }
            learned(&last.unwrap()).unwrap_err();
        })
        .test("noise-contrastive estimation by the passes alone", || by_passes(1.0).unwrap())
        .test("planted: the log-determinant's sign in the noise's density is found", || {
            by_passes(-1.0).unwrap_err();
        })
        .test("adversarial: the energy, the flow and the bound of ln Z", || {
            let mut trainer = adversarial();
            trainer.advance(&data(), 1_500).unwrap();
            let energy = trainer.energy().unwrap();
            let off = divergence(&log_data(), &energies(&*energy));
            assert!(off < 0.01, "KL(data ‖ energy) = {off}");
            assert!(of_flow(trainer.flow()) < 0.02, "KL(data ‖ flow) = {}", of_flow(trainer.flow()));
            let bound = -trainer.advance(&data(), 20).unwrap().free_energy;
            let truth = ln_z(&energies(&*trainer.energy().unwrap()));
            assert!((bound - truth).abs() < 0.02, "−F = {bound}, ln Z = {truth}");
        })
        .test("resumed equals uninterrupted, against a flow", resumed)
        .test("updates asked for one by one, against a flow that stays", one_by_one)
        .test("contests that cannot be are refused", refused)
}

const UPDATES: u64 = 1_500;
/// Updates where energy and flow take turns.
const TURNS: u64 = 3_000;

/// N((1, −½), (2, 0.9; 0.9, 0.7)).
fn data() -> Vec<f32> {
    gaussian_flow().sample(16_384, 4, 0).unwrap().positions.into_iter().map(|x| x as f32).collect()
}

/// log of its density in all cells.
fn log_data() -> Vec<f64> {
    let (flow, values) = (gaussian_flow(), Energy::params(&gaussian_flow()));
    cells(|x, y| -flow.energy(Params::new(&values), &[x, y]))
}

fn of_flow(flow: &Flow) -> f64 {
    divergence(&log_data(), &energies(flow))
}

/// N(0, 1.5²) in both coordinates.
pub(super) fn noise() -> Flow {
    Flow::normal([0.0; 2], [1.5; 2]).unwrap()
}

fn settings(goal: FlowGoal, energy_rate: f64) -> Contrast {
    settings_for(UPDATES, goal, energy_rate)
}

fn settings_for(updates: u64, goal: FlowGoal, energy_rate: f64) -> Contrast {
    let optimizer = Optimizer::adam(Schedule::cosine(0.01, 1e-4, updates));
    Contrast {
        training: Training { batch: 512, optimizer, seed: 2 },
        energy_optimizer: Optimizer::adam(Schedule::cosine(energy_rate, energy_rate / 100.0, updates)),
        flow_goal: goal,
        cover: None,
        correction: false,
        alternate: None,
    }
}

fn contrastive(goal: FlowGoal, energy_rate: f64) -> Contrastive {
    let flow = if goal != FlowGoal::Fixed { Flow::new(2, 4, 4, 1).unwrap() } else { noise() };
    Contrastive::new(&Backend::cpu(), Arc::new(Quadratic::start()), 0.0, flow, settings(goal, energy_rate)).unwrap()
}

fn adversary() -> Adversary {
    Adversary {
        training: Training { batch: 512, optimizer: Optimizer::adam(Schedule::cosine(0.01, 1e-4, 3_000)), seed: 2 },
        energy_optimizer: Optimizer::adam(Schedule::cosine(0.01, 1e-4, 1_500)),
        flow_updates: 2,
    }
}

fn adversarial() -> Adversarial {
    Adversarial::new(&Backend::cpu(), Arc::new(Quadratic::start()), Flow::new(2, 4, 4, 1).unwrap(), adversary()).unwrap()
}

/// KL(data ‖ energy) below 0.005 (16,384 points leave 5 / 32,768, and the last batches as much again) and c within 0.05 of ln Z.
fn learned(trainer: &Contrastive) -> Result<(), String> {
    found(&*trainer.model().unwrap(), trainer.log_normalizer())
}

fn found(model: &dyn Energy, c: f64) -> Result<(), String> {
    let energy = energies(model);
    let (off, truth) = (divergence(&log_data(), &energy), ln_z(&energy));
    if off < 0.005 && (c - truth).abs() < 0.05 {
        Ok(())
    } else {
        Err(format!("KL(data ‖ energy) = {off}, c = {c} for ln Z = {truth}"))
    }
}

/// Noise-contrastive estimation by the passes alone, against a fixed Gaussian, with the log-determinant of the noise's density times
/// `sign`: gradient descent with momentum on one batch.
fn by_passes(sign: f64) -> Result<(), String> {
    let (energy, noise, data, count) = (Arc::new(Quadratic::start()), noise(), data(), 8_192);
    let drawn = noise.sample(count, 5, 0).unwrap().positions;
    let half = data.len() / 2;
    let rows = (0..2)
        .flat_map(|i| data[i * half..][..count].iter().copied().chain(drawn[i * count..][..count].iter().map(|&x| x as f32)));
    let x: Vec<f32> = rows.collect();
    let of_base = noise.inverse(&x.iter().map(|&x| x.into()).collect::<Vec<f64>>()).unwrap();
    let normal = |p: usize| -TAU.ln() - 0.5 * (0..2).map(|i| of_base.positions[i * 2 * count + p].powi(2)).sum::<f64>();
    let log_q: Vec<_> = (0..2 * count).map(|p| normal(p) + sign * of_base.log_dets[p]).collect();

    let target: Arc<dyn Trainable> = energy.clone();
    let mut passes = passes(&target, &Backend::cpu()).unwrap();
    let (mut params, mut steps) = (energy.params().iter().map(|&p| p.into()).chain([0.0]).collect::<Vec<f64>>(), [0.0; 6]);
    let narrow = |params: &[f64]| params[..5].iter().map(|&p| p as f32).collect::<Vec<_>>();
    for _ in 0..600 {
        passes.set_params(&narrow(&params)).unwrap();
        let energies = passes.jets(&x, &[], Order::Value).unwrap().values;
        let weight = |(p, (e, q)): (usize, (&f64, &f64))| {
            let noise = 1.0 / (1.0 + (-(e + params[5] + q)).exp());
            (if p < count { noise } else { noise - 1.0 }) / count as f64
        };
        let values: Vec<f64> = energies.iter().zip(&log_q).enumerate().map(weight).collect();
        let by_c = values.iter().sum();
        let grad = passes.param_grad(&Adjoints { values, ..Default::default() }).unwrap();
        for ((param, step), g) in params.iter_mut().zip(&mut steps).zip(grad.into_iter().chain([by_c])) {
            *step = 0.95 * *step - 0.05 * g;
            *param += *step;
        }
    }
    found(&*energy.with_params(&narrow(&params)).unwrap(), params[5])
}

fn resumed() {
    let (data, folder) = (data(), tempfile::tempdir().unwrap());
    let path = folder.path().join("contest.safetensors");
    let energy = || Arc::new(Quadratic::start());
    let cpu = Backend::cpu();

    let plain = settings(FlowGoal::Contest, 0.02);
    let cover = Some((0.1, Noise::normal([0.0; 2], [3.0]).unwrap()));
    let turns = Contrast { alternate: Some(0.55), ..plain.clone() };
    for settings in [plain.clone(), turns, Contrast { cover, correction: true, ..plain }] {
        let new = || Contrastive::new(&cpu, energy(), 0.0, Flow::new(2, 4, 4, 1).unwrap(), settings.clone()).unwrap();
        let (mut whole, mut half) = (new(), new());
        whole.advance(&data, 20).unwrap();
        half.advance(&data, 10).unwrap();
        half.save(&path).unwrap();
        let other = |change: fn(&mut Contrast)| {
            let mut settings = settings.clone();
            change(&mut settings);
            Contrastive::resume(&path, &cpu, energy(), settings)
        };
        is_another_run("batch", other(|s| s.training.batch = 99));
        is_another_run("energy's optimizer", other(|s| s.energy_optimizer = Optimizer::adam(0.5)));
        is_another_run("flow's goal", other(|s| s.flow_goal = FlowGoal::Likelihood));
        is_another_run("cover", other(|s| s.cover = Some((0.5, Noise::normal([0.0; 2], [9.0]).unwrap()))));
        is_another_run("correction", other(|s| s.correction = !s.correction));
        is_another_run("alternate", other(|s| s.alternate = Some(0.75)));
        let mut half = Contrastive::resume(&path, &cpu, energy(), settings).unwrap();
        assert_eq!(half.updates(), 10);
        half.advance(&data, 10).unwrap();
        assert_eq!(half.flow(), whole.flow());
        assert_eq!(half.model().unwrap().params(), whole.model().unwrap().params());
        assert_eq!(half.log_normalizer(), whole.log_normalizer());
        assert!(matches!(Flow::load(&path), Err(Error::Format { .. })));
    }

    let (mut whole, mut half) = (adversarial(), adversarial());
    whole.advance(&data, 20).unwrap();
    half.advance(&data, 10).unwrap();
    half.save(&path).unwrap();
    is_another_run("flow updates", Adversarial::resume(&path, &cpu, energy(), Adversary { flow_updates: 3, ..adversary() }));
    let mut half = Adversarial::resume(&path, &cpu, energy(), adversary()).unwrap();
    half.advance(&data, 10).unwrap();
    assert_eq!(half.flow(), whole.flow());
    assert_eq!(half.energy().unwrap().params(), whole.energy().unwrap().params());
}

/// Against a flow that stays several updates are prepared at once: each as it is alone.
fn one_by_one() {
    let (data, cpu) = (data(), Backend::cpu());
    let cover = Some((0.1, Noise::normal([0.0; 2], [3.0]).unwrap()));
    let settings = Contrast { cover, correction: true, ..settings(FlowGoal::Fixed, 0.02) };
    let new = || Contrastive::new(&cpu, Arc::new(Quadratic::start()), 0.0, Flow::new(2, 4, 4, 1).unwrap(), settings.clone());
    let (mut whole, mut parts) = (new().unwrap(), new().unwrap());
    let seen = whole.advance(&data, 40).unwrap();
    let each: Vec<_> = (0..40).map(|_| parts.advance(&data, 1).unwrap()).collect();
    assert_eq!(parts.energy().unwrap().params(), whole.energy().unwrap().params());
    assert_eq!(parts.log_normalizer(), whole.log_normalizer());
    assert_eq!(seen.value, each.iter().map(|seen| seen.value).sum::<f64>() / 40.0);
    assert!(each.windows(2).all(|two| two[0].value != two[1].value), "an update saw the points of another");
}

fn refused() {
    let (cpu, energy) = (Backend::cpu(), || Arc::new(Quadratic::start()));
    let wide = || Flow::new(3, 2, 2, 1).unwrap();
    let flow = || Flow::new(2, 2, 2, 1).unwrap();
    assert!(matches!(Contrastive::new(&cpu, energy(), 0.0, wide(), Contrast::default()), Err(Error::Shape { .. })));
    assert!(matches!(Adversarial::new(&cpu, energy(), wide(), Adversary::default()), Err(Error::Shape { .. })));
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let settings = Contrast { energy_optimizer: Optimizer::adam(bad), ..Default::default() };
        assert!(matches!(Contrastive::new(&cpu, energy(), 0.0, flow(), settings), Err(Error::Setting { .. })));
        let settings = Adversary { energy_optimizer: Optimizer::adam(bad), ..Default::default() };
        assert!(matches!(Adversarial::new(&cpu, energy(), flow(), settings), Err(Error::Setting { .. })));
    }
    for bad in [f64::NAN, f64::INFINITY] {
        let refused = Contrastive::new(&cpu, energy(), bad, flow(), Contrast::default());
        assert!(matches!(refused, Err(Error::Setting { .. })));
    }
    let normal = |dim: usize| Noise::normal(vec![0.0; dim], [1.0]).unwrap();
    for bad in [0.0, 1e-4, 1.0, -0.5, f64::NAN] {
        let settings = Contrast { cover: Some((bad, normal(2))), ..Default::default() };
        assert!(matches!(Contrastive::new(&cpu, energy(), 0.0, flow(), settings), Err(Error::Setting { .. })));
    }
    for bad in [0.5, 1.0, f64::NAN] {
        let settings = Contrast { alternate: Some(bad), ..Default::default() };
        assert!(matches!(Contrastive::new(&cpu, energy(), 0.0, flow(), settings), Err(Error::Setting { .. })));
    }
    let settings = Contrast { alternate: Some(0.6), flow_goal: FlowGoal::Fixed, ..Default::default() };
    assert!(matches!(Contrastive::new(&cpu, energy(), 0.0, flow(), settings), Err(Error::Setting { .. })));
    let settings = Contrast { cover: Some((0.5, normal(3))), ..Default::default() };
    assert!(matches!(Contrastive::new(&cpu, energy(), 0.0, flow(), settings), Err(Error::Shape { .. })));
    let settings = Adversary { flow_updates: 0, ..Default::default() };
    assert!(matches!(Adversarial::new(&cpu, energy(), flow(), settings), Err(Error::Setting { .. })));
    let mut trainer = contrastive(FlowGoal::Contest, 0.02);
    assert!(matches!(trainer.advance(&[1.0; 3], 1), Err(Error::Shape { .. })));
    assert!(matches!(trainer.advance(&[f32::NAN; 4], 1), Err(Error::Setting { .. })));
    assert_eq!(trainer.updates(), 0);
}

/// E(x) = ½ (p₀ x² + 2 p₁ x y + p₂ y²) + p₃ x + p₄ y: every Gaussian of the plane, linear in its parameters.
#[derive(Debug, Clone)]
struct Quadratic([f32; 5]);

impl Quadratic {
    fn start() -> Self {
        Self([1.0, 0.0, 1.0, 0.0, 0.0])
    }

    /// That of the data: precision (0.7, −0.9; −0.9, 2)/0.59, times −mean.
    fn of_data() -> Self {
        let [a, b, d] = [0.7, -0.9, 2.0].map(|p| p / 0.59);
        Self([a, b, d, -(a - 0.5 * b), -(b - 0.5 * d)].map(|p| p as f32))
    }
}

fn features([x, y]: [f64; 2]) -> [f64; 5] {
    [0.5 * x * x, x * y, 0.5 * y * y, x, y]
}

impl Energy for Quadratic {
    fn name(&self) -> String {
        "quadratic".into()
    }

    fn dim(&self) -> usize {
        2
    }

    fn params(&self) -> Vec<f32> {
        self.0.to_vec()
    }

    fn compose(&self, _program: &mut Composer) -> Result<Call> {
        Err(Error::Unsupported("the quadratic runs on the CPU".into()))
    }

    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        features([x[0], x[1]]).iter().enumerate().map(|(i, f)| params.get(i) * f).sum()
    }

    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        grad[0] = params.get(0) * x[0] + params.get(1) * x[1] + params.get(3);
        grad[1] = params.get(1) * x[0] + params.get(2) * x[1] + params.get(4);
        self.energy(params, x)
    }
}

impl Trainable for Quadratic {
    fn blocks(&self) -> Vec<Block> {
        vec![Block::new("natural", [5], false)]
    }

    fn with_params(&self, params: &[f32]) -> Result<Arc<dyn Trainable>> {
        Ok(Arc::new(Self(params.try_into().unwrap())))
    }

    fn jet(&self, params: &[f64], x: &[f64], _v: &[f64], _order: Order) -> [f64; 3] {
        [features([x[0], x[1]]).iter().zip(params).map(|(f, p)| f * p).sum(), 0.0, 0.0]
    }

    fn jet_param_grad(&self, _params: &[f64], x: &[f64], _v: &[f64], adjoints: [f64; 3], grad: &mut [f64]) {
        grad.iter_mut().zip(features([x[0], x[1]])).for_each(|(g, f)| *g += adjoints[0] * f);
    }
}
