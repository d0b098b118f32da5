// The proof of completion: drivers may cut loops short, so an invocation runs one more loop, whose end the host knows.
// Twin: src/dispatch.rs.

struct Proof {
    row: u32,                // of this dispatch in the words of proof
    canary_steps: u32,
    canary_salt: u32,
    canary_scale: u32,       // where the canary must end: scale x word + offset
    canary_offset: u32,
}

fn canary_ends(proof: Proof, id: u32) -> bool {
    let salted = id ^ proof.canary_salt;
    var word = salted;
    for (var k = 0u; k < proof.canary_steps; k++) { word = word * 1664525u + 1013904223u; }
    return word == proof.canary_scale * salted + proof.canary_offset;
}
