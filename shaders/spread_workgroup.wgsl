// Shares of a chain that show each other their parts in the workgroup's memory. Neighbours in a workgroup are the same share of
// neighbouring chains: they read and write memory side by side.

var<private> half: u32;       // of what invocations show each other, by turns: one barrier a total is enough

var<workgroup> words_of_group: array<u32, GROUP>;

// The share, and the chain of the workgroup.
fn place_in_group(local: u32) -> vec2<u32> { return vec2<u32>(local / GROUP_CHAINS, local % GROUP_CHAINS); }

// Whether all shares of the chain have this word.
fn agreed(word: u32) -> bool {
    words_of_group[share * GROUP_CHAINS + chain_of_group] = word;
    workgroupBarrier();
    var same = 0u;
    for (var s = 0u; s < SHARES; s++) { same += select(0u, 1u, words_of_group[s * GROUP_CHAINS + chain_of_group] == word); }
    return same == SHARES;
}
