//! Messages about a WGSL text, as rustc would print them.

use std::{fmt::Write as _, ops::Range};

use naga::{
    Block, Expression, Handle, Module, Statement,
    valid::{ExpressionError, FunctionError, ValidationError},
};

use crate::Error;

/// An error about a part as a whole.
pub(crate) fn shader_error(part: &str, message: String) -> Error {
    Error::Shader { part: part.into(), line: 0, column: 0, rendered: format!("error in `{part}`: {message}"), message }
}

/// Where a function returns what is not of its result type: the validator points to where that was computed.
pub(super) fn place_of_return(module: &Module, error: &ValidationError) -> Option<Range<usize>> {
    let ValidationError::Function { handle, source, .. } = error else { return None };
    let FunctionError::InvalidReturnType { expression: Some(value), .. } = source else { return None };
    returns(&module.functions[*handle].body, *value)
}

/// The place of the statement that returns a value.
fn returns(block: &Block, returned: Handle<Expression>) -> Option<Range<usize>> {
    block.span_iter().find_map(|(statement, span)| match statement {
        Statement::Return { value } if *value == Some(returned) => span.to_range(),
        Statement::Block(block) => returns(block, returned),
        Statement::If { accept, reject, .. } => returns(accept, returned).or_else(|| returns(reject, returned)),
        Statement::Switch { cases, .. } => cases.iter().find_map(|case| returns(&case.body, returned)),
        Statement::Loop { body, continuing, .. } => returns(body, returned).or_else(|| returns(continuing, returned)),
        _ => None,
    })
}

/// The innermost cause of a validation error, in words that need no knowledge of the validator.
pub(super) fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if let Some(FunctionError::InvalidReturnType { expression, .. }) = cause.downcast_ref() {
        if expression.is_some() {
            return "what is returned is not of the function's result type".into();
        }
        return "the function does not return a value of its result type at the end of every path".into();
    }
    if let Some(ExpressionError::InvalidBinaryOperandTypes { op, .. }) = cause.downcast_ref() {
        return format!("the types of the two sides of this do not fit together ({op:?})");
    }
    let is_number = |word: &str| {
        word.starts_with('[')
            && word.ends_with(']')
            && word.len() > 2
            && word[1..word.len() - 1].bytes().all(|b| b.is_ascii_digit())
    };
    let said = cause.to_string();
    if said.starts_with("Shader requires capability") {
        return "this is not possible here: not every device has it".into();
    }
    said.split(' ').filter(|word| !is_number(word)).collect::<Vec<_>>().join(" ")
}

/// Text for a terminal: a tab takes four columns, and control characters are shown, not obeyed.
fn printable(text: impl Iterator<Item = char>) -> String {
    let mut out = String::new();
    for c in text {
        match c {
            '\t' => out.push_str("    "),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Longer lines are shown in part.
const MAX_SHOWN: usize = 160;

/// An error at bytes of a part, shown as rustc would: the line, and carets under the place.
pub(crate) fn render(part: &str, source: &str, at: Range<usize>, message: String, label: &str, notes: &[String]) -> Error {
    let on_boundary = |i: usize| (0..=i.min(source.len())).rev().find(|&i| source.is_char_boundary(i)).unwrap_or(0);
    let offset = on_boundary(at.start);
    let start = source[..offset].rfind('\n').map_or(0, |i| i + 1);
    let line = source[..offset].matches('\n').count() as u32 + 1;
    let column = source[start..offset].chars().count() as u32 + 1;
    let text = source[start..].lines().next().unwrap_or_default();
    let end = on_boundary(at.end).min(start + text.len()).max(offset);

    // A window of the line, so that a very long one stays readable.
    let before = column as usize - 1;
    let skip = if text.chars().count() > MAX_SHOWN { before.saturating_sub(MAX_SHOWN / 2) } else { 0 };
    let shown = printable(text.chars().skip(skip).take(MAX_SHOWN));
    let indent = printable(text.chars().take(before).skip(skip)).chars().count();
    let carets = printable(source[offset..end].chars().take(MAX_SHOWN / 2)).chars().count();
    let message = printable(message.chars());

    let margin = " ".repeat(line.to_string().len());
    let mut rendered = format!(
        "error: {message}\n{margin}--> {part}:{line}:{column}\n{margin} |\n{line} | {shown}\n{margin} | {indent}{carets} {label}",
        indent = " ".repeat(indent),
        carets = "^".repeat(carets.max(1)),
    );
    rendered.truncate(rendered.trim_end().len());
    rendered.push('\n');
    for note in notes {
        let _ = writeln!(rendered, "{margin} = note: {note}");
    }
    Error::Shader { part: part.into(), line, column, message, rendered }
}
