//! On the device: it goes on after a refusal, user's energies stand together in one program, and what a text does wrong on the
//! device stays within its own chain.

use std::sync::Arc;

use crate::{VALLEY, common::Suite, edited, refusal, valley, with_statement};
use ergodic::{
    Backend, Error, Gpu, Result, Start,
    chains::Chains,
    energy::{Call, Compose, Energy, Gaussian, Params, WgslEnergy},
    kernel::{Hmc, Kernel, Mala, Rwm, Ula, Underdamped},
    program::Composer,
};

const WIDE: &str = include_str!("wide.wgsl");

/// The sum of two energies that have no twin.
#[derive(Debug)]
struct Both(WgslEnergy, WgslEnergy);

impl Energy for Both {
    fn name(&self) -> String {
        "both".into()
    }
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn params(&self) -> Vec<f32> {
        [self.0.params(), self.1.params()].concat()
    }
    fn compose(&self, program: &mut Composer) -> Result<Call> {
        let (a, b) = (self.0.compose(program)?, self.1.compose(program)?);
        let stem = program.unique("both");
        let second = format!("at + {}u", self.0.params().len());
        program.add(
            &stem,
            &format!(
                "fn {stem}_energy(at: u32, x: ptr<function, Point>) -> f32 {{ return {} + {}; }}
                 fn {stem}_energy_and_grad(at: u32, x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {{
                     var other: Point;
                     let e = {} + {};
                     for (var b = 0u; b < blocks(); b++) {{ (*grad)[b] += other[b]; }}
                     return e;
                 }}",
                a.energy("at", "x"),
                b.energy(&second, "x"),
                a.energy_and_grad("at", "x", "grad"),
                b.energy_and_grad(&second, "x", "&other"),
            ),
        )?;
        Ok(Call::new(stem, &[]))
    }
    fn energy(&self, _: Params<'_>, _: &[f64]) -> f64 {
        f64::NAN
    }
    fn energy_and_grad(&self, _: Params<'_>, _: &[f64], _: &mut [f64]) -> f64 {
        f64::NAN
    }
    fn has_twin(&self) -> bool {
        false
    }
}

fn wide(scale: f32) -> WgslEnergy {
    WgslEnergy::from_text("wide", 2, [scale], WIDE).unwrap()
}

fn run(gpu: &Gpu, target: impl Energy + 'static) -> Box<dyn Chains> {
    let mut chains = Backend::gpu_of(gpu.clone()).chains(target, Mala::new(0.05)).count(257).seed(3).build().unwrap();
    chains.advance(50).unwrap();
    chains
}

fn error(gpu: Gpu, target: impl Energy + 'static) -> Error {
    match Backend::gpu_of(gpu).chains(target, Mala::new(0.05)).count(257).seed(3).build() {
        Ok(_) => panic!("was accepted"),
        Err(error) => error,
    }
}

fn bits(chains: &dyn Chains) -> Vec<u32> {
    chains.positions().unwrap().iter().map(|x| x.to_bits()).collect()
}

pub(crate) fn tests(mut suite: Suite) -> Suite {
    for (name, mistake, coordinate) in [
        ("flipped sign", ("-4.0 * param(at)", "4.0 * param(at)"), 0),
        ("twice one", ("2.0 * param(at) * d)", "4.0 * param(at) * d)"), 1),
        ("missing term", (" - 2.0 * (1.0 - p.x)", ""), 0),
        ("swapped", ("(*grad)[0] = vec2<f32>(", "(*grad)[0] = valley_swap("), 0),
    ] {
        suite = suite.gpu(format!("gradient::{name}"), move |gpu| {
            let text =
                edited(mistake.0, mistake.1) + "\nfn valley_swap(a: f32, b: f32) -> vec2<f32> { return vec2<f32>(b, a); }";
            let found = error(gpu.clone(), valley(&*text).unwrap());
            let Error::Gradient { energy, coordinate: at, found: said, expected, .. } = &found else { panic!("{found}") };
            assert_eq!((energy.as_str(), *at), ("valley", coordinate));
            let message = found.to_string();
            assert!(message.contains(&said.to_string()) && message.contains(&expected.to_string()), "{message}");
            // A kernel without gradients does not mind.
            Backend::gpu_of(gpu).chains(valley(text).unwrap(), Rwm::new(0.5)).count(64).build().unwrap();
        });
    }
    for (name, (old, new)) in [
        ("one more", ("return valley_energy(at, x);", "return valley_energy(at, x) + 1.0;")),
        ("a part", ("return valley_energy(at, x);", "return param(at) * d * d;")),
        ("one percent more", ("return valley_energy(at, x);", "return 1.01 * valley_energy(at, x);")),
        ("outside of the support in one", ("return param(at)", "if (p.x < 0.0) { return infinity(); } return param(at)")),
    ] {
        let text = match name {
            // The energy that comes with the gradient knows no support.
            "outside of the support in one" => {
                edited("return valley_energy(at, x);", "return param(at) * d * d + (1.0 - p.x) * (1.0 - p.x);")
                    .replacen(old, new, 1)
            }
            _ => edited(old, new),
        };
        suite = suite.gpu(format!("energies::{name}"), move |gpu| {
            let setup = |kernel| Backend::gpu_of(gpu.clone()).chains_of(Arc::new(valley(&*text).unwrap()), kernel).count(257);
            let setup = |kernel| setup(kernel).start(Start::uniform([0.001], [0.01]));
            let found = setup(Arc::new(Mala::new(0.05))).build().unwrap_err();
            let Error::Energies { energy, alone, with_grad, position } = &found else { panic!("{found}") };
            assert_eq!((energy.as_str(), position.len()), ("valley", 2));
            assert!((alone - with_grad).abs() > 1e-3, "{found}");
            let message = found.to_string();
            assert!(message.contains(&alone.to_string()) && message.contains(&with_grad.to_string()), "{message}");
            // A kernel without gradients does not mind.
            setup(Arc::new(Rwm::new(0.5))).build().unwrap();
        });
    }
    suite
        .gpu("one energy in two texts", |gpu| {
            // The energy alone is summed backwards, a coordinate at a time.
            let text = WIDE.replacen(
                "for (var b = 0u; b < blocks(); b++) { sum += dot((*x)[b], (*x)[b]); }\n    return 0.5 * param(at) * sum;",
                "for (var i = DIM; i > 0u; i--) { let v = coordinate(x, i - 1u); sum = sum + 0.5 * param(at) * v * v; }\n    return sum;",
                1,
            );
            let text = text.replacen(
                "return wide_energy(at, x);",
                "var sum = 0.0;\n    for (var b = 0u; b < blocks(); b++) { sum += dot((*x)[b], (*x)[b]); }\n    return 0.5 * param(at) * sum;",
                1,
            );
            assert!(text.contains("coordinate(x, i - 1u)") && !text.contains("return wide_energy"));
            for (dim, mean, sd) in [(2, 0.0, 1.0), (64, 0.0, 1.0), (64, 1e4, 1.0), (640, 10.0, 100.0)] {
                let energy = WgslEnergy::from_text("wide", dim, [1.0], &*text).unwrap();
                let setup = Backend::gpu_of(gpu.clone()).chains(energy, Mala::new(0.05));
                setup.count(65).start(Start::normal([mean], sd)).build().unwrap();
            }
        })
        .gpu("right gradients at any scale", |gpu| {
            for (scale, sd, mean) in [(1e-10, 1e5, 0.0), (1e-4, 1.0, 0.0), (1.0, 1.0, 1e4), (1e6, 1e-3, 0.0), (1.0, 1e-3, 0.0)] {
                for seed in 0..5 {
                    let start = Start::normal([mean], sd);
                    let setup = Backend::gpu_of(gpu.clone()).chains(wide(scale), Mala::new(0.1 / f64::from(scale)));
                    setup.count(65).seed(seed).start(start).build().unwrap();
                }
            }
        })
        .gpu("the device goes on after a refusal", |gpu| {
            let before = bits(&*run(&gpu, valley(VALLEY).unwrap()));
            assert!(!refusal(edited("param", "parm")).message.is_empty());
            assert!(matches!(error(gpu.clone(), valley(edited("-4.0", "4.0")).unwrap()), Error::Gradient { .. }));
            assert_eq!(before, bits(&*run(&gpu, valley(VALLEY).unwrap())));
        })
        .gpu("the same text twice, and two texts, in one program", |gpu| {
            // Two of a half are one of a whole, to the bit: halving and doubling are exact.
            let one = bits(&*run(&gpu, wide(2.0)));
            assert_eq!(one, bits(&*run(&gpu, Both(wide(1.0), wide(1.0)))));
            assert_eq!(one, bits(&*run(&gpu, Both(wide(0.5), wide(1.5)))));
            assert_ne!(one, bits(&*run(&gpu, Both(wide(1.0), wide(1.5)))));
            let nothing = WgslEnergy::from_text("nothing", 2, [], WIDE.replace("wide", "nothing").replace("param(at)", "0.0"));
            assert_eq!(one, bits(&*run(&gpu, Both(wide(2.0), nothing.unwrap()))));
        })
        .gpu("two texts of one name", |gpu| {
            let other = WgslEnergy::from_text("wide", 2, [1.0], format!("// other\n{WIDE}")).unwrap();
            let found = error(gpu.clone(), Both(wide(1.0), other));
            assert!(found.to_string().contains("begin with `wide_`, and so do those of another text, wide.wgsl"), "{found}");

            let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("wide.wgsl");
            std::fs::write(&path, format!("{WIDE}// other")).unwrap();
            let found = error(gpu.clone(), Both(wide(1.0), WgslEnergy::from_file(&path, 2, [1.0]).unwrap()));
            let Error::Shader { part, .. } = &found else { panic!("{found}") };
            assert_eq!(*part, path.display().to_string());
            // The same text from two places is one.
            std::fs::write(&path, WIDE).unwrap();
            run(&gpu, Both(wide(1.0), WgslEnergy::from_file(&path, 2, [1.0]).unwrap()));
        })
        .gpu("names of the kernel's and the library's parts may be used", |gpu| {
            let named = |stem: &str, more: &str| {
                let text = WIDE.replace("wide_", &format!("{stem}_")) + more;
                WgslEnergy::from_text(stem, 2, [2.0], text).unwrap()
            };
            let one = bits(&*run(&gpu, wide(2.0)));
            let helper = "struct mala_Pair { mala_scale: f32 }\nfn mala_scale(p: mala_Pair) -> f32 { return p.mala_scale; }\n";
            assert_eq!(one, bits(&*run(&gpu, named("mala", helper))));
            assert_eq!(one, bits(&*run(&gpu, named("gaussian", ""))));
            assert_eq!(one, bits(&*run(&gpu, named("user", ""))));
            // Beside the part of the same name: x² + x²/2, and 3x²/2.
            let [sum, whole] = [named("gaussian", "").plus(Gaussian::standard(2)).unwrap(), wide(1.0).plus(wide(2.0)).unwrap()];
            let [sum, whole] = [run(&gpu, sum), run(&gpu, whole)].map(|chains| chains.positions().unwrap());
            let close = sum.iter().zip(&whole).filter(|(a, b)| (*a - *b).abs() < 1e-3).count();
            assert!(close > sum.len() * 99 / 100, "{close} of {}", sum.len());
        })
        .gpu("what a gradient has in the padding is not used", |gpu| {
            for dim in [1, 3, 39] {
                let with_padding = |padding: &str| {
                    let text = WIDE.replace("param(at) * (*x)[b];", &format!("param(at) * (*x)[b] + {padding};"));
                    assert_ne!(text, WIDE);
                    WgslEnergy::from_text("wide", dim, [1.0], text).unwrap()
                };
                let kernels: [Arc<dyn Kernel>; 4] = [
                    Arc::new(Mala::new(0.05)),
                    Arc::new(Hmc::new(0.1, 3)),
                    Arc::new(Ula::new(0.05)),
                    Arc::new(Underdamped::new(0.1, 1.0)),
                ];
                for kernel in kernels {
                    let run = |padding: &str| {
                        let setup = Backend::gpu_of(gpu.clone()).chains_of(Arc::new(with_padding(padding)), kernel.clone());
                        let mut chains = setup.count(65).build().unwrap();
                        chains.advance(20).unwrap();
                        bits(&*chains)
                    };
                    let right = run("Lane(0.0)");
                    let infinite = "select(Lane(infinity()), Lane(0.0), lane_mask(b) != Lane(0.0))";
                    for padding in ["(Lane(1.0) - lane_mask(b))", infinite] {
                        assert_eq!(right, run(padding), "{dim} {} {padding}", kernel.name());
                    }
                }
            }
        })
        .gpu("indices out of range touch nothing else", |gpu| {
            let expected = bits(&*run(&gpu, valley(VALLEY).unwrap()));
            let far = "if (param(at + 1000000u) == 12345.678) { return 1.0; } if (param(at - 7u) == 12345.678) { return 1.0; }";
            let array = "var a: array<f32, 4>; a[u32(abs(p.x) * 1e9)] = 1.0; a[0xffffffffu - u32(abs(p.y))] = 2.0; \
                         if (a[u32(abs(p.x) * 1e7) + 77u] == 12345.678) { return 1.0; }";
            let point = "if ((*x)[u32(abs(p.x) * 1e7)].x == 12345.678 || coordinate(x, 99u + u32(abs(p.y))) == 12345.678) { return 1.0; }";
            for statement in [far, array, point] {
                assert_eq!(expected, bits(&*run(&gpu, valley(with_statement(statement)).unwrap())), "{statement}");
            }
            let other = WgslEnergy::from_text("valley", 2, [10.001], VALLEY).unwrap();
            assert_ne!(expected, bits(&*run(&gpu, other)), "the comparison sees a small change");
        })
        .gpu("a long loop is cut or right, never believed in part", |gpu| {
            let mut word = 1u32;
            for _ in 0..200_000 {
                word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            }
            let text = with_statement(
                "var w = 1u; for (var i = 0u; i < u32(param(at)); i++) { w = w * 1664525u + 1013904223u; } return f32(w >> 16u);",
            );
            let energy = WgslEnergy::from_text("valley", 2, [200_000.0], text).unwrap();
            match Backend::gpu_of(gpu).chains(energy, Rwm::new(0.5)).count(64).build() {
                Ok(chains) => assert_eq!(chains.energies().unwrap(), vec![(word >> 16) as f32; 64]),
                Err(Error::CutShort { good_steps: 0, .. }) => {}
                Err(other) => panic!("{other}"),
            }
        })
        .gpu("a loop that never takes its way out", |gpu| {
            // Mesa's software Vulkan cuts the loop; elsewhere the device would be lost, and with it the other tests.
            if !gpu.info().name.contains("llvmpipe") {
                return;
            }
            let text = with_statement("var w = 1u; for (;;) { w = w * 1664525u + 1013904223u; if (f32(w) < param(at) - 20.0) { break; } } return f32(w >> 16u);");
            match Backend::gpu_of(gpu.clone()).chains(valley(text).unwrap(), Rwm::new(0.5)).count(64).build() {
                Err(Error::CutShort { .. }) => {}
                other => panic!("{other:?}"),
            }
            run(&gpu, valley(VALLEY).unwrap());
        })
        .gpu("a shared energy", |gpu| {
            let (target, kernel) = (Arc::new(valley(VALLEY).unwrap()), Arc::new(Hmc::new(0.02, 3)));
            let mut chains = Backend::gpu_of(gpu).chains_of(target, kernel).count(64).build().unwrap();
            chains.advance(10).unwrap();
            assert!(chains.positions().unwrap().iter().all(|x| x.is_finite()));
        })
}
