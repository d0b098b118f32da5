//! Messages name the user's own line and column, and their carets stand under what is wrong.

use crate::{Refusal, VALLEY, common::Suite, edited, refusal, refusal_of, with_item, with_statement};
use ergodic::energy::WgslEnergy;

/// Name, text, line, what the carets stand under, and a part of the message.
fn mistakes() -> Vec<(&'static str, String, u32, &'static str, &'static str)> {
    vec![
        ("syntax", edited("let d = p.y", "let d = = p.y"), 4, "=", "expected expression"),
        ("missing bracket", edited("(1.0 - p.x);", "(1.0 - p.x;"), 5, ";", "expected `)`"),
        ("missing semicolon", edited("(*x)[0];", "(*x)[0]"), 4, "let", "expected `;`"),
        ("missing brace", edited("}\n", "\n"), 2, "{", "never closed"),
        ("unknown name", edited("return param", "return parm"), 5, "parm", "`parm`"),
        ("unknown member", edited("p.y -", "p.q -"), 4, "q", "`q`"),
        ("type of a let", edited("let p =", "let p: u32 ="), 3, "p", "expected to be `u32`"),
        (
            "returned type",
            edited("return param(at) * d * d + (1.0 - p.x) * (1.0 - p.x);", "if (d > 0.0) { return 1.0; }\n    return p;"),
            6,
            "return p;",
            "not of the function's result type",
        ),
        (
            "returned type, in a branch",
            edited("return param", "if (d > 0.0) {\n        return p;\n    }\n    return param"),
            6,
            "return p;",
            "not of the function's result type",
        ),
        ("width", with_statement("let v = 0.5lf;"), 3, "0.5lf", "not every device has it"),
        ("width of a variable", with_statement("var v: f64;"), 3, "f64", "not every device has it"),
        ("width of parts", with_statement("let v = array<u64, 3>();"), 3, "u64", "not every device has it"),
        ("half a width", with_statement("var v: vec2h;"), 3, "vec2h", "not every device has it"),
        ("half precision", with_statement("let v = quantizeToF16(1.0);"), 3, "quantizeToF16", "not every device has it"),
        (
            "a subgroup",
            with_statement("let v = subgroupBroadcast(1.0, 1u);"),
            3,
            "subgroupBroadcast",
            "not every device has it",
        ),
        ("half a number", with_statement("let v = 1.0h;"), 3, "1.0h", "not every device has it"),
        ("operands", edited("d * d +", "d * (*x) +"), 5, "param(at) * d * (*x)", "do not fit together"),
        ("result", edited("-> f32", "-> u32"), 2, "valley_energy", "wrong arguments or result"),
        (
            "no result",
            edited(
                "-> f32 {\n    let p = (*x)[0];\n    let d = p.y - p.x * p.x;\n    (*grad)",
                "{\n    let p = (*x)[0];\n    let d = p.y - p.x * p.x;\n    (*grad)",
            ),
            8,
            "valley_energy_and_grad",
            "wrong arguments or result",
        ),
        ("argument", edited("at: u32", "at: i32"), 2, "valley_energy", "wrong arguments or result"),
        ("value for pointer", edited("grad: ptr<function, Point>", "grad: Point"), 11, "*grad", "pointer"),
        (
            "arguments of a call",
            edited("valley_energy(at, x);", "valley_energy(at);"),
            12,
            "valley_energy(at)",
            "Requires 2 arguments",
        ),
        ("index", with_statement("var a = array(1.0, 2.0); a[7] = 1.0;"), 3, "a[7]", "out of"),
        ("overflow", with_statement("let v = 1e30f * 1e30f;"), 3, "1e30f * 1e30f", ""),
        ("log of zero", with_statement("let v = log(0.0);"), 3, "log", "out of valid range"),
        ("helper", with_item("fn valley_half(v: f32) -> f32 {\n    return v / two;\n}\n"), 3, "two", "`two`"),
        (
            "helper's type",
            with_item("fn valley_half(v: f32) -> f32 {\n    return v + true;\n}\n"),
            3,
            "v + true",
            "do not fit together",
        ),
        ("tabs", edited("    let d = p.y", "\tlet\td = q.y"), 4, "q", "`q`"),
        ("unicode", edited("    let d = p.y", "    /* σ² — 𝛑 */ let é = q.y"), 4, "q", "`q`"),
        ("twice", with_item("fn valley_energy() {}"), 3, "valley_energy", "redefinition"),
    ]
}

pub(crate) fn tests(mut suite: Suite) -> Suite {
    for (name, text, line, under, message) in mistakes() {
        suite = suite.test(format!("messages::{name}"), move || {
            let plain = refusal(&*text);
            check(&plain, line, under, message);
            let marked = refusal(format!("\u{feff}{text}"));
            assert_eq!(
                (plain.line, plain.column, &plain.rendered),
                (marked.line, marked.column, &marked.rendered),
                "with a mark"
            );
            let windows = refusal(text.replace('\n', "\r\n"));
            check(&windows, line, under, message);
            assert_eq!((plain.line, plain.column), (windows.line, windows.column), "with CRLF");
        });
    }
    suite
        .test("messages::whole text", || {
            let expected = "error: no definition in scope for identifier: `parm`
 --> valley.wgsl:5:12
  |
5 |     return parm(at) * d * d + (1.0 - p.x) * (1.0 - p.x);
  |            ^^^^ unknown identifier
";
            assert_eq!(refusal(edited("param", "parm")).rendered, expected);
        })
        .test("messages::the check of carets can fail", || {
            let found = refusal(edited("param", "parm"));
            for (line, under, message) in [(4, "parm", "parm"), (5, "param", "parm"), (5, "parm", "pram")] {
                let found = Refusal {
                    part: "valley.wgsl".into(),
                    message: found.message.clone(),
                    rendered: found.rendered.clone(),
                    ..found
                };
                assert!(std::panic::catch_unwind(|| check(&found, line, under, message)).is_err(), "{line} {under} {message}");
            }
        })
        .test("messages::a very long line is shown in part", || {
            let found = refusal(with_statement(&format!("{} parm();", "let v = 1.0; ".repeat(0) + &"/**/".repeat(10_000))));
            check(&found, 3, "parm", "parm");
            assert!(found.rendered.lines().all(|line| line.chars().count() < 250));
        })
        .test("messages::control characters are not obeyed", || {
            let found = refusal(with_statement("/*\u{1b}[31m\u{7}*/ parm();"));
            check(&found, 3, "parm", "parm");
            assert!(found.rendered.chars().all(|c| c == '\n' || !c.is_control()));
        })
        .test("messages::a file is named by its path", || {
            let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("own energy");
            std::fs::create_dir_all(&folder).unwrap();
            let path = folder.join("valley.wgsl");
            std::fs::write(&path, VALLEY).unwrap();
            WgslEnergy::from_file(&path, 2, [1.0]).unwrap();
            std::fs::write(&path, edited("param", "parm")).unwrap();
            let found = refusal_of(WgslEnergy::from_file(&path, 2, [1.0]));
            assert_eq!(found.part, path.display().to_string());
            assert_eq!((found.line, found.column), (5, 12));
            assert!(found.rendered.contains(&format!("{}:5:12", path.display())));

            std::fs::write(&path, format!("\u{feff}{VALLEY}")).unwrap();
            assert_eq!(WgslEnergy::from_file(&path, 2, [1.0]).unwrap().text(), VALLEY);
            std::fs::write(&path, [b'/', b'/', 0xff]).unwrap();
            assert!(refusal_of(WgslEnergy::from_file(&path, 2, [1.0])).message.contains("UTF-8 text (byte 2)"));
            let missing = WgslEnergy::from_file(folder.join("missing.wgsl"), 2, [1.0]);
            assert!(matches!(missing, Err(ergodic::Error::File { path, .. }) if path.ends_with("missing.wgsl")));
        })
}

fn check(found: &Refusal, line: u32, under: &str, message: &str) {
    let Refusal { rendered, .. } = found;
    assert_eq!(found.part, "valley.wgsl", "{rendered}");
    assert_eq!(found.line, line, "{rendered}");
    assert!(found.message.contains(message), "{rendered}");
    let lines: Vec<_> = rendered.lines().collect();
    assert_eq!(lines[1].trim_start(), format!("--> valley.wgsl:{line}:{}", found.column));
    let (source, carets): (Vec<char>, _) = (lines[3].chars().collect(), lines[4]);
    let from = carets.chars().position(|c| c == '^').unwrap();
    let count = carets.chars().filter(|&c| c == '^').count();
    assert_eq!(source[from..from + count].iter().collect::<String>(), under, "{rendered}");
}
