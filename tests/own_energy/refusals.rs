//! Hostile and mistaken texts are refused, quickly, with a message that says what is allowed.

use std::time::{Duration, Instant};

use crate::{VALLEY, common::Suite, edited, refusal, refusal_of, valley, with_item, with_statement};
use ergodic::{Backend, Error, energy::WgslEnergy, kernel::Rwm};

const ITEMS: &str = "functions, constants, structs and aliases only";
const ARITHMETIC: &str = "arithmetic on its position and its parameters";
const PARAMS: &str = "param(at + i)";

/// Name, text, and a part of the message or its notes.
fn hostile() -> Vec<(&'static str, String, &'static str)> {
    let never = "this loop never ends";
    vec![
        ("entry point", with_item("@compute @workgroup_size(1) fn valley_main() {}"), ITEMS),
        ("entry point behind a comment", with_item("/* /* */ */ @compute @workgroup_size(1) fn valley_main() {}"), ITEMS),
        ("builtin argument", edited("at: u32", "@builtin(position) at: u32"), ITEMS),
        ("binding", with_item("@group(0) @binding(9) var<storage, read_write> valley_out: array<f32>;"), ITEMS),
        ("private variable", with_item("var<private> valley_state: f32;"), PARAMS),
        ("workgroup variable", with_item("var<workgroup> valley_state: f32;"), PARAMS),
        ("override", with_item("override valley_a: f32 = 1.0;"), PARAMS),
        ("override with id", with_item("@id(1) override valley_a: f32 = 1.0;"), ITEMS),
        ("enable", format!("enable f16;\n{VALLEY}"), "directives"),
        ("requires", format!("requires pointer_composite_access;\n{VALLEY}"), "directives"),
        ("diagnostic", format!("diagnostic(off, derivative_uniformity);\n{VALLEY}"), "directives"),
        ("barrier", with_statement("workgroupBarrier();"), ARITHMETIC),
        ("storage barrier", with_statement("storageBarrier();"), ARITHMETIC),
        ("atomic", with_item("fn valley_a(x: ptr<function, atomic<u32>>) { atomicStore(x, 1u); }"), ""),
        (
            "texture",
            with_item("fn valley_a(x: texture_2d<f32>) -> vec4<f32> { return textureLoad(x, vec2(0, 0), 0); }"),
            ARITHMETIC,
        ),
        ("derivative", with_statement("let v = dpdx(p.x);"), ARITHMETIC),
        ("discard", with_statement("discard;"), ARITHMETIC),
        ("subgroup", with_statement("let v = subgroupAdd(p.x);"), ""),
        ("recursion", with_statement("let v = valley_energy(at, x);"), "recursive"),
        ("recursion in a circle", with_item("fn valley_a() { valley_b(); }\nfn valley_b() { valley_a(); }"), "cyclic"),
        ("the program's buffers", with_statement("carry_out[0] = 1.0;"), PARAMS),
        ("the program's uniform", with_statement("let v = run.key;"), PARAMS),
        ("the program's parameters", with_statement("let v = params[0];"), PARAMS),
        ("the program's noise", with_statement("noise_variance = 1.0;"), PARAMS),
        ("the program's functions", with_statement("let v = threefry(vec2(1u), vec2(2u));"), "belongs to the program"),
        ("escaping brace", with_item("}"), "unexpected `}`"),
        ("escaping brace at the end", format!("{VALLEY}}}\n@compute @workgroup_size(1) fn valley_main() {{"), "unexpected `}`"),
        ("open brace at the end", format!("{VALLEY}\nfn valley_open() {{"), "never closed"),
        ("open comment", format!("{VALLEY}/* /* */"), "never closed"),
        ("open comment in front", format!("/*{VALLEY}"), "never closed"),
        ("name of a WGSL function", with_item("fn dot(a: f32, b: f32) -> f32 { return a; }"), "must begin with `valley_`"),
        ("name of the contract", with_item("fn param(i: u32) -> f32 { return 0.0; }"), "must begin with `valley_`"),
        ("name of a type", with_item("alias f32 = u32;"), "must begin with `valley_`"),
        ("bare prefix", with_item("const valley_ = 1.0;"), "must begin with `valley_`"),
        ("constant without prefix", with_item("const a = 1.0;"), "must begin with `valley_`"),
        ("struct without prefix", with_item("struct A { a: f32 }"), "must begin with `valley_`"),
        ("no energy", "const valley_a = 1.0;".into(), "fn valley_energy(at: u32, x: ptr<function, Point>) -> f32"),
        (
            "no gradient",
            VALLEY[..VALLEY.find("\nfn valley_energy_and_grad").unwrap()].into(),
            "there is no function `valley_energy_and_grad`",
        ),
        ("empty", String::new(), "there is no function `valley_energy`"),
        (
            "energy as a constant",
            "const valley_energy = 1.0; const valley_energy_and_grad = 1.0;".into(),
            "there is no function",
        ),
        ("loop", with_statement("loop {}"), never),
        ("loop that continues", with_statement("loop { continue; }"), never),
        ("while true", with_statement("while (true) { }"), never),
        ("while a constant", with_statement("while (1 < 2) { }"), never),
        ("for ever", with_statement("for (;;) { }"), never),
        (
            "for ever with an inner break",
            with_statement("for (;;) { for (;;) { break; } switch 1 { default: { break; } } }"),
            never,
        ),
        ("break if false", with_statement("loop { continuing { break if false; } }"), never),
        ("loop in a helper", with_item("fn valley_a() { loop {} }"), never),
        ("changed position", with_statement("(*x)[0] = vec2<f32>(0.0);"), "may not change its position"),
        ("changed coordinate", with_statement("(*x)[0].y += 1.0;"), "may not change its position"),
        ("position changed by the contract", with_statement("set_coordinate(x, 1u, 0.0);"), "may not change its position"),
        ("position cleared", edited("return valley_energy(at, x);", "clear(x); return 1.0;"), "may not change its position"),
        (
            "position changed by a helper",
            with_item("fn valley_a(x: ptr<function, Point>) { valley_b(1u, x); }\nfn valley_b(i: u32, x: ptr<function, Point>) { (*x)[i].x = 1.0; }")
                .replacen("let p = (*x)[0];", "let p = (*x)[0]; valley_a(x);", 1),
            "may not change its position",
        ),
        (
            "position changed through a name",
            with_statement("let y = x; let z = &(*y)[0]; *z = vec2<f32>(1.0);"),
            "may not change its position",
        ),
        (
            "part of a variable as a pointer",
            edited("return valley_energy(at, x);", "var s: array<Point, 2>; return valley_energy(at, &s[0]);"),
            "whole variable",
        ),
        ("too many variables", with_statement("var a: array<f32, 4000>; a[u32(p.x)] = 1.0;"), "8192"),
        ("a huge variable", with_statement("var a: array<f32, 1000000000>; a[u32(p.x)] = 1.0;"), ""),
        ("a huge constant", with_item("const valley_a = array<f32, 1000000>();"), "too large"),
        (
            "deep parentheses",
            with_statement(&format!("let v = {}1.0{};", "(".repeat(100_000), ")".repeat(100_000))),
            "nested too deeply",
        ),
        ("deep negation", with_statement(&format!("let v = {}1.0;", "- ".repeat(100_000))), "nested too deeply"),
        ("a long sum", with_statement(&format!("let v = 1.0{};", " + p.x".repeat(50_000))), "nested too deeply"),
        (
            "a long sum of calls",
            with_statement(&format!("let v = 1.0{};", " + max(p.x, p.y)".repeat(50_000))),
            "nested too deeply",
        ),
        ("deep blocks", with_statement(&"{".repeat(100_000)), "nested too deeply"),
        (
            "deep types",
            with_item(&format!("alias valley_a = {}f32{};", "array<".repeat(50_000), ", 1>".repeat(50_000))),
            "nested too deeply",
        ),
        (
            "a long chain of else",
            with_statement(&format!("if (p.x > 1.0) {{}}{}", " else if (p.x > 2.0) {}".repeat(20_000))),
            "nested too deeply",
        ),
        ("ever more templates", with_statement(&format!("let v = p.x{};", " < p.x".repeat(100_000))), "nested too deeply"),
        ("exponential calls", with_item(&doubling(40)), "drivers inline all calls"),
        ("a long chain of calls", with_item(&chain(100)), "drivers inline all calls"),
        ("many functions", with_item(&chain(5000)), "declarations"),
        ("many bytes", format!("{VALLEY}//{}", " ".repeat(1 << 20)), "longer than 1048576 bytes"),
        ("a million lines", format!("{VALLEY}{}", "fn valley_a() {}\n".repeat(1_000_000)), "longer than 1048576 bytes"),
        ("a million empty lines", format!("{VALLEY}{}fn", "\n".repeat(1_000_000)), "ends within"),
    ]
}

/// Functions each of which calls the one before twice.
fn doubling(n: usize) -> String {
    let each = |i: usize| format!("fn valley_f{}() -> f32 {{ return valley_f{i}() + valley_f{i}(); }}\n", i + 1);
    (0..n).fold("fn valley_f0() -> f32 { return 1.0; }\n".into(), |text, i| text + &each(i))
}

/// Functions each of which calls the next.
fn chain(n: usize) -> String {
    let each = |i: usize| format!("fn valley_f{i}() -> f32 {{ return valley_f{}(); }}\n", i + 1);
    (0..n).map(each).collect::<String>() + &format!("fn valley_f{n}() -> f32 {{ return 1.0; }}")
}

pub(crate) fn tests(mut suite: Suite) -> Suite {
    for (name, text, message) in hostile() {
        suite = suite.test(format!("refusals::{name}"), move || {
            let begun = Instant::now();
            let found = refusal(text);
            assert!(found.rendered.contains(message), "{}", found.rendered);
            assert_eq!(found.part, "valley.wgsl");
            assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
        });
    }
    suite
        .test("refusals::what is allowed is accepted", || {
            for text in [
                VALLEY.to_owned(),
                with_item("const valley_a: f32 = 2.0 * 3.0;"),
                with_item("struct valley_Pair { a: f32, @align(16) b: f32 }"),
                with_item("alias valley_Number = f32;"),
                with_statement("var y = *x; y[0].x = 1.0; clear(&y); var z: Point; copy(x, &z); set_coordinate(&z, 0u, 2.0);"),
                with_item("const_assert DIM == 2u;"),
                with_item("/* a /* nested */ comment */ // }"),
                with_item("fn valley_step(v: ptr<function, f32>) { *v += 1.0; }"),
                with_statement("for (var i = 0u; i < 10u; i++) { if (p.x > 1.0) { break; } }"),
                with_statement("var i = 0; loop { if (i > 3) { break; } continuing { i++; } }"),
                with_statement("var i = 0; loop { continuing { i++; break if i > 3; } }"),
                with_statement("var i = 0; while (i < 3) { i++; switch i { case 2: { return 1.0; } default: { break; } } }"),
                with_statement("while (true) { if (p.x < p.y) { return 0.0; } }"),
                with_statement("let param = 1.0; let dot = param;").replace("param(at)", "1.0"),
                with_statement(&"if (p.x > 1.0) { _ = p.y; } else if (p.x > 0.0) { _ = p.x; }\n".repeat(500)),
                with_statement(&format!("let v = 0.0{};", " + p.x".repeat(45))),
                with_item(&format!("const valley_table = array({});", vec!["1.0"; 4096].join(", "))),
                VALLEY.trim_end().to_owned() + " // no line end",
            ] {
                valley(text).unwrap();
            }
        })
        .test("refusals::both widths of lanes", || {
            let wide = include_str!("wide.wgsl");
            for dim in [1, 2, 3, 4, 5, 64, 200, 680] {
                WgslEnergy::from_text("wide", dim, [1.0], wide).unwrap();
            }
            // Two coordinates a lane: no z.
            let found = refusal(with_statement("let v = p.z;"));
            assert!(found.rendered.contains('z'), "{}", found.rendered);
            assert!(matches!(WgslEnergy::from_text("wide", 0, [1.0], wide), Err(Error::Setting { .. })));
            assert!(matches!(WgslEnergy::from_text("wide", 681, [1.0], wide), Err(Error::Limit { .. })));
        })
        .test("refusals::stems", || {
            for stem in ["", "1st", "_a", "a b", "a\nb", "α", "a-b", "a;", &"a".repeat(65)] {
                let found = WgslEnergy::from_text(stem, 2, [1.0], VALLEY);
                assert!(matches!(found, Err(Error::Setting { .. })), "{stem}: {found:?}");
            }
        })
        .test("refusals::not on the CPU reference", || {
            let energy = valley(VALLEY).unwrap();
            let Err(error) = Backend::cpu().chains(energy, Rwm::new(0.5)).count(8).build() else {
                panic!("ran without a twin")
            };
            assert!(matches!(error, Error::Unsupported(_)) && error.to_string().contains("GPU only"), "{error}");
        })
        .test("refusals::a huge file", || {
            let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("huge.wgsl");
            std::fs::write(&path, "\n".repeat(5_000_000)).unwrap();
            assert!(refusal_of(WgslEnergy::from_file(&path, 2, [1.0])).message.contains("longer than"));
        })
}
