//! The matrix product behind every pass: 32 rows by eight columns in registers, sums over any number of terms.
//!
//! On software Vulkan a load from storage costs a hundred times as much as a multiply-add, in a loop that visits the lanes one by one, a
//! vec4 hardly more than a number, and uniform or not. So a turn of the loop takes four terms: a vec4 of weights for each of 32 rows,
//! eight rows a load, a lane each, handed round by `subgroupBroadcast`; and the four terms of eight columns. Everything within a turn is
//! written out, since an index that varies would put the sums in memory. But every load and store of the text costs time to compile, growing
//! with the square of their number, so sums are stored four rows at a time, in a loop that selects them. Without subgroups every lane loads every weight (on real
//! GPUs that is one load, too); the sums are the same, in the same order.

use std::fmt::Write as _;

use crate::Gpu;

/// Rows of a block.
const ROWS: usize = 32;
/// Rows that are stored in a turn.
const STORED: usize = 4;
/// Lanes that weights are loaded by; a subgroup may be larger.
const LANES: usize = 8;
/// Columns of an invocation in sums over points.
pub(super) const SUM_COLUMNS: usize = 8;

/// How the text is written for a device. The results do not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    /// Hand weights round a subgroup.
    pub(super) subgroups: bool,
    /// Invocations of a workgroup.
    pub(super) workgroup: usize,
}

impl Form {
    /// The form that suits a device.
    pub(super) fn of(gpu: &Gpu) -> Self {
        let offered = gpu.device().features().contains(wgpu::Features::SUBGROUP);
        let subgroups = gpu.is_software() && offered && gpu.info().subgroup_min_size >= LANES as u32;
        Self { subgroups, workgroup: if gpu.is_software() { 8 } else { 64 } }
    }

    /// The head of an entry point.
    pub(super) fn head(self, name: &str) -> String {
        let lane = if self.subgroups { ", @builtin(subgroup_invocation_id) invocation: u32" } else { "" };
        let own = if self.subgroups { format!("    lane = invocation % {LANES}u;\n") } else { String::new() };
        format!(
            "var<private> lane: u32;\n\n@compute @workgroup_size({})\nfn {name}(@builtin(workgroup_id) group: vec3<u32>, \
             @builtin(local_invocation_index) local: u32{lane}) {{\n{own}",
            self.workgroup,
        )
    }
}

/// vec4s of the weights of a matrix.
pub(super) fn size(inputs: usize, outputs: usize) -> usize {
    outputs.div_ceil(ROWS) * inputs.div_ceil(4) * ROWS
}

/// Appends a matrix, `weight(output, input)`: block by block of rows, `[four inputs][row]`.
pub(super) fn pack((inputs, outputs): (usize, usize), weight: impl Fn(usize, usize) -> f32, packed: &mut Vec<f32>) {
    for first in (0..outputs).step_by(ROWS) {
        for k in (0..inputs).step_by(4) {
            for row in first..first + ROWS {
                let value = |k: usize| if row < outputs && k < inputs { weight(row, k) } else { 0.0 };
                packed.extend([value(k), value(k + 1), value(k + 2), value(k + 3)]);
            }
        }
    }
}

/// `s<row><tail>` of the row that `stored` selects among those that are `STORED` apart, counted from `first`.
fn selected(first: usize, tail: &str) -> String {
    (1..ROWS / STORED).fold(format!("s{first}{tail}"), |text, turn| {
        format!("select({text}, s{}{tail}, stored == {turn}u)", first + turn * STORED)
    })
}

/// The text of a turn: four terms of all rows of a block. `load(row)` is the expression of a row's vec4 (`row` being an expression itself), and
/// `term(row, weight, part)` the text that adds a weight times term `part` of four.
fn turn(form: Form, load: &dyn Fn(&str) -> String, term: &dyn Fn(usize, &str, usize) -> String) -> String {
    let mut text = String::new();
    for row in 0..ROWS {
        let (round, lane) = (row / LANES, row % LANES);
        if form.subgroups && lane == 0 {
            let _ = writeln!(text, "            let l{round} = {};", load(&format!("({row}u + lane)")));
        }
        if !form.subgroups {
            let _ = writeln!(text, "            let r{row} = {};", load(&format!("{row}u")));
        }
        for (part, name) in ["x", "y", "z", "w"].into_iter().enumerate() {
            let weight = match form.subgroups {
                true => format!("subgroupBroadcast(l{round}.{name}, {lane}u)"),
                false => format!("r{row}.{name}"),
            };
            let _ = writeln!(text, "            let w{row}{name} = {weight};");
            text += &term(row, &format!("w{row}{name}"), part);
        }
    }
    text
}

/// The function `apply(layer)`: the sums of a layer for the own columns, `parts` parts of `quads` vec4s each. Returns the turns of its
/// loops.
pub(super) fn apply(form: Form, parts: usize, quads: usize) -> String {
    let each = |line: &dyn Fn(usize, usize) -> String| {
        (0..parts).flat_map(|part| (0..quads).map(move |quad| (part, quad))).map(|(p, q)| line(p, q)).collect::<String>()
    };
    let mut begin = String::new();
    for row in 0..ROWS {
        begin += &each(&|part, quad| format!("        var s{row}_{part}_{quad} = vec4<f32>(0.0);\n"));
    }
    let mut end = String::new();
    for row in 0..STORED {
        let stores = each(&|part, quad| {
            let value = selected(row, &format!("_{part}_{quad}"));
            format!("                work[own(layer.to + unit{row} * PARTS + {part}u) + {quad}u] = {value};\n")
        });
        let _ = write!(
            end,
            "            let unit{row} = o + stored * {STORED}u + {row}u;\n            if (unit{row} < layer.outputs) {{\n{stores}            }}\n"
        );
    }
    let loads: String = (0..4)
        .map(|term| {
            let rows = each(&|part, quad| {
                format!("            let t{term}_{part}_{quad} = work[x{term} + {part}u * row + {quad}u];\n")
            });
            format!("            let x{term} = source + min(4u * k + {term}u, layer.inputs - 1u) * PARTS * row;\n{rows}")
        })
        .collect();
    let turn = turn(form, &|row| format!("weights[block + k * {ROWS}u + {row}]"), &|row, weight, term| {
        each(&|part, quad| {
            format!(
                "            s{row}_{part}_{quad} = fma(vec4<f32>({weight}), t{term}_{part}_{quad}, s{row}_{part}_{quad});\n"
            )
        })
    });
    format!(
        "fn apply(layer: Layer) -> u32 {{
    let quads = (layer.inputs + 3u) / 4u;
    let source = own(layer.source);
    let row = own(layer.source + 1u) - source;
    var turns = 0u;
    var block = layer.weights_at;
    for (var o = 0u; o < layer.outputs; o += {ROWS}u) {{
{begin}        for (var k = 0u; k < quads; k++) {{
{loads}{turn}            turns += 1u;
        }}
        for (var stored = 0u; stored < {}u; stored++) {{
{end}            turns += 1u;
        }}
        block += quads * {ROWS}u;
    }}
    return turns;
}}

fn expected_turns(layer: Layer) -> u32 {{
    return ((layer.inputs + 3u) / 4u + {}u) * ((layer.outputs + {ROWS}u - 1u) / {ROWS}u);
}}

",
        ROWS / STORED,
        ROWS / STORED,
    )
}

/// The text of sums over points: of all pairs of units, Σ a[row][point] · b[column][point], over all parts. A workgroup takes 32 rows and
/// some columns, over a slice of the points; the host adds up the slices.
pub(super) fn sum_over_points(form: Form) -> String {
    let columns = 0..SUM_COLUMNS;
    let mut begin = String::new();
    let mut end = String::new();
    let mut loads = String::new();
    for row in 0..ROWS {
        for j in columns.clone() {
            let _ = writeln!(begin, "    var s{row}_{j} = 0.0;");
        }
    }
    for row in 0..STORED {
        let quad = |first: usize| (first..first + 4).map(|j| selected(row, &format!("_{j}"))).collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            end,
            "        let row{row} = first_row + stored * {STORED}u + {row}u;\n        if (row{row} < s.rows) {{\n            let out = at + row{row} * s.sums_row;\n            sums[out] = vec4<f32>({});\n            sums[out + 1u] = vec4<f32>({});\n        }}",
            quad(0),
            quad(4),
        );
    }
    for j in columns.clone() {
        let _ = writeln!(
            loads,
            "            let t{j} = work[place(s.units_at + min(first_unit + {j}u, s.units - 1u) * PARTS + part, block) + quad];"
        );
    }
    let row = |row: &str| format!("work[place(s.rows_at + min(first_row + {row}, s.rows - 1u) * PARTS + part, block) + quad]");
    let turn = turn(form, &row, &|row, weight, term| {
        let name = ["x", "y", "z", "w"][term];
        columns.clone().map(|j| format!("            s{row}_{j} = fma({weight}, t{j}.{name}, s{row}_{j});\n")).collect()
    });
    format!(
        "// The first vec4 of a row in the columns of a workgroup.
fn place(row: u32, block: u32) -> u32 {{
    let hidden = row >= HIDDEN;
    let size = select(1u, settings.hidden_rows, hidden);
    return select(0u, settings.hidden_at, hidden) + block * size * GROUP * QUADS + (row & ~HIDDEN) * select(settings.columns, GROUP * QUADS, hidden);
}}

{head}    let s = settings;
    let first_unit = (group.x * GROUP + local) * {SUM_COLUMNS}u;
    let first_row = group.y * {ROWS}u;
    let first = group.z * s.slice_blocks;
    let last = min(first + s.slice_blocks, s.blocks);
    let quads = PARTS * GROUP * QUADS;
    var turns = 0u;
{begin}    for (var block = first; block < last; block++) {{
        for (var k = 0u; k < quads; k++) {{
            let part = k / (GROUP * QUADS);
            let quad = k % (GROUP * QUADS);
{loads}{turn}            turns += 1u;
        }}
    }}
    let at = s.sums_at + group.z * s.sums_slice + (group.x * GROUP + local) * 2u;
    for (var stored = 0u; stored < {stored}u; stored++) {{
{end}        turns += 1u;
    }}
    prove(group.z * 65536u + group.y * 256u + first_unit, turns, (last - first) * quads + {stored}u);
}}
",
        head = form.head("sum_over_points"),
        stored = ROWS / STORED,
    )
}

/// Rows of a workgroup of sums over points.
pub(super) const SUM_ROWS: usize = ROWS;
