//! How many invocations run a chain together (shaders/spread.wgsl), and how they add up.

use std::fmt::Write as _;

use super::{UNROLLED_DIM, lanes};
use crate::{energy::Energy, kernel::Kernel};

/// How a chain is spread over invocations.
#[derive(Debug)]
pub(crate) struct Spread {
    /// Invocations that run a chain together, each with at most 32 of its coordinates.
    ///
    /// With more, a real GPU's registers spill, and software Vulkan takes too long to compile loops that are written out; with fewer,
    /// the exchange of sums costs more than it saves.
    pub(crate) shares: usize,
    /// Blocks of a point that each of them holds.
    pub(super) blocks: usize,
    /// The offsets of all parameters that are vectors of DIM numbers, where there is more than one share.
    pub(super) vectors: Vec<usize>,
}

impl Spread {
    pub(crate) fn new(target: &dyn Energy, kernel: &dyn Kernel) -> Self {
        let dim = target.dim();
        let (shares, vectors) = match (target.spread(), kernel.spread(dim)) {
            (Some(mut vectors), Some(own)) if dim > UNROLLED_DIM => {
                vectors.extend(own.into_iter().map(|at| target.params().len() + at));
                (dim.div_ceil(UNROLLED_DIM).next_power_of_two(), vectors)
            }
            _ => (1, Vec::new()),
        };
        Self { shares, blocks: lanes(dim).1.div_ceil(shares), vectors }
    }

    /// Invocations of a workgroup. Neighbours are the same share of at least eight chains, as many as software runs in one vector.
    pub(crate) fn group(&self) -> usize {
        (8 * self.shares).max(64)
    }

    /// Chains of a workgroup.
    pub(crate) fn group_chains(&self) -> usize {
        self.group() / self.shares
    }
}

/// The sums over all shares of a chain, of two numbers and of four, in rounds: four neighbours, then four of those fours, and so on.
///
/// Written out, since a loop would count towards the iterations that drivers allow a dispatch.
pub(super) fn totals_text(shares: usize) -> String {
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
