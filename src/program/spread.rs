//! How many invocations run a chain together (shaders/spread.wgsl), and how they add up.

use std::fmt::Write as _;

use super::{UNROLLED_DIM, lanes};
use crate::{energy::Energy, kernel::Kernel};

/// How a chain is spread over invocations.
#[derive(Debug)]
pub(crate) struct Spread {
    /// Invocations that run a chain together.
    pub(crate) shares: usize,
    /// Blocks of a point that each of them holds.
    pub(super) blocks: usize,
    /// The offsets of all parameters that are vectors of DIM numbers, where there is more than one share.
    pub(super) vectors: Vec<usize>,
    /// Whether they are neighbours in one subgroup, which add up without memory or a barrier, and keep copies of their parameters.
    pub(super) in_subgroup: bool,
}

impl Spread {
    /// `subgroup`: as in [`Options`](super::Options).
    pub(crate) fn new(target: &dyn Energy, kernel: &dyn Kernel, subgroup: usize) -> Self {
        let dim = target.dim();
        let of = |shares, vectors, in_subgroup| Self { shares, blocks: lanes(dim).1.div_ceil(shares), vectors, in_subgroup };
        let (Some(mut vectors), Some(own)) = (target.spread(), kernel.spread(dim)) else { return of(1, Vec::new(), false) };
        if dim <= UNROLLED_DIM {
            return of(1, Vec::new(), false);
        }
        vectors.extend(own.into_iter().map(|at| target.params().len() + at));
        match shares_in_subgroup(dim, vectors.len(), subgroup) {
            Some(shares) => of(shares, vectors, true),
            // With more coordinates an invocation, a real GPU's registers spill, and software Vulkan takes too long to compile loops
            // that are written out; with fewer, the exchange of sums costs more than it saves.
            None => of(dim.div_ceil(UNROLLED_DIM).next_power_of_two(), vectors, false),
        }
    }

    /// Whether loops over the own blocks have a constant trip count. Written out for many coordinates they take software Vulkan long to
    /// compile; the shares of a subgroup pay that, up to a limit, since a running index would put what they keep into memory.
    pub(super) fn has_constant_loops(&self, dim: usize) -> bool {
        self.in_subgroup || dim.div_ceil(self.shares) <= UNROLLED_DIM
    }

    /// Invocations of a workgroup. Where they show each other their parts in its memory, neighbours are the same share of at least eight
    /// chains, as many as software runs in one vector.
    pub(crate) fn group(&self) -> usize {
        (8 * self.shares).max(64)
    }

    /// Chains of a workgroup.
    pub(crate) fn group_chains(&self) -> usize {
        self.group() / self.shares
    }
}

/// The invocations of a subgroup of `size` that run a chain, if they can hold it: each its coordinates, and as many numbers of each
/// of `vectors` vectors of parameters.
fn shares_in_subgroup(dim: usize, vectors: usize, size: usize) -> Option<usize> {
    /// Numbers of parameters that take long to compile: where there are more, it pays to have more shares, although each of them makes
    /// the chain's decisions anew.
    const LONG: usize = 128;
    /// Coordinates, and numbers of parameters, that take too long.
    const MOST: [usize; 2] = [64, 1024];
    let held = |shares| (dim.div_ceil(shares), dim.div_ceil(shares) * vectors);
    let is_short = |shares| held(shares).0 <= UNROLLED_DIM && held(shares).1 <= LONG;
    let shares = (1..=size.checked_ilog2()?).map(|log| 1 << log).find(|&shares| 2 * shares > size || is_short(shares))?;
    let (coordinates, params) = held(shares);
    (coordinates <= MOST[0] && params <= MOST[1]).then_some(shares)
}

/// What shares of a chain tell each other in a subgroup: sums, of two numbers and of four, and whether all have the same word. In
/// rounds with the neighbour one, two, four, ... away. A sum of two is the same from either side, so all get the same bits.
///
/// Written out, since a loop would count towards the iterations that drivers allow a dispatch.
pub(super) fn subgroup_text(shares: usize) -> String {
    let rounds = |round: &dyn Fn(usize) -> String| (0..shares.ilog2()).map(|log| round(1 << log)).collect::<String>();
    let mut text = String::new();
    for (suffix, parts) in [("", "vec2<f32>"), ("4", "vec4<f32>")] {
        let _ = write!(
            text,
            "fn totals{suffix}(parts: {parts}) -> {parts} {{\n    var sums = parts;\n{}    return sums;\n}}\n",
            rounds(&|away| format!("    sums += subgroupShuffleXor(sums, {away}u);\n"))
        );
    }
    let differ = |away| {
        format!("    differing |= subgroupShuffleXor(differing, {away}u) | (word ^ subgroupShuffleXor(word, {away}u));\n")
    };
    text + "fn agreed(word: u32) -> bool {\n    var differing = 0u;\n" + &rounds(&differ) + "    return differing == 0u;\n}\n"
}

/// The sums over all shares of a chain by way of the workgroup's memory, of two numbers and of four, in rounds: four neighbours, then four
/// of those fours, and so on.
///
/// Written out, since a loop would count towards the iterations that drivers allow a dispatch.
pub(super) fn workgroup_text(shares: usize) -> String {
    [("", "vec2<f32>"), ("4", "vec4<f32>")].map(|(suffix, parts)| totals_of(shares, suffix, parts)).concat()
}

fn totals_of(shares: usize, suffix: &str, parts: &str) -> String {
    // `show` shows the parts of all invocations to each other, and says where those of this chain begin, GROUP_CHAINS apart.
    let mut text = format!(
        "var<workgroup> parts{suffix}_of_group: array<{parts}, 2u * GROUP>;\n\
         fn show{suffix}(parts: {parts}) -> u32 {{\n    let at = half + chain_of_group;\n    half = half ^ GROUP;\n    \
         parts{suffix}_of_group[at + share * GROUP_CHAINS] = parts;\n    workgroupBarrier();\n    return at;\n}}\n\
         fn totals{suffix}(parts: {parts}) -> {parts} {{\n    var sums = parts;\n    var at = 0u;\n"
    );
    let mut stride = 1;
    while stride < shares {
        let count = (shares / stride).min(4);
        let term = |j: usize| format!("parts{suffix}_of_group[at + {}u * GROUP_CHAINS]", j * stride);
        let terms: Vec<_> = (0..count).map(term).collect();
        let _ = write!(
            text,
            "    at = show{suffix}(sums) + (share - share / {stride}u % {count}u * {stride}u) * GROUP_CHAINS;\n    sums = {};\n",
            terms.join(" + ")
        );
        stride *= count;
    }
    text + "    return sums;\n}\n"
}
