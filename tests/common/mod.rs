//! What all tests share: a suite whose GPU tests fail where there is no adapter, or show as ignored with ERGODIC_SKIP_GPU=1.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

pub mod cases;
pub mod compute;
pub mod determinism;
pub mod exact;
pub mod invariance;
pub mod law;
pub mod leapfrog;
pub mod planted;
pub mod random;
pub mod stats;
pub mod streaming;
pub mod twin;
pub mod twin_energy;

use std::{path::PathBuf, process::ExitCode, sync::OnceLock};

use ergodic::{Backend, Gpu, wgpu};
use libtest_mimic::{Arguments, Failed, Trial};

/// What an energy with something planted around it has of the one inside.
#[allow(unused_macros, reason = "each test file uses a part")]
macro_rules! energy_of_inner {
    () => {
        fn name(&self) -> String {
            self.inner.name()
        }

        fn dim(&self) -> usize {
            self.inner.dim()
        }

        fn params(&self) -> Vec<f32> {
            self.inner.params()
        }

        fn compose(&self, program: &mut ergodic::program::Composer) -> ergodic::Result<ergodic::energy::Call> {
            self.inner.compose(program)
        }

        fn energy(&self, params: ergodic::energy::Params<'_>, x: &[f64]) -> f64 {
            self.inner.energy(params, x)
        }

        fn energy_and_grad(&self, params: ergodic::energy::Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
            self.inner.energy_and_grad(params, x, grad)
        }
    };
}
#[allow(unused_imports, reason = "each test file uses a part")]
pub(crate) use energy_of_inner;

/// `Trainable` as that of the field `inner`, but for its passes.
#[allow(unused_macros, reason = "each test file uses a part")]
macro_rules! trainable_of_inner {
    () => {
        fn blocks(&self) -> Vec<ergodic::train::Block> {
            self.inner.blocks()
        }

        fn with_params(&self, params: &[f32]) -> ergodic::Result<std::sync::Arc<dyn ergodic::train::Trainable>> {
            self.inner.with_params(params)
        }

        fn jet(&self, params: &[f64], x: &[f64], v: &[f64], order: ergodic::train::Order) -> [f64; 3] {
            self.inner.jet(params, x, v, order)
        }

        fn jet_param_grad(&self, params: &[f64], x: &[f64], v: &[f64], adjoints: [f64; 3], grad: &mut [f64]) {
            self.inner.jet_param_grad(params, x, v, adjoints, grad);
        }
    };
}
#[allow(unused_imports, reason = "each test file uses a part")]
pub(crate) use trainable_of_inner;

/// The GPU of this process, opened once. With ERGODIC_AS_HARDWARE=1 it is taken for hardware, whatever it is.
pub fn gpu() -> Gpu {
    static GPU: OnceLock<Result<Gpu, String>> = OnceLock::new();
    let open = || Gpu::open().map(|gpu| if is_set("ERGODIC_AS_HARDWARE") { as_hardware(&gpu) } else { gpu });
    match GPU.get_or_init(|| open().map_err(|e| e.to_string())) {
        Ok(gpu) => gpu.clone(),
        Err(e) => panic!("{e}\nSet ERGODIC_SKIP_GPU=1 to run the tests that need none."),
    }
}

/// The same device, which says that it is not software: its programs are those of other devices.
pub fn as_hardware(gpu: &Gpu) -> Gpu {
    let info = wgpu::AdapterInfo { device_type: wgpu::DeviceType::Other, ..gpu.info().clone() };
    Gpu::from_parts(gpu.device().clone(), gpu.queue().clone(), info)
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value == "1")
}

/// Tests by name, one a case.
#[derive(Default)]
pub struct Suite {
    trials: Vec<Trial>,
}

impl Suite {
    pub fn new() -> Self {
        Self::default()
    }

    /// A test that needs no device. It fails by panicking.
    pub fn test(mut self, name: impl Into<String>, body: impl FnOnce() + Send + 'static) -> Self {
        self.trials.push(Trial::test(name, move || caught(body)));
        self
    }

    /// A test on the GPU.
    pub fn gpu(mut self, name: impl Into<String>, body: impl FnOnce(Gpu) + Send + 'static) -> Self {
        let skip = is_set("ERGODIC_SKIP_GPU");
        let trial = Trial::test(format!("gpu::{}", name.into()), move || caught(move || body(gpu())));
        self.trials.push(trial.with_ignored_flag(skip));
        self
    }

    /// The same test on the GPU and on the CPU reference.
    pub fn both(self, name: impl Into<String>, body: impl Fn(Backend) + Clone + Send + 'static) -> Self {
        let name = name.into();
        let on_cpu = body.clone();
        self.test(format!("cpu::{name}"), move || on_cpu(Backend::cpu())).gpu(name, move |gpu| body(Backend::gpu_of(gpu)))
    }

    /// A test against published data, which are no part of the project: it gets their folder, `ERGODIC_TRUTH` or `../shared/truth`,
    /// and shows as ignored, with the reason, where there is none.
    pub fn truth(mut self, name: impl Into<String>, body: impl FnOnce(PathBuf) + Send + 'static) -> Self {
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/truth");
        let folder = std::env::var_os("ERGODIC_TRUTH").map_or_else(|| PathBuf::from(beside), PathBuf::from);
        let name = name.into();
        self.trials.push(match folder.is_dir() {
            true => Trial::test(name, move || caught(move || body(folder))),
            false => Trial::test(name, || Ok(()))
                .with_kind("no published data; ERGODIC_TRUTH names their folder")
                .with_ignored_flag(true),
        });
        self
    }

    /// A test that takes long; `tests/run --long` runs it.
    pub fn long(mut self) -> Self {
        if let Some(trial) = self.trials.pop() {
            self.trials.push(trial.with_ignored_flag(true));
        }
        self
    }

    pub fn run(self) -> ExitCode {
        libtest_mimic::run(&Arguments::from_args(), self.trials).exit_code()
    }
}

fn caught(body: impl FnOnce()) -> Result<(), Failed> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).map_err(|cause| {
        let text = cause.downcast_ref::<String>().map(String::as_str).or(cause.downcast_ref::<&str>().copied());
        text.unwrap_or("panicked").into()
    })
}
