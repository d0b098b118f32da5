// A chain is run by one invocation, which holds every block of its points. The counterpart of spread.wgsl.

var<private> idle: bool;      // there is no chain for this invocation

// Takes an invocation's place; the index of its chain in the buffers.
fn take_place(group: u32, local: u32) -> u32 {
    let index = group * 64u + local;
    idle = index >= run.chains;
    return min(index, run.chains - 1u);
}

// Whether this invocation writes what a chain has once.
fn is_first() -> bool { return true; }

fn totals(parts: vec2<f32>) -> vec2<f32> { return parts; }

fn total(part: f32) -> f32 { return part; }

fn once(whole: f32) -> f32 { return whole; }

fn agreed(word: u32) -> bool { return true; }
