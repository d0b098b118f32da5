// A chain is run by one invocation. The counterpart of spread.wgsl, together with whole.wgsl.

var<private> idle: bool;      // there is no chain for this invocation

// Takes an invocation's place; the index of its chain in the buffers.
fn take_place(group: u32, local: u32) -> u32 {
    let index = group * GROUP + local;
    idle = index >= run.chains;
    return min(index, run.chains - 1u);
}

// Whether this invocation writes what a chain has once.
fn is_first() -> bool { return true; }
