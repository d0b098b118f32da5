//! Normal data, whose discretised reverse process is normal: mean and variance by the recursion of the papers' formulas.

use std::sync::Arc;

use ergodic::{
    Backend, Result, Schedule,
    diffusion::NoiseSchedule,
    energy::{Energy, Gaussian},
    kernel::{Info, Kernel, Reverse, State, Step, Variance},
};

use crate::{
    common::{
        Suite,
        stats::{LEVEL, ks, normal_cdf, p_of_z, smallest, z_of_correlation, z_of_mean},
    },
    formula::{Sampler, samplers},
};

/// Along two axes turned by an angle whose cosine and sine are 0.8 and 0.6.
const MEANS: [f64; 2] = [0.6, -1.0];
const SDS: [f64; 2] = [0.05, 1.5];
const TURN: [[f64; 2]; 2] = [[0.8, 0.6], [-0.6, 0.8]];

fn data() -> Gaussian {
    let at = |i: usize, j: usize| (0..2).map(|k| TURN[k][i] * SDS[k].powi(2) * TURN[k][j]).sum::<f64>();
    let mean = |i: usize| (0..2).map(|k| TURN[k][i] * MEANS[k]).sum::<f64>();
    Gaussian::full([mean(0), mean(1)], &[at(0, 0), at(0, 1), at(1, 0), at(1, 1)]).unwrap()
}

fn count(backend: &Backend) -> usize {
    if backend.gpu().is_some() { 200_000 } else { 20_000 }
}

/// A short schedule, whose first steps are as large as the data's least width; and that of the paper.
fn schedules() -> [(&'static str, NoiseSchedule); 3] {
    [
        ("linear, T = 50", NoiseSchedule::linear(50, 2e-3, 0.3).unwrap()),
        ("cosine, T = 200", NoiseSchedule::cosine(200).unwrap()),
        ("linear, T = 1,000", NoiseSchedule::linear(1000, 1e-4, 0.02).unwrap()),
    ]
}

pub(crate) fn add(mut suite: Suite) -> Suite {
    for (name, schedule) in schedules() {
        for sampler in samplers(&schedule) {
            let schedule = schedule.clone();
            suite = suite.both(format!("{} of normal data: {name}", sampler.name), move |backend| {
                let (what, p) = off_its_law(&backend, &schedule, &sampler, sampler.kernel.clone()).unwrap();
                assert!(p >= LEVEL, "{what} is off: p = {p:.3e}");
            });
        }
    }
    for (name, fault) in FAULTS {
        suite = suite.both(format!("a planted fault is found: {name}"), move |backend| {
            let schedule = schedules().into_iter().next().unwrap().1;
            let sampler = samplers(&schedule).swap_remove(0);
            let kernel = Wrong::plant(&schedule, fault);
            let (_, p) = off_its_law(&backend, &schedule, &sampler, kernel).unwrap();
            assert!(p < LEVEL, "not found: p = {p:.3e}");
        });
    }
    suite
        .test("the wrong kernel without a fault is right", || {
            let schedule = schedules().into_iter().next().unwrap().1;
            let sampler = samplers(&schedule).swap_remove(0);
            let kernel = Wrong::plant(&schedule, |_, _, right| right);
            let (what, p) = off_its_law(&Backend::cpu(), &schedule, &sampler, kernel).unwrap();
            assert!(p >= LEVEL, "{what} is off: p = {p:.3e}");
        })
        .both("after the last step chains stay where they are", |backend| {
            let schedule = NoiseSchedule::cosine(20).unwrap();
            for sampler in samplers(&schedule) {
                let setup = backend.chains_of(Arc::new(data()), sampler.kernel.clone()).count(100).start(sampler.start.clone());
                let mut chains = setup.build().unwrap();
                chains.advance(sampler.steps()).unwrap();
                let before = chains.positions().unwrap();
                chains.advance(3).unwrap();
                assert_eq!(before, chains.positions().unwrap(), "{}", sampler.name);
            }
        })
        .test("the kernel's temperature is its own", || {
            let kernel = Reverse::ancestral(&NoiseSchedule::cosine(20).unwrap(), Variance::Beta);
            let refused = Backend::cpu().chains(data(), kernel).temperature(2.0).build();
            assert!(matches!(refused, Err(ergodic::Error::Setting { .. })), "{refused:?}");
        })
}

/// The smallest p-value of what a kernel draws against the law of a sampler, along the axes of the data.
fn off_its_law(
    backend: &Backend,
    schedule: &NoiseSchedule,
    sampler: &Sampler,
    kernel: Arc<dyn Kernel>,
) -> Result<(String, f64)> {
    let chains = count(backend);
    let mut run = backend.chains_of(Arc::new(data()), kernel).count(chains).seed(40).start(sampler.start.clone()).build()?;
    run.advance(sampler.steps())?;
    let x = run.positions()?;
    let mut found = Vec::new();
    let mut scores = Vec::new();
    for axis in 0..2 {
        let along = |chain: usize| (0..2).map(|i| TURN[axis][i] * f64::from(x[i * chains + chain])).sum::<f64>();
        let (mean, variance) = sampler.of_gaussian(schedule, MEANS[axis], SDS[axis]);
        let z: Vec<f64> = (0..chains).map(|chain| (along(chain) - mean) / variance.sqrt()).collect();
        found.push((format!("the law along axis {axis}"), ks(&z, |z| normal_cdf(z, 0.0, 1.0))));
        found.push((format!("the mean along axis {axis}"), p_of_z(z_of_mean(z.iter().copied(), 0.0))));
        found.push((format!("the variance along axis {axis}"), p_of_z(z_of_mean(z.iter().map(|z| z * z), 1.0))));
        scores.push(z);
    }
    let pairs = scores[0].iter().copied().zip(scores[1].iter().copied());
    found.push(("the correlation".into(), p_of_z(z_of_correlation(pairs))));
    if run.report().failed_transitions() > 0 {
        found.push(("transitions failed: their number".into(), 0.0));
    }
    Ok(smallest(found))
}

/// (schedule, t, the right a and b² of x′ = x − a ∇E + b z in the coordinates y) to what is planted.
type Fault = fn(&NoiseSchedule, usize, (f64, f64)) -> (f64, f64);

const FAULTS: [(&str, Fault); 4] = [
    ("beta for alpha bar in the noise's coefficient", |schedule, t, (a, noise)| {
        // β/√(1 − β) ε instead of β/√(1 − ᾱ) ε.
        (a * ((1.0 - schedule.alpha_bar(t)) / schedule.beta(t)).sqrt(), noise)
    }),
    ("alpha bar for beta in the variance", |schedule, t, (a, noise)| {
        (a, noise * (1.0 - schedule.alpha_bar(t)) / schedule.beta(t))
    }),
    ("the last step's noise left in", |schedule, t, (a, noise)| (a, if t == 1 { schedule.beta(1) } else { noise })),
    ("the other variance", |schedule, t, (a, noise)| (a, noise * schedule.posterior_variance(t) / schedule.beta(t))),
];

/// Ancestral sampling with β, with other numbers in its steps.
#[derive(Debug)]
struct Wrong {
    real: Reverse,
    step_size: Schedule,
    temperature: Schedule,
}

impl Wrong {
    fn plant(schedule: &NoiseSchedule, fault: Fault) -> Arc<dyn Kernel> {
        let real = Reverse::ancestral(schedule, Variance::Beta);
        let numbers = |k: u64| {
            let (a, temperature) = (real.step_size().at(k), real.temperature().unwrap().at(k));
            fault(schedule, schedule.steps() - k as usize, (a, 2.0 * a * temperature))
        };
        let (step_size, temperature): (Vec<_>, Vec<_>) =
            (0..real.steps()).map(numbers).map(|(a, noise)| (a, 0.5 * noise / a)).unzip();
        Arc::new(Self { real, step_size: Schedule::list(step_size), temperature: Schedule::list(temperature) })
    }
}

impl Kernel for Wrong {
    fn name(&self) -> &'static str {
        self.real.name()
    }
    fn source(&self) -> &'static str {
        self.real.source()
    }
    fn validate(&self, target: &dyn Energy) -> Result<()> {
        self.real.validate(target)
    }
    fn slots(&self, dim: usize) -> u32 {
        self.real.slots(dim)
    }
    fn step_size(&self) -> &Schedule {
        &self.step_size
    }
    fn uses_grad(&self) -> bool {
        true
    }
    fn is_unadjusted(&self) -> bool {
        true
    }
    fn temperature(&self) -> Option<&Schedule> {
        Some(&self.temperature)
    }
    fn noise_level(&self) -> Option<&Schedule> {
        self.real.noise_level()
    }
    fn transition(&self, step: &Step<'_>, state: &mut State, scratch: &mut State) -> Info {
        self.real.transition(step, state, scratch)
    }
}
