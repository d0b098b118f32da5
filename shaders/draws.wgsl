// Draws that leave the device: every thin-th state of some of the chains goes into a buffer of its own as the steps go. Only a
// program that stores draws has this part.

// Stored chains in a tile, whose draws of a dispatch stand together: a workgroup writes them one after the other. Were all chains of a
// draw together, it would jump from page to page, which takes a processor twice the time. Twin: src/chains/gpu/draws.rs.
const TILE = 64u;

@group(0) @binding(8) var<storage, read_write> draws: array<f32>;                // [tile][draw][DIM + 1][chain of the tile]: positions, then energy

var<private> is_stored: bool;
var<private> until_draw: u32;           // steps to the next draw
var<private> draw_at: u32;              // where it goes
var<private> tile_chains: u32;          // in this chain's tile: the last one may have fewer

fn draws_begin(index: u32) {
    // Of a ladder, the coldest chain is the target's. Wraps, and so is too large, for chains before the first.
    let column = index / RUNGS - run.stored_first;
    is_stored = !idle && index % RUNGS == 0u && column < run.stored_chains;
    until_draw = run.until_draw;
    let tile = column - column % TILE;
    tile_chains = min(TILE, run.stored_chains - tile);
    draw_at = tile * (DIM + 1u) * run.stored_draws + column % TILE;
}

// Counts a step, and writes the state where it is a draw.
fn draws_add(x: ptr<function, Point>, e: f32) {
    until_draw -= 1u;
    if (until_draw != 0u) { return; }
    until_draw = run.thin;
    if (!is_stored) { return; }
    for (var b = 0u; b < blocks(); b++) {
        let lane = (*x)[b];
        for (var l = 0u; l < LANES; l++) {
            let i = whole_block(b) * LANES + l;
            if (is_coordinate(b, l)) { draws[draw_at + i * tile_chains] = lane[l]; }
        }
    }
    if (is_first()) { draws[draw_at + DIM * tile_chains] = e; }
    draw_at += (DIM + 1u) * tile_chains;
}
