// Passes over the layers of a network. The products are generated (src/net/product.rs); what becomes of their sums stands in jets.wgsl,
// gradient.wgsl, kept.wgsl and along.wgsl.
//
// An invocation owns a few neighbouring columns (points of the batch) and takes them through all layers; or SHARES of them own the same
// columns, take shares of a layer's rows, and wait for each other. `work` begins with the rows that the host writes and reads, [row][column]; then come those of the hidden layers,
// [workgroup][row][column of the workgroup], so that what a workgroup needs stands together.

// One layer, or its transpose, applied to the own columns; then what is done with the sums.
struct Layer {
    source: u32,             // first row of what goes in, STRIDE rows a unit; HIDDEN is added where it is one of a hidden layer's
    inputs: u32,
    outputs: u32,
    weights_at: u32,         // first vec4
    to: u32,                 // first row of what comes out
    finish: u32,             // what is done with the sums: RAW, ACTIVATE or REVERSE
    factors: u32,            // of ACTIVATE and REVERSE: first row of the factors of the reverse
    narrow: u32,             // 1: the last of its pass, of few outputs, which are summed up while the layer before is finished
}

const HIDDEN = 0x80000000u;
const RAW = 0u;
const ACTIVATE = 1u;
const REVERSE = 2u;

struct Settings {
    proof: Proof,
    columns: u32,            // vec4s of a row that the host knows
    hidden_at: u32,          // first vec4 of the hidden layers
    hidden_rows: u32,
    // Of passes: which layers.
    first_layer: u32,
    last_layer: u32,         // one past it
    // Of sums over points.
    rows_at: u32,            // first row of the factor whose units are the rows of the result, and its units
    rows: u32,
    units_at: u32,           // the same of the factor whose units are the columns
    units: u32,
    sums_at: u32,            // first vec4 of the result
    sums_row: u32,           // vec4s of a row of it
    sums_slice: u32,         // vec4s from slice to slice
    slice_blocks: u32,       // workgroups' columns of a slice
    blocks: u32,             // and in all
    // Of Langevin steps.
    steps: u32,
    first_step: u32,         // counted in the epoch
    first_chain: u32,        // global id of column 0
    dim: u32,
    grad_at: u32,            // first row of the gradient
    key: vec2<u32>,          // of this epoch
    step_size: f32,
    noise: f32,
    confinement: f32,
    state_at: u32,           // first row of what is kept of a chain: see langevin.wgsl
}

// Storage, not uniform: lavapipe compiles a shader anew, and keeps it, for every value of a uniform that a loop's end depends on.
@group(0) @binding(0) var<storage, read> settings: Settings;
@group(0) @binding(1) var<storage, read> weights: array<vec4<f32>>;            // see src/net/product.rs
@group(0) @binding(2) var<storage, read_write> work: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> sums: array<vec4<f32>>;         // over points
@group(0) @binding(4) var<storage, read_write> proven: array<atomic<u32>>;      // invocations that ran to their end, one word a dispatch
@group(0) @binding(5) var<storage, read> layers: array<Layer>;

var<private> column: u32;       // of the GROUP invocations of a workgroup that own other columns
var<private> share: u32;        // of those that own the same
// The first own vec4 of row 0 of each kind, and the vec4s from row to row.
var<private> known_at: u32;
var<private> hidden_at: u32;
var<private> known_row: u32;

fn take_columns(group: u32, local: u32) {
    column = local % GROUP;
    share = local / GROUP;
    known_row = settings.columns;
    known_at = (group * GROUP + column) * QUADS;
    hidden_at = settings.hidden_at + (group * settings.hidden_rows * GROUP + column) * QUADS;
}

// Those that share columns wait for each other, and see what they stored.
fn meet() {
    if (SHARES > 1u) {
        storageBarrier();
        workgroupBarrier();
    }
}

// The first own vec4 of a row.
fn own(row: u32) -> u32 {
    let hidden = row >= HIDDEN;
    return select(known_at, hidden_at, hidden) + (row & ~HIDDEN) * select(known_row, GROUP * QUADS, hidden);
}

// Numbers of four points; parts from PARTS on are not used.
struct Jet {
    value: vec4<f32>,
    slope: vec4<f32>,
    curvature: vec4<f32>,    // along both directions together
    second: vec4<f32>,       // the slope along the second direction
}

fn jet_of(value: vec4<f32>) -> Jet { return Jet(value, vec4<f32>(0.0), vec4<f32>(0.0), vec4<f32>(0.0)); }

fn store(row: u32, quad: u32, jet: Jet) {
    put(row, quad, jet.value);
    if (PARTS > 1u) { put(row + 1u, quad, jet.slope); }
    if (PARTS > 2u) { put(row + 2u, quad, jet.curvature); }
    if (PARTS > 3u) { put(row + 3u, quad, jet.second); }
}

fn put(row: u32, quad: u32, value: vec4<f32>) { work[own(row) + quad] = value; }

fn got(row: u32, quad: u32) -> vec4<f32> { return work[own(row) + quad]; }

// The activation and its derivatives of four points.
fn derivatives(z: vec4<f32>) -> mat4x4<f32> {
    return transpose(mat4x4<f32>(activation(z.x), activation(z.y), activation(z.z), activation(z.w)));
}

// Proves the turns of all loops so far, and the end.
fn prove(id: u32, turns: u32, expected: u32) {
    if (turns == expected && canary_ends(settings.proof, id)) { atomicAdd(&proven[settings.proof.row], 1u); }
}
