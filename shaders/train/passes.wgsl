// Passes over a batch of points, for training: energies, gradients, jets, and the reverse of jets. The energy's text stands before
// this, and what is generated (src/program/training.rs): energy(), energy_and_grad(), jet(), jet_param_grad(), add_param_grad(),
// begin_param_grads(), end_param_grads().
//
// In round r, invocation `column` takes point r * columns + column. It adds the gradients in the parameters of all its points up in a
// column of its own, so that sums have one order, whether a batch takes one dispatch or several.

struct Settings {
    proof: Proof,
    points: u32,             // of the batch
    columns: u32,            // invocations
    first_round: u32,        // of this dispatch
    rounds: u32,
    directions: u32,         // 0 where there are none: only values are asked for
    sums: u32,               // of a parameter, each over columns / sums columns
    params: u32,
    blocks: u32,             // BLOCKS, as a value the compiler cannot know
}

// Storage, not uniform: lavapipe compiles a shader anew for every value of a uniform that a loop's end depends on.
@group(0) @binding(0) var<storage, read> settings: Settings;
@group(0) @binding(2) var<storage, read> batch: array<Lane>;                   // x[block][point], v[block][point]
@group(0) @binding(3) var<storage, read> adjoints_of: array<vec4<f32>>;        // of values, slopes, curvatures[point]
@group(0) @binding(4) var<storage, read_write> found: array<f32>;              // energy[point], grad[dim][point]; jets[3][point]; gradients[param][sum]
@group(0) @binding(5) var<storage, read_write> columns: array<f32>;            // gradients[param][column]
@group(0) @binding(6) var<storage, read_write> proven: array<atomic<u32>>;     // invocations that ran to their end, a word a dispatch

var<private> run: Settings;
var<private> column: u32;

fn begin(id: u32) {
    run = settings;
    column = id;
    fill_params();
}

fn end(whole: bool) {
    if (whole && canary_ends(run.proof, column)) { atomicAdd(&proven[run.proof.row], 1u); }
}

// The point of a round of this dispatch; there may be none of this number.
fn point_of(round: u32) -> u32 { return (run.first_round + round) * run.columns + column; }

// Reads the rows of blocks from `row` on.
fn read_point(row: u32, point: u32, x: ptr<function, Point>) {
    for (var b = 0u; b < blocks(); b++) { (*x)[b] = batch[(row + b) * run.points + point]; }
}

@compute @workgroup_size(64)
fn energies(@builtin(global_invocation_id) id: vec3<u32>) {
    begin(id.x);
    var x: Point;
    var round = 0u;
    for (; round < run.rounds; round++) {
        let point = point_of(round);
        if (point < run.points) {
            read_point(0u, point, &x);
            found[point] = energy(&x);
        }
    }
    end(round == run.rounds);
}

@compute @workgroup_size(64)
fn energies_and_grads(@builtin(global_invocation_id) id: vec3<u32>) {
    begin(id.x);
    var x: Point;
    var grad: Point;
    var round = 0u;
    for (; round < run.rounds; round++) {
        let point = point_of(round);
        if (point < run.points) {
            read_point(0u, point, &x);
            found[point] = energy_and_grad(&x, &grad);
            for (var b = 0u; b < blocks(); b++) {
                let lane = grad[b];
                for (var l = 0u; l < LANES; l++) {
                    let i = b * LANES + l;
                    if (i < DIM) { found[(1u + i) * run.points + point] = lane[l]; }
                }
            }
        }
    }
    end(round == run.rounds);
}

@compute @workgroup_size(64)
fn jets(@builtin(global_invocation_id) id: vec3<u32>) {
    begin(id.x);
    var x: Point;
    var v: Point;
    var round = 0u;
    for (; round < run.rounds; round++) {
        let point = point_of(round);
        if (point < run.points) {
            read_point(0u, point, &x);
            read_point(BLOCKS, point, &v);
            let of_point = jet(&x, &v);
            found[point] = of_point.x;
            found[run.points + point] = of_point.y;
            found[2u * run.points + point] = of_point.z;
        }
    }
    end(round == run.rounds);
}

@compute @workgroup_size(64)
fn param_grads(@builtin(global_invocation_id) id: vec3<u32>) {
    begin(id.x);
    begin_param_grads();
    var x: Point;
    var v: Point;
    clear(&v);
    var round = 0u;
    for (; round < run.rounds; round++) {
        let point = point_of(round);
        if (point < run.points) {
            read_point(0u, point, &x);
            if (run.directions != 0u) { read_point(BLOCKS, point, &v); }
            jet_param_grad(&x, &v, adjoints_of[point].xyz);
        }
    }
    end_param_grads();
    end(round == run.rounds);
}

// Sum s of a parameter is that of columns s, s + sums, ...
@compute @workgroup_size(64)
fn sum_columns(@builtin(global_invocation_id) id: vec3<u32>) {
    run = settings;
    column = id.x;
    let param = column / run.sums;
    var at = param * run.columns + column % run.sums;
    let stop = (param + 1u) * run.columns;
    var sum = 0.0;
    var turns = 0u;
    if (param < run.params) {
        for (; at < stop; at += run.sums) {
            sum += columns[at];
            turns++;
        }
        found[column] = sum;
    }
    end(param >= run.params || turns * run.sums == run.columns);
}
