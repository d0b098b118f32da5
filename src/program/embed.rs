//! An energy of another dimension within a program.
//!
//! WGSL knows no generic types: a `Point` has the dimension of the program. So what depends on the dimension enters once more, with the
//! parts of the energy, and all that they declare goes by names of its own.

use std::collections::HashSet;

use super::{Composer, DIMENSION_PARTS, UNROLLED_DIM, lane_texts, lanes, shape_text, unroll::unroll};
use crate::{
    Result,
    energy::{Call, Energy, Kind, Tokens},
};

/// What calls an energy of another dimension.
#[derive(Debug)]
pub(crate) struct Embedded {
    prefix: String,
    /// Of its functions, which take pointers to its own points.
    pub(crate) call: Call,
}

impl Embedded {
    /// The name by which the program knows what the energy's parts call `name`.
    pub(crate) fn own(&self, name: &str) -> String {
        format!("{}_{name}", self.prefix)
    }
}

impl Composer {
    /// Adds the parts of an energy whatever its dimension. A chain of the program must be run by one invocation.
    pub(crate) fn embed(&mut self, energy: &dyn Energy) -> Result<Embedded> {
        let mut inner = Self::default();
        let call = energy.compose(&mut inner)?;
        // `run.blocks` of the energy: how many blocks there are, as a value that the compiler cannot know.
        let blocks = "fn running_blocks() -> u32 { return BLOCKS + unknown_zero(); }\n";
        let shape = [
            &shape_text(energy.dim(), 1, energy.dim() > UNROLLED_DIM),
            blocks,
            lane_texts(energy.dim())[0],
            &DIMENSION_PARTS.concat(),
        ]
        .concat();
        let texts = std::iter::once(("dimension", shape.as_str()))
            .chain(inner.parts.iter().map(|part| (part.name.as_str(), part.source.as_str())));
        let texts = texts.map(|(name, text)| (name, text.replace("run.blocks", "running_blocks()")));
        // The program's loops over lanes are written out by their head, and these have another one.
        let written_out = |text: String| if energy.dim() > UNROLLED_DIM { text } else { unroll(&text, lanes(energy.dim()).1) };
        let texts: Vec<_> = texts.map(|(name, text)| (name, written_out(text))).collect();
        let names: HashSet<_> = texts.iter().flat_map(|(_, text)| declared(text)).collect();
        let prefix = self.unique("embedded");
        for (name, text) in &texts {
            self.add(&format!("{prefix}_{name}"), &renamed(text, &names, &prefix, false))?;
        }
        Ok(Embedded { call: call.prefixed(&prefix), prefix })
    }
}

/// The tokens of a text that was read before.
fn tokens(text: &str) -> impl Iterator<Item = (Kind, &str, usize)> {
    let mut tokens = Tokens::new(text);
    std::iter::from_fn(move || tokens.next().ok().flatten()).map(|(kind, at)| (kind, &text[at.clone()], at.start))
}

/// The names that a text declares at module scope.
fn declared(text: &str) -> Vec<&str> {
    let (mut names, mut depth, mut expected) = (Vec::new(), 0, false);
    for (kind, word, _) in tokens(text) {
        match kind {
            Kind::Symbol('(' | '[' | '{') => depth += 1,
            Kind::Symbol(')' | ']' | '}') => depth -= 1,
            Kind::Word if depth > 0 => {}
            Kind::Word if ["fn", "const", "alias", "struct", "var"].contains(&word) => expected = true,
            // The address space of a variable stands before its name.
            Kind::Word if expected && word != "private" => {
                names.push(word);
                expected = false;
            }
            _ => {}
        }
    }
    names
}

/// A text with a prefix before all names that it declares, members of the same name included.
pub(super) fn with_own_names(text: &str, prefix: &str) -> String {
    renamed(text, &declared(text).into_iter().collect(), prefix, true)
}

/// A text with a prefix before each of these names; before members of the same name, which may be those of another part's struct, only
/// where told.
fn renamed(text: &str, names: &HashSet<&str>, prefix: &str, members: bool) -> String {
    let (mut out, mut copied, mut is_member) = (String::new(), 0, false);
    for (kind, word, at) in tokens(text) {
        if kind == Kind::Word && (members || !is_member) && names.contains(word) {
            out += &text[copied..at];
            out += prefix;
            out.push('_');
            copied = at;
        }
        is_member = kind == Kind::Symbol('.');
    }
    out + &text[copied..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_at_module_scope_are_renamed() {
        let text = "alias A = f32; /* fn no() { */ const k = 1.0; var<private> v: A;\n// fn not(\nstruct S { k2: A }\n\
                    fn f(k2: S, x: A) -> A { const inner = k; return k2.k2 + x.v * f2(inner, v); }";
        let names = declared(text);
        assert_eq!(names, ["A", "k", "v", "S", "f"]);
        let out = renamed(text, &names.into_iter().collect(), "p", false);
        assert_eq!(
            out,
            "alias p_A = f32; /* fn no() { */ const p_k = 1.0; var<private> p_v: p_A;\n// fn not(\nstruct p_S { k2: p_A }\n\
             fn p_f(k2: p_S, x: p_A) -> p_A { const inner = p_k; return k2.k2 + x.v * f2(inner, p_v); }"
        );
        // A member of a user's struct is declared under its name, too.
        let text = "const a_b = 1.0; struct a_S { a_b: f32 } fn a_f(s: a_S) -> f32 { return s.a_b * a_b; }";
        assert_eq!(
            with_own_names(text, "p"),
            "const p_a_b = 1.0; struct p_a_S { p_a_b: f32 } fn p_a_f(s: p_a_S) -> f32 { return s.p_a_b * p_a_b; }"
        );
    }
}
