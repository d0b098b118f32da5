// Shares of a chain that are neighbours in one subgroup. On software Vulkan, which runs a subgroup in one vector, a shuffle is one
// instruction, where eight invocations read a number each from memory in some eighty.

// The share, and the chain of the workgroup.
fn place_in_group(local: u32) -> vec2<u32> { return vec2<u32>(local % SHARES, local / SHARES); }
