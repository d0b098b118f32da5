//! Random mutations of a right text never panic: they are refused with a place in the text, or accepted, and then the whole
//! program also translates to SPIR-V.

use ergodic::{Error, Program, kernel::Mala, program::Options};
use naga::back::spv;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngSeed, TestError, TestRunner},
};

use crate::{VALLEY, common::Suite, valley};

/// Pieces that a mutation may insert.
const PIECES: [&str; 56] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "<",
    ">",
    ";",
    ",",
    ":",
    ".",
    "=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "&",
    "|",
    "^",
    "!",
    "~",
    "@",
    "->",
    "/*",
    "*/",
    "//",
    "\n",
    "\r\n",
    "\t",
    "\u{0}",
    "é",
    "𝛑",
    "\u{202e}",
    "0x",
    "1e9",
    "4294967295u",
    "-1",
    "1.0",
    "fn ",
    "var ",
    "let ",
    "loop { ",
    "while ",
    "if ",
    "else ",
    "return ",
    "&x",
    "(*x)",
    "grad",
    "valley_energy",
    "ptr<function, Point>",
    "array<f32, 3>",
    "param(at)",
    "Point",
];

#[derive(Debug, Clone)]
enum Mutation {
    Delete { at: usize, count: usize },
    Insert { at: usize, piece: usize },
    Copy { from: usize, count: usize, to: usize },
    Flip { at: usize, byte: u8 },
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = 0..VALLEY.len();
    prop_oneof![
        (at.clone(), 1..40usize).prop_map(|(at, count)| Mutation::Delete { at, count }),
        (at.clone(), 0..PIECES.len()).prop_map(|(at, piece)| Mutation::Insert { at, piece }),
        (at.clone(), 1..200usize, at.clone()).prop_map(|(from, count, to)| Mutation::Copy { from, count, to }),
        (at, 0x20..0x7fu8).prop_map(|(at, byte)| Mutation::Flip { at, byte }),
    ]
}

/// The valley after mutations, as characters so that it stays text.
fn mutated(mutations: &[Mutation]) -> String {
    let mut text: Vec<char> = VALLEY.chars().collect();
    for mutation in mutations {
        let n = text.len();
        let clip = |at: usize, count: usize| at.min(n)..(at + count).min(n);
        match *mutation {
            Mutation::Delete { at, count } => drop(text.drain(clip(at, count))),
            Mutation::Insert { at, piece } => drop(text.splice(clip(at, 0), PIECES[piece].chars())),
            Mutation::Copy { from, count, to } => {
                let piece = text[clip(from, count)].to_vec();
                text.splice(clip(to, 0), piece);
            }
            Mutation::Flip { at, byte } => {
                if let Some(c) = text.get_mut(at) {
                    *c = char::from(byte);
                }
            }
        }
    }
    text.into_iter().collect()
}

/// Whether the text was accepted.
fn check(text: &str) -> bool {
    match valley(text) {
        Ok(energy) => {
            let program =
                Program::new(&energy, &Mala::new(0.1), Options::default()).expect("what is accepted alone fits the program");
            let (module, info) = program.module();
            spv::write_vec(module, info, &spv::Options::default(), None).expect("what is accepted translates");
            true
        }
        Err(Error::Shader { part, line, column, rendered, .. }) => {
            assert_eq!(part, "valley.wgsl", "{rendered}");
            let lines: Vec<_> = text.split('\n').collect();
            assert!(line as usize <= lines.len(), "{rendered}");
            if line > 0 {
                let width = lines[line as usize - 1].chars().count();
                assert!((1..=width as u32 + 1).contains(&column), "{rendered}");
            }
            false
        }
        Err(other) => panic!("{other}"),
    }
}

fn fuzz(cases: u32, seed: u64, body: impl Fn(&str)) -> Result<(), String> {
    let config = Config { cases, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() };
    let found = TestRunner::new(config).run(&vec(mutation(), 1..4), |mutations| {
        body(&mutated(&mutations));
        Ok(())
    });
    match found {
        Ok(()) => Ok(()),
        Err(TestError::Fail(why, mutations)) => Err(format!("{why}\nwith the text\n{}", mutated(&mutations))),
        Err(abort) => Err(abort.to_string()),
    }
}

pub(crate) fn tests(suite: Suite) -> Suite {
    suite
        .test("fuzz::mutations never panic", || {
            let accepted = std::cell::Cell::new(0);
            let found = fuzz(4000, 5, |text| accepted.set(accepted.get() + u32::from(check(text))));
            found.unwrap_or_else(|e| panic!("{e}"));
            assert!(
                (100..3900).contains(&accepted.get()),
                "{} of 4000 were accepted: the mutations are too wild or too tame",
                accepted.get()
            );
        })
        .test("fuzz::a planted panic is found", || {
            assert!(fuzz(4000, 5, |text| assert!(!text.contains('é'))).is_err());
        })
}
