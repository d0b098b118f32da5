// Replica exchange (Swendsen and Wang 1986; Geyer 1991): RUNGS neighbouring chains are the rungs of a ladder of temperatures. After
// every SWAP_EVERY steps neighbours, (0, 1), (2, 3), ... and (1, 2), (3, 4), ... by turns, exchange their states with probability
// min(1, exp((E - E') (1/T - 1/T'))). A ladder lies within one workgroup, so states go through its memory, a block at a time; barriers
// must be met by all its invocations, idle ones too.
// Kernel parameters from LADDER_AT on: temperatures[RUNGS], factors of the step size[RUNGS]. Slot: the last one.

const COLDEST = 1.0;
const HOTTEST = 2.0;

var<private> place: u32;                 // in the workgroup
var<private> rung: u32;
var<private> rung_temperature: f32;
var<private> rung_scale: f32;            // of the step size
var<private> colder: f32;                // 1/T of this rung less that of the next: what a swap gains for each unit of energy
var<private> last_end: f32;              // which end of the ladder the state visited last, if any; it travels along
var<private> swap_proposals: f32;        // with the next rung, in this segment of moments
var<private> swaps: f32;
var<private> round_trips: f32;           // ended here, at the coldest rung

var<workgroup> ladder_energies: array<f32, 64>;
var<workgroup> ladder_ends: array<f32, 64>;
var<workgroup> ladder_decisions: array<u32, 64>;
var<workgroup> ladder_positions: array<Lane, 64>;
var<workgroup> ladder_grads: array<Lane, 64>;

fn stage_begin(index: u32, local: u32) {
    place = local;
    rung = local % RUNGS;
    rung_temperature = stored_param(LADDER_AT + rung);
    rung_scale = stored_param(LADDER_AT + RUNGS + rung);
    colder = 1.0 / rung_temperature - 1.0 / stored_param(LADDER_AT + min(rung + 1u, RUNGS - 1u));
    last_end = select(carry_in[STAGE_ROW * run.chains + index], COLDEST, rung == 0u);
    if (COLLECT && run.first_draw != 0u) {
        swap_proposals = carry_in[SWAP_ROW * run.chains + index];
        swaps = carry_in[(SWAP_ROW + 1u) * run.chains + index];
        round_trips = carry_in[(SWAP_ROW + 2u) * run.chains + index];
    }
}

fn stage_before(k: u32, control: ptr<function, Control>, x: ptr<function, Point>, grad: ptr<function, Point>, e: ptr<function, f32>) {
    (*control).temperature *= rung_temperature;
    (*control).step_size *= rung_scale;
}

fn stage_after(chain: u32, step: u32, control: Control, x: ptr<function, Point>, grad: ptr<function, Point>, e: ptr<function, f32>) {
    if ((step + 1u) % SWAP_EVERY == 0u) { exchange(chain, step, control.temperature / rung_temperature, x, grad, e); }
}

fn exchange(chain: u32, step: u32, temperature: f32, x: ptr<function, Point>, grad: ptr<function, Point>, e: ptr<function, f32>) {
    let is_lower = ((rung ^ ((step + 1u) / SWAP_EVERY)) & 1u) == 0u;
    let is_paired = select(rung != 0u, rung + 1u < RUNGS, is_lower);
    let partner = select(place, select(place - 1u, place + 1u, is_lower), is_paired);

    ladder_energies[place] = *e;
    ladder_ends[place] = last_end;
    workgroupBarrier();
    let partner_energy = ladder_energies[partner];
    // The lower of two partners decides for both.
    let log_ratio = (*e - partner_energy) * colder / temperature;
    let u = random_uniform(random_bits(chain, step, SLOTS - 1u));
    ladder_decisions[place] = select(0u, 1u, is_finite(log_ratio) && u < exp(min(0.0, log_ratio)));
    workgroupBarrier();
    let is_swapped = is_paired && ladder_decisions[min(place, partner)] != 0u;

    *e = select(*e, partner_energy, is_swapped);
    last_end = select(last_end, ladder_ends[partner], is_swapped);
    for (var b = 0u; b < BLOCKS; b++) {
        ladder_positions[place] = (*x)[b];
        if (USES_GRAD) { ladder_grads[place] = (*grad)[b]; }
        workgroupBarrier();
        (*x)[b] = select((*x)[b], ladder_positions[partner], is_swapped);
        if (USES_GRAD) { (*grad)[b] = select((*grad)[b], ladder_grads[partner], is_swapped); }
        workgroupBarrier();
    }

    let counts = is_paired && is_lower;
    swap_proposals += select(0.0, 1.0, counts);
    swaps += select(0.0, 1.0, counts && is_swapped);
    if (rung == 0u) {
        round_trips += select(0.0, 1.0, last_end == HOTTEST);
        last_end = COLDEST;
    }
    if (rung == RUNGS - 1u && last_end == COLDEST) { last_end = HOTTEST; }
}

fn stage_end(index: u32) {
    carry_out[STAGE_ROW * run.chains + index] = last_end;
    if (COLLECT) {
        carry_out[SWAP_ROW * run.chains + index] = swap_proposals;
        carry_out[(SWAP_ROW + 1u) * run.chains + index] = swaps;
        carry_out[(SWAP_ROW + 2u) * run.chains + index] = round_trips;
    }
}
