//! The sums over points behind a gradient in the parameters: blocks of the weights in registers, as in [`product`](super::product).

use std::fmt::Write as _;

use super::{
    narrow::NARROW,
    product::{Form, STORED, selected, turn},
};

/// Columns of an invocation.
pub(super) const SUM_COLUMNS: usize = 8;

/// The text of sums over points: of all pairs of units, Σ a[row][point] · b[column][point], over all parts, and in a row after the last
/// Σ b[column][point] of the first part alone, for the biases. An invocation takes `rows` rows and some columns, over a slice of the points;
/// the host adds up the slices.
pub(super) fn sum_over_points(form: Form, rows: usize) -> String {
    let columns = 0..SUM_COLUMNS;
    let mut begin = String::new();
    let mut end = String::new();
    let mut loads = String::new();
    let mut biases = String::new();
    for row in 0..rows {
        for j in columns.clone() {
            let _ = writeln!(begin, "    var s{row}_{j} = 0.0;");
        }
    }
    for j in columns.clone() {
        let _ = writeln!(begin, "    var b{j} = vec4<f32>(0.0);");
        let _ = writeln!(biases, "            b{j} = fma(vec4<f32>(first_part), t{j}, b{j});");
    }
    for row in 0..STORED {
        let quad =
            |first: usize| (first..first + 4).map(|j| selected(rows, row, &format!("_{j}"))).collect::<Vec<_>>().join(", ");
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
            "            let t{j} = work[place(s.units_at + min(first_unit + {j}u, s.units - 1u) * STRIDE + part, block) + quad];"
        );
    }
    let row = |eight: usize, row: &str| {
        format!("work[place(s.rows_at + min(first_row + {eight}u + {row}, s.rows - 1u) * STRIDE + part, block) + quad]")
    };
    let turn = turn(form, rows, &row, SUM_COLUMNS / 4, &|row, weight, term, group| {
        let name = ["x", "y", "z", "w"][term];
        let columns = 4 * group..4 * (group + 1);
        columns.map(|j| format!("            s{row}_{j} = fma({weight}, t{j}.{name}, s{row}_{j});\n")).collect()
    });
    let summed = |first: usize| {
        let columns = (first..first + 4).map(|j| format!("dot(b{j}, vec4<f32>(1.0))"));
        columns.collect::<Vec<_>>().join(", ")
    };
    format!(
        "// The first vec4 of a row in the columns of a workgroup.
fn place(row: u32, block: u32) -> u32 {{
    let hidden = row >= HIDDEN;
    let size = select(1u, settings.hidden_rows, hidden);
    return select(0u, settings.hidden_at, hidden) + block * size * GROUP * QUADS + (row & ~HIDDEN) * select(settings.columns, GROUP * QUADS, hidden);
}}

{head}    let s = settings;
    let first_unit = (group.x * GROUP + local % GROUP) * {SUM_COLUMNS}u;
    let first_row = (group.y * SHARES + local / GROUP) * {rows}u;
    let first = group.z * s.slice_blocks;
    let last = min(first + s.slice_blocks, s.blocks);
    let quads = STRIDE * GROUP * QUADS;
    var turns = 0u;
{begin}    for (var block = first; block < last; block++) {{
        for (var k = 0u; k < quads; k++) {{
            let part = k / (GROUP * QUADS);
            let quad = k % (GROUP * QUADS);
            let first_part = select(0.0, 1.0, part == 0u);
{loads}{biases}{turn}            turns += 1u;
        }}
    }}
    let at = s.sums_at + group.z * s.sums_slice + first_unit / 4u;
    if (first_row == 0u) {{
        sums[at + s.rows * s.sums_row] = vec4<f32>({});
        sums[at + s.rows * s.sums_row + 1u] = vec4<f32>({});
    }}
    for (var stored = 0u; stored < {stored}u; stored++) {{
{end}        turns += 1u;
    }}
    prove(group.z * 65536u + group.y * 256u + first_unit, turns, (last - first) * quads + {stored}u);
}}
",
        summed(0),
        summed(4),
        head = form.head("sum_over_points"),
        stored = rows / STORED,
    )
}

/// Rows of an invocation of sums over points, of which there are so many.
pub(super) fn sum_rows(form: Form, rows: usize) -> usize {
    if rows <= NARROW { NARROW } else { form.rows }
}
