//! Writes loops over the lanes of a position out, so that every index is a constant.
//!
//! Software Vulkan unrolls only short loops by itself, and a position that any loop indexes with a variable stands in memory, eight
//! scalar accesses a coordinate: 2.2 times slower in 10 dimensions. Real GPUs unroll by themselves.

/// The head of a loop over lanes, as every part writes it.
const HEAD: &str = "for (var b = 0u; b < blocks(); b++) {";
/// The same where a barrier stands in the loop, whose trip count must be seen to be the same for all invocations.
const HEAD_WITH_BARRIER: &str = "for (var b = 0u; b < BLOCKS; b++) {";

/// The text with each loop over lanes replaced by `blocks` copies of its body, in which `b` is a constant. A loop that is left by
/// `break`, `continue` or `return` stays as it is.
pub(super) fn unroll(text: &str, blocks: usize) -> String {
    let heads = [HEAD, HEAD_WITH_BARRIER].into_iter();
    let Some((start, head)) = heads.filter_map(|head| Some((text.find(head)?, head))).min() else { return text.into() };
    let (before, rest) = (&text[..start], &text[start + head.len()..]);
    let Some(end) = closing_brace(rest) else { return text.into() };
    let (body, after) = (&rest[..end], &rest[end + 1..]);
    let body = unroll(body, blocks);
    let mut out = before.to_owned();
    if ["break", "continue", "return"].iter().any(|word| body.contains(word)) {
        out.push_str(head);
        out.push_str(&body);
        out.push('}');
    } else {
        out.push('{');
        for b in 0..blocks {
            out.push_str(&format!("{{ const b = {b}u;{body}}}\n"));
        }
        out.push('}');
    }
    out + &unroll(after, blocks)
}

/// The offset of the brace that closes the block whose inside `text` begins with; braces in line comments do not count.
fn closing_brace(text: &str) -> Option<usize> {
    let (mut depth, mut comment) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            '\n' => comment = false,
            '/' if text[at..].starts_with("//") => comment = true,
            '{' if !comment => depth += 1,
            '}' if !comment && depth == 0 => return Some(at),
            '}' if !comment => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_over_lanes_are_written_out() {
        let text = format!("fn f() {{ {HEAD} // }}\n x[b] = 1.0; }} g(); {HEAD} y(b); }} }}");
        let out = unroll(&text, 2);
        assert_eq!(out.matches("x[b] = 1.0;").count(), 2);
        assert_eq!(out.matches("y(b);").count(), 2);
        assert_eq!(out.matches("const b = 1u;").count(), 2);
        assert!(!out.contains(HEAD) && out.ends_with("} }"));
        assert_eq!(out.matches('{').count(), out.replace("// }", "").matches('}').count());
    }

    #[test]
    fn a_loop_that_is_left_early_stays() {
        let text = format!("{HEAD} if (x[b] > 1.0) {{ break; }} }} z");
        assert_eq!(unroll(&text, 3), text);
        assert_eq!(unroll("no loop", 3), "no loop");
        assert_eq!(unroll(HEAD, 3), HEAD);
    }
}
