// Annealed importance sampling (Neal 2001): before each transition the bridge between two energies is moved on to the step's beta, and
// the state, drawn at the last one, is weighed: log w -= (beta' - beta) (E1(x) - E0(x)).
// The sum is kept as a whole number and a rest, so that it loses nothing where it is long.

const WEIGHT_LIMIT = 1e29;               // beyond it: no weight at all, or, above zero, not a number

var<private> whole: f32;
var<private> rest: f32;

fn stage_begin(index: u32, local: u32) {
    bridge_beta = carry_in[STAGE_ROW * run.chains + index];
    whole = carry_in[(STAGE_ROW + 1u) * run.chains + index];
    rest = carry_in[(STAGE_ROW + 2u) * run.chains + index];
}

fn stage_before(k: u32, control: ptr<function, Control>, x: ptr<function, Point>, grad: ptr<function, Point>, e: ptr<function, f32>) {
    let change = (*control).level - bridge_beta;
    if (change == 0.0) { return; }
    bridge_beta = (*control).level;
    if (USES_GRAD) { *e = energy_and_grad(x, grad); } else { *e = energy(x); }
    weigh(-change * bridge_gap);
}

fn weigh(log_weight: f32) {
    if (abs(whole) >= WEIGHT_LIMIT) { return; }
    if (!is_usable(log_weight)) {
        let lost = (bitcast<u32>(log_weight) & 0x80000000u) != 0u && !is_nan(log_weight);
        whole = select(2.0 * WEIGHT_LIMIT, -2.0 * WEIGHT_LIMIT, lost);
        rest = 0.0;
        return;
    }
    let sum = rest + log_weight;
    let integer = floor(sum);
    whole += integer;
    rest = sum - integer;
}

fn stage_after(chain: u32, step: u32, control: Control, x: ptr<function, Point>, grad: ptr<function, Point>, e: ptr<function, f32>) {}

fn stage_end(index: u32) {
    carry_out[STAGE_ROW * run.chains + index] = bridge_beta;
    carry_out[(STAGE_ROW + 1u) * run.chains + index] = whole;
    carry_out[(STAGE_ROW + 2u) * run.chains + index] = rest;
}
