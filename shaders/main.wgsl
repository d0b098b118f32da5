// The two entry points: `start` evaluates the energy where the chains stand; `advance` runs steps of the kernel.

fn read_point(at: u32, chain: u32, x: ptr<function, Point>) {
    for (var b = 0u; b < blocks(); b++) {
        var lane = Lane(0.0);
        for (var l = 0u; l < LANES; l++) {
            let i = b * LANES + l;
            if (i < DIM) { lane[l] = carry_in[at + i * run.chains + chain]; }
        }
        (*x)[b] = lane;
    }
}

fn write_point(at: u32, chain: u32, x: ptr<function, Point>) {
    for (var b = 0u; b < blocks(); b++) {
        let lane = (*x)[b];
        for (var l = 0u; l < LANES; l++) {
            let i = b * LANES + l;
            if (i < DIM) { carry_out[at + i * run.chains + chain] = lane[l]; }
        }
    }
}

fn read_position(chain: u32, x: ptr<function, Point>) {
    for (var b = 0u; b < blocks(); b++) {
        var lane = Lane(0.0);
        for (var l = 0u; l < LANES; l++) {
            let i = b * LANES + l;
            if (i < DIM) { lane[l] = positions_in[i * run.chains + chain]; }
        }
        (*x)[b] = lane;
    }
}

fn write_position(chain: u32, x: ptr<function, Point>) {
    for (var b = 0u; b < blocks(); b++) {
        let lane = (*x)[b];
        for (var l = 0u; l < LANES; l++) {
            let i = b * LANES + l;
            if (i < DIM) { positions_out[i * run.chains + chain] = lane[l]; }
        }
    }
}

// The index of this invocation's chain in the buffers; dispatches beyond 65,535 workgroups are folded into two dimensions.
fn chain_index(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
    return (group.y * groups.x + group.x) * 64u + local;
}

@compute @workgroup_size(64)
fn start(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let chain = chain_index(group, groups, local);
    if (chain >= run.chains) { return; }
    var x: Point;
    var grad: Point;
    read_position(chain, &x);
    fill_params();
    noise_variance = run.control.noise_variance;
    var e: f32;
    if (USES_GRAD) {
        e = energy_and_grad(&x, &grad);
        write_point(run.chains, chain, &grad);
    } else {
        e = energy(&x);
    }
    carry_out[chain] = e;
    outcome[chain] = canary(chain);
}

// The proof of completion: drivers may cut loops short, so run one more loop whose end the host knows.
fn canary(chain: u32) -> u32 {
    var word = chain ^ run.canary_salt;
    for (var i = 0u; i < run.canary_steps; i++) { word = word * 1664525u + 1013904223u; }
    return word;
}

// Moments of the coordinates and, as row DIM, of the energy over this dispatch (Welford, on data shifted by the first state).
var<private> shift: Point;
var<private> mean: Point;
var<private> m2: Point;
var<private> energy_moments: vec3<f32>;

fn moments_begin(x: ptr<function, Point>, e: f32) {
    for (var b = 0u; b < blocks(); b++) {
        shift[b] = (*x)[b];
        mean[b] = Lane(0.0);
        m2[b] = Lane(0.0);
    }
    energy_moments = vec3<f32>(e, 0.0, 0.0);
}

fn moments_add(x: ptr<function, Point>, e: f32, count: u32) {
    let weight = 1.0 / f32(count);
    for (var b = 0u; b < blocks(); b++) {
        let d = (*x)[b] - shift[b];
        let before = d - mean[b];
        mean[b] += before * weight;
        m2[b] += before * (d - mean[b]);
    }
    let d = e - energy_moments.x;
    let before = d - energy_moments.y;
    energy_moments.y += before * weight;
    energy_moments.z += before * (d - energy_moments.y);
}

fn moments_end(chain: u32) {
    let n = run.chains;
    for (var b = 0u; b < blocks(); b++) {
        let s = shift[b];
        let m = mean[b];
        let v = m2[b];
        for (var l = 0u; l < LANES; l++) {
            let i = b * LANES + l;
            if (i < DIM) {
                moments[i * n + chain] = s[l];
                moments[(DIM + 1u + i) * n + chain] = m[l];
                moments[(2u * (DIM + 1u) + i) * n + chain] = v[l];
            }
        }
    }
    moments[DIM * n + chain] = energy_moments.x;
    moments[(2u * DIM + 1u) * n + chain] = energy_moments.y;
    moments[(3u * DIM + 2u) * n + chain] = energy_moments.z;
}

@compute @workgroup_size(64)
fn advance(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = chain_index(group, groups, local);
    if (index >= run.chains) { return; }
    let n = run.chains;
    let chain = run.first_chain + index;

    fill_params();
    var x: Point;
    var grad: Point;
    var momentum: Point;
    var e = carry_in[index];
    read_position(index, &x);
    if (USES_GRAD) { read_point(n, index, &grad); }
    if (CARRIES_MOMENTUM) { read_point(n * (1u + DIM), index, &momentum); }
    var stopped = false;              // an unadjusted chain that escaped stays where it is
    if (UNADJUSTED) { stopped = carry_in[n * STOPPED_ROW + index] != 0.0; }
    if (COLLECT) { moments_begin(&x, e); }

    var accepted = 0u;
    var acceptance = 0u;              // sum in units of 2^-16
    var failures = 0u;
    var first_failure = 0u;           // step of this dispatch
    var first_kind = NO_FAILURE;

    var k = 0u;
    for (; k < run.steps; k++) {
        var control = run.control;
        if (SCHEDULED) { control = controls[min(k, run.last_control)]; }
        // A transition evaluates its new point at the noise level of the next step, which starts from it.
        if (NOISY) { noise_variance = controls[min(k + 1u, run.last_control)].noise_variance; }
        var info = Info(0.0, false, NO_FAILURE);
        if (!(UNADJUSTED && stopped)) {
            info = transition(chain, run.first_step + k, control, &x, &grad, &momentum, &e);
            if (UNADJUSTED) { stopped = info.failure != NO_FAILURE; }
        }
        accepted += select(0u, 1u, info.accepted);
        acceptance += u32(i32(info.acceptance * 65536.0 + 0.5));
        let failed = info.failure != NO_FAILURE;
        let first = failed && failures == 0u;
        first_failure = select(first_failure, k, first);
        first_kind = select(first_kind, info.failure, first);
        failures += select(0u, 1u, failed);
        if (COLLECT) { moments_add(&x, e, k + 1u); }
    }

    write_position(index, &x);
    if (USES_GRAD) { write_point(n, index, &grad); }
    if (CARRIES_MOMENTUM) { write_point(n * (1u + DIM), index, &momentum); }
    carry_out[index] = e;
    if (UNADJUSTED) { carry_out[n * STOPPED_ROW + index] = select(0.0, 1.0, stopped); }
    if (COLLECT) { moments_end(index); }

    let end = canary(chain);
    outcome[index] = select(~end, end, k == run.steps);
    outcome[n + index] = accepted | select(0u, 0x80000000u, failures != 0u);
    outcome[2u * n + index] = acceptance;
    outcome[3u * n + index] = failures | (first_kind << 24u);
    outcome[4u * n + index] = first_failure;
}
