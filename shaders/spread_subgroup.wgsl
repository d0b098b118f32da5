// Shares of a chain that are neighbours in one subgroup. Software Vulkan runs a subgroup in one vector: there a shuffle
// is one instruction, where a number that each invocation reads from memory takes a loop over them.

// The share, and the chain of the workgroup.
fn place_in_group(local: u32) -> vec2<u32> { return vec2<u32>(local % SHARES, local / SHARES); }
