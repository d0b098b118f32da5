//! The matrix product behind every pass: a block of rows by a few columns in registers, sums over any number of terms.
//!
//! On software Vulkan a load from storage costs a hundred times as much as a multiply-add, in a loop that visits the lanes one by one, a
//! vec4 hardly more than a number, and uniform or not (a load from a texture costs no less). So a turn of the loop takes four terms: a vec4
//! of weights for each of 32 rows, eight rows a load, a lane each, handed round by `subgroupBroadcast`; and the four terms of eight columns.
//! Everything within a turn is written out, since an index that varies would put the sums in memory. But every load and store of the text
//! costs time to compile, growing with the square of their number, so sums are finished four rows at a time, in a loop that selects them:
//! there activations are taken, and a narrow layer that follows is summed up. Of a step of contrastive divergence about a quarter goes to
//! loads, a third to multiply-adds (which this driver does not fuse) and a quarter to what becomes of the sums (by a profile not kept). 16 rows are slower than 32,
//! having more loads; so are 64 rows, or eight terms a turn, likely since their text outgrows the instruction cache (in a probe that is
//! not kept, of the product of a layer 128 to 128 alone, 44 GFLOP/s become 37, 33 and 31; with no loads at all they would be 70). Where
//! jets have more sums a row, blocks have fewer rows for the same reason: 24 of three parts, 16 of four (in that probe 42 and 38 GFLOP/s,
//! with 32 rows 32 and 33). Mesa 22.3 masks what a loop hands on to its next turn, so each turn also blends every sum with what it was.
//!
//! A real GPU wants many invocations of few registers: there a block is of eight rows, every lane loads every weight (which is one load), and
//! eight invocations share the columns and take a layer's blocks in turn. No such GPU was at hand to tune this by.

use std::fmt::Write as _;

use super::{
    narrow::{components, narrow_parts, narrow_sums},
    points::PARTS,
};
use crate::Gpu;

/// Rows that are stored in a turn.
pub(super) const STORED: usize = 4;
/// Rows of weights that stand together, of which blocks have one or more: one for each lane that loads them (a subgroup may be larger).
const EIGHT: usize = 8;

/// How the text is written for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    /// Hand weights round a subgroup; the results do not depend on it.
    pub(super) subgroups: bool,
    /// Rows of a block, where sums are few.
    pub(super) rows: usize,
    /// Invocations of a workgroup with columns of their own.
    pub(super) across: usize,
    /// Invocations that share the same columns, each with blocks of its own.
    pub(super) shares: usize,
}

impl Form {
    /// The form that suits a device.
    pub(super) fn of(gpu: &Gpu) -> Self {
        if !gpu.is_software() {
            return Self { subgroups: false, rows: 8, across: 8, shares: 8 };
        }
        let offered = gpu.device().features().contains(wgpu::Features::SUBGROUP);
        let subgroups = offered && gpu.info().subgroup_min_size >= EIGHT as u32;
        Self { subgroups, rows: 32, across: 8, shares: 1 }
    }

    /// Invocations of a workgroup.
    pub(super) fn workgroup(self) -> usize {
        self.across * self.shares
    }

    /// vec4s of columns of an invocation, for so many parts.
    pub(super) fn quads(self, parts: usize) -> usize {
        if parts == 1 && self.shares == 1 { 2 } else { 1 }
    }

    /// Rows of a block of products of so many parts: where there are more sums of a row, fewer of them.
    pub(super) fn product_rows(self, parts: usize) -> usize {
        match parts {
            3 => self.rows.min(24),
            4 => self.rows.min(16),
            _ => self.rows,
        }
    }

    /// The head of an entry point.
    pub(super) fn head(self, name: &str) -> String {
        let lane = if self.subgroups { ", @builtin(subgroup_invocation_id) invocation: u32" } else { "" };
        let own = if self.subgroups { format!("    lane = invocation % {EIGHT}u;\n") } else { String::new() };
        format!(
            "var<private> lane: u32;\n\n@compute @workgroup_size({})\nfn {name}(@builtin(workgroup_id) group: vec3<u32>, \
             @builtin(local_invocation_index) local: u32{lane}) {{\n{own}",
            self.workgroup(),
        )
    }
}

/// vec4s of the weights and biases of a layer.
pub(super) fn size((inputs, outputs): (usize, usize)) -> usize {
    outputs.div_ceil(EIGHT) * (EIGHT / 4 + inputs.div_ceil(4) * EIGHT)
}

/// Appends a layer, `weight(output, input)` and `bias(output)`: of each eight of its rows `[row]` of the biases, then `[four inputs][row]`.
pub(super) fn pack(
    (inputs, outputs): (usize, usize),
    weight: impl Fn(usize, usize) -> f32,
    bias: impl Fn(usize) -> f32,
    packed: &mut Vec<f32>,
) {
    for first in (0..outputs).step_by(EIGHT) {
        packed.extend((first..first + EIGHT).map(|row| if row < outputs { bias(row) } else { 0.0 }));
        for k in (0..inputs).step_by(4) {
            for row in first..first + EIGHT {
                let value = |k: usize| if row < outputs && k < inputs { weight(row, k) } else { 0.0 };
                packed.extend([value(k), value(k + 1), value(k + 2), value(k + 3)]);
            }
        }
    }
}

/// `s<row><tail>` of the row that `stored` selects among those of `rows` that are `STORED` apart, counted from `first`.
pub(super) fn selected(rows: usize, first: usize, tail: &str) -> String {
    (1..rows / STORED).fold(format!("s{first}{tail}"), |text, turn| {
        format!("select({text}, s{}{tail}, stored == {turn}u)", first + turn * STORED)
    })
}

/// The text of a turn: four terms of all `rows` of a block. `load(eight, row)` is the expression of the vec4 of a row among the eight that
/// begin with `eight` (`row` being an expression itself), and `term(row, weight, part, group)` the text that adds a weight times term
/// `part` of four to the sums of a row in a group of columns. One group after another: what goes in of a group stays in registers, and the
/// sums of a row are loaded once for four terms.
pub(super) fn turn(
    form: Form,
    rows: usize,
    load: &dyn Fn(usize, &str) -> String,
    groups: usize,
    term: &dyn Fn(usize, &str, usize, usize) -> String,
) -> String {
    let mut text = String::new();
    for row in 0..rows {
        match form.subgroups {
            true if row % EIGHT == 0 => {
                let _ = writeln!(text, "            let l{} = {};", row / EIGHT, load(row, "lane"));
            }
            true => {}
            false => {
                let _ = writeln!(text, "            let r{row} = {};", load(row / EIGHT * EIGHT, &format!("{}u", row % EIGHT)));
            }
        }
    }
    for group in 0..groups {
        for row in 0..rows {
            for (part, name) in ["x", "y", "z", "w"].into_iter().enumerate() {
                let weight = match form.subgroups {
                    true => format!("subgroupBroadcast(l{}.{name}, {}u)", row / EIGHT, row % EIGHT),
                    false => format!("r{row}.{name}"),
                };
                let _ = writeln!(text, "            let w{group}_{row}{name} = {weight};");
                text += &term(row, &format!("w{group}_{row}{name}"), part, group);
            }
        }
    }
    text
}

/// A text for every part and vec4 of columns.
fn each((parts, quads): (usize, usize), line: impl Fn(usize, usize) -> String) -> String {
    (0..parts).flat_map(|part| (0..quads).map(move |quad| (part, quad))).map(|(part, quad)| line(part, quad)).collect()
}

/// A jet of some parts.
pub(super) fn jet(parts: usize, value: impl Fn(usize) -> String) -> String {
    let parts = (0..PARTS).map(|part| if part < parts { value(part) } else { "vec4<f32>(0.0)".into() });
    format!("Jet({})", parts.collect::<Vec<_>>().join(", "))
}

/// The text that begins the sums of a block, with the biases or zero.
fn begin_sums(form: Form, parts: usize, biased: bool) -> String {
    let (mut text, rows) = (String::new(), form.product_rows(parts));
    for four in 0..if biased { rows / 4 } else { 0 } {
        let _ = match form.subgroups {
            true if four == 0 => writeln!(text, "        let biases = weights[block + lane / 2u * eight + lane % 2u];"),
            true => Ok(()),
            false => writeln!(text, "        let biases{four} = weights[block + {}u * eight + {}u];", four / 2, four % 2),
        };
    }
    for row in 0..rows {
        let (four, name) = (row / 4, ["x", "y", "z", "w"][row % 4]);
        let bias = match form.subgroups {
            true => format!("subgroupBroadcast(biases.{name}, {four}u)"),
            false => format!("biases{four}.{name}"),
        };
        text += &each((parts, form.quads(parts)), |part, quad| {
            let from = if part == 0 && biased { &bias } else { "0.0" };
            format!("        var s{row}_{part}_{quad} = vec4<f32>({from});\n")
        });
    }
    text
}

/// The text that hands the sums of the rows of a turn to a function, `activate` or `reverse`, and adds what comes back to the sums of a narrow
/// layer.
fn finish_sums(form: Form, parts: usize, narrow: usize, function: &str) -> String {
    let mut text = format!("            let first = o + stored * {STORED}u;\n");
    for row in 0..if narrow > 0 { STORED } else { 0 } {
        let load = |row: &str| format!("weights[next.weights_at + 1u + first + {row}]");
        let _ = match form.subgroups {
            true if row == 0 => writeln!(text, "            let narrow = {};", load(&format!("lane % {STORED}u"))),
            true => Ok(()),
            false => writeln!(text, "            let narrow{row} = {};", load(&format!("{row}u"))),
        };
    }
    let weight = if narrow > 0 { "nx" } else { "0.0" };
    for row in 0..STORED {
        let _ = write!(text, "            let unit{row} = first + {row}u;\n            if (unit{row} < layer.outputs) {{\n");
        for (_, name) in components(narrow) {
            let value = match form.subgroups {
                true => format!("subgroupBroadcast(narrow.{name}, {row}u)"),
                false => format!("narrow{row}.{name}"),
            };
            let _ = writeln!(text, "                let n{name} = {value};");
        }
        for quad in 0..form.quads(parts) {
            let sums = jet(parts, |part| selected(form.product_rows(parts), row, &format!("_{part}_{quad}")));
            let call = format!("{function}(layer, unit{row}, {quad}u, {sums}, joined, {weight})");
            let _ = writeln!(text, "                let z{quad} = {call};");
            for (of, name) in components(narrow) {
                for (part, value) in ["value", "slope", "curvature", "second"].into_iter().enumerate().take(parts) {
                    let _ = writeln!(text, "                n{of}_{part}_{quad} += n{name} * z{quad}.{value};");
                }
            }
        }
        text += "            }\n";
    }
    text
}

/// The functions `apply(layer, next, joined)` and `expected_turns`: the sums of a layer for the own columns, in so many parts, from the
/// biases on where there are some, and what is done with them; `joined` says that the next layer is narrow, of at most `narrow` outputs, and
/// is summed up meanwhile. Returns the turns of its loops.
pub(super) fn apply(form: Form, parts: usize, narrow: usize, biased: bool) -> String {
    let (rows, quads) = (form.product_rows(parts), form.quads(parts));
    let begin = begin_sums(form, parts, biased);
    let [activate, reverse] = ["activate", "reverse"].map(|function| finish_sums(form, parts, narrow, function));
    let (narrow_begin, narrow_end) = narrow_sums(form, parts, narrow);
    let loads: String = (0..4)
        .map(|term| {
            let rows = each((parts, quads), |part, quad| {
                format!("            let t{term}_{part}_{quad} = work[x{term} + {part}u * row + {quad}u];\n")
            });
            format!("            let x{term} = source + min(4u * k + {term}u, layer.inputs - 1u) * STRIDE * row;\n{rows}")
        })
        .collect();
    let turn = turn(
        form,
        rows,
        &|eight, row| format!("weights[at + {}u * eight + {row}]", eight / EIGHT),
        parts * quads,
        &|row, weight, term, group| {
            let (part, quad) = (group / quads, group % quads);
            format!(
                "            s{row}_{part}_{quad} = fma(vec4<f32>({weight}), t{term}_{part}_{quad}, s{row}_{part}_{quad});\n"
            )
        },
    );
    let shared = narrow_parts(form, parts, narrow);
    format!(
        "{shared}fn apply(layer: Layer, next: Layer, joined: bool) -> u32 {{
    let quads = (layer.inputs + 3u) / 4u;
    let source = own(layer.source);
    let row = own(layer.source + 1u) - source;
    var turns = 0u;
    // vec4s from eight rows to the next.
    let eight = {EIGHT}u / 4u + quads * {EIGHT}u;
    var block = layer.weights_at + share * {eights}u * eight;
{narrow_begin}    for (var o = share * {rows}u; o < layer.outputs; o += SHARES * {rows}u) {{
{begin}        for (var k = 0u; k < quads; k++) {{
            let at = block + {EIGHT}u / 4u + k * {EIGHT}u;
{loads}{turn}            turns += 1u;
        }}
        // Two loops, since a branch that is not taken costs as much as one that is.
        let activated = select(0u, {stored}u, layer.finish == ACTIVATE);
        for (var stored = 0u; stored < activated; stored++) {{
{activate}            turns += 1u;
        }}
        for (var stored = 0u; stored < {stored}u - activated; stored++) {{
{reverse}            turns += 1u;
        }}
        block += SHARES * {eights}u * eight;
    }}
{narrow_end}    return turns;
}}

// Of the own share of the blocks.
fn expected_turns(layer: Layer, next: Layer, joined: bool) -> u32 {{
    let blocks = (layer.outputs + ((SHARES - share) * {rows}u - 1u)) / (SHARES * {rows}u);
    return ((layer.inputs + 3u) / 4u + {stored}u) * blocks + select(0u, next.outputs, joined && share == 0u);
}}

",
        eights = rows / EIGHT,
        stored = rows / STORED,
    )
}
