// A chain is run by SHARES invocations of a workgroup, so that each holds few enough coordinates for registers and for loops that
// are written out. Share s holds the blocks s, s + SHARES, s + 2 SHARES, ... of every point. Neighbours in a workgroup are
// the same share of neighbouring chains: they read and write memory side by side, and software runs them in one vector.
//
// All shares of a chain come to the same decisions, since each adds the same numbers in the same order. Barriers must be met by
// all invocations of a workgroup: what lies between a kernel's first and last total() may not depend on the chain.

const GROUP_CHAINS = 64u / SHARES;

var<private> idle: bool;      // there is no chain for this invocation: it goes along and writes nothing
var<private> share: u32;
var<private> chain_of_group: u32;
var<private> tail_mask: Lane; // of the last own block
var<private> half: u32;       // of `parts_of_group`, by turns: one barrier a total is enough

var<workgroup> parts_of_group: array<vec2<f32>, 128>;
var<workgroup> words_of_group: array<u32, 64>;

// Takes an invocation's place; the index of its chain in the buffers.
fn take_place(group: u32, local: u32) -> u32 {
    share = local / GROUP_CHAINS;
    chain_of_group = local % GROUP_CHAINS;
    for (var l = 0u; l < LANES; l++) { tail_mask[l] = select(0.0, 1.0, whole_block(BLOCKS - 1u) * LANES + l < DIM); }
    let index = group * GROUP_CHAINS + chain_of_group;
    idle = index >= run.chains;
    return min(index, run.chains - 1u);
}

// The steps that this invocation runs.
fn own_steps() -> u32 { return run.steps; }

// Whether this invocation writes what a chain has once.
fn is_first() -> bool { return share == 0u; }

// Which block of the whole point the own block b is. Those past the last are padding.
fn whole_block(b: u32) -> u32 { return b * SHARES + share; }

// One for the coordinates of a block, zero for padding.
fn lane_mask(b: u32) -> Lane {
    if (b == BLOCKS - 1u) { return tail_mask; }
    return Lane(1.0);
}

// The sums over all shares of the chain.
fn totals(parts: vec2<f32>) -> vec2<f32> {
    let at = half + chain_of_group;
    half = half ^ 64u;
    parts_of_group[at + share * GROUP_CHAINS] = parts;
    workgroupBarrier();
    return sum_of_shares(at);
}

fn total(part: f32) -> f32 { return totals(vec2<f32>(part, 0.0)).x; }

// The part of a value that every share knows: the whole of it, once.
fn once(whole: f32) -> f32 { return select(0.0, whole, share == 0u); }

// Whether all shares of the chain have this word.
fn agreed(word: u32) -> bool {
    words_of_group[share * GROUP_CHAINS + chain_of_group] = word;
    workgroupBarrier();
    var same = 0u;
    for (var s = 0u; s < SHARES; s++) { same += select(0u, 1u, words_of_group[s * GROUP_CHAINS + chain_of_group] == word); }
    return same == SHARES;
}
