//! What can be said of a user's WGSL text before it is parsed: its size, its brackets, and what it declares at module scope.
//!
//! The text becomes a part of a larger program, so a bracket or a comment left open would swallow what comes after it, and a
//! name of its own choosing could replace one that every other part uses.

use std::ops::Range;

/// A text of more bytes is refused unread: no formula is that long, and every byte is parsed several times.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// Parsers and drivers walk a chain of declarations by recursion.
const MAX_DECLARATIONS: usize = 1000;
/// Tokens on the way from the outside of an expression to its innermost part. An operator takes two, and naga recurses once an
/// operator, with fifteen kilobytes of stack where it is compiled without optimisation: this keeps within the two megabytes of
/// a thread.
const MAX_NESTING: usize = 200;

/// Something wrong with a text: where, what, what to write under the carets, and what to do.
#[derive(Debug)]
pub(crate) struct Mistake {
    pub(super) at: Range<usize>,
    pub(super) message: String,
    pub(super) label: String,
    pub(super) notes: Vec<String>,
}

impl Mistake {
    pub(super) fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), label: String::new(), notes: Vec::new() }
    }

    pub(super) fn label(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Word,
    Number,
    Symbol(char),
}

/// The tokens of a text, without comments and white space.
#[derive(Debug)]
pub(crate) struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next token, and where it stands.
    pub(crate) fn next(&mut self) -> Result<Option<(Kind, Range<usize>)>, Mistake> {
        loop {
            let rest = &self.text[self.at..];
            let Some(c) = rest.chars().next() else { return Ok(None) };
            let start = self.at;
            if rest.starts_with("//") {
                self.at += rest.find(ends_comment).unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                self.skip_block_comment()?;
            } else if c.is_alphabetic() || c == '_' {
                self.at += rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                return Ok(Some((Kind::Word, start..self.at)));
            } else if c.is_ascii_digit() {
                self.at += rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len());
                return Ok(Some((Kind::Number, start..self.at)));
            } else {
                self.at += c.len_utf8();
                if !(c.is_whitespace() || matches!(c, '\u{200e}' | '\u{200f}')) {
                    return Ok(Some((Kind::Symbol(c), start..self.at)));
                }
            }
        }
    }

    /// Block comments nest.
    fn skip_block_comment(&mut self) -> Result<(), Mistake> {
        let start = self.at;
        let mut depth = 0;
        loop {
            let rest = &self.text[self.at..];
            if rest.starts_with("/*") {
                depth += 1;
                self.at += 2;
            } else if rest.starts_with("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return Ok(());
                }
            } else if let Some(c) = rest.chars().next() {
                self.at += c.len_utf8();
            } else {
                return Err(Mistake::new(start..start + 2, "this comment is never closed").note("close it with `*/`"));
            }
        }
    }
}

/// The line breaks of WGSL.
fn ends_comment(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// An open bracket, and the tokens since it was opened or since the last comma or semicolon within it.
struct Open {
    bracket: char,
    at: Range<usize>,
    run: usize,
}

/// Where in a declaration at module scope a token stands.
#[derive(PartialEq)]
enum Scope {
    Between,
    Name,
    Within,
}

/// A name at module scope and where it is declared.
pub(super) type Declared = (String, Range<usize>);

/// Reads a text and returns the functions that it declares; refuses what no energy may contain.
pub(super) fn scan(text: &str, stem: &str) -> Result<Vec<Declared>, Mistake> {
    let mut tokens = Tokens::new(text);
    let mut open: Vec<Open> = vec![Open { bracket: ' ', at: 0..0, run: 0 }];
    let mut nesting = 0;
    let mut scope = Scope::Between;
    let mut keyword = "";
    let mut declared = 0;
    let mut functions = Vec::new();
    let mut after_block = false;
    let mut last = 0..0;
    while let Some((kind, at)) = tokens.next()? {
        last = at.clone();
        let word = &text[at.clone()];
        // Statements that end in a block have no semicolon; `else` goes on with the statement before.
        let reset = std::mem::take(&mut after_block) && word != "else";
        let top = open.last_mut().ok_or_else(|| escape(at.clone()))?;
        if reset || matches!(kind, Kind::Symbol(',' | ';')) {
            nesting -= std::mem::take(&mut top.run);
        }
        top.run += 1;
        nesting += 1;
        if nesting > MAX_NESTING {
            let message =
                format!("this is nested too deeply or too long: more than {MAX_NESTING} tokens without a comma or semicolon");
            return Err(Mistake::new(at, message).note("break it up with `let`"));
        }

        if word == "atomic" {
            return Err(Mistake::new(at, "atomics are not allowed here").note(ARITHMETIC));
        }
        // The validator would refuse these too, but where it does so in a variable's type it does not say where.
        if is_optional(kind, word) {
            return Err(Mistake::new(at, format!("`{word}` is not possible here: not every device has it")).note(NUMBERS));
        }
        let braces = open.iter().any(|o| o.bracket == '{');
        if !braces && kind == Kind::Symbol('@') {
            return Err(attribute(text, at, &mut tokens));
        }
        if open.len() == 1 {
            match (&scope, kind) {
                (Scope::Between, Kind::Symbol(';')) => {}
                (Scope::Between, Kind::Word) => {
                    keyword = item(word, at.clone())?;
                    scope = if matches!(keyword, "fn" | "const" | "struct" | "alias") { Scope::Name } else { Scope::Within };
                }
                (Scope::Name, Kind::Word) => {
                    prefixed(word, at.clone(), stem)?;
                    declared += 1;
                    if declared > MAX_DECLARATIONS {
                        return Err(Mistake::new(at, format!("more than {MAX_DECLARATIONS} declarations")));
                    }
                    if keyword == "fn" {
                        functions.push((word.to_owned(), at.clone()));
                    }
                    scope = Scope::Within;
                }
                (_, Kind::Symbol(';')) => scope = Scope::Between,
                _ => scope = Scope::Within,
            }
        }
        match kind {
            Kind::Symbol(bracket @ ('(' | '[' | '{')) => open.push(Open { bracket, at, run: 0 }),
            // Round and square brackets that do not fit are the parser's to report: it says what it expected.
            Kind::Symbol(')') if open.last().is_some_and(|o| o.bracket == '(') => close(&mut open, &mut nesting),
            Kind::Symbol(']') if open.last().is_some_and(|o| o.bracket == '[') => close(&mut open, &mut nesting),
            Kind::Symbol('}') => {
                while open.last().is_some_and(|o| matches!(o.bracket, '(' | '[')) {
                    close(&mut open, &mut nesting);
                }
                if open.len() == 1 {
                    return Err(escape(at));
                }
                close(&mut open, &mut nesting);
                after_block = true;
                if open.len() == 1 {
                    scope = Scope::Between;
                }
            }
            _ => {}
        }
    }
    if let Some(brace) = open.into_iter().find(|o| o.bracket == '{') {
        return Err(Mistake::new(brace.at, "this `{` is never closed").label("opened here"));
    }
    match scope {
        Scope::Between => Ok(functions),
        _ => Err(Mistake::new(last, "the text ends within a declaration")),
    }
}

fn close(open: &mut Vec<Open>, nesting: &mut usize) {
    if let Some(closed) = open.pop() {
        *nesting -= closed.run;
    }
}

fn escape(at: Range<usize>) -> Mistake {
    Mistake::new(at, "unexpected `}`").label("closes nothing")
}

const ALLOWED: &str = "an energy may declare functions, constants, structs and aliases only";

pub(super) const ARITHMETIC: &str = "an energy is arithmetic on its position and its parameters: no textures, atomics, barriers, \
                                     derivatives or exchange between invocations";

const NUMBERS: &str = "compute with f32, i32, u32 and bool";

/// Whether this is a type that only some devices have, of 16 or 64 bits, or a number of such a type.
fn is_optional(kind: Kind, word: &str) -> bool {
    if kind == Kind::Number {
        return word.ends_with('h') || word.contains('l');
    }
    let half = word.strip_suffix('h').and_then(|word| word.strip_prefix("vec").or(word.strip_prefix("mat")));
    matches!(word, "f16" | "f64" | "i16" | "u16" | "i64" | "u64")
        || half.is_some_and(|shape| !shape.is_empty() && shape.chars().all(|c| "234x".contains(c)))
}

/// The keyword of a declaration at module scope, if an energy may have it.
fn item(word: &str, at: Range<usize>) -> Result<&'static str, Mistake> {
    let refused = |what: &str, instead: &str| {
        Err(Mistake::new(at.clone(), format!("{what} are not allowed here")).note(ALLOWED).note(instead))
    };
    match word {
        "fn" => Ok("fn"),
        "const" => Ok("const"),
        "struct" => Ok("struct"),
        "alias" => Ok("alias"),
        "var" | "let" => refused(
            "module-scope variables and bindings",
            "read parameters with `param(at + i)`; use `const` for numbers and pass everything else to functions",
        ),
        "override" => refused("overrides", "use `const`, or a parameter: `param(at + i)`"),
        "enable" | "requires" | "diagnostic" => {
            refused("directives", "the program that this energy becomes a part of has its own")
        }
        // const_assert, or something that the parser will refuse.
        _ => Ok(""),
    }
}

fn attribute(text: &str, at: Range<usize>, tokens: &mut Tokens<'_>) -> Mistake {
    let name = match tokens.next() {
        Ok(Some((Kind::Word, name))) => name,
        _ => at.clone(),
    };
    let what = match &text[name.clone()] {
        "compute" | "vertex" | "fragment" | "workgroup_size" | "builtin" | "location" => "entry points",
        "group" | "binding" => "module-scope variables and bindings",
        "id" => "overrides",
        _ => "attributes of declarations",
    };
    Mistake::new(at.start..name.end, format!("{what} are not allowed here")).note(ALLOWED)
}

fn prefixed(name: &str, at: Range<usize>, stem: &str) -> Result<(), Mistake> {
    if name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('_')).is_some_and(|rest| !rest.is_empty()) {
        return Ok(());
    }
    Err(Mistake::new(at, format!("the name `{name}` must begin with `{stem}_`"))
        .label(format!("rename it to `{stem}_{name}`"))
        .note("all parts of a program share one scope: this name could replace a function of WGSL or of another part"))
}
