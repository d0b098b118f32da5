//! How many invocations run a chain together (shaders/spread.wgsl), and how they add up.

use std::fmt::Write as _;

use super::UNROLLED_DIM;
use crate::{energy::Energy, kernel::Kernel};

/// Invocations that run a chain together, each with at most 32 of its coordinates.
///
/// With more, a real GPU's registers spill, and software Vulkan takes too long to compile loops that are written out; with fewer,
/// the exchange of sums costs more than it saves.
pub(crate) fn shares(target: &dyn Energy, kernel: &dyn Kernel) -> usize {
    spread(target, kernel).0
}

/// Also the offsets of all parameters that are vectors of DIM numbers, where there is more than one share.
pub(super) fn spread(target: &dyn Energy, kernel: &dyn Kernel) -> (usize, Vec<usize>) {
    let dim = target.dim();
    match (target.spread(), kernel.spread(dim)) {
        (Some(mut vectors), Some(own)) if dim > UNROLLED_DIM => {
            vectors.extend(own.into_iter().map(|at| target.params().len() + at));
            (dim.div_ceil(UNROLLED_DIM).next_power_of_two(), vectors)
        }
        _ => (1, Vec::new()),
    }
}

/// The sums over all shares of a chain, in rounds: four neighbours, then four of those fours, and so on.
///
/// Written out, since a loop would count towards the iterations that drivers allow a dispatch.
pub(super) fn totals_text(shares: usize) -> String {
    let mut text = "fn totals(parts: vec2<f32>) -> vec2<f32> {\n    var sums = parts;\n    var at = 0u;\n".to_owned();
    let mut stride = 1;
    while stride < shares {
        let count = (shares / stride).min(4);
        let terms: Vec<_> = (0..count).map(|j| format!("parts_of_group[at + {}u]", j * stride * 64 / shares)).collect();
        let _ = write!(
            text,
            "    at = show(sums) + (share - share / {stride}u % {count}u * {stride}u) * GROUP_CHAINS;\n    sums = {};\n",
            terms.join(" + ")
        );
        stride *= count;
    }
    text + "    return sums;\n}\n"
}
