//! The checks, each of one subject: the library as it is, or with a planted fault.

use std::{fmt, sync::Arc, time::Duration};

use anyhow::Result;
use ergodic::{
    Backend, Gpu,
    energy::{DoubleWell, Energy},
    kernel::{Hmc, Kernel},
    random::{normal_pair, threefry, uniform},
};
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal};

use super::{
    faults::{At, Fault, Reversed},
    tested::{
        cases, determinism, exact, invariance, law, leapfrog,
        planted::Planted,
        random::{self, RANDOM},
        stats::{LEVEL, ks, normal_cdf, smallest},
        streaming::moments_against_positions,
        twin, twin_energy,
    },
};

/// What is checked, and how thoroughly.
pub(crate) struct Subject {
    pub backend: Backend,
    pub chains: Option<usize>,
    pub quick: bool,
    pub fault: Option<Fault>,
}

/// A check that is still to run.
pub(crate) struct Check {
    pub name: &'static str,
    pub of: String,
    pub run: Box<dyn FnOnce() -> Result<Outcome>>,
}

/// How near to failing.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Score {
    /// The score of the smallest p-value of several as a standard normal would have it; passes below that of `LEVEL`, 6.5.
    Z(f64),
    /// The largest error as a share of what rounding allows; passes up to 1.
    OfBound(f64),
    /// Things that should be equal and are not.
    Differences(usize),
    /// It could not be run.
    Error,
}

/// Beyond this, p is below the range of f64.
const MOST: f64 = 38.0;

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Z(z) if *z > MOST => format!("z > {MOST:.0}"),
            Self::Z(z) => format!("z = {z:.2}"),
            Self::OfBound(share) => format!("{share:.3} of 1"),
            Self::Differences(0) => "equal".into(),
            Self::Differences(n) => format!("{n} differ"),
            Self::Error => "error".into(),
        };
        f.pad(&text)
    }
}

/// What came out.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub score: Score,
    /// Of what the score is.
    pub says: String,
}

impl Outcome {
    /// Of the smallest p-value and its name.
    fn p((says, p): (String, f64)) -> Self {
        let z = if p > 0.0 { -Normal::standard().inverse_cdf(0.5 * p.min(1.0)) } else { MOST + 1.0 };
        Self { score: Score::Z(z), says }
    }

    /// Of a comparison that says what does not fit.
    fn fits(found: Result<String, String>) -> Self {
        match found {
            Ok(says) => Self { score: Score::Differences(0), says },
            Err(says) => Self { score: Score::Differences(1), says },
        }
    }

    pub(crate) fn error(error: &anyhow::Error) -> Self {
        Self { score: Score::Error, says: format!("{error:#}") }
    }

    pub(crate) fn passes(&self) -> bool {
        match self.score {
            Score::Z(z) => z <= -Normal::standard().inverse_cdf(0.5 * LEVEL),
            Score::OfBound(share) => share <= 1.0,
            Score::Differences(n) => n == 0,
            Score::Error => false,
        }
    }
}

/// The checks of a subject; with a fault, those of the part that it is planted in.
pub(crate) fn checks(subject: &Subject) -> Vec<Check> {
    let gpu = subject.backend.gpu();
    let mut checks = Vec::new();
    match &subject.fault {
        None => {
            checks.extend(published());
            checks.extend(gpu.into_iter().flat_map(|gpu| random_numbers(gpu, RANDOM.into())));
            checks.extend(gpu.into_iter().flat_map(|gpu| energies(gpu, subject.quick)));
            checks.extend(kernels(subject, |_| true, |kernel| kernel));
        }
        Some(Fault { at: At::Random { piece, instead }, .. }) => {
            let text = RANDOM.replace(piece, instead);
            checks.extend(gpu.into_iter().flat_map(|gpu| random_numbers(gpu, text.clone())));
        }
        Some(Fault { at: At::Gradient, .. }) => {
            let real: Arc<dyn Energy> = Arc::new(DoubleWell::new(5, 1.0).expect("a good setting"));
            let reversed: Arc<dyn Energy> = Arc::new(Reversed(DoubleWell::new(5, 1.0).expect("a good setting")));
            checks.extend(gpu.map(|gpu| energy(gpu, "double_well_5", reversed, real)));
        }
        Some(Fault { at: At::Kernel { name, piece, instead }, .. }) => {
            checks.extend(kernels(subject, |kernel| kernel == *name, |kernel| Planted::wgsl(kernel, piece, instead)));
        }
    }
    checks
}

fn check(name: &'static str, of: impl Into<String>, run: impl FnOnce() -> Result<Outcome> + 'static) -> Check {
    Check { name, of: of.into(), run: Box::new(run) }
}

/// Published answers, on the CPU.
fn published() -> Vec<Check> {
    vec![
        check("known answers", "Threefry, Random123's, CPU", || {
            let wrong = random::KNOWN.iter().filter(|[counter, key, answer]| threefry(*key, *counter) != *answer).count();
            Ok(Outcome { score: Score::Differences(wrong), says: "3 vectors".into() })
        }),
        check("known answers", "leapfrog, Stan's, CPU", || {
            let share = leapfrog::worst(|inverse_mass| inverse_mass) / leapfrog::BOUND;
            Ok(Outcome { score: Score::OfBound(share), says: "8 states".into() })
        }),
    ]
}

/// The random numbers of a text like shaders/random.wgsl.
fn random_numbers(gpu: &Gpu, text: String) -> Vec<Check> {
    let bits = random::bits(1 << 16, 32);
    let (threefry_gpu, normals_gpu) = (gpu.clone(), gpu.clone());
    let (threefry_text, normals_text) = (text.clone(), text);
    let normal_bits = bits.clone();
    vec![
        check("known answers", "Threefry", move || {
            let known = random::KNOWN.map(|[counter, key, _]| (key, counter));
            let others = bits.chunks_exact(2).map(|pair| (pair[0], pair[1]));
            let blocks: Vec<_> = known.into_iter().chain(others).collect();
            let found = random::encrypt(&threefry_gpu, &threefry_text, &blocks);
            let published = random::KNOWN.iter().zip(&found).filter(|([.., answer], found)| answer != *found).count();
            let wrong = blocks.iter().zip(&found).filter(|(block, found)| threefry(block.0, block.1) != **found).count();
            let says = format!("3 published vectors, {} of the CPU's", blocks.len() - 3);
            Ok(Outcome { score: Score::Differences(wrong.max(published)), says })
        }),
        check("known answers", "uniforms, normals", move || {
            let found = random::convert(&normals_gpu, &normals_text, &normal_bits);
            let wrong = found.iter().zip(&normal_bits).filter(|(found, bits)| f64::from(found.0) != uniform(**bits)).count();
            if wrong > 0 {
                return Ok(Outcome { score: Score::Differences(wrong), says: "uniforms".into() });
            }
            let share = random::worst_normal(&found, &normal_bits) / random::NORMAL_BOUND;
            if share > 1.0 || share.is_nan() {
                return Ok(Outcome { score: Score::OfBound(share), says: "normals against the CPU's".into() });
            }
            let law = |name: &str, values: Vec<f64>, cdf: fn(f64) -> f64| (format!("law of the {name}"), ks(&values, cdf));
            let normals = found.iter().flat_map(|f| f.1.map(f64::from)).collect();
            Ok(Outcome::p(smallest([
                law("uniforms", found.iter().map(|f| f64::from(f.0)).collect(), |u| u),
                law("normals", normals, |z| normal_cdf(z, 0.0, 1.0)),
                law("CPU's normals", normal_bits.iter().flat_map(|&b| normal_pair(b)).collect(), |z| normal_cdf(z, 0.0, 1.0)),
            ])))
        }),
    ]
}

/// Energies and gradients on the GPU against their f64 twins; quick: one of each way to be written.
fn energies(gpu: &Gpu, quick: bool) -> Vec<Check> {
    const QUICK: [&str; 5] = ["double_well_5", "mixture_ring", "gaussian_full_18", "funnel_10", "nested"];
    let cases = cases::energies().into_iter().filter(|(name, _)| !quick || QUICK.contains(name));
    cases.map(|(name, target)| energy(gpu, name, target.clone(), target)).collect()
}

fn energy(gpu: &Gpu, name: &str, target: Arc<dyn Energy>, twin: Arc<dyn Energy>) -> Check {
    let gpu = gpu.clone();
    check("energies", name, move || {
        let found = twin_energy::agree(&gpu, &target, &twin, 0.0);
        Ok(Outcome::fits(found.map(|()| "energy and gradient at 1,000 points, within rounding".into())))
    })
}

/// Every kernel whose name is asked for, with a fault planted or none.
fn kernels(
    subject: &Subject,
    is_asked: impl Fn(&str) -> bool,
    plant: impl Fn(Arc<dyn Kernel>) -> Arc<dyn Kernel>,
) -> Vec<Check> {
    let (backend, gpu) = (&subject.backend, subject.backend.gpu());
    let (on_gpu, on_cpu) = if subject.quick { (100_000, 20_000) } else { (1_000_000, 100_000) };
    let chains = subject.chains.unwrap_or(if gpu.is_some() { on_gpu } else { on_cpu });
    let targets: Vec<_> = exact::targets().into_iter().take(if subject.quick { 1 } else { usize::MAX }).collect();
    let two_gaussians = targets[0].clone();
    let mut checks = Vec::new();

    // Against the twin, and against the other ways to run it: one of each kind.
    for (kind, kernel) in cases::kernels() {
        if !is_asked(kernel.name()) || (subject.quick && kind.ends_with("_mass")) {
            continue;
        }
        let twin = kernel.clone();
        let kernel = plant(kernel);
        if let Some(gpu) = gpu.cloned() {
            let (energy, kernel) = (two_gaussians.energy.clone(), kernel.clone());
            checks.push(check("transition", format!("{kind} against its twin"), move || {
                let found = twin::compare(gpu, &energy, &kernel, &twin);
                Ok(Outcome::fits(found.map(|flips| format!("512 chains, within rounding; {flips} decisions differ"))))
            }));
        }
        let kernel_again = kernel.clone();
        let (to, energy) = (backend.clone(), determinism::ring());
        checks.push(check("determinism", kind, move || {
            let found = determinism::differences(&to, &energy, &kernel)?;
            let says = if found.is_empty() { "any number of chains, any cutting".into() } else { found.join(", ") };
            Ok(Outcome { score: Score::Differences(found.len()), says })
        }));
        let (to, energy) = (backend.clone(), two_gaussians.energy.clone());
        let has_one_energy = kernel_again.noise_level().is_none();
        if has_one_energy {
            checks.push(check("moments", kind, move || {
                let (says, share) = moments_against_positions(&to, energy, kernel_again)?;
                Ok(Outcome { score: Score::OfBound(share), says: format!("{says}, against the positions read back") })
            }));
        }
    }

    // Exact draws stay exact draws; unadjusted kernels keep to their own law.
    for target in &targets {
        for (kind, kernel) in invariance::exact_kernels(target.energy.dim()) {
            if is_asked(kernel.name()) && !(subject.quick && kind.ends_with("_mass")) {
                let (to, target, kernel) = (backend.clone(), target.clone(), plant(kernel));
                let of = format!("{kind} on {}", target.name);
                checks.push(check("invariance", of, move || Ok(Outcome::p(invariance::moved(&to, &target, kernel, chains)?))));
            }
        }
    }
    for mut case in invariance::unadjusted() {
        if is_asked(case.kernel.name()) && !(subject.quick && case.name.contains("_at_")) {
            case.kernel = plant(case.kernel);
            let to = backend.clone();
            checks.push(check("own law", case.name, move || Ok(Outcome::p(invariance::off_its_law(&to, &case, chains)?))));
        }
    }

    // From a start far off to exact moments.
    for target in &targets {
        let reference = Arc::new(law::Reference::new());
        for (kind, kernel) in law::exact_kernels() {
            if is_asked(kernel.name()) {
                let (to, target, kernel, reference) = (backend.clone(), target.clone(), plant(kernel), reference.clone());
                let of = format!("{kind} on {}", target.name);
                checks.push(check("long run", of, move || Ok(Outcome::p(law::long_run(&to, &target, kernel, &reference)?))));
            }
        }
    }

    if is_asked("hmc") {
        checks.push(completion(backend, plant(Arc::new(Hmc::new(0.2, 40))), if subject.quick { 4_500 } else { 15_000 }));
    }
    checks
}

/// Long dispatches, which a driver may cut short, give the bits of short ones.
fn completion(backend: &Backend, kernel: Arc<dyn Kernel>, steps: u64) -> Check {
    let to = backend.clone();
    check("completion", "hmc in long slices", move || {
        let short = determinism::long_slices(&to, kernel.clone(), Duration::from_millis(10), steps)?;
        let long = determinism::long_slices(&to, kernel, Duration::from_millis(500), steps)?;
        let same = determinism::bits(&*short)? == determinism::bits(&*long)? && short.tallies() == long.tallies();
        let says = match long.report().slices_redone {
            0 => "no dispatch was cut short".into(),
            1 => "a dispatch was cut short by the driver, noticed and run again".into(),
            redone => format!("{redone} dispatches were cut short by the driver, noticed and run again"),
        };
        Ok(Outcome { score: Score::Differences(usize::from(!same)), says })
    })
}
