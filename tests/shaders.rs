//! Every energy composes with every kernel to WGSL that validates and translates to SPIR-V, MSL and HLSL, without a device.

mod common;

use std::sync::Arc;

use common::{Suite, cases};
use ergodic::{Program, program::Options};
use naga::back::{hlsl, msl, spv};

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for (energy_name, energy) in cases::energies().into_iter().chain(cases::spread()) {
        for (kernel_name, kernel) in cases::kernels().into_iter().chain(cases::tempered()) {
            let energy = energy.clone();
            suite = suite.test(format!("{kernel_name} on {energy_name}"), move || {
                for on in [false, true] {
                    for rolled in [false, true] {
                        let subgroup = if on && !rolled { 8 } else { 0 };
                        let options = Options { collect: on, store: on, scheduled: on, software: on, subgroup, rolled };
                        let program = Program::new(&*energy, &*kernel, options).unwrap();
                        let (module, info) = program.module();
                        translate(module, info);
                    }
                }
            });
        }
    }
    for (kernel_name, kernel) in cases::kernels().into_iter().chain(cases::tempered()) {
        suite = suite.test(format!("{kernel_name} on composed and constrained energies of 512 dimensions"), move || {
            for energy in [cases::high_dimension(512), Arc::new(cases::constrained_of(512))] {
                let program = Program::new(&*energy, &*kernel, Options::default()).unwrap();
                let (module, info) = program.module();
                translate(module, info);
            }
        });
    }
    let everywhere = cases::trainable().into_iter().map(|(name, energy)| (name, energy, &[false, true][..]));
    let elsewhere = cases::trainable_by_loops().into_iter().map(|(name, energy)| (name, energy, &[false][..]));
    for (name, energy, on_software) in everywhere.chain(elsewhere) {
        suite = suite.test(format!("passes of training over {name}"), move || {
            for &software in on_software {
                let program = Program::training(&*energy, software).unwrap().unwrap();
                let (module, info) = program.module();
                translate(module, info);
            }
        });
    }
    let threefry = include_str!("../shaders/threefry.wgsl");
    let half_sweep = include_str!("../shaders/rbm/half_sweep.wgsl");
    let (normal, gaussian) = (include_str!("../shaders/normal.wgsl"), include_str!("../shaders/rbm/gaussian.wgsl"));
    let boltzmann = [
        ("block Gibbs of binary units", vec![threefry, half_sweep]),
        ("block Gibbs of Gaussian units", vec![threefry, half_sweep, normal, gaussian]),
        ("the checkerboard", vec![threefry, include_str!("../shaders/rbm/checkerboard.wgsl")]),
    ];
    for (name, parts) in boltzmann {
        suite = suite.test(name, move || {
            let module = naga::front::wgsl::parse_str(&parts.concat()).unwrap();
            let mut validator =
                naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
            translate(&module, &validator.validate(&module).unwrap());
        });
    }
    suite.run()
}

fn translate(module: &naga::Module, info: &naga::valid::ModuleInfo) {
    spv::write_vec(module, info, &spv::Options::default(), None).unwrap();
    let mut out = String::new();
    msl::Writer::new(&mut out)
        .write(
            module,
            info,
            &msl::Options { fake_missing_bindings: true, ..Default::default() },
            &msl::PipelineOptions::default(),
        )
        .unwrap();
    out.clear();
    let options = hlsl::Options { fake_missing_bindings: true, ..Default::default() };
    let pipeline = hlsl::PipelineOptions::default();
    hlsl::Writer::new(&mut out, &options, &pipeline).write(module, info, None).unwrap();
}
