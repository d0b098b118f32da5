// The two entry points: `start` evaluates the energy where the chains stand; `advance` runs steps of the kernel.

fn read_point(at: u32, chain: u32, x: ptr<function, Point>) {
    for (var b = 0u; b < blocks(); b++) {
        var lane = Lane(0.0);
        for (var l = 0u; l < LANES; l++) {
            let i = whole_block(b) * LANES + l;
            if (is_coordinate(b, l)) { lane[l] = carry_in[at + i * run.chains + chain]; }
        }
        (*x)[b] = lane;
    }
}

fn write_point(at: u32, chain: u32, x: ptr<function, Point>) {
    for (var b = 0u; b < blocks(); b++) {
        let lane = (*x)[b];
        for (var l = 0u; l < LANES; l++) {
            let i = whole_block(b) * LANES + l;
            if (is_coordinate(b, l)) { carry_out[at + i * run.chains + chain] = lane[l]; }
        }
    }
}

fn read_position(chain: u32, x: ptr<function, Point>) {
    for (var b = 0u; b < blocks(); b++) {
        var lane = Lane(0.0);
        for (var l = 0u; l < LANES; l++) {
            let i = whole_block(b) * LANES + l;
            if (is_coordinate(b, l)) { lane[l] = positions_in[i * run.chains + chain]; }
        }
        (*x)[b] = lane;
    }
}

fn write_position(chain: u32, x: ptr<function, Point>) {
    for (var b = 0u; b < blocks(); b++) {
        let lane = (*x)[b];
        for (var l = 0u; l < LANES; l++) {
            let i = whole_block(b) * LANES + l;
            if (is_coordinate(b, l)) { positions_out[i * run.chains + chain] = lane[l]; }
        }
    }
}

// The index of this invocation's chain in the buffers; dispatches beyond 65,535 workgroups are folded into two dimensions.
fn chain_index(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
    return take_place(group.y * groups.x + group.x, local);
}

@compute @workgroup_size(GROUP)
fn start(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    run = runs[groups.z - 1u];
    let chain = chain_index(group, groups, local);
    var x: Point;
    var grad: Point;
    read_position(chain, &x);
    fill_params();
    noise_variance = run.control.level;
    var e: f32;
    if (USES_GRAD) {
        e = total(energy_and_grad(&x, &grad));
    } else {
        e = total(energy(&x));
    }
    let end = canary(chain);
    let proven = agreed(end);
    if (idle) { return; }
    if (USES_GRAD) { write_point(run.chains, chain, &grad); }
    if (!is_first()) { return; }
    carry_out[chain] = e;
    outcome[chain] = select(~end, end, proven);
}

// The proof of completion: drivers may cut loops short, so run one more loop whose end the host knows.
fn canary(chain: u32) -> u32 {
    var word = chain ^ run.canary_salt;
    for (var i = 0u; i < run.canary_steps; i++) { word = word * 1664525u + 1013904223u; }
    return word;
}

@compute @workgroup_size(GROUP)
fn advance(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    // What bounds a loop with a barrier in it must come straight from the uniform: WGSL takes no private variable for the same
    // in all invocations.
    let given = runs[groups.z - 1u];
    run = given;
    let index = chain_index(group, groups, local);
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
    if (UNADJUSTED) { stopped = carry_in[n * STOPPED_ROW + index] != 0.0; }
    watch_begin(index, run.first_draw, &x, e);
    stage_begin(index, local);
    draws_begin(index);

    var accepted = 0u;
    var acceptance = 0u;              // sum in units of 2^-16
    var failures = 0u;
    var first_failure = 0u;           // step of this dispatch
    var first_kind = NO_FAILURE;

    let own = own_steps(given.steps);
    var k = 0u;
    for (; k < own; k++) {
        var control = given.control;
        if (SCHEDULED) { control = controls[min(k, given.last_control)]; }
        // A transition evaluates its new point at the noise level of the next step, which starts from it.
        if (NOISY) { noise_variance = controls[min(k + 1u, given.last_control)].level; }
        stage_before(k, &control, &x, &grad, &e);
        let info = transition(chain, run.first_step + k, control, &x, &grad, &momentum, &e);
        if (UNADJUSTED) { stopped = stopped || info.failure != NO_FAILURE; }
        accepted += select(0u, 1u, info.accepted);
        acceptance += u32(i32(info.acceptance * 65536.0 + 0.5));
        let failed = info.failure != NO_FAILURE;
        let first = failed && failures == 0u;
        first_failure = select(first_failure, k, first);
        first_kind = select(first_kind, info.failure, first);
        failures += select(0u, 1u, failed);
        stage_after(chain, given.first_step + k, control, &x, &grad, &e);
        watch(run.first_draw + k + 1u, &x, e);
        draws_add(&x, e);
    }

    let end = canary(chain);
    let whole = k == run.steps;
    let proven = agreed(select(~end, end, whole)) && whole;
    if (idle) { return; }
    write_position(index, &x);
    if (USES_GRAD) { write_point(n, index, &grad); }
    if (CARRIES_MOMENTUM) { write_point(n * (1u + DIM), index, &momentum); }
    if (COLLECT) { moments_end(index); }
    if (!is_first()) { return; }
    carry_out[index] = e;
    if (UNADJUSTED) { carry_out[n * STOPPED_ROW + index] = select(0.0, 1.0, stopped); }
    stage_end(index);
    outcome[index] = select(~end, end, proven);
    outcome[n + index] = accepted | select(0u, 0x80000000u, failures != 0u);
    outcome[2u * n + index] = acceptance;
    outcome[3u * n + index] = failures | (first_kind << 24u);
    outcome[4u * n + index] = first_failure;
    outcome[5u * n + index] = bitcast<u32>(growth);
}
